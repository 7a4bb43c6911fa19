"""What goes into the sandbox in front of programs: it stops them by counting, and changes nothing else about them."""

import builtins

import pytest

from amalia_vl_hf.data.code.watching import run_all, watch_call

STEPS, MOST = 100, 50


@pytest.fixture(autouse=True)
def builtins_as_they_were():
    before = set(vars(builtins))
    yield
    for name in set(vars(builtins)) - before:
        delattr(builtins, name)


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("print(1)", "1\n"),
        ("from __future__ import annotations\n'doc'\nprint([x for x in range(5) if x % 2])", "[1, 3]\n"),
        ("class A:\n    'doc'\n    x = 1\nprint(A.__doc__, A.x)", "doc 1\n"),
        ("def f():\n    'doc'\nprint(f.__doc__, f())", "doc None\n"),
        ("f = lambda n: n and f(n - 1) + 1\nprint(f(5))", "5\n"),
        ("match 3:\n    case 1 | 3:\n        print('sim')\n    case _:\n        print('não')", "sim\n"),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    print(0)\nfinally:\n    print(2)", "0\n2\n"),
        ("print([n for n in dir() if 'tick' in n], {k: v for k, v in [(1, 2)]})", "[] {1: 2}\n"),
        ("print('a' * 60)", 61),
        ("1 / 0", None),
        ("raise SystemExit", None),
        ("x = (", None),
    ],
)  # fmt: skip
def test_programs_print_what_they_print_elsewhere(program, printed):
    assert run_all([program, "print(2)"], STEPS, MOST) == [printed, "2\n"]


@pytest.mark.parametrize(
    "endless",
    [
        "while True:\n    pass",
        "def f():\n    f()\nf()",
        "import itertools\n[x for x in itertools.count()]",
        "import itertools\nprint(sum(x for x in itertools.count()))",
        "f = lambda n: f(n + 1)\nf(0)",
        "try:\n    while True:\n        pass\nexcept Exception:\n    print(1)",
    ],
)
def test_programs_without_end_are_stopped(endless):
    assert run_all([endless, "print(2)"], STEPS, MOST) == [None, "2\n"]


def test_moments_have_the_values_before_a_line_and_what_was_printed():
    source = "def f(n):\n    s = {'b', 'a'}\n    for i in range(n):\n        print(i)\n    return [i for i in s]"
    seen = watch_call(source, "f", "f(1)", 50)
    assert [(depth, line, printed) for depth, line, _, printed, _ in seen] == [
        (1, 2, ""), (1, 3, ""), (1, 4, ""), (1, 3, "0\n"), (1, 5, "0\n"), (1, 5, "0\n"),
    ]  # fmt: skip
    assert seen[2][2] == {"n": "1", "s": "{'a', 'b'}", "i": "0"}
    assert sorted(seen[-1][4]) == sorted("['a', 'b']")
    assert watch_call(source, "f", "f(1)", 5) == []
    assert watch_call("def f():\n    yield 1", "f", "f()", 50) == []
