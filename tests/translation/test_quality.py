"""Soft rules: sacreBLEU's chrF, agreement of sentences, thresholds by quantile."""

import numpy as np
import pytest

from amalia_vl_hf.translation.quality import agreement, chrf, measurable, sentences, threshold

# By sacreBLEU 2.6 (chrF2, sentence_score / 100).
CHRF = [
    ("O comboio é vermelho.", "O comboio é verde.", 0.7418455418776944),
    ("Responde diretamente com a letra da opção correta.", "Responde d", 0.48593462910907964),
    ("abc", "abc", 1.0),
    ("a", "b", 0.0),
]


@pytest.mark.parametrize(("text", "reference", "score"), CHRF)
def test_chrf_is_that_of_sacrebleu(text, reference, score):
    assert chrf(text, reference) == pytest.approx(score, abs=1e-12)


def words(texts):
    """Embed a text by its first letters: equal beginnings have cosine 1, others 0."""
    return np.array(
        [[float((text[:1] or " ").lower() == letter) for letter in "abcdefghijklmnopqrstuvwxyz "] for text in texts]
    )


def test_sentences_are_held_against_those_in_their_place():
    same = agreement([("Abc def. Bcd efg.", "Axy zwv. Bxy zwv.")], words)
    assert same[0].least == 1
    assert agreement([("Abc def. Bcd efg.", "Bxy zwv. Axy zwv.")], words)[0].least == 0  # another order
    assert agreement([("Abc def. Bcd efg.", "Axy zwv.")], words)[0].least == 0  # one is lost
    assert agreement([("Abc def. Bcd efg.", "Axy zwv. Ayy zwv. Bxy zwv.")], words)[0].least == 1  # one was cut in two
    assert agreement([], words) == []


def test_a_threshold_is_a_quantile():
    scores = [number / 100 for number in range(100)]
    assert threshold(scores, 0.05) == 0.05
    assert sum(score < threshold(scores, 0.05) for score in scores) == 5
    assert threshold([0.3], 0) == 0.3
    for wrong in ([], [float("nan")]):
        with pytest.raises(ValueError, match="finite scores"):
            threshold(wrong, 0.1)
    with pytest.raises(ValueError, match="0 to below 1"):
        threshold([1.0], 1)


def test_sentences_and_what_is_too_short_to_measure():
    assert sentences("Olá. Está bem? «Sim.» Custa 3.5 m.\nFim") == [
        "Olá.",
        "Está bem?",
        "«Sim.»",
        "Custa 3.5 m.",
        "Fim",
    ]
    assert not measurable("42 cats `x`")
    assert measurable("There are cats here.")
