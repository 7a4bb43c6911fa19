"""Wrong transcriptions are never right ones."""

import random

import pytest

from amalia_vl_hf.data.text.misreadings import MISREADINGS, misread


@pytest.mark.parametrize("text", ["Chove.", "O pão custa 3,20 €. Leva dois.", "a a a", "ção 9"])
def test_a_misreading_is_never_the_text(text):
    for seed in range(40):
        assert misread(text, random.Random(seed)).split() != text.split()


def test_each_misreading_changes_words():
    words = ["A", "estação", "fecha", "às", "9", "e", "abre", "às", "17"]
    for misreading in MISREADINGS:
        assert any(misreading(words, random.Random(seed)) != words for seed in range(20))
    assert words == ["A", "estação", "fecha", "às", "9", "e", "abre", "às", "17"]
