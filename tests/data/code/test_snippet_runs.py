"""What short programs print, and what they may not do; what they would print with a small mistake in them."""

import ast
import difflib
import random

import pytest

from amalia_vl_hf.data.code.program_runs import MAX_STEPS
from amalia_vl_hf.data.code.snippet_runs import (
    MAX_OUTPUT,
    MUTANTS,
    check_snippet,
    checked_output,
    mutate,
    output_of,
    outputs_of,
    read_answer,
)
from amalia_vl_hf.data.dataset import RejectedError


def test_a_models_program_is_one_block_of_python():
    assert read_answer("\n```python\nx = 2\nprint(x)\n```\n") == "x = 2\nprint(x)"
    for answer in (
        "print(1)",
        "```python\nprint(1)\n```\nEis o programa.",
        "```\nprint(1)\n```",
        "",
        "```python\n```",
    ):
        with pytest.raises(RejectedError, match="the answer is not one block of Python"):
            read_answer(answer)
    with pytest.raises(RejectedError, match="not one block"):
        read_answer("```python\nprint(1)\n```\n```python\nprint(2)\n```")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("print(1)\n" * 11, "over 10 lines or none: 11"),
        ("", "over 10 lines or none"),
        (f"print('{'a' * 100}')", "a line of the program cannot be drawn"),
        ("print('\u200b')", "a line of the program cannot be drawn"),
        ("if True:\n\tprint(1)", "a line of the program cannot be drawn"),
        ("print(1", "is no Python"),
        ("print(" + "-" * 50 + "1)\nx = (", "is no Python"),
        ("import os\nprint(os.getcwd())", "imports what it must not: os"),
        ("from os.path import join\nprint(join('a', 'b'))", "imports what it must not: os.path"),
        ("from . import data\nprint(data)", "imports what it must not"),
        ("print(input())", "calls what it must not: input"),
        ("print(eval('1'))", "calls what it must not: eval"),
        ("read = open\nprint(read)", "calls what it must not: open"),
        ("print(id(3), hash('a'))", "calls what it must not: hash, id"),
        ("print(().__class__)", "calls what it must not: a double underscore"),
        ("x = 1", "does not print"),
        ("print = 3", "does not print"),
    ],
)
def test_a_program_that_was_not_asked_for_is_rejected(source, reason):
    with pytest.raises(RejectedError, match=reason):
        check_snippet(source)


@pytest.mark.parametrize(
    ("source", "seeds", "reason"),
    [
        ("print(1 / 0)", 1, "a program ends as failed: ZeroDivisionError"),
        ("print({'a', 'b', 'c', 'd'})", 8, "a program ends as unstable"),
        ("print()", 1, "prints nothing that can be seen"),
        ("print('a' * 241)", 1, "prints too much: 241 letters"),
        ("for n in range(13):\n    print(n)", 1, "prints too much"),
        ("print('`')", 1, "cannot be shown"),
        ("print('\\x1b[31mred')", 1, "cannot be shown"),
        ("print('  indented')", 1, "cannot be shown"),
    ],
)
def test_an_output_that_cannot_be_asked_about_is_rejected(source, seeds, reason):
    with pytest.raises(RejectedError, match=reason):
        output_of(source, seeds)


@pytest.mark.slow
def test_a_program_that_does_not_end_is_rejected():
    with pytest.raises(RejectedError, match="a program ends as timeout"):
        output_of("while True:\n    print", seeds=1)


def test_spaces_at_the_ends_of_lines_are_no_output():
    assert checked_output("1 2 \n3\n\n") == "1 2\n3"
    assert len(checked_output("a" * MAX_OUTPUT)) == MAX_OUTPUT


def test_mutants_that_fail_or_do_not_end_print_nothing():
    endless = "n = 0\nwhile True:\n    n += 1"
    long = f"for n in range({MAX_STEPS}):\n    x = n\nprint(x)"
    sources = ["print(1)", "print(1 / 0)", endless, long, "raise SystemExit", "x = 1", "print(2)"]
    assert outputs_of(sources) == ["1", None, None, None, None, None, "2"]
    assert outputs_of(["print(1)", "import os\nos._exit(3)"]) == ["1", None]
    assert outputs_of(["import sys\nsys.__stdout__.write('1')", "print(2)"]) == [None, "2"]


def test_a_mutant_differs_in_one_place():
    source = "x = 3\nif x > 2 and x % 2 == 1:\n    x += 4\nprint(x - 1)"
    mutants = mutate(source, random.Random(0))
    assert mutants == mutate(source, random.Random(0))
    assert 6 <= len(mutants) <= MUTANTS
    for mutant in mutants:
        pieces = difflib.SequenceMatcher(None, ast.unparse(ast.parse(source)), mutant).get_opcodes()
        assert 1 <= sum(piece[0] != "equal" for piece in pieces) <= 2  # `and` and `or` share no letter at their ends
    assert mutate("print('a')", random.Random(0)) == []
