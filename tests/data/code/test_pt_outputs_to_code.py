"""PTOutputsToCode: of four functions and calls, exactly one printed what the picture shows, and the answer is it."""

import json
from collections import Counter
from random import Random

import pytest
from PIL import Image

from amalia_vl_hf.data.code import pt_outputs_to_code
from amalia_vl_hf.data.code.functions import Function
from amalia_vl_hf.data.code.pt_outputs_to_code import LETTER, LETTER_AND_CALL, OPTIONS, PAIR, QUESTIONS
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.prompts import read_prompt
from amalia_vl_hf.data.rows import open_picture, png
from amalia_vl_hf.sandbox import run_snippet
from amalia_vl_hf.variety import judge
from tests.data.rows import MATERIALS, drawn_row, with_answer, with_question, with_truth

SAMPLES = 24
CALLS = json.dumps(["f(1, 2)", "f(7, 2)", "f(2, 'a')", "f(2, 3.5)"])
THEIRS = [
    Function("f", "def f(x, y):\n    # produto\n    return x * y"),
    Function("g", "def g(x, y):\n    return [x, y]"),
    Function("h", "def h(x, y):\n    return x - y"),
]


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(pt_outputs_to_code, seed) for seed in range(SAMPLES)]


def truth(row):
    return json.loads(row["truth"])


def theirs(functions=THEIRS, calls=CALLS):
    answers = {} if calls is None else {"invocations": calls}
    # The first of a sample's functions is the one that the calls are of.
    return MATERIALS._replace(functions=lambda rng, index: functions[index % 11 % len(functions)], answers=answers)


def test_samples_are_what_their_pictures_show(rows):
    assert [pt_outputs_to_code.faults(row) for row in rows] == [[]] * SAMPLES


def test_both_tasks_both_languages_and_all_letters_come_up(rows):
    assert {row["task"] for row in rows} == {LETTER, PAIR}
    assert {row["language"] for row in rows} == {"pt", "en"}
    assert {row["messages"][1]["content"][0] for row in rows} == set("ABCD")


def test_no_two_options_print_the_same(rows):
    for row in rows:
        pairs = truth(row)["pairs"]
        assert len({"".join(pair["output"].split()) for pair in pairs}) == len(pairs) == OPTIONS


def test_the_right_option_is_not_the_one_that_has_most_in_common_with_the_others(rows):
    alike = 0
    for row in rows:
        pairs = truth(row)["pairs"]
        counts = Counter(part for pair in pairs for part in (pair["code"], pair["call"].partition("(")[2]))
        scores = [counts[pair["code"]] + counts[pair["call"].partition("(")[2]] for pair in pairs]
        right = [pair["output"] == truth(row)["output"] for pair in pairs].index(True)
        alike += scores[right] == max(scores) and scores.count(max(scores)) == 1
    assert alike < SAMPLES / 2


@pytest.mark.slow
def test_two_hundred_samples_print_alone_what_their_options_are_said_to_print():
    for seed in range(200):
        for pair in truth(drawn_row(pt_outputs_to_code, seed))["pairs"]:
            result = run_snippet(f"{pair['code']}\n\n{pair['statement']}\n")
            lines = [line.rstrip() for line in result.stdout.rstrip().split("\n")]
            assert (result.status, "\n".join(lines)) == ("ok", pair["output"])


def test_a_models_calls_of_the_users_functions_are_options():
    names = Counter()
    for seed in range(8):
        row = drawn_row(pt_outputs_to_code, seed, theirs())
        assert pt_outputs_to_code.faults(row) == []
        names.update(pair["call"].partition("(")[0] for pair in truth(row)["pairs"])
        assert "# produto" not in row["messages"][0]["content"]  # an option with a change would have lost it alone
    assert set(names) == {"f", "g", "h"}


def test_options_may_be_longer_than_what_is_drawn():
    long = Function("f", "def f(x, y):\n" + "    if x: y += 1\n" * 40 + "    return x * y")
    row = drawn_row(pt_outputs_to_code, 0, theirs([long, *THEIRS[1:]], CALLS.replace("'a'", "8")))
    assert pt_outputs_to_code.faults(row) == []
    assert row["messages"][0]["content"].count("\n") > 80


