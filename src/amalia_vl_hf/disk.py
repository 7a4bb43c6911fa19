"""Files and directories that are there whole or not at all, locks, and fingerprints: the one owner of all of them.

What is written lies beside its final name until it is complete and on the disk, and then takes that name in one step.
While it is written it is locked, so that what a killed process left behind is told from what another one writes: it is
removed by the next writer of the same name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

PIECE = 1 << 26  # bytes of a file that one thread hashes
PARTIAL = ".partial"  # ends the name of what is being written


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a sibling to write into, which takes the place of `path` when the block ends without an error.

    Writers of one name do not disturb each other: the last one to end stays.

    Raises:
        OSError: The place cannot be written to, or `path` is no plain file; nothing is left behind.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no plain file, so no file is written in its place")
    _remove_stale(path)
    scratch, lock = _create_locked(path)
    try:
        yield scratch
        sync(scratch)
        scratch.replace(path)
        sync(path.parent)
    finally:
        scratch.unlink(missing_ok=True)
        os.close(lock)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file, text as UTF-8."""
    with whole_file(path) as scratch:
        scratch.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write a whole file of JSON for people to read, ended by a line feed.

    Raises:
        ValueError: The value has no JSON, a number that is not finite among others.
    """
    write_file(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def append_lines(path: Path, lines: str) -> None:
    """Append lines, each ended by a line feed; they are on the disk when this returns."""
    with path.open("ab") as file:
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def cut_last_line(path: Path) -> None:
    """Cut off what follows the last line feed of a file, if it is there: a line that a kill left half."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Give a sibling to write into, which becomes `target` when the block ends without an error.

    The sibling, `.NAME.partial`, is locked for as long as its process lives: what a killed run left behind is not
    locked, and is removed by the next one.

    Raises:
        FileExistsError: Something has the final name already.
        BlockingIOError: Another process is writing the same directory.
        OSError: The place cannot be written to.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  resolving would follow a link at the final name
    _refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}{PARTIAL}")
    staging.mkdir(exist_ok=True)
    lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _claim(lock, staging, target)
        try:
            yield staging
            put_in_place(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def put_in_place(directory: Path, target: Path) -> None:
    """Let a whole directory take its final name, in one step and once all of it is on the disk.

    Raises:
        FileExistsError: Something has the final name already.
    """
    sync_tree(directory)
    _refuse_existing(target)  # the rename would replace an empty directory
    directory.rename(target)
    sync(target.parent)


@contextmanager
def sole_writer(lock: Path, work: str) -> Iterator[None]:
    """Refuse to work where another process does; the lock goes with its process, however that ends.

    Args:
        lock: File that is locked; it stays.
        work: What must not be done twice at once, for the error: `"training into runs/a"`.

    Raises:
        BlockingIOError: Another process works there; it is named.
    """
    with lock.open("a+", encoding="utf-8") as file, _let_go_when_forked(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise BlockingIOError(f"{holder} is {work} already; wait for it, or end it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextmanager
def _let_go_when_forked(file: IO[str]) -> Iterator[None]:
    """Close a file in processes forked meanwhile: workers that outlive a killed process would keep its lock."""
    _LOCKED.add(file)
    try:
        yield
    finally:
        _LOCKED.discard(file)


def _let_go() -> None:
    for file in _LOCKED:
        file.close()
    _LOCKED.clear()


_LOCKED: set[IO[str]] = set()  # lock files of this process
os.register_at_fork(after_in_child=_let_go)


@contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the lock, then hold it; it goes with its process, however that ends."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fingerprint(path: str | Path) -> str:
    """Tell data apart: the SHA-256 of a file, or of the names, sizes and times of all files of a folder."""
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    listed = [(str(file.relative_to(path)), file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in listed]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def digests(files: Sequence[str | Path]) -> Iterator[str | None]:
    """Hash files by their content, on many threads; None for one that is not there.

    Yields:
        A file's SHA-256, as `sha256sum` gives it; of a file of several pieces of `PIECE` bytes, which are hashed side
        by side, the SHA-256 of their SHA-256.
    """
    with ThreadPoolExecutor(max(4, os.cpu_count() or 1)) as pool:
        for first in range(0, len(files), 4096):  # a million at once would take a GB
            window = files[first : first + 4096]
            sizes = [_size(file) for file in window]
            counts = [max(1, -(-size // PIECE)) for size in sizes]
            facts = zip(window, sizes, counts, strict=True)
            pieces = [(file, piece, size) for file, size, count in facts for piece in range(count)]
            hashed = pool.map(_hash_piece, pieces)
            for count in counts:
                parts = [part for _ in range(count) if (part := next(hashed)) is not None]
                if len(parts) < 2:
                    yield parts[0].hex() if parts else None
                else:
                    yield hashlib.sha256(b"".join(parts)).hexdigest()


def stamps(files: Iterable[str | Path]) -> str:
    """Tell cheaply whether files were touched: a digest of their sizes, times and places on the disk.

    The time of the last change of the file itself (`ctime`) is among them, which no program can set.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            stat = os.stat(file)  # noqa: PTH116  a Path for each of a million names takes longer
            digest.update(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}\n".encode())
        except OSError:
            digest.update(b"-\n")
    return digest.hexdigest()


def _size(file: str | Path) -> int:
    try:
        return os.stat(file).st_size  # noqa: PTH116
    except OSError:
        return 0


def _hash_piece(piece: tuple[str | Path, int, int]) -> bytes | None:
    file, number, size = piece
    digest, most = hashlib.sha256(), min(size + 1, 1 << 20)  # bytes at once; a small file is no reason for many
    try:
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
            opened.seek(number * PIECE)
            left = PIECE
            while left and (block := opened.read(min(left, most))):
                digest.update(block)
                left -= len(block)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return digest.digest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Wait until all files of a directory, and their names, are on the disk."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def _create_locked(path: Path) -> tuple[Path, int]:
    """Create a file beside another and lock it; a writer may take it for stale before that, so it is looked at again.

    Its name is drawn: on a shared file system, processes of two machines or containers may have one number.
    """
    while True:
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
        lock = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), scratch.stat()):
                return scratch, lock
        os.close(lock)


def _remove_stale(path: Path) -> None:
    """Remove what killed writers of a file left: nobody holds its lock."""
    for left in path.parent.glob(f".{escape(path.name)}.*{PARTIAL}"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} exists already; nothing is ever written over")


def _claim(lock: int, staging: Path, target: Path) -> None:
    """Lock the staging directory and empty it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = os.path.samestat(os.fstat(lock), staging.stat())  # false when its last owner has just renamed it
    except OSError:
        alone = False
    if not alone:
        raise BlockingIOError(f"another process is writing {target} (it holds {staging})")
    for leftover in staging.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
