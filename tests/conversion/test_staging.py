import fcntl
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from amalia_vl_hf.conversion.llava_next import import_checkpoint
from amalia_vl_hf.conversion.staging import staged_directory
from tests.conversion.checkpoints import contents, write_amalia


def in_child(act) -> int:
    """Start `act` in a process of its own: a real one, that can be killed."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:
            os._exit(getattr(error, "errno", None) or 99)
        os._exit(0)
    return child


def exit_code(child) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


def test_a_run_that_is_killed_at_any_moment_leaves_nothing_and_the_next_one_finishes(source, tmp_path):
    started = time.monotonic()
    import_checkpoint(source, tmp_path / "whole", max_shard_size="40KB")
    duration = time.monotonic() - started
    expected = contents(tmp_path / "whole")
    codes = []
    for moment in range(12):
        out = tmp_path / f"out{moment}"
        child = in_child(lambda out=out: import_checkpoint(source, out, max_shard_size="40KB"))
        time.sleep(duration * (0.3 + moment / 12))
        os.kill(child, signal.SIGKILL)
        codes.append(exit_code(child))
        assert not out.exists() or contents(out) == expected
        if moment % 4 == 0 and not out.exists():
            import_checkpoint(source, out, max_shard_size="40KB")
            assert contents(out) == expected
            assert not out.with_name(f".{out.name}.partial").exists()
    assert -signal.SIGKILL in codes


def test_a_file_that_cannot_grow_leaves_nothing(source, tmp_path):
    def import_with_little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # bytes; the weights are 284 KB
        import_checkpoint(source, tmp_path / "out")

    assert exit_code(in_child(import_with_little_room)) == 27  # EFBIG, where a full disk gives ENOSPC
    assert not list(tmp_path.iterdir())
