"""Traces of calls: what is told is what Python did, in order, and ends in what the call returns or prints."""

import re
from random import Random

import pytest

from amalia_vl_hf.data.code.code_traces import MOST_STEPS, tell_trace, trace_call
from amalia_vl_hf.data.code.functions import read_function, run_calls, write_function
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.variety import judge

LOOP = """def f(valores, limite):
    total = 0
    for valor in valores:
        if valor > limite:
            total += valor
    return total"""
ERRORS = """def f(texto):
    n = 0
    for parte in texto.split():
        try:
            n += int(parte)
        except ValueError:
            n -= 1
    print(n)"""


def told(source, call, language="pt"):
    return tell_trace(read_function(source), call, language)


def test_a_loop_is_told_step_by_step():
    assert told(LOOP, "f([3, 9], 5)").split("\n") == [
        "A chamada `f([3, 9], 5)` começa com `valores = [3, 9]` e `limite = 5`.",
        "Depois de `total = 0`, temos `total = 0`.",
        "`for valor in valores` passa a `valor = 3`.",
        "`if valor > limite` não se verifica.",
        "`for valor in valores` passa a `valor = 9`.",
        "`if valor > limite` verifica-se.",
        "Depois de `total += valor`, temos `total = 9`.",
        "`for valor in valores` chega ao fim.",
        "`return total` devolve `9`.",
    ]


def test_errors_and_prints_are_told():
    assert told(ERRORS, "f('a 2')", "en").split("\n") == [
        "The call `f('a 2')` starts with `texto = 'a 2'`.",
        "After `n = 0`, we have `n = 0`.",
        "`for parte in texto.split()` moves on to `parte = 'a'`.",
        "`n += int(parte)` fails, and the error is caught.",
        "After `n -= 1`, we have `n = -1`.",
        "`for parte in texto.split()` moves on to `parte = '2'`.",
        "After `n += int(parte)`, we have `n = 1`.",
        "`for parte in texto.split()` is over.",
        "`print(n)` prints `1`.",
    ]


def test_a_value_that_stays_is_told_again():
    source = "def f(x):\n    y = 0\n    for z in [x, x]:\n        y += 0\n        pass\n    return y"
    assert told(source, "f(4)").count("passa a `z = 4`") == 2
    assert told(source, "f(4)").count("temos `y = 0`") == 3
    assert "Executa-se `pass`." in told(source, "f(4)")


def test_a_loop_that_a_return_or_a_break_leaves_is_not_over():
    loop = "    while x:\n        x -= 1\n        if x == 1:\n            break\n"
    source = f"def f(x):\n{loop}    for y in [7]:\n        return y"
    assert "chega ao fim" not in told(source, "f(3)")
    assert told(source, "f(3)").endswith("`return y` devolve `7`.")
    assert "`while x` não se verifica." in told(source, "f(0)")


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)", "f(3)"),
        (LOOP, f"f({list(range(MOST_STEPS))}, 1)"),
        ("def f(n):\n    x = 'a' * n\n    return n", "f(100)"),
        ("def f(n):\n    for i in range(n):\n        print(i)", "f(2)"),
    ],
)
def test_what_is_long_or_calls_itself_is_not_told(source, call):
    assert told(source, call) is None


def test_what_has_an_address_is_not_shown_and_sets_are_in_order():
    source = "def f(n):\n    g = lambda x: x\n    s = {'b', 'a', 'c'}\n    return g(n)"
    first = trace_call(read_function(source), "f(1)")
    assert [set(moment.values) for moment in first] == [{"n"}, {"n"}, {"n", "s"}, {"n", "s"}]
    assert first[-1].values["s"] == "{'a', 'b', 'c'}"


def test_a_call_that_fails_is_rejected():
    with pytest.raises(RejectedError, match="a program ends as failed"):
        told("def f(n):\n    return 1 / n", "f(0)")


def test_traces_of_seeded_calls_end_in_their_outputs_and_quote_their_lines():
    seen = 0
    for seed in range(16):
        function = write_function(Random(seed), seed)
        text = tell_trace(function, function.calls[0], function.language)
        if text is None:
            continue
        seen += 1
        *steps, last = text.split("\n")
        (output,) = run_calls([(function, function.calls[0])], seeds=1)
        assert output in last or repr(output) in last
        lines = [line.strip().removesuffix(":") for line in function.source.split("\n")]
        for step in steps[1:]:
            assert any(f"`{line}`" in step for line in lines), step
        assert re.search(r"\{\w+\}", "".join(step.split("`")[0] for step in steps)) is None
        if function.language == "pt":
            assert judge(text, threshold=0.05).is_pt_pt is not False
    assert seen > 8
