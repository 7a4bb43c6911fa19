import doctest

import pytest

from amalia_vl_hf.variety import Verdict
from amalia_vl_hf.variety import pooled as module
from amalia_vl_hf.variety.pooled import pooled, wilson
from tests.variety.test_judge import BRAZILIAN, EUROPEAN


def test_the_example_of_the_documentation_holds():
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


def test_shares_count_what_is_judged():
    answers = [[EUROPEAN[0], "42"], [BRAZILIAN[0]], [EUROPEAN[1], EUROPEAN[2]], ["Porto"]]
    turns, conversations = pooled(answers)
    assert (turns.texts, turns.nothing) == (4, 2)
    assert turns.brazilian == pytest.approx(1 / 4)
    assert (conversations.texts, conversations.nothing) == (3, 1)
    assert conversations.brazilian == pytest.approx(1 / 3)
    for share in (turns, conversations):
        assert 0 <= share.low <= share.brazilian <= share.high <= 1
        assert 0 <= share.score <= 1


def test_more_conversations_narrow_the_interval():
    few, many = (pooled([[EUROPEAN[0]], [BRAZILIAN[0]]] * count) for count in (5, 50))
    for ours, theirs in zip(many, few, strict=True):
        assert ours.high - ours.low < theirs.high - theirs.low


def test_turns_of_one_conversation_are_not_independent():
    """Ten conversations of ten equal turns say no more than ten turns."""
    verdicts = {"a": Verdict(True, 0.9, ()), "b": Verdict(False, 0.1, (), refused=True)}
    tenfold = pooled([["a"] * 10] * 5 + [["b"] * 10] * 5, lambda text: verdicts[text[0]])
    single = pooled([["a"]] * 5 + [["b"]] * 5, lambda text: verdicts[text[0]])
    assert tenfold.turns[1:4] == single.turns[1:4]


def test_nothing_refused_still_has_an_interval():
    share = pooled([[EUROPEAN[0]]] * 20).turns
    assert share.low == share.brazilian == 0
    assert 0.1 < share.high < 0.2


def test_wilson_is_the_textbook_interval():
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0.0, 0) == (0, 1)


def test_no_conversation_is_refused():
    with pytest.raises(ValueError, match="no conversation to judge"):
        pooled([])
