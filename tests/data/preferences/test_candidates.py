"""Candidates: the policy's own once each, edits that are small, scores that are read strictly."""

import pytest

from amalia_vl_hf.data.preferences.candidates import (
    AnswerCandidate,
    checked_by_rule,
    edit_share,
    edited_candidates,
    own_candidates,
)
from amalia_vl_hf.data.preferences.rules import rule_for

TEXT = "O elétrico amarelo está a subir a rua."


def test_answers_count_once():
    assert own_candidates(["a", " a ", "b", ""]) == [AnswerCandidate("a", "policy"), AnswerCandidate("b", "policy")]


def test_only_small_edits_are_kept_and_none_twice():
    own = [
        AnswerCandidate(TEXT, "policy"),
        AnswerCandidate("Um gato.", "policy"),
        AnswerCandidate("Dois cães.", "policy"),
    ]
    small = TEXT.replace("amarelo", "vermelho")
    edits = [small, "Texto completamente diferente do que lá estava.", None]
    assert edited_candidates(own, edits) == [AnswerCandidate(small, "edit")]
    assert edited_candidates(own, [TEXT, "Um gato.", "Dois cães."]) == []  # nothing was changed
    assert edited_candidates(own, ["Um gato.", "", " "]) == []  # the policy said that itself
    assert edited_candidates(own[:1] * 2, [small, small]) == [AnswerCandidate(small, "edit")]
    with pytest.raises(ValueError, match="zip"):
        edited_candidates(own, [small])


@pytest.mark.parametrize(
    ("before", "after", "share"), [("abcd", "abcd", 0), ("abcd", "abxd", 0.25), ("", "ab", 1), ("", "", 0)]
)
def test_edits_are_measured_by_the_longer_text(before, after, share):
    assert edit_share(before, after) == share


def test_rules_come_before_the_judge():
    rule = rule_for("Quantos são? Responde apenas com o número.", "3")
    texts = ["3", "três", "4", "muitos"]
    checked = checked_by_rule(own_candidates(texts), rule)
    assert [(one.right, one.score) for one in checked] == [(True, 10), (True, 10), (False, 1), (False, 1)]
    rule = rule_for("Quantos são?", "São dois e um.\nResposta: 3")
    checked = checked_by_rule(own_candidates(["a\nResposta: 3", "a\nResposta: 2", "nem por isso"]), rule)
    assert [(one.right, one.score) for one in checked] == [(True, None), (False, 1)]
    assert checked_by_rule(own_candidates(texts), None) == own_candidates(texts)
