"""Traces of calls: what is told is what Python did, in order, and ends in what the call returns or prints."""

import re
from random import Random
from typing import get_args

import pytest

from amalia_vl_hf.data.code import program_runs
from amalia_vl_hf.data.code.code_traces import FIRST, LAST, MOST_MOMENTS, tell_trace, trace_call
from amalia_vl_hf.data.code.functions import read_function, run_calls, write_function
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.sandbox import SandboxBackend
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
        ("def f(n):\n    while n:\n        n -= 1", f"f({MOST_MOMENTS})"),
        ("def f(n):\n    yield n", "f(3)"),
        ("def f(n):\n    x = 'a' * n\n    return n", "f(100)"),
        ("def f(n):\n    for i in range(n):\n        print(i)", "f(2)"),
    ],
)
def test_what_is_too_long_or_yields_is_not_told(source, call):
    assert told(source, call) is None


def test_a_comprehension_is_told_once():
    source = (
        "def f(v):\n    a = [x * 2 for x in v if x]\n    b = {k: [j for j in range(k)] for k in a}\n    return len(b)"
    )
    assert told(source, "f([1, 0, 2])").split("\n") == [
        "A chamada `f([1, 0, 2])` começa com `v = [1, 0, 2]`.",
        "Depois de `a = [x * 2 for x in v if x]`, temos `a = [2, 4]`.",
        "Depois de `b = {k: [j for j in range(k)] for k in a}`, temos `b = {2: [0, 1], 4: [0, 1, 2, 3]}`.",
        "`return len(b)` devolve `2`.",
    ]


def test_a_call_of_the_function_by_itself_is_told_where_it_happens():
    assert told("def f(n):\n    if n < 2:\n        return 1\n    return n * f(n - 1)", "f(2)", "en").split("\n") == [
        "The call `f(2)` starts with `n = 2`.",
        "`if n < 2` does not hold.",
        "`return n * f(n - 1)` calls `f(1)`, which starts with `n = 1`.",
        "`if n < 2` holds.",
        "`return 1` returns `1`.",
        "Back in `f(2)`: `return n * f(n - 1)` returns `2`.",
    ]


def test_an_error_that_leaves_inner_calls_is_told_by_the_call_that_catches_it():
    source = (
        "def f(n):\n    if n == 0:\n        raise ValueError\n    try:\n        f(n - 1)\n"
        "    except ValueError:\n        print(n)\n    return n"
    )
    assert told(source, "f(2)").split("\n")[-5:] == [
        "De volta a `f(1)`: `f(n - 1)` falha, e o erro é apanhado.",
        "`print(n)` escreve `1`.",
        "`return n` devolve `1`.",
        "De volta a `f(2)`: `f(n - 1)` escreve `1`.",
        "`return n` devolve `2`.",
    ]


def test_a_long_run_is_told_by_its_first_and_last_steps():
    lines = told("def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    return t", "f(40)").split("\n")
    assert len(lines) == 1 + FIRST + 1 + LAST
    left_out = "Seguem-se mais 62 passos do mesmo género, ao fim dos quais temos `n = 40`, `t = 630` e `i = 36`."
    assert lines[1 + FIRST] == left_out
    assert lines[2 + FIRST] == "Depois de `t += i`, temos `t = 666`."
    assert lines[-1] == "`return t` devolve `780`."


def test_both_sandboxes_see_the_same(monkeypatch):
    """One runs Python 3.11 or what the system has, the other 3.15, whose own tracing names other lines."""
    run = program_runs.run_snippet
    functions = [write_function(Random(seed), seed) for seed in range(12)]
    told_by = []
    for backend in get_args(SandboxBackend):
        monkeypatch.setattr(
            program_runs, "run_snippet", lambda code, limits, seeds, on=backend: run(code, limits, on, seeds)
        )
        program_runs.run_checked.cache_clear()
        texts = [tell_trace(function, function.calls[0], function.language) for function in functions]
        told_by.append((texts, run_calls([(function, call) for function in functions for call in function.calls], 1)))
    program_runs.run_checked.cache_clear()
    assert told_by[0] == told_by[1]
    assert sum(text is not None for text in told_by[0][0]) > 6


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
            assert any(f"`{line}`" in step for line in lines) or "passos do mesmo" in step or "steps of the" in step
        assert re.search(r"\{\w+\}", "".join(step.split("`")[0] for step in steps)) is None
        if function.language == "pt":
            assert judge(text, threshold=0.05).is_pt_pt is not False
    assert seen > 8
