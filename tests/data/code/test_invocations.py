"""Invocations that a model writes: read only as they were asked for, and only with literal arguments."""

import json

import pytest

from amalia_vl_hf.data.code.functions import Function
from amalia_vl_hf.data.code.invocations import (
    COUNT,
    LONGEST,
    STEP,
    ask_invocations,
    calls_of,
    parse_call,
    read_invocations,
)
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.prompts import read_prompt

FUNCTION = Function("f", "def f(x, y=0):\n    return x + y", ("f(1)", "f(2)", "f(3)"))
GOOD = ["f(1)", "f(1, 2)", "f(x=1, y=-2)", "f([1, (2, 'a')], y={'k': {True, None}})"]


def test_calls_are_read_as_python_writes_them():
    assert read_invocations(json.dumps(GOOD), FUNCTION) == tuple(GOOD)
    assert parse_call(' f( 1,"a" ) ', FUNCTION) == "f(1, 'a')"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "the invocations are no JSON"),
        ("```json\n[]\n```", "the invocations are no JSON"),
        (json.dumps(GOOD) + "\nPronto!", "the invocations are no JSON"),
        ("[" * 100_000, "the invocations are no JSON"),
        (json.dumps({"calls": GOOD}), "the invocations are no list of texts"),
        (json.dumps([*GOOD[:3], 4]), "the invocations are no list of texts"),
        (json.dumps(GOOD[:3]), f"the invocations are not as many as asked for: 3 of {COUNT - 1}"),
        (json.dumps([*GOOD[:3], "f( 1 )"]), f"the invocations are not as many as asked for: 3 of {COUNT}"),
        (json.dumps([*GOOD[:3], "f(1"]), "an invocation is no expression"),
        (json.dumps([*GOOD[:3], "f(1); f(2)"]), "an invocation is no expression"),
        (json.dumps([*GOOD[:3], "g(1)"]), "an invocation calls something else"),
        (json.dumps([*GOOD[:3], "f"]), "an invocation calls something else"),
        (json.dumps([*GOOD[:3], "print(f(1))"]), "an invocation calls something else"),
        (json.dumps([*GOOD[:3], "f(1).real"]), "an invocation calls something else"),
        (json.dumps([*GOOD[:3], "m.f(1)"]), "an invocation calls something else"),
        (json.dumps([*GOOD[:3], "f(x)"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], "f(f(1))"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], "f(9 ** 9)"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], "f(*[1])"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], "f(**{'x': 1})"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], "f(lambda: 1)"]), "an invocation has arguments that are no literals"),
        (json.dumps([*GOOD[:3], f"f('{'a' * LONGEST}')"]), "an invocation is too long: 205 letters, at most 200"),
        (json.dumps([*GOOD[:3], "f(1 if '\0' else 2)"]), "an invocation is no expression"),
    ],
)
def test_other_answers_are_rejected(answer, reason):
    with pytest.raises(RejectedError, match=reason):
        read_invocations(answer, FUNCTION)


def test_the_models_calls_come_before_the_seeded_ones():
    assert calls_of(FUNCTION, {}) == FUNCTION.calls
    assert calls_of(FUNCTION, {STEP: json.dumps(GOOD)}) == tuple(GOOD)
    with pytest.raises(RejectedError, match="a function without calls, and no model to write them: f"):
        calls_of(FUNCTION._replace(calls=()), {})


def test_both_datasets_ask_in_the_same_words():
    prompts = [read_prompt(dataset, STEP) for dataset in ("sepic", "pt-outputs-to-code")]
    asked = prompts[0].substitute(ask_invocations(FUNCTION))
    assert asked == prompts[1].substitute(ask_invocations(FUNCTION))
    assert FUNCTION.source in asked
    assert "`f`" in asked
    assert "exatamente 4 chamadas" in asked