def test_the_model_is_asked_for_calls_of_the_first_function():
    (step,) = pt_outputs_to_code.STEPS
    slots = step.ask(Random(0), 4, theirs(calls=None))
    assert THEIRS[0].source in read_prompt(pt_outputs_to_code.NAME, step.name).substitute(slots)


@pytest.mark.parametrize(
    ("functions", "calls", "reason"),
    [
        (THEIRS, None, "a function without calls, and no model to write them"),
        (THEIRS, "[]", "the invocations are not as many as asked for"),
        (THEIRS[:1], json.dumps([f"f('', {x})" for x in (1, 2, 3, 4)]), "a program prints nothing"),
        (THEIRS[:1], json.dumps([f"f({{}}, {x})" for x in (1, 2, 3, 4)]), "a program fails"),
        (
            [Function("f", "def f(x):\n    return 'a'")],
            json.dumps([f"f({x})" for x in (1, 2, 3, 4)]),
            "too few calls print something else: 1 of 4",
        ),
        ([Function("f", 'def f(x, y):\n    """```"""\n    return x * y')], CALLS, "a function with a Markdown fence"),
        ([Function("f", "def f(x, y):\n    return f'{x}{y}{chr(0x6f22)}'")], CALLS, "a letter that fonts may lack"),
    ],
)
def test_samples_that_cannot_be_made_are_rejected(functions, calls, reason):
    with pytest.raises(RejectedError, match=reason):
        drawn_row(pt_outputs_to_code, 0, theirs(functions, calls))


def test_the_validator_sees_wrong_answers_and_questions(rows):
    for row in rows[:6]:
        answer = row["messages"][1]["content"]
        other = {"A": "B"}.get(answer[0], "A") + answer[1:]
        assert "the answer" in pt_outputs_to_code.faults(with_answer(row, other))[0]
        question = row["messages"][0]["content"]
        for spoilt in ("Olá!", question.replace("A)", "Z)", 1), question + " ", question.replace("\n", " ", 1)):
            assert "does not ask" in pt_outputs_to_code.faults(with_question(row, spoilt))[0]
        assert "does not ask" in pt_outputs_to_code.faults({**row, "language": _other(row)})[0]


def _other(row):
    return {"pt": "en", "en": "pt"}[row["language"]]


def test_the_validator_sees_options_that_are_not_what_they_are_said_to_be(rows):
    row = rows[0]
    pairs = truth(row)["pairs"]
    spoilt = [
        ([{**pair, "output": truth(row)["output"]} for pair in pairs], "4 of 4 options print"),
        ([{**pair, "output": "?"} for pair in pairs], "0 of 4 options print"),
        (pairs[:3], "of 3 options print"),
        ([{**pairs[0], "code": "x = 1"}, *pairs[1:]], "'x = 1' is not one function"),
        ([{**pairs[0], "call": "x(1)"}, *pairs[1:]], "an invocation calls something else"),
        ([{**pairs[0], "statement": "print()"}, *pairs[1:]], "does not show what"),
    ]
    for changed, fault in spoilt:
        found = pt_outputs_to_code.faults(with_truth(row, pairs=changed))
        assert any(fault in line for line in found), (fault, found)


def test_the_validator_sees_another_output_and_an_empty_picture(rows):
    row = rows[0]
    assert "are not those of the code" in pt_outputs_to_code.faults(with_truth(row, output="?"))[0]
    blank = Image.new("RGB", open_picture(row).size, tuple(truth(row)["picture"]["paper"]))
    assert "not all of" in pt_outputs_to_code.faults({**row, "images": [{"bytes": png(blank)}]})[0]


def test_questions_are_european_portuguese():
    verdict = judge("\n".join([*QUESTIONS["pt"], LETTER_AND_CALL["pt"]]))
    assert verdict.is_pt_pt, verdict.reasons
