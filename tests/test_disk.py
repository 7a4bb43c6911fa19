import errno
import fcntl
import hashlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from amalia_vl_hf import disk
from amalia_vl_hf.conversion.llava_next import import_checkpoint
from amalia_vl_hf.disk import (
    digests,
    fingerprint,
    in_turn,
    new_directory,
    sole_writer,
    stamps,
    whole_file,
    write_file,
    write_json,
)
from tests.conversion.checkpoints import contents, write_amalia

FORKS = multiprocessing.get_context("fork")  # real processes to kill, without an interpreter's start
MOMENTS = 12  # at which a run is killed, from its start to its end


def test_a_directory_appears_when_it_is_whole(tmp_path):
    with new_directory(tmp_path / "out") as staging:
        (staging / "file").write_text("x")
        assert not (tmp_path / "out").exists()
    assert contents(tmp_path) == {"out/file": b"x"}


def test_nothing_stays_of_a_block_that_fails(tmp_path):
    def write_half(staging):
        (staging / "file").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_directory(tmp_path / "out") as staging:
        write_half(staging)
    assert not list(tmp_path.iterdir())


def claim(out):
    """Begin to write a directory that cannot be begun."""
    with new_directory(out):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_is_never_written_over(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(FileExistsError, match="out exists already; nothing is ever written over"):
        claim(tmp_path / "out")


def test_what_appears_meanwhile_is_not_written_over_either(tmp_path):
    with pytest.raises(FileExistsError, match="exists already"), new_directory(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_processes_do_not_write_the_same_directory(tmp_path):
    out = tmp_path / "out"
    with new_directory(out), pytest.raises(BlockingIOError, match="another process is writing "):
        claim(out)
    assert out.is_dir()


def test_a_staging_directory_that_is_renamed_while_it_is_claimed_is_left_alone(tmp_path, monkeypatch):
    flock = fcntl.flock

    def finish_first(lock, flags):
        (tmp_path / ".out.partial").rename(tmp_path / "finished")
        flock(lock, flags)

    monkeypatch.setattr(fcntl, "flock", finish_first)
    with pytest.raises(BlockingIOError, match="another process is writing"):
        claim(tmp_path / "out")
    assert (tmp_path / "finished").is_dir()


def test_a_link_in_the_place_of_the_staging_directory_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    (tmp_path / ".out.partial").symlink_to(victim)
    with pytest.raises(OSError, match=r"\.out\.partial"):
        claim(tmp_path / "out")
    assert (victim / "file").read_text() == "precious"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_amalia(tmp_path_factory.mktemp("source"))


def convert(source, out):
    import_checkpoint(source, out, max_shard_size="40KB")


def convert_with_little_room(source, out):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # bytes; one shard has 40,000
    try:
        convert(source, out)
    except OSError as error:
        sys.exit(error.errno)


def test_a_run_that_is_killed_at_any_moment_leaves_nothing_and_the_next_one_finishes(source, tmp_path):
    started = time.monotonic()
    whole = FORKS.Process(target=convert, args=(source, tmp_path / "whole"))
    whole.start()
    whole.join()
    duration = time.monotonic() - started
    expected = contents(tmp_path / "whole")
    killed = 0
    for moment in range(MOMENTS):
        out = tmp_path / f"out{moment}"
        child = FORKS.Process(target=convert, args=(source, out))
        child.start()
        child.join(duration * moment / MOMENTS)
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        assert not out.exists() or contents(out) == expected
        if not out.exists() and out.with_name(f".{out.name}.partial").exists():
            convert(source, out)
            assert contents(out) == expected
        assert not out.with_name(f".{out.name}.partial").exists()
    assert killed


def test_a_file_that_cannot_grow_leaves_nothing(source, tmp_path):
    child = FORKS.Process(target=convert_with_little_room, args=(source, tmp_path / "out"))
    child.start()
    child.join()
    assert child.exitcode == errno.EFBIG  # where a full disk gives ENOSPC
    assert not list(tmp_path.iterdir())


def test_data_are_told_apart_by_what_they_hold(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "data.jsonl"
    seen = set()
    for words in ("um", "dois", "três"):
        file.write_text(words, encoding="utf-8")
        seen |= {fingerprint(file), fingerprint(tmp_path / "a")}
    assert len(seen) == 6
    assert fingerprint(file) in seen


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "before")
    with whole_file(path) as scratch:
        scratch.write_text("after")
        assert path.read_text() == "before"
    assert contents(tmp_path) == {"a.txt": b"after"}


def test_a_file_stays_as_it_was_where_writing_fails(tmp_path):
    write_file(tmp_path / "a.json", "before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a.json") as scratch:
        scratch.unlink()
    assert contents(tmp_path) == {"a.json": b"before"}


def test_a_device_or_a_folder_is_never_replaced(tmp_path):
    for path in (Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match="is no plain file"):
            write_file(path, "x")


def test_writers_of_one_name_have_a_file_each_whatever_their_process(tmp_path):
    """Two machines or containers that share a file system may give two processes one number."""
    with whole_file(tmp_path / "a.txt") as first, whole_file(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
        assert first.read_text() == "first"
    assert contents(tmp_path) == {"a.txt": b"first"}


def hold(path, ready):
    with whole_file(path) as scratch:
        scratch.write_text("half")
        ready.set()
        time.sleep(60)


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path):
    path = tmp_path / "a.txt"
    for kill in (True, False):
        ready = FORKS.Event()
        process = FORKS.Process(target=hold, args=(path, ready))
        process.start()
        assert ready.wait(30)
        if kill:
            process.kill()
            process.join()
        write_file(path, "whole")
        assert len(list(tmp_path.iterdir())) == (1 if kill else 2)
        process.kill()
        process.join()


def work(lock, ready):
    with sole_writer(lock, "working"):
        ready.set()
        time.sleep(60)


def test_who_works_alone_is_named_until_it_ends(tmp_path):
    lock, ready = tmp_path / "lock", FORKS.Event()
    process = FORKS.Process(target=work, args=(lock, ready))
    process.start()
    assert ready.wait(30)
    with (
        pytest.raises(BlockingIOError, match=rf"process {process.pid} on .* is working already"),
        sole_writer(lock, "working"),
    ):
        pytest.fail("the block must not run")
    process.kill()
    process.join()
    with sole_writer(lock, "working"):
        pass


def wait(lock, go, done):
    go.wait(30)
    with in_turn(lock):
        done.set()


def test_the_next_one_waits_its_turn(tmp_path):
    go, done = FORKS.Event(), FORKS.Event()
    process = FORKS.Process(target=wait, args=(tmp_path / "lock", go, done))
    process.start()  # before the lock is held: a fork would hold it as well
    with in_turn(tmp_path / "lock"):
        go.set()
        assert not done.wait(0.3)
    assert done.wait(30)
    process.join()


def test_a_lock_goes_with_its_process_and_not_with_the_workers_it_leaves(tmp_path):
    def work(queue):
        with sole_writer(tmp_path / "lock", "working"):
            worker = FORKS.Process(target=time.sleep, args=(30,))
            worker.start()
            queue.put(worker.pid)
            time.sleep(30)

    queue = FORKS.Queue()
    run = FORKS.Process(target=work, args=(queue,))
    run.start()
    worker = queue.get(timeout=20)
    with pytest.raises(BlockingIOError, match=f"process {run.pid} on "), sole_writer(tmp_path / "lock", "working"):
        pytest.fail("two work at once")
    run.kill()
    run.join()
    os.kill(worker, 0)  # it is there still
    with sole_writer(tmp_path / "lock", "working"):
        os.kill(worker, signal.SIGKILL)


def test_digests_are_those_of_the_content_in_pieces_where_it_is_large(tmp_path, monkeypatch):
    contents = [b"", b"a", bytes(range(200)), b"x" * 64, b"x" * 65, b"y" * 1000]
    files = [tmp_path / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    assert list(digests(files)) == [hashlib.sha256(content).hexdigest() for content in contents]
    assert list(digests([tmp_path / "gone", tmp_path / "0" / "below", files[1]]))[:2] == [None, None]
    monkeypatch.setattr(disk, "PIECE", 64)
    for file, content, digest in zip(files, contents, digests(files), strict=True):
        pieces = [content[start : start + 64] for start in range(0, len(content), 64)]
        hashes = b"".join(hashlib.sha256(piece).digest() for piece in pieces)
        assert digest == (hashlib.sha256(hashes if len(pieces) > 1 else content).hexdigest()), file


def test_stamps_change_with_content_even_where_size_and_time_stay(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    before, stat = stamps([tmp_path / "a", tmp_path / "gone"]), (tmp_path / "a").stat()
    assert stamps([tmp_path / "a", tmp_path / "gone"]) == before
    time.sleep(0.02)  # the kernel's clock for files ticks a few times in that
    (tmp_path / "a").write_bytes(b"two")
    os.utime(tmp_path / "a", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (tmp_path / "a").stat().st_mtime_ns == stat.st_mtime_ns
    assert stamps([tmp_path / "a", tmp_path / "gone"]) != before
