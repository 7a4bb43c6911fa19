"""Counting."""

import pytest

from amalia_vl_hf.evaluation.metrics import exact_match, exact_match_by_kind, preference_accuracy


def test_exact_match_is_the_mean_over_kinds_of_equal_size():
    answers, expected, kinds = ["a", "b ", "c", "D"], ["a", "b", "x", "d"], ["one", "one", "two", "two"]
    by_kind = exact_match_by_kind(answers, expected, kinds)
    assert by_kind == {"one": 1.0, "two": 0.0}
    assert exact_match(answers, expected) == 0.5


def test_order_does_not_matter():
    answers, expected, kinds = ["a", "b", "c"], ["a", "x", "c"], ["one", "two", "one"]
    assert exact_match_by_kind(answers, expected, kinds) == exact_match_by_kind(
        answers[::-1], expected[::-1], kinds[::-1]
    )


def test_a_tie_is_no_preference():
    assert preference_accuracy([0.0, -1.0, -2.0], [0.0, -2.0, -1.0]) == pytest.approx(1 / 3)


def test_a_constant_added_to_both_scores_changes_nothing():
    chosen, rejected = [-1.0, -5.0, -2.0], [-2.0, -4.0, -2.5]
    shifted = [[score - 3 for score in scores] for scores in (chosen, rejected)]
    assert preference_accuracy(chosen, rejected) == preference_accuracy(*shifted)


@pytest.mark.parametrize(
    ("count", "lists"),
    [
        (exact_match_by_kind, (["a"], ["a", "b"], ["k"])),
        (exact_match, ([], [])),
        (preference_accuracy, ([1.0], [])),
    ],
)
def test_lists_of_different_lengths_are_refused(count, lists):
    with pytest.raises(ValueError, match=r"as many of each are needed, and at least one: \{"):
        count(*lists)
