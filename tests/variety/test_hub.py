import math

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from amalia_vl_hf import cli
from amalia_vl_hf.variety import judge
from amalia_vl_hf.variety.hub import HubClassifier
from tests.tiny import tiny_tokenizer
from tests.variety.test_filter import read_jsonl, write_jsonl

LABELS = {0: "PT-BR", 1: "PT-PT"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        id2label=LABELS,
        label2id={name: number for number, name in LABELS.items()},
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("classifier")
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    return folder


def test_the_models_probability_becomes_log_odds(model):
    text = "A casa é azul e a porta é verde."
    european, brazilian = (HubClassifier(str(model), label)(text) for label in ("PT-PT", "PT-BR"))
    assert european == pytest.approx(-brazilian, abs=1e-4)
    assert 0 < abs(european) < 5
    verdict = judge(text, classifier=HubClassifier(str(model), "PT-PT"))
    assert verdict.score == pytest.approx(1 / (1 + math.exp(-european)))
    shown = " ".join(verdict.reasons)
    assert f"classifier: {european:+.1f}" in shown
    assert "shipped weights: " in shown


def test_a_text_beyond_the_models_longest_is_cut(model):
    assert math.isfinite(HubClassifier(str(model), "PT-PT")("a casa é azul " * 500))


def test_a_label_that_is_not_the_models_is_refused(model):
    with pytest.raises(ValueError, match="no label 'pt' for European Portuguese, but PT-BR, PT-PT"):
        HubClassifier(str(model), "pt")


def test_pickled_weights_are_refused(model, tmp_path):
    for file in model.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = BertForSequenceClassification.from_pretrained(model).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        HubClassifier(str(tmp_path), "PT-PT")


def test_the_command_judges_by_it(model, tmp_path, capsys):
    rows = [{"text": "O autocarro está a chegar à paragem."}, {"text": "O ônibus está chegando em um ponto."}]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    options = ["--classifier", str(model), "--label", "PT-PT"]
    assert cli.main(["data", "filter", str(source), str(tmp_path / "out.jsonl"), *options]) == 0
    assert read_jsonl(tmp_path / "out.jsonl") == rows[:1]
    assert "dropped, pt-BR" in capsys.readouterr().out
