"""Checkpoints that were damaged after they were whole: named, left aside, and the run ends as if nothing had been."""

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import TrainerCallback

import amalia_vl_hf
from amalia_vl_hf import cli
from amalia_vl_hf.training import checkpoints, progress, run
from amalia_vl_hf.training.building import build_trainer
from amalia_vl_hf.training.checkpoints import (
    COMPLETE,
    UNFINISHED,
    begin_checkpoint,
    complete_checkpoint,
    newest_sound,
    not_finite,
)
from amalia_vl_hf.training.trainers import StoppedError
from tests.training.test_run import command

PACKAGE = Path(amalia_vl_hf.__file__).parent
VALUES = ("steps=6", "save_steps=2", "workers=0", "log_steps=1")
FILES = (
    *(COMPLETE, "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"),
    *("training_args.bin", "config.json", "generation_config.json", "processor_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "chat_template.jinja"),
    *(path.name for island in ("modeling", "processing") for path in sorted((PACKAGE / island).glob("*_vl.py"))),
)


class Fault(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def stop_in_step(recipe, step):
    """Train until the end of a step, and stop as Ctrl-C does."""

    def faulty(*arguments):
        trainer = build_trainer(*arguments)
        trainer.add_callback(Fault(step))
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "build_trainer", faulty)
        with pytest.raises(KeyboardInterrupt):
            run.train(recipe)


@pytest.fixture(scope="module")
def stopped(base, samples, tmp_path_factory):
    """A run's weights in the end, and the folder of the same run stopped in step 5: checkpoints 2 and 4 are whole."""
    folder = tmp_path_factory.mktemp("stopped")

    def recipe_at(output):
        here = [f"model={base}", f"data={samples['sft']}", f"output={output}", "batch_size=2", "epochs=null"]
        return run_recipe([*here, *VALUES])

    whole = run.train(recipe_at(folder / "whole"))
    stop_in_step(recipe_at(folder / "run"), 5)
    return load_file(whole / "model.safetensors"), folder / "run.partial", recipe_at


def run_recipe(words):
    from amalia_vl_hf.training.recipe import load_recipe
    from tests.training.conftest import RECIPES

    return load_recipe(RECIPES / "2_instruct.yaml", words)


def halve(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove(file):
    file.unlink()


DAMAGES = (halve, empty, flip, remove)


def test_these_are_all_files_of_a_checkpoint(stopped):
    _, partial, _ = stopped
    for step in (2, 4):
        assert sorted(path.name for path in (partial / f"checkpoint-{step}").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_left_aside(stopped, name, damage, tmp_path, caplog):
    shutil.copytree(stopped[1], tmp_path / "run.partial")
    damage(tmp_path / "run.partial" / "checkpoint-4" / name)
    kept = sorted(path.name for path in (tmp_path / "run.partial" / "checkpoint-4").iterdir())
    assert newest_sound(tmp_path / "run.partial", tmp_path / "run.damaged") == tmp_path / "run.partial/checkpoint-2"
    aside = tmp_path / "run.damaged-checkpoint-4"
    assert sorted(path.name for path in aside.iterdir()) == kept, "nothing is deleted"
    [line] = caplog.messages
    assert f"checkpoint-4 is damaged ({name} " in line
    assert line.endswith(f"it was left aside as {aside}")


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_run_over_a_damaged_checkpoint_ends_with_the_same_weights(stopped, name, damage, tmp_path, caplog):
    weights, partial, recipe_at = stopped
    shutil.copytree(partial, tmp_path / "run.partial")
    damage(tmp_path / "run.partial" / "checkpoint-4" / name)
    resumed = load_file(run.train(recipe_at(tmp_path / "run")) / "model.safetensors")
    assert all(torch.equal(weight, resumed[key]) for key, weight in weights.items())
    assert f"going on from {tmp_path / 'run.partial' / 'checkpoint-2'}" in caplog.messages
    assert (tmp_path / "run.damaged-checkpoint-4").is_dir()


def test_a_run_goes_on_from_an_older_checkpoint_and_without_one_begins_anew(stopped, tmp_path, caplog):
    weights, partial, recipe_at = stopped
    for damaged in ((4,), (2, 4)):
        shutil.rmtree(tmp_path, ignore_errors=True)
        shutil.copytree(partial, tmp_path / "run.partial")
        for step in damaged:
            flip(tmp_path / "run.partial" / f"checkpoint-{step}" / "model.safetensors")
        caplog.clear()
        resumed = load_file(run.train(recipe_at(tmp_path / "run")) / "model.safetensors")
        assert all(torch.equal(weight, resumed[key]) for key, weight in weights.items())
        words = "going on from" if damaged == (4,) else "no checkpoint is whole; training begins anew"
        assert any(line.startswith(words) for line in caplog.messages)
        assert all((tmp_path / f"run.damaged-checkpoint-{step}").is_dir() for step in damaged)


def test_a_second_damaged_checkpoint_of_one_step_gets_a_name_of_its_own(stopped, tmp_path):
    for _ in range(2):
        shutil.copytree(stopped[1], tmp_path / "run.partial")
        empty(tmp_path / "run.partial" / "checkpoint-4" / "optimizer.pt")
        newest_sound(tmp_path / "run.partial", tmp_path / "run.damaged")
        shutil.rmtree(tmp_path / "run.partial")
    assert {path.name for path in tmp_path.iterdir()} == {"run.damaged-checkpoint-4", "run.damaged-checkpoint-4.1"}


def test_what_a_kill_left_half_written_is_removed(stopped, tmp_path):
    shutil.copytree(stopped[1], tmp_path / "run.partial")
    torn = tmp_path / "run.partial" / "checkpoint-6"
    shutil.copytree(torn.with_name("checkpoint-4"), torn)
    (torn / COMPLETE).unlink()
    (torn / UNFINISHED).touch()
    assert newest_sound(tmp_path / "run.partial", tmp_path / "run.damaged").name == "checkpoint-4"
    assert not torn.exists()
    assert not list(tmp_path.glob("run.damaged*"))


@pytest.mark.parametrize("step", ["mkdir", "touch", "unlink", "sync_tree", "digests", "write_json", None])
@pytest.mark.parametrize("again", [False, True], ids=["new", "written over"])
def test_a_kill_at_any_step_of_saving_never_leaves_what_looks_damaged(step, again, tmp_path, monkeypatch):
    checkpoint = tmp_path / "run" / "checkpoint-2"
    checkpoint.parent.mkdir()
    if again:
        checkpoint.mkdir()
        (checkpoint / "model.safetensors").write_bytes(b"weights")
        complete_checkpoint(checkpoint)

    def die_after(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **options):
            real(*arguments, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, name, call)

    if step:
        die_after(Path if hasattr(Path, step) else checkpoints, step)
    with suppress(KeyboardInterrupt):
        begin_checkpoint(checkpoint)
        (checkpoint / "model.safetensors").write_bytes(b"others!")
        complete_checkpoint(checkpoint)
    monkeypatch.undo()
    sound = newest_sound(checkpoint.parent, tmp_path / "aside")
    assert (sound == checkpoint) or not checkpoint.exists()
    assert sound or step in ("mkdir", "touch", "unlink", "sync_tree", "digests")
    assert not list(tmp_path.glob("aside*"))


def test_checkpoints_of_a_version_without_digests_are_gone_on_from(stopped, tmp_path, caplog):
    weights, partial, recipe_at = stopped
    shutil.copytree(partial, tmp_path / "run.partial")
    record = tmp_path / "run.partial" / "recipe.json"
    origin = json.loads(record.read_text(encoding="utf-8"))["origin"]
    old = {key: value for key, value in origin.items() if key not in ("rows_sha256", "images_sha256", "model_sha256")}
    record.write_text(json.dumps({"origin": old}), encoding="utf-8")
    for step in (2, 4):
        (tmp_path / "run.partial" / f"checkpoint-{step}" / COMPLETE).write_text("", encoding="utf-8")
    resumed = load_file(run.train(recipe_at(tmp_path / "run")) / "model.safetensors")
    assert all(torch.equal(weight, resumed[key]) for key, weight in weights.items())
    assert f"going on from {tmp_path / 'run.partial' / 'checkpoint-4'}" in caplog.messages


class Shown(tqdm):
    """A bar, though nobody looks at a terminal."""

    def __init__(self, **options):
        super().__init__(**{**options, "disable": False})


def test_the_bar_of_a_resumed_run_begins_where_it_goes_on(stopped, tmp_path, capsys, monkeypatch):
    _, partial, recipe_at = stopped
    monkeypatch.setattr(progress, "tqdm", Shown)
    shutil.copytree(partial, tmp_path / "run.partial")
    assert cli.main(command(recipe_at(tmp_path / "run"))[3:]) == 0
    bars = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "/6 [" in line]
    assert " 4/6 [" in bars[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_never_called_whole(recipe_for, value, tmp_path, monkeypatch):
    recipe = recipe_for("2_instruct", "steps=4", "save_steps=2")

    class Poison(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model, **kwargs):
            if state.global_step == 3:
                next(model.model.image_newline.parameters()).data[0] = value

    def poisoned(*arguments):
        trainer = build_trainer(*arguments)
        trainer.add_callback(Poison())
        return trainer

    monkeypatch.setattr(run, "build_trainer", poisoned)
    with pytest.raises(StoppedError, match=r"model\.image_newline\S* is not finite after step 4, and is not saved"):
        run.train(recipe)
    assert not (tmp_path / "2_instruct").exists()
    partial = tmp_path / "2_instruct.partial"
    assert [path.parent.name for path in partial.glob("*/complete")] == ["checkpoint-2"]
    assert newest_sound(partial, tmp_path / "aside") == partial / "checkpoint-2"


def test_the_optimisers_states_are_looked_at_as_well(recipe_for, tmp_path):
    trainer = build_trainer(recipe_for("1_align", "steps=1"), tmp_path)
    trainer.train()
    next(iter(trainer.optimizer.state.values()))["exp_avg"].view(-1)[0] = float("nan")
    with pytest.raises(StoppedError, match="optimiser's exp_avg is not finite after step 1"):
        trainer.require_finite()


def test_adapters_that_give_weights_that_are_not_finite_are_not_published(recipe_for, base, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if "position_embedding" in name)
    weights[name][-1, -1] = float("inf")
    save_file(weights, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    recipe = recipe_for(
        "2_instruct", f"model={tmp_path / 'base'}", "learning_rates={}", "lora={rank: 2, alpha: 4}", "steps=1"
    )
    with pytest.raises(StoppedError):
        run.train(recipe)
    assert not (tmp_path / "2_instruct").exists()


def test_a_tensor_that_is_not_finite_is_named():
    tensors = [("a", torch.ones(3)), ("b", torch.tensor([1, 2])), ("c", torch.empty(0)), ("d", torch.ones(2, 2))]
    assert not_finite(tensors) is None
    tensors[3][1][1, 1] = float("-inf")
    assert not_finite(tensors) == "d"
    assert not_finite([("e", torch.tensor([1.0, float("nan")], dtype=torch.bfloat16))]) == "e"


def test_a_checkpoint_may_hold_folders(tmp_path):
    (tmp_path / "run" / "checkpoint-1" / "global_step1").mkdir(parents=True)
    part = tmp_path / "run" / "checkpoint-1" / "global_step1" / "states.pt"
    part.write_bytes(b"states")
    complete_checkpoint(tmp_path / "run" / "checkpoint-1")
    assert newest_sound(tmp_path / "run", tmp_path / "aside").name == "checkpoint-1"
    part.write_bytes(b"stares")
    logging.getLogger("amalia_vl_hf.training.checkpoints").setLevel(logging.WARNING)
    assert newest_sound(tmp_path / "run", tmp_path / "aside") is None
