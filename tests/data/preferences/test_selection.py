"""Best against worst, and pairs whose lengths and origins give nothing away."""

import random
import statistics

import pytest

from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.preferences.candidates import AnswerCandidate
from amalia_vl_hf.data.preferences.selection import (
    PairFacts,
    PreferencePair,
    balanced_pairs,
    choose_pair,
    describe_pairs,
)


def candidate(text, score, origin="policy", right=None):
    return AnswerCandidate(text, origin, score, right)


def test_the_best_goes_against_the_worst():
    pair = choose_pair([candidate("a", 5), candidate("b", 9), candidate("c", 3), candidate("d", None)])
    assert (pair.chosen.text, pair.rejected.text) == ("b", "c")


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([candidate("a", 5)], "fewer than two candidates with a score: 1 of 1"),
        ([candidate("a", 5), candidate("b", None)], "fewer than two candidates with a score: 1 of 2"),
        ([candidate("a", 5), candidate("b", 5)], "best and worst too close: 5 and 5"),
        ([candidate("a", 5), candidate("b", 6)], "best and worst too close: 6 and 5"),
        ([candidate("a", 9, right=False), candidate("b", 1, right=False)], "no candidate to choose"),
        ([candidate("a", 9, right=True), candidate("b", 1, right=True)], "no candidate to reject"),
        ([candidate("ônibus", 9), candidate("b", 5), candidate("c", 4)], "best and worst too close: 5 and 4"),
    ],
)
def test_without_a_clear_one_there_is_no_pair(candidates, reason):
    with pytest.raises(RejectedError, match=reason):
        choose_pair(candidates, refused=lambda text: text == "ônibus")


def test_what_a_rule_calls_wrong_is_never_chosen_nor_what_it_calls_right_rejected():
    given = [
        candidate("a", 10, right=False),
        candidate("b", 7, right=True),
        candidate("c", 2, right=True),
        candidate("d", 1, right=False),
    ]
    pair = choose_pair(given)
    assert (pair.chosen.text, pair.rejected.text) == ("b", "d")


def test_another_variety_is_not_chosen_but_may_be_rejected():
    given = [candidate("ônibus", 10), candidate("autocarro", 8), candidate("ônibus lento", 2)]
    pair = choose_pair(given, refused=lambda text: "ônibus" in text)
    assert (pair.chosen.text, pair.rejected.text) == ("autocarro", "ônibus lento")


def test_of_equals_one_origin_comes_first_and_then_lengths_alike():
    given = [
        candidate("edit de dez", 9, "edit"), candidate("x" * 40, 9, "policy"), candidate("y" * 20, 9, "policy"),
        candidate("z" * 19, 1, "policy"), candidate("w" * 60, 1, "policy"),
    ]  # fmt: skip
    pair = choose_pair(given)
    assert pair == choose_pair(given[::-1])
    assert (len(pair.chosen.text), len(pair.rejected.text)) == (20, 19)
    assert pair.length_ratio == pytest.approx(20 / 19)
    assert PreferencePair(candidate("a", 1), candidate("", 1)).length_ratio == 1


def made(count=2_000, seed=0, edits=0.8, longer=1.4):
    """Draw pairs as they come out: edits are chosen, and the chosen are longer."""
    rng = random.Random(seed)
    return [
        PairFacts(
            f"{number:05}",
            rng.lognormvariate(0, 0.4) * longer,
            "edit" if rng.random() < edits else "policy",
            "edit" if rng.random() < 0.2 else "policy",
            rng.choice((2, 3, 4, 5)),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("edits", "longer"), [(0.8, 1.4), (0.1, 0.6), (0.2, 1.0), (1.0, 3.0)])
def test_lengths_and_origins_are_even_on_average(edits, longer):
    pairs = made(edits=edits, longer=longer)
    ids = balanced_pairs(pairs)
    kept = [pair for pair in pairs if pair.id in set(ids)]
    shares = [sum(getattr(pair, side) == "edit" for pair in kept) / len(kept) for side in ("chosen", "rejected")]
    assert 0.9 <= statistics.fmean(pair.length_ratio for pair in kept) <= 1.1
    assert abs(shares[0] - shares[1]) <= 0.1
    assert balanced_pairs(pairs[::-1]) == ids


def test_what_is_even_stays_whole():
    pairs = made(edits=0.2, longer=0.95)
    assert len(balanced_pairs(pairs)) == len(pairs)
    assert balanced_pairs([]) == []


def test_as_many_as_are_wanted_and_no_more():
    pairs = made(edits=0.2, longer=0.95)
    some = balanced_pairs(pairs, most=300)
    assert 290 <= len(some) <= 300
    assert balanced_pairs(made(edits=0.2, longer=0.95)[::-1], most=300) == some


def test_the_smallest_margins_go_first():
    pairs = [PairFacts(f"e{n}", 1.0, "edit", "policy", 2 if n < 5 else 6) for n in range(10)]
    pairs += [PairFacts(f"p{n}", 1.0, "policy", "policy", 2) for n in range(10)]
    kept = balanced_pairs(pairs, origin_gap=0.3)
    assert {f"e{n}" for n in range(5)}.isdisjoint(kept)
    assert len(kept) == 14


def test_a_set_says_what_it_is():
    lines = describe_pairs([PairFacts("a", 1.2, "edit", "policy", 3), PairFacts("b", 0.8, "policy", "policy", 5)])
    assert lines == [
        "2 pairs; 50% of the chosen and 0% of the rejected are edits",
        "1 x edit over policy",
        "1 x policy over policy",
        "length of chosen to rejected: mean 1.000, median 1.000",
        "margin: mean 4.00",
    ]
    assert describe_pairs([]) == ["no pairs"]
