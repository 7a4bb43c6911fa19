"""Two ranks through `amalia-vl train`: real processes, killed with -9."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from accelerate import Accelerator
from torch.distributed.elastic.multiprocessing.api import SignalException

from amalia_vl_hf.training import launch
from amalia_vl_hf.training.launch import PARENT, LaunchError, needs_launcher, start, tell_launcher, watch_parent
from amalia_vl_hf.training.ranks import check_ranks
from amalia_vl_hf.training.recipe import RecipeError
from tests.forked import forked
from tests.training.test_run import command

OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
PATIENCE = 120  # s, for a machine that is busy


def until(condition, what):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < PATIENCE, what
        time.sleep(0.05)


def ranks_of(launcher):
    """Process ids of the launcher's children, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"PPid:\t{launcher}\n" not in (entry / "status").read_text():
                continue
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        rank = [value.partition(b"=")[2] for value in variables if value.startswith(b"RANK=")]
        if rank:
            found[int(rank[0])] = int(entry.name)
    return found


def running(process):
    try:
        return "\nState:\tZ" not in (Path("/proc") / str(process) / "status").read_text()
    except OSError:
        return False


def last_step(recipe):
    whole = Path(f"{recipe.output}.partial").glob("checkpoint-*/complete")
    return max((int(path.parent.name.split("-")[1]) for path in whole), default=0)


def start_until_checkpoint(recipe, log):
    """Start the command, and wait for a checkpoint of its own."""
    before = last_step(recipe)
    process = subprocess.Popen(command(recipe), env=OFFLINE, stdout=log, stderr=log)
    until(lambda: process.poll() is not None or last_step(recipe) > before, "no checkpoint came")
    assert process.poll() is None, Path(log.name).read_text()[-3000:]
    return process


@pytest.mark.slow
def test_ranks_end_with_their_launcher_and_a_dead_rank_is_named(recipe_for, tmp_path):
    recipe = recipe_for("1_align", "steps=4000", "save_steps=3", "processes=2", "global_batch=4", "workers=0")
    with (tmp_path / "first.log").open("w") as log:
        launcher = start_until_checkpoint(recipe, log)
        ranks = ranks_of(launcher.pid)
        assert sorted(ranks) == [0, 1]
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        until(lambda: not any(map(running, ranks.values())), "ranks train on without their launcher")
    with (tmp_path / "second.log").open("w") as log:
        launcher = start_until_checkpoint(recipe, log)
        os.kill(ranks_of(launcher.pid)[1], signal.SIGKILL)
        assert launcher.wait(timeout=PATIENCE) == 2
    last = (tmp_path / "second.log").read_text().strip().splitlines()[-1]
    assert last == "amalia-vl: rank 1 was ended by SIGKILL; the same command goes on from the last checkpoint"
    assert list(Path(f"{recipe.output}.partial").glob("checkpoint-*/complete")), "what was saved is still there"


def test_only_several_processes_are_launched_and_only_from_outside(recipe_for, monkeypatch):
    alone = recipe_for("1_align")
    assert not needs_launcher(alone, [])
    assert needs_launcher(recipe_for("1_align", "processes=2"), [])
    assert needs_launcher(alone, ["--machine_rank", "1"])
    assert needs_launcher(recipe_for("1_align", "accelerate=config.yaml"), [])
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not needs_launcher(recipe_for("1_align", "processes=2"), [])


def test_a_batch_that_does_not_come_out_is_refused_before_anything_starts(recipe_for):
    recipe = recipe_for("1_align", "processes=2", "accumulation=2", "global_batch=6")
    with pytest.raises(RecipeError, match=r"global_batch=6, but batch_size=2 x accumulation=2 x 2 processes = 8"):
        start(recipe, [], [])
    assert PARENT not in os.environ


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (CalledProcessError(3, "train"), "the training process ended with exit code 3"),
        (SignalException("received", signal.SIGTERM), "stopped by SIGTERM; the same command goes on from the last"),
    ],
    ids=["one process", "signal"],
)
def test_other_ends_of_the_launcher_are_said_in_a_line(ended, said, recipe_for, monkeypatch):
    def end(arguments):
        raise ended

    monkeypatch.setattr("accelerate.commands.launch.launch_command", end)
    with pytest.raises(LaunchError, match=said):
        start(recipe_for("1_align", "processes=2"), ["--num_machines", "1"], ["train"])


def test_ranks_that_train_apart_are_noticed(monkeypatch):
    alone = Accelerator(cpu=True)
    check_ranks(alone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="2 processes were started, but 1 train together"):
        check_ranks(alone)


def test_a_process_ends_when_its_parent_does():
    reading, writing = os.pipe()

    def watch():
        watch_parent()
        os.write(writing, str(os.getpid()).encode())
        time.sleep(600)

    def start_one():
        os.environ[PARENT] = str(os.getpid())
        os.waitpid(forked(watch), 0)

    parent = forked(start_one)
    watching = int(os.read(reading, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    until(lambda: not running(watching), "it goes on without its parent")
    os.close(reading)
    os.close(writing)


def test_without_a_launcher_nobody_is_watched_or_told(monkeypatch):
    monkeypatch.delenv(PARENT, raising=False)
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    watch_parent()
    tell_launcher("nobody listens")
    assert "watch_parent" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("exit_code", "message", "said"),
    [
        (-9, "", r"rank 0 was ended by SIGKILL; the same command goes on from the last checkpoint"),
        (2, "rank 0: the disk is full", "rank 0: the disk is full"),
        (1, "", "rank 0 ended with exit code 1; its own words are above"),
    ],
)
def test_the_last_line_names_the_first_rank_that_ended(exit_code, message, said, tmp_path, monkeypatch):
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("RANK", "0")
    if message:
        tell_launcher(message.removeprefix("rank 0: "))
    failures = {
        1: ProcessFailure(1, 12, 1, str(tmp_path / "none.json")),
        0: ProcessFailure(0, 11, exit_code, str(tmp_path / "error.json")),
    }
    failures[0].timestamp = 1
    assert re.match(said, launch._cause(ChildFailedError("train", failures)))
