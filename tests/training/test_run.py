import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTTrainer

from amalia_vl_hf.conversion.llava_next import export_checkpoint
from amalia_vl_hf.conversion.publishing.repository import gather
from amalia_vl_hf.conversion.verify import verify
from amalia_vl_hf.disk import sole_writer
from amalia_vl_hf.training.checkpoints import COMPLETE, UNFINISHED, complete_checkpoint
from amalia_vl_hf.training.recipe import RecipeError
from amalia_vl_hf.training.run import build_trainer, train
from amalia_vl_hf.training.stages import module_of

STAGE_RECIPES = {"align": "1_align", "instruct": "2_instruct", "prefer": "3_prefer"}
OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("stage", STAGE_RECIPES)
def test_each_recipe_runs_and_moves_exactly_its_modules(stage, recipe_for, base):
    recipe = recipe_for(STAGE_RECIPES[stage], "workers=1", "warmup=0", "schedule=constant")
    output = train(recipe)
    before, after = weights(base), weights(output)
    assert before.keys() == after.keys()
    for name in before:
        trained = module_of(name) in recipe.training_stage.trainable
        assert torch.equal(before[name], after[name]) != trained, name


def test_the_log_holds_losses_each_modules_rate_and_seconds(recipe_for):
    recipe = recipe_for("2_instruct", "steps=3", "schedule=cosine", "warmup=0", "learning_rates.tower=1e-4")
    record = json.loads((train(recipe) / "training.json").read_text(encoding="utf-8"))
    steps = [entry for entry in record["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3]
    for module, peak in recipe.training_stage.learning_rates.items():
        rates = [entry[f"learning_rate/{module}"] for entry in steps]
        assert rates == pytest.approx([peak, peak * 0.75, peak * 0.25])
    seconds = [entry["seconds"] for entry in record["log_history"]]
    assert seconds == sorted(seconds)
    assert record["seconds"] == seconds[-1] > 0
    assert record["origin"]["model"] == recipe.model


def test_preferences_are_learned_against_a_frozen_copy(recipe_for, tmp_path):
    recipe = recipe_for("3_prefer", "steps=12", "warmup=0", "schedule=constant", "learning_rates.decoder=5e-3")
    trainer = build_trainer(recipe, tmp_path / "checkpoints")
    start = {name: weight.clone() for name, weight in trainer.ref_model.state_dict().items()}
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    margins = [entry["rewards/margins"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-4), "equal models are undecided"
    assert losses[-1] < losses[0]
    assert margins[-1] > 0
    assert not any(parameter.requires_grad for parameter in trainer.ref_model.parameters())
    assert all(torch.equal(start[name], weight) for name, weight in trainer.ref_model.state_dict().items())


def test_accumulated_batches_equal_one_batch(recipe_for, tmp_path):
    shared = ("steps=2", "warmup=0", "schedule=constant", "max_grad_norm=1e9")
    whole = recipe_for("2_instruct", *shared, "batch_size=4", f"output={tmp_path / 'whole'}")
    parts = recipe_for("2_instruct", *shared, "batch_size=2", "accumulation=2", f"output={tmp_path / 'parts'}")
    logs = []
    for recipe in (whole, parts):
        trainer = build_trainer(recipe, Path(recipe.output))
        trainer.train()
        logs.append([(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry])
    assert torch.tensor(logs[0]) == pytest.approx(torch.tensor(logs[1]), rel=1e-4)


def test_nothing_is_reported_to_anyone(recipe_for, tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda **report: reported.append(report))
    monkeypatch.delenv("CI", raising=False)
    trainer = build_trainer(recipe_for("1_align"), tmp_path / "checkpoints")
    assert reported == []
    SFTTrainer._send_telemetry(trainer)
    assert len(reported) == 1, "TRL no longer reports there: the override has lost its use"


def test_text_only_samples_train_among_others(recipe_for, samples, pictures):
    turns = [{"role": "user", "content": "Olá"}, {"role": "assistant", "content": "olá"}]
    lines = samples["sft"].read_text(encoding="utf-8").splitlines()
    mixed = pictures / "mixed.jsonl"
    mixed.write_text("\n".join([*[json.dumps({"messages": turns})] * 3, lines[0]]), encoding="utf-8")
    output = train(recipe_for("2_instruct", f"data={mixed}", "batch_size=1", "steps=4"))
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    assert all(entry["loss"] > 0 for entry in record["log_history"] if "loss" in entry)


def test_the_output_loads_by_the_auto_classes_and_answers(recipe_for, pictures):
    """`test_demo` loads what was trained in a new process."""
    output = train(recipe_for("1_align"))
    model = AutoModelForImageTextToText.from_pretrained(output)
    processor = AutoProcessor.from_pretrained(output)
    content = [{"type": "image", "image": str(pictures / "1.png")}, {"type": "text", "text": "O que se vê?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    answer = model.generate(**inputs, max_new_tokens=3, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    assert answer.shape[1] in (1, 2, 3)
    assert sorted(path.name for path in output.parent.iterdir()) == [output.name], "checkpoints are gone"
    assert not list(output.glob("*.bin")), "nothing pickled"


def test_the_log_tells_the_stages_before(recipe_for, tmp_path):
    first = train(recipe_for("1_align"))
    second = train(recipe_for("2_instruct", f"model={first}"))
    shutil.rmtree(first)
    third = train(recipe_for("3_prefer", f"model={second}"))
    record = json.loads((third / "training.json").read_text(encoding="utf-8"))
    assert [origin["stage"] for origin in [*record["before"], record["origin"]]] == ["align", "instruct", "prefer"]


def test_the_saved_processor_is_the_models_however_images_were_resized(recipe_for):
    """The recipes ask for the fast resampler, which the export has no word for."""
    output = train(recipe_for("1_align", "resampler=torch"))
    export_checkpoint(output, output.with_name("export"))
    assert verify(output.with_name("export"), output).passed


def test_what_a_run_writes_can_be_published(recipe_for):
    output = train(recipe_for("2_instruct", "learning_rates={}", "lora={rank: 2, alpha: 4}"))
    assert {"adapter", "report.html", "training.json"} < {path.name for path in output.iterdir()}
    assert {"adapter", "report.html", "training.json"}.isdisjoint(gather(output))


def command(recipe):
    """The command line whose recipe is this one."""
    nested = {"learning_rates", "origin"}
    values = [f"{key}={json.dumps(value)}" for key, value in asdict(recipe).items() if key not in nested]
    rates = [f"learning_rates.{module}={rate}" for module, rate in recipe.learning_rates.items()]
    name = Path(__file__).parents[2] / "recipes" / "tiny" / f"{STAGE_RECIPES[recipe.stage]}.yaml"
    return [sys.executable, "-m", "amalia_vl_hf.cli", "train", str(name), *values, *rates]


def kill_after_a_checkpoint(recipe):
    """Start the command in a process and kill it with -9 once it has written a checkpoint."""
    partial = Path(f"{recipe.output}.partial")
    with subprocess.Popen(command(recipe), env=OFFLINE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None and not list(partial.glob("checkpoint-*/complete")):
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    return run.returncode


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_weights(recipe_for, tmp_path):
    values = ("steps=40", "save_steps=4", "log_steps=2", "accumulation=1")
    names = ("2_instruct", "3_prefer")
    killed = {name: recipe_for(name, *values, f"output={tmp_path / 'killed' / name}") for name in names}
    with ThreadPoolExecutor() as pool:  # most of the time is two interpreters' imports
        codes = pool.map(kill_after_a_checkpoint, killed.values())
        whole = {name: train(recipe_for(name, *values, f"output={tmp_path / 'whole' / name}")) for name in names}
        assert list(codes) == [-signal.SIGKILL] * 2
    for name, recipe in killed.items():
        partial = Path(f"{recipe.output}.partial")
        assert not Path(recipe.output).exists()
        for state in partial.glob("checkpoint-*/trainer_state.json"):
            mark_first_entry(state)
        torn = partial / "checkpoint-39"  # as if the kill had hit while this one was being written
        torn.mkdir()
        (torn / "trainer_state.json").write_text('{"global_step": 39, "log_hist', encoding="utf-8")
        assert_same_training(whole[name], train(recipe))


def assert_same_training(whole, resumed):
    one, other = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    records = [json.loads((path / "training.json").read_text(encoding="utf-8")) for path in (whole, resumed)]
    losses = [[(entry["step"], entry["loss"]) for entry in r["log_history"] if "loss" in entry] for r in records]
    assert losses[0] == losses[1]
    assert "marked" in records[1]["log_history"][0], "the run began anew"


def mark_first_entry(state_file):
    """Leave a mark in a checkpoint's log that only a run resumed from it carries on; a torn file stays as it is."""
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return
    state["log_history"][0]["marked"] = 1.0
    state_file.write_text(json.dumps(state), encoding="utf-8")
    if (state_file.parent / COMPLETE).exists():
        complete_checkpoint(state_file.parent)


def test_a_run_killed_while_its_result_is_written_ends_the_same(recipe_for, monkeypatch, tmp_path):
    whole = train(recipe_for("2_instruct", f"output={tmp_path / 'whole'}"))
    recipe = recipe_for("2_instruct", f"output={tmp_path / 'killed'}")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt_at("final"))
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
    assert (tmp_path / "killed.partial" / "final").is_dir()
    output = train(recipe)
    assert all(torch.equal(weight, weights(output)[name]) for name, weight in weights(whole).items())
    (tmp_path / "killed.partial").mkdir()  # as if the kill had hit after the rename
    assert train(recipe) == output
    assert not (tmp_path / "killed.partial").exists()


def interrupt_at(name, rename=Path.rename):
    def stop(path, target):
        if path.name == name:
            raise KeyboardInterrupt
        return rename(path, target)

    return stop


def test_training_again_after_the_end_changes_nothing(recipe_for):
    recipe = recipe_for("1_align")
    output = train(recipe)
    written = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert train(recipe) == output
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == written


def test_an_output_of_another_recipe_is_not_taken_for_this_one(recipe_for):
    recipe = recipe_for("1_align")
    train(recipe)
    with pytest.raises(RecipeError, match=r"1_align comes from another recipe, data or model \(seed was 0, now 5\)"):
        train(replace(recipe, seed=5))


def test_checkpoints_of_other_data_are_not_resumed(recipe_for, samples, tmp_path):
    data = samples["sft"].with_name("changing.jsonl")
    data.write_text(samples["sft"].read_text(encoding="utf-8"), encoding="utf-8")
    recipe = recipe_for("1_align", f"data={data}")
    train(recipe)
    Path(recipe.output).rename(Path(f"{recipe.output}.partial"))
    record = Path(f"{recipe.output}.partial")
    (record / "training.json").rename(record / "recipe.json")
    data.write_text(samples["sft"].read_text(encoding="utf-8").replace("azul", "verde"), encoding="utf-8")
    with pytest.raises(
        RecipeError, match=r"1_align\.partial comes from another recipe, data or model \(data_sha256 was"
    ):
        train(recipe)


def test_a_stage_is_not_taken_for_trained_when_the_one_before_was_trained_anew(recipe_for):
    align = recipe_for("1_align")
    instruct = recipe_for("2_instruct", f"model={align.output}", "steps=1")
    train(align)
    train(instruct)
    shutil.rmtree(align.output)
    train(replace(align, seed=5))
    with pytest.raises(RecipeError, match=r"2_instruct comes from .* \(model_log_sha256 was"):
        train(instruct)


def test_a_foreign_directory_is_not_overwritten(recipe_for):
    recipe = recipe_for("1_align")
    Path(recipe.output).mkdir()
    (Path(recipe.output) / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match="1_align exists but was not written by this command"):
        train(recipe)


def test_a_second_run_into_one_output_is_refused_at_once(recipe_for, tmp_path, monkeypatch):
    recipe = recipe_for("1_align")
    (tmp_path / "1_align.partial").mkdir()
    torn = tmp_path / "1_align.partial" / "checkpoint-9"
    torn.mkdir()
    (torn / UNFINISHED).touch()
    monkeypatch.setattr("amalia_vl_hf.training.run.build_trainer", None)
    with (
        sole_writer(tmp_path / "1_align.partial" / ".lock", "training"),
        pytest.raises(
            BlockingIOError, match=rf"process {os.getpid()} on \S+ is training into {recipe.output} already"
        ),
    ):
        train(recipe)
    assert torn.is_dir(), "the other run is writing it"


@pytest.mark.slow
def test_two_runs_at_once_and_a_rerun_right_after_a_kill(recipe_for, tmp_path):
    values = ("steps=12", "save_steps=2", "workers=2", "accumulation=1")
    whole = train(recipe_for("2_instruct", *values, f"output={tmp_path / 'whole'}"))
    recipe = recipe_for("2_instruct", *values)
    partial = Path(f"{recipe.output}.partial")
    with subprocess.Popen(command(recipe), env=OFFLINE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while first.poll() is None and not list(partial.glob("checkpoint-*/complete")):
            time.sleep(0.005)
        first.send_signal(signal.SIGSTOP)  # so that it is not over before the second one begins
        second = subprocess.run(command(recipe), env=OFFLINE, capture_output=True, text=True, check=False)
        first.send_signal(signal.SIGKILL)
    assert second.returncode == 2
    said = second.stderr.strip().splitlines()[-1]
    assert said.startswith(f"amalia-vl: process {first.pid} on ")
    assert said.endswith(f" is training into {recipe.output} already; wait for it, or end it")
    for state in partial.glob("checkpoint-*/trainer_state.json"):
        mark_first_entry(state)
    assert_same_training(whole, train(recipe))
