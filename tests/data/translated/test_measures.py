"""Thresholds follow from good pairs or from the run; an encoder of any id, a plug-in by its name."""

import json

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from amalia_vl_hf.data.steps import Item, Rejected
from amalia_vl_hf.data.translated.measures import (
    QualitySettings,
    encoder,
    measured,
    nearness,
    read_pairs,
    scores_of,
    selected,
)
from amalia_vl_hf.fields import RecipeError
from tests.tiny import tiny_tokenizer

LENGTHS = "tests.data.translated.test_measures:by_length"


def by_length(sources, translations):
    """Score a translation by its length."""
    return [len(text) / 100 for text in translations]


def items(*scores):
    source = "There are many words here."
    return [Item(f"{number:08}", {"translations": {source: "x" * score}}) for number, score in enumerate(scores)]


def outcome(found):
    return [isinstance(entry, Item) for entry in found]


def test_thresholds_are_quantiles_of_the_runs_own_scores():
    settings = QualitySettings(scorer=LENGTHS, lost=0.25)
    found = list(selected(measured(items(10, 20, 30, 5, 40, 50, 60, 70), settings), settings))
    assert outcome(found) == [False, True, True, False, True, True, True, True]
    assert isinstance(found[0], Rejected)
    assert (found[0].reason, found[0].detail) == ("quality: scorer", "0.100, under 0.200")


def test_thresholds_are_quantiles_of_good_pairs(tmp_path):
    good = [{"source": "There are many words here.", "translation": "x" * length} for length in (30, 40, 50, 60)]
    good.append({"source": "No.", "translation": "Não."})  # says too little
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in good), encoding="utf-8")
    settings = QualitySettings(scorer=LENGTHS, pairs=str(tmp_path / "good.jsonl"), lost=0.25)
    assert len(read_pairs(tmp_path / "good.jsonl")) == 4
    assert outcome(selected(measured(items(35, 45, 10), settings), settings)) == [False, True, False]


def test_what_says_too_little_passes():
    settings = QualitySettings(scorer=LENGTHS)
    short = [Item("00000000", {"translations": {"Red": "Vermelho"}})]
    assert outcome(selected(measured(short, settings), settings)) == [True]
    assert scores_of([], settings) == {}


def test_an_encoder_of_any_id_gives_unit_vectors(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path)
    vectors = encoder(str(tmp_path))(["Um gato.", "Um gato preto na rua.", "Um gato."])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)  # padding changes nothing
    scores = scores_of([("There are many words here.", "Há aqui muitas palavras.")], QualitySettings(str(tmp_path)))
    assert scores.keys() == {"whole", "least"}


def test_a_round_trip_is_as_near_as_its_furthest():
    assert nearness(["A cat.", "A dog."], ["A cat.", "A dog."]) == 1
    assert nearness(["A cat.", "A dog."], ["A cat.", "xyz"]) < 0.1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (QualitySettings(scorer="nothing.of:kind"), "no function nothing.of:kind"),
        (QualitySettings(scorer=LENGTHS + "s"), "no function"),
        (QualitySettings(scorer=LENGTHS, pairs="nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_measured_by_is_named(settings, said):
    with pytest.raises(RecipeError, match=said):
        list(selected(measured(items(10), settings), settings))
