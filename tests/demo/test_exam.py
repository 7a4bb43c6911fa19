"""Held-out evaluation with a real tiny model: batches do not matter, and likelihoods are those of the answers."""

import json
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.demo import exam as held_out
from amalia_vl_hf.demo.scene_sets import SetSizes, read_rows, write_sets
from amalia_vl_hf.evaluation.results import read_run
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A composed tiny model, saved, and the demo's sets beside it."""
    root = tmp_path_factory.mktemp("held_out")
    write_sets(root / "data", 0, SetSizes(1, 1, 1, questions=1, test_preferences=2))
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    model, processor = compose(SiglipVisionModel(tiny_vision_config()), text, tokenizer, max_tiles=4, seed=0)
    model.save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    return root


@pytest.fixture(scope="module")
def model(folder):
    return AmaliaVLForConditionalGeneration.from_pretrained(folder / "model").eval()


@pytest.fixture(scope="module")
def processor(folder):
    return AmaliaVLProcessor.from_pretrained(folder / "model")


def test_answers_do_not_depend_on_the_batch(folder, tmp_path):
    together = held_out.answer_questions(folder / "model", folder / "data", tmp_path / "together")
    apart = held_out.answer_questions(folder / "model", folder / "data", tmp_path / "apart", batch=1)
    assert apart == together
    assert len(together) == 5


def test_the_exam_is_a_task_whose_figures_are_the_demos(folder, tmp_path):
    """`amalia-vl eval run --task` counts what the demo's table shows."""
    scores = held_out.evaluate(folder / "model", folder / "data", tmp_path)
    (task,) = read_run(tmp_path)["tasks"]
    assert task["protocols"]["published"]["value"] == pytest.approx(100 * scores["exact_match"])
    parts = {kind: pytest.approx(100 * share) for kind, share in scores["exact_match_by_kind"].items()}
    assert task["protocols"]["published"]["parts"] == parts


def test_likelihoods_do_not_depend_on_the_batch(folder, model, processor, monkeypatch):
    rows = read_rows(folder / "data" / "test_preferences")
    together = held_out.pair_log_likelihoods(model, processor, rows)
    monkeypatch.setattr(held_out, "BATCH", 1)
    apart = held_out.pair_log_likelihoods(model, processor, rows)
    torch.testing.assert_close(torch.tensor(together), torch.tensor(apart), atol=1e-3, rtol=1e-5)


def test_a_likelihood_is_the_models_loss_times_the_answers_tokens(folder, model, processor):
    row = read_rows(folder / "data" / "test_preferences")[0]
    (chosen,), _ = held_out.pair_log_likelihoods(model, processor, [row])
    content = [{"type": "image", "image": row["images"][0]}, {"type": "text", "text": row["prompt"][0]["content"]}]
    chat = [{"role": "user", "content": content}, row["chosen"][0]]
    inputs = processor.apply_chat_template(
        [chat], tokenize=True, return_dict=True, return_tensors="pt", return_assistant_tokens_mask=True
    )
    answer = torch.as_tensor(inputs.pop("assistant_masks")) == 1
    labels = inputs["input_ids"].masked_fill(~answer, -100)
    with torch.no_grad():
        loss = model(**inputs, labels=labels).loss
    assert chosen == pytest.approx(-loss.item() * int(answer.sum()), rel=1e-4)


def test_the_command_writes_every_score(folder, monkeypatch):
    """`test_demo` starts it in an interpreter of its own."""
    result = folder / "evaluation" / "stage.json"
    monkeypatch.setattr(sys, "argv", ["held_out", str(folder / "model"), str(folder / "data"), str(result)])
    held_out.main()
    scores = json.loads(result.read_text(encoding="utf-8"))
    assert set(scores["exact_match_by_kind"]) == {"colour", "shape", "count", "where", "reading"}
    assert len(scores["answers"]) == 5
    assert len(scores["chosen"]) == len(scores["rejected"]) == 6
    assert 0 <= scores["preference_accuracy"] <= 1
    assert not list(result.parent.glob("*.partial"))
