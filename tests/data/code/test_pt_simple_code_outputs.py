"""PTSimpleCodeOutputs: answers are what the program prints, options differ, and a model's programs go the same way."""

import hashlib
import json
import random
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf.asking.inference import Endpoint
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.choices import YES_NO
from amalia_vl_hf.data.code import pt_simple_code_outputs as dataset
from amalia_vl_hf.data.code.pt_simple_code_outputs import near_misses
from amalia_vl_hf.data.code.snippet_runs import outputs_of
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.languages import LANGUAGE_NAMES
from amalia_vl_hf.data.prompts import read_prompt
from amalia_vl_hf.data.rows import exchange, open_picture, png
from amalia_vl_hf.variety import judge

from ...asking.model_server import Fault, ModelServer, completion
from ..rows import MATERIALS, drawn_row, with_answer, with_question, with_truth

SAMPLES = 24
DIGEST = """
import hashlib
from tests.data.rows import drawn_row
from amalia_vl_hf.data.code import pt_simple_code_outputs
print(hashlib.sha256(repr(drawn_row(pt_simple_code_outputs, 3)).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(dataset, seed) for seed in range(SAMPLES)]


def of_style(rows, style):
    return next(row for row in rows if row["task"].startswith(style))


def truth(row):
    return json.loads(row["truth"])


def test_samples_are_what_their_programs_print(rows):
    assert [dataset.faults(row) for row in rows] == [[]] * SAMPLES
    assert {row["task"] for row in rows} == {
        f"{style}, {language}" for style in dataset.STYLES for language in ("pt", "en")
    }
    assert {truth(row)["about"] for row in rows} == {"whole", "line", "last", "count"}


@pytest.mark.slow
def test_two_hundred_outputs_are_those_of_another_run_under_eight_hash_seeds():
    known = [truth(drawn_row(dataset, seed)) for seed in range(1_000, 1_200)]
    for start in range(0, 200, 50):
        some = known[start : start + 50]
        assert outputs_of([one["source"] for one in some], seeds=8) == [one["output"] for one in some]


def test_the_same_sample_has_the_same_bytes(rows):
    assert drawn_row(dataset, 3) == rows[3]


@pytest.mark.slow
def test_the_same_sample_has_the_same_bytes_in_another_process(rows):
    here = hashlib.sha256(repr(rows[3]).encode()).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize("style", dataset.STYLES)
def test_the_validator_sees_wrong_answers_and_questions(rows, style):
    row = of_style(rows, style)
    assert "the answer" in dataset.faults(with_answer(row, exchange(row).answer + "0"))[0]
    assert "does not ask about" in dataset.faults(with_question(row, "Olá?"))[0]


def test_the_validator_sees_another_program_and_another_output(rows):
    row = rows[0]
    other = truth(row)["source"] + "\nprint(0)"
    assert "are not those of the code" in dataset.faults(with_truth(row, source=other))[0]
    assert "the program prints" in dataset.faults(with_truth(row, output="0\n0"))[0]
    banned = "import os\n" + truth(row)["source"]
    assert "imports what it must not: os" in dataset.faults(with_truth(row, source=banned))[-1]
    blank = Image.new("RGB", open_picture(row).size, tuple(truth(row)["picture"]["paper"]))
    assert "is seen in" in dataset.faults({**row, "images": [{"bytes": png(blank)}]})[0]


def test_the_validator_sees_options_that_are_equal_or_all_wrong(rows):
    row = of_style(rows, "choice")
    choices = truth(row)["choices"]
    for spoilt in ([*choices, choices[0]], ["no", "not", "none"]):
        assert any("not once" in fault for fault in dataset.faults(with_truth(row, choices=spoilt)))


def part(row):
    known = truth(row)
    lines = known["output"].splitlines()
    parts = {"whole": known["output"], "last": lines[-1], "count": str(len(lines))}
    return parts.get(known["about"]) or lines[known["number"] - 1]


def test_a_candidate_is_accepted_if_it_is_what_is_printed(rows):
    verdicts = set()
    for row in rows:
        if row["task"].startswith("yes-no"):
            wrong = truth(row)["candidate"] != part(row)
            assert exchange(row).answer.split(".")[0] == YES_NO[row["language"]][wrong]
            assert truth(row)["alone"] or part(row) in exchange(row).answer
            verdicts.add(wrong)
    assert verdicts == {True, False}


def test_the_letter_is_that_of_the_right_option(rows):
    for row in rows:
        if row["task"].startswith("choice"):
            letter = exchange(row).answer if truth(row)["alone"] else re.search(r" ([A-E])\.", exchange(row).answer)[1]
            assert f"\n{letter}) {part(row)}\n" in exchange(row).question + "\n"


def with_snippet(answer, seed=0):
    return drawn_row(dataset, seed, MATERIALS._replace(answers={"snippet": answer}))


def test_a_models_program_is_drawn_and_run():
    row = with_snippet("```python\npreço = 12\nprint(preço * 2)\n```")
    assert truth(row)["output"] == "24"
    assert dataset.faults(row) == []
    with pytest.raises(RejectedError, match="the answer is not one block of Python"):
        with_snippet("preço = 12\nprint(preço * 2)")
    with pytest.raises(RejectedError, match="a program ends as unstable"):
        with_snippet("```python\nprint({'a', 'b', 'c', 'd'})\n```")


def test_nobody_asks_for_a_blank_line():
    asked_for = {dataset._ask("print(1)", "1\n\n2\n3", random.Random(seed))["number"] for seed in range(16)}
    assert asked_for == {1, 3, None}


def test_a_build_asks_a_server_for_programs(tmp_path):
    def say(text, count):
        lines = re.search(r"entre (\d) e 10 linhas", text)[1]
        block = f"```python\nfor n in range({lines}):\n    print(n * n)\n```"
        return Fault(body=completion(block if int(lines) > 3 else f"Aqui está:\n{block}"))

    with ModelServer(script=say) as server:
        made = build(BuildRecipe(dataset.NAME, 5, 1, endpoint=Endpoint(server.url, "amalia")), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "data").to_pylist()
    assert made.rejected == {"the answer is not one block of Python": 5 - len(rows)}
    assert 0 < len(rows) < 5
    assert all(truth(row)["output"].startswith("0\n1\n4\n9") for row in rows)


def test_the_prompt_asks_for_the_samples_language_in_european_portuguese():
    (step,) = dataset.STEPS
    asked_for = set()
    for seed in range(10):
        slots = step.ask(random.Random(f"0 {seed}"), seed, MATERIALS)
        prompt = read_prompt(dataset.NAME, step.name).substitute(slots)
        language = drawn_row(dataset, seed)["language"]
        assert f"textos: {LANGUAGE_NAMES[language]}." in prompt
        assert judge(prompt).is_pt_pt
        asked_for.add(language)
    assert asked_for == {"pt", "en"}


@pytest.mark.parametrize("text", ["7", "0", ".", "--", "True", "maçã 3", "[1, 2]", "a ba", "a\nb", "x"])
def test_near_misses_are_others_and_never_fewer_than_a_question_needs(text):
    for seed in range(5):
        misses = near_misses(text, random.Random(seed))
        assert text not in misses
        assert len(set(misses)) == len(misses)
        assert len({"".join(miss.split()) for miss in misses} - {"".join(text.split())}) >= dataset.WRONG[0]
    assert near_misses("True", random.Random(0))[0] == "False"


def test_wordings_are_european_portuguese():
    filled = [
        wording.format(ordinal="primeira", candidate="3")
        for wordings in (*dataset.QUESTIONS["pt"].values(), *dataset.CANDIDATES["pt"].values())
        for wording in wordings
    ]
    endings = [*dataset.VALUE_ALONE["pt"].values(), *dataset.STATEMENTS["pt"].values(), dataset.CHOSEN["pt"]]
    verdict = judge("\n".join(filled + endings))
    assert verdict.is_pt_pt, verdict.reasons
