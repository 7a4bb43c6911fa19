"""A full disk and a full memory: one clear line, and nothing that was saved is lost."""

import resource
from contextlib import contextmanager, suppress

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from amalia_vl_hf import cli
from amalia_vl_hf.commands.failures import explain
from amalia_vl_hf.training import run
from amalia_vl_hf.training.building import build_trainer
from amalia_vl_hf.training.faults import explain_fault
from amalia_vl_hf.training.launch import LaunchError
from tests.training.test_run import command

VALUES = ("steps=6", "save_steps=2", "workers=0")


@contextmanager
def largest_file(size):
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class FaultAfter(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("size", [100_000, 500_000], ids=["weights", "optimiser"])
def test_a_full_disk_is_said_and_loses_nothing(size, recipe_for, tmp_path, monkeypatch, capsys):
    whole = run.train(recipe_for("2_instruct", *VALUES, f"output={tmp_path / 'whole'}"))
    recipe = recipe_for("2_instruct", *VALUES, f"output={tmp_path / 'full'}")

    def faulty(*arguments):
        trainer = build_trainer(*arguments)
        trainer.add_callback(FaultAfter())
        return trainer

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(run, "build_trainer", faulty)
        run.train(recipe)
    partial = tmp_path / "full.partial"
    assert [path.parent.name for path in partial.glob("*/complete")] == ["checkpoint-2"]
    capsys.readouterr()
    with largest_file(size):
        assert cli.main(command(recipe)[3:]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("amalia-vl: the disk is full (")
    assert said.endswith("): make room; the last whole checkpoint is sound")
    assert [path.parent.name for path in partial.glob("*/complete")] == ["checkpoint-2"]
    resumed = run.train(recipe)
    one, other = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_full_memory_is_said_with_what_helps():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 50, dtype=torch.uint8)
    line = explain_fault(refused.value)
    assert line.startswith("out of memory (")
    assert "lower batch_size (and raise accumulation), max_length or max_tiles" in line
    assert "\n" not in line
    assert explain_fault(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")).startswith(
        "out of mem"
    )
    assert explain_fault(MemoryError()).startswith("out of memory (MemoryError)")


def test_the_cause_is_looked_for_behind_other_errors():
    hidden = RuntimeError("saving failed")
    hidden.__cause__ = OSError(28, "No space left on device")
    assert explain_fault(hidden) == (
        "the disk is full ([Errno 28] No space left on device): make room; the last whole checkpoint is sound"
    )
    assert explain_fault(ValueError("something else")) is None


def test_what_a_rank_said_is_said_once_and_not_explained_again():
    line = explain_fault(OSError(28, "No space left on device"))
    launched = LaunchError(f"rank 0: {line}")
    assert explain_fault(launched) is None
    assert explain(launched, "train", "") == (2, f"rank 0: {line}")


def test_a_rank_that_is_left_alone_says_so_in_a_line():
    gloo = RuntimeError(
        "[pair.cc:553] Connection closed by peer [127.0.0.1]:30414. This is typically caused by...\nmore"
    )
    code, line = explain(gloo, "train", "")
    assert code == 2
    assert line.startswith("the connection to another rank was lost ([pair.cc:553] Connection closed by peer")
    assert line.endswith("why it ended is in its own words")
    assert explain_fault(ConnectionResetError(104, "Connection reset by peer")) is None
    assert explain(RuntimeError("a defect"), "train", "") is None
