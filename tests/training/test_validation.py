"""A validation task is in the log, the checkpoints and the report, and leaves the weights alone."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from amalia_vl_hf.evaluation.backends import LocalModel
from amalia_vl_hf.evaluation.results import read_run
from amalia_vl_hf.evaluation.run import RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.training import building
from amalia_vl_hf.training import validation as validation_module
from amalia_vl_hf.training.batches.collation import Encoder
from amalia_vl_hf.training.building import load_model, load_processor
from amalia_vl_hf.training.run import _answers, build_trainer, train
from amalia_vl_hf.training.validation import ValidationTask


@pytest.fixture
def task(pictures, tmp_path):
    """A task file over the test's pictures, whose references are of several lengths."""
    rows = [
        {"images": [f"{n % 4}.png"], "question": "O que se vê?", "answer": "um ponto" + " azul" * n} for n in range(5)
    ]
    (pictures / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = tmp_path / "pontos.yaml"
    path.write_text(f"name: pontos\ndata: {pictures / 'validation.jsonl'}\nmetric: cer\nmax_new_tokens: 6\n")
    return str(path)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("1_align", ()),
        ("2_instruct", ()),
        ("2_instruct", ("packing=true",)),
        ("3_prefer", ()),
        ("3_prefer", ("shared_prompt=true",)),
    ],
)
def test_figures_are_logged_before_each_checkpoint_and_the_weights_stay(recipe_for, task, tmp_path, name, more):
    words = ("steps=4", "save_steps=2", *more)
    plain = train(recipe_for(name, *words, f"output={tmp_path / 'plain'}"))
    output = train(recipe_for(name, *words, f"validation={task}", f"output={tmp_path / 'validated'}"))
    before, after = (load_file(folder / "model.safetensors") for folder in (plain, output))
    assert all(torch.equal(before[key], after[key]) for key in before)
    log = json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"]
    entries = [entry for entry in log if "validation/pontos" in entry]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert all(entry["validation/loss"] > 0 for entry in entries)
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4], "validation takes no step's own entry"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<b>validation/pontos</b>" in page
    assert "<b>validation/loss</b>" in page
    assert page.count("<dt>before</dt>") == page.count("<dt>after</dt>") == page.count("<img") == 5


def test_the_last_figure_is_what_evaluation_makes_of_the_trained_model(recipe_for, task, tmp_path):
    output = train(recipe_for("2_instruct", f"validation={task}"))
    log = json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"]
    evaluate(open_tasks([], [task]), LocalModel(str(output), device="cpu"), RunSettings(tmp_path / "out"))
    figure = read_run(tmp_path / "out")["tasks"][0]["protocols"]["corrected"]["value"]
    assert [entry["validation/pontos"] for entry in log if "validation/pontos" in entry][-1] == pytest.approx(figure)


def test_the_loss_is_the_models_own_over_the_references_tokens(recipe_for, task, monkeypatch):
    recipe = recipe_for("2_instruct")
    model, processor = load_model(recipe).eval(), load_processor(recipe)
    validation = ValidationTask(task, Encoder(processor, recipe.training_stage.max_tiles, recipe.max_length), 1)
    together = validation.figures(model, processor)["validation/loss"]
    monkeypatch.setattr(validation_module, "BATCH", 1)
    assert validation.figures(model, processor)["validation/loss"] == pytest.approx(together, rel=1e-5)
    questions = validation.questions
    losses, tokens = 0.0, 0
    for question in questions.questions:
        turns = [*question.messages, {"role": "assistant", "content": question.item["references"][0]}]
        sample = {"messages": turns, "images": questions.images(question), "sample": "one", "fault": None}
        batch = validation.collator([sample])
        count = int((batch["labels"] != -100).sum())
        with torch.no_grad():
            losses += model(**batch).loss.item() * count
        tokens += count
    assert together == pytest.approx(losses / tokens, rel=1e-5)
    assert not model.training
    model.train()
    validation.figures(model, processor)
    assert model.training


def test_figures_outlive_a_kill_with_their_checkpoint(recipe_for, task, tmp_path):
    recipe = recipe_for("2_instruct", "steps=2", "save_steps=1", f"validation={task}")
    build_trainer(recipe, tmp_path / "checkpoints").train()
    for step in (1, 2):
        state = json.loads((tmp_path / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json").read_text())
        assert [entry["step"] for entry in state["log_history"] if "validation/pontos" in entry] == list(
            range(1, step + 1)
        )


def test_answers_of_before_outlive_a_stop(recipe_for, task, tmp_path):
    recipe = recipe_for("2_instruct", "steps=2", "save_steps=1", f"validation={task}")
    (tmp_path / "checkpoints").mkdir()
    first = build_trainer(recipe, tmp_path / "checkpoints")
    first.train()
    again = build_trainer(recipe, tmp_path / "checkpoints")
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-1"))
    shown, expected = _answers(again), _answers(first)
    assert [answer.before for answer in shown] == [answer.before for answer in expected]
    assert [answer.after for answer in shown] == [answer.after for answer in expected]
    assert None not in [answer.before for answer in shown]


def test_what_cannot_be_validated_is_refused_before_training(recipe_for, task, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        build_trainer(recipe_for("1_align", f"validation={tmp_path / 'none.yaml'}"), tmp_path / "checkpoints")
    Path(task).write_text("name: x\nmetric: exact\n")
    with pytest.raises(RecipeError, match="in data or on the hub"):
        build_trainer(recipe_for("1_align", f"validation={task}"), tmp_path / "checkpoints")
    monkeypatch.setattr(building, "world_size", lambda: 2)
    with pytest.raises(RecipeError, match="runs in one process, but there are 2 ranks"):
        build_trainer(recipe_for("1_align", f"validation={task}"), tmp_path / "checkpoints")
