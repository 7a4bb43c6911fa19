import errno
import fcntl
import multiprocessing
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from amalia_vl_hf.conversion.llava_next import import_checkpoint
from amalia_vl_hf.conversion.staging import staged_directory
from tests.conversion.checkpoints import contents, write_amalia

FORKS = multiprocessing.get_context("fork")  # real processes to kill, without an interpreter's start
MOMENTS = 12  # at which a run is killed, from its start to its end


def test_a_directory_appears_when_it_is_whole(tmp_path):
    with staged_directory(tmp_path / "out") as staging:
        (staging / "file").write_text("x")
        assert not (tmp_path / "out").exists()
    assert contents(tmp_path) == {"out/file": b"x"}


def test_nothing_stays_of_a_block_that_fails(tmp_path):
    def write_half(staging):
        (staging / "file").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), staged_directory(tmp_path / "out") as staging:
        write_half(staging)
    assert not list(tmp_path.iterdir())


def claim(out):
    """Begin to write a directory that cannot be begun."""
    with staged_directory(out):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_is_never_written_over(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(FileExistsError, match="out exists already; nothing is ever written over"):
        claim(tmp_path / "out")


def test_what_appears_meanwhile_is_not_written_over_either(tmp_path):
    with pytest.raises(FileExistsError, match="exists already"), staged_directory(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_processes_do_not_write_the_same_directory(tmp_path):
    out = tmp_path / "out"
    with staged_directory(out), pytest.raises(BlockingIOError, match="another process is writing "):
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
