"""Scores of judges, read strictly."""

import pytest

from amalia_vl_hf.data.scores import read_score


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Nota: 7", 7),
        ("A resposta é boa.\n\n**Nota: 10**", 10),
        ("nota:1.", 1),
        ("Nota: 8/10", 8),
        ("Nota: 8\n```", 8),
        ("Nota: 11", None),
        ("Nota: 0", None),
        ("Nota: sete", None),
        ("Nota: 7 ou 8", None),
        ("Nota: 9\nMas há um erro.", None),
        ("7", None),
        ("", None),
        ("Nota", None),
        ("Nota: ⁷", None),
    ],
)
def test_scores_are_read_strictly(answer, score):
    assert read_score(answer) == score
