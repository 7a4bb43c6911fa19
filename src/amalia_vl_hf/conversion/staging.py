"""Directories that appear whole or not at all: written beside their final name, made durable, then renamed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Give a temporary sibling to write into, which becomes `target` when the block ends without an error.

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
    staging = target.with_name(f".{target.name}.partial")
    staging.mkdir(exist_ok=True)
    lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _claim(lock, staging, target)
        try:
            yield staging
            _sync_tree(staging)
            _refuse_existing(target)  # once more: the rename would replace an empty directory
            staging.rename(target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        sync(target.parent)
    finally:
        os.close(lock)


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


def _sync_tree(directory: Path) -> None:
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
