"""SePIC: answers are what the call of the drawn function printed in the sandbox, at once or at the end of steps."""

import ast
import json
from random import Random

import pytest
from PIL import Image

from amalia_vl_hf.data.choices import final_answer
from amalia_vl_hf.data.code import sepic
from amalia_vl_hf.data.code.functions import Function, statement
from amalia_vl_hf.data.code.sepic import DIRECT, EXPLAINED, LONGEST_TRACE, QUESTIONS, TRACED, WHY
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.prompts import read_prompt
from amalia_vl_hf.data.rows import open_picture, png
from amalia_vl_hf.sandbox import run_snippet
from amalia_vl_hf.variety import judge
from tests.data.rows import MATERIALS, drawn_row, with_answer, with_question, with_truth

SAMPLES = 24
THEIRS = Function("f", "def f(x, y):\n    if x > y:\n        raise ValueError\n    return x * y")
CALLS = json.dumps(["f(1, 2)", "f(2, 1)", "f(2, 'a')", "f(2, 3.5)"])


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(sepic, seed) for seed in range(SAMPLES)]


def truth(row):
    return json.loads(row["truth"])


def with_model(calls=CALLS, function=THEIRS, **answers):
    return MATERIALS._replace(functions=lambda rng, index: function, answers={"invocations": calls, **answers})


def of_task(rows, task):
    return next(row for row in rows if row["task"] == task)


def test_samples_are_what_their_pictures_show(rows):
    assert [sepic.faults(row) for row in rows] == [[]] * SAMPLES


def test_every_task_and_both_languages_come_up(rows):
    assert {row["task"] for row in rows} == {DIRECT, TRACED, EXPLAINED}
    assert {row["language"] for row in rows} == {"pt", "en"}


def test_answers_end_in_the_output(rows):
    for row in rows:
        answers = [turn["content"] for turn in row["messages"][1::2]]
        assert len(answers) == (2 if row["task"] == EXPLAINED else 1)
        if row["task"] != TRACED:
            assert answers[0] == truth(row)["output"]
        if row["task"] != DIRECT:
            assert final_answer(answers[-1], row["language"]) == truth(row)["output"]


@pytest.mark.slow
def test_two_hundred_outputs_are_what_the_code_prints_when_it_runs_alone():
    for seed in range(200):
        known = truth(drawn_row(sepic, seed))
        function = Function(known["call"].partition("(")[0], known["code"])
        result = run_snippet(f"{known['code']}\n\n{statement(function, known['call'])}\n", seeds=8)
        lines = [line.rstrip() for line in result.stdout.rstrip().split("\n")]
        assert (result.status, "\n".join(lines)) == ("ok", known["output"])


def test_the_model_is_asked_for_calls_then_for_steps_to_the_output():
    materials = with_model()
    invocations, trace = sepic.STEPS
    slots = invocations.ask(Random("x"), 3, materials._replace(answers={}))
    assert THEIRS.source in read_prompt(sepic.NAME, invocations.name).substitute(slots)
    slots = trace.ask(Random("x"), 3, materials)
    prompt = read_prompt(sepic.NAME, trace.name).substitute(slots)
    assert slots["statement"] in ("print(f(1, 2))", "print(f(2, 'a'))", "print(f(2, 3.5))")
    assert prompt.endswith(slots["ending"])
    ending = {"português europeu": "Resposta: ", "inglês": "Answer: "}[slots["language"]]
    assert slots["ending"] == ending + slots["output"]


def test_a_models_steps_are_the_answer():
    for seed in range(6):
        rng = Random(f"0 {seed}")  # as rows are drawn
        slots = sepic.STEPS[1].ask(rng, seed, with_model())
        steps = f"Primeiro multiplica-se.\n\n{slots['ending']}\n"
        row = drawn_row(sepic, seed, with_model(trace=steps))
        assert sepic.faults(row) == []
        assert row["task"] in (TRACED, EXPLAINED)
        assert truth(row)["output"] == slots["output"]
        assert row["messages"][-1]["content"] == f"Primeiro multiplica-se.\n{slots['ending']}"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"trace": "Não sei."}, "the steps do not end in the output: Não sei."),
        ({"trace": "Passos.\nResposta: 12345"}, "the steps do not end in the output"),
        ({"calls": "[]"}, "the invocations are not as many as asked for"),
        ({"calls": json.dumps([f"f({x}, 0)" for x in (1, 2, 3, 4)])}, "a program fails"),
        ({"calls": json.dumps([f"f({x}, {{'a', 'b', 'c'}})" for x in (1, 2, 3, 4)])}, "a program fails"),
    ],
)
def test_a_models_answers_that_do_not_fit_are_rejected(answers, reason):
    with pytest.raises(RejectedError, match=reason):
        drawn_row(sepic, 0, with_model(**answers))


def test_steps_that_are_too_long_are_rejected():
    slots = sepic.STEPS[1].ask(Random("0 1"), 1, with_model())
    steps = f"{'a' * LONGEST_TRACE}\n{slots['ending']}"
    with pytest.raises(RejectedError, match=r"the steps are too long: 40.* letters, at most 4000"):
        drawn_row(sepic, 1, with_model(trace=steps))


def test_a_model_gives_no_steps_to_several_lines():
    function = Function("f", "def f(x):\n    print(x)\n    print(x)")
    calls = json.dumps([f"f({x})" for x in (1, 2, 3, 4)])
    with pytest.raises(RejectedError, match="every call prints several lines"):
        sepic.STEPS[1].ask(Random(0), 0, with_model(calls, function))


def test_the_users_functions_need_a_model():
    with pytest.raises(RejectedError, match="a function without calls, and no model to write them"):
        drawn_row(sepic, 0, MATERIALS._replace(functions=lambda rng, index: THEIRS))


def test_the_validator_sees_wrong_answers_and_questions(rows):
    for task in (DIRECT, TRACED, EXPLAINED):
        row = of_task(rows, task)
        assert "does not answer" in sepic.faults(with_answer(row, row["messages"][-1]["content"] + "x"))[0]
        assert "does not" in sepic.faults(with_question(row, "Olá!"))[0]
    row = of_task(rows, DIRECT)
    question = row["messages"][0]["content"]
    assert "does not ask for" in sepic.faults(with_question(row, question.replace("(", "((", 1)))[0]
    assert "does not answer" in sepic.faults(with_truth(row, output="12345"))[0]


def test_the_validator_sees_other_code_and_other_calls(rows):
    row = of_task(rows, DIRECT)
    call = truth(row)["call"]
    name = ast.parse(call).body[0].value.func.id
    assert "an invocation calls something else" in sepic.faults(with_truth(row, call=f"x{call}"))[0]
    assert "no literals" in sepic.faults(with_truth(row, call=f"{name}(x)"))[0]
    assert "is not one function" in sepic.faults(with_truth(row, code="x = 1"))[-1]
    blank = Image.new("RGB", open_picture(row).size, tuple(truth(row)["picture"]["paper"]))
    assert "not all of" in sepic.faults({**row, "images": [{"bytes": png(blank)}]})[0]


def test_questions_are_european_portuguese():
    texts = [question.format(statement="print(f(2))") for question in QUESTIONS["pt"]]
    verdict = judge("\n".join([*texts, *WHY["pt"], sepic.OUTPUT_ALONE["pt"]]))
    assert verdict.is_pt_pt, verdict.reasons
