"""SimpleCodeOCR: the answer is the code in the picture, whole and as it stands there."""

import json

import pytest
from PIL import Image

from amalia_vl_hf.data.code import simple_code_ocr
from amalia_vl_hf.data.code.code_pictures import SUFFIXES
from amalia_vl_hf.data.code.functions import Function
from amalia_vl_hf.data.code.simple_code_ocr import IN_FENCE, NO_NUMBERS, QUESTIONS
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.rows import open_picture, png
from amalia_vl_hf.variety import judge
from tests.data.rows import MATERIALS, drawn_row, with_answer, with_question, with_truth

SAMPLES = 60


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(simple_code_ocr, seed) for seed in range(SAMPLES)]


def truth(row):
    return json.loads(row["truth"])


def drawn_from(source, seed=0):
    return drawn_row(simple_code_ocr, seed, MATERIALS._replace(functions=lambda rng, index: Function("f", source)))


def test_samples_are_what_their_pictures_show(rows):
    assert [simple_code_ocr.faults(row) for row in rows] == [[]] * SAMPLES


def test_both_languages_both_formats_and_line_numbers_come_up(rows):
    assert {row["language"] for row in rows} == {"pt", "en"}
    assert {row["task"] for row in rows} == {"plain", "Markdown"}
    assert {truth(row)["picture"]["numbered"] for row in rows} == {True, False}


def test_all_of_codesearchnets_languages_come_up(rows):
    languages = [truth(row)["language"] for row in rows]
    assert set(languages) == set(SUFFIXES)
    assert max(map(languages.count, languages)) < 0.5 * SAMPLES


def test_the_answer_is_the_code_in_a_fence_where_one_is_asked_for(rows):
    for row in rows:
        question, answer = (turn["content"] for turn in row["messages"])
        code = truth(row)["code"]
        fenced = IN_FENCE[row["language"]] in question
        assert answer == (f"```{truth(row)['language']}\n{code}\n```" if fenced else code)


def test_code_that_has_a_fence_is_not_put_into_one():
    source = 'def f():\n    """```"""'
    answers = {drawn_from(source, seed)["messages"][1]["content"] for seed in range(12)}
    assert answers == {source}


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("java", 'public int soma(int a, int b) {\n    return a + b; // "total"\n}'),
        ("javascript", "function dobra(x) {\n  return x.map(n => `${n * 2}`);\n}"),
        ("php", "public function nome($id) {\n    return $this->nomes[$id] ?? 'ninguém';\n}"),
        ("ruby", 'def ola(nome)\n  puts "Olá, #{nome}" unless nome.nil?\nend'),
        ("go", 'func Soma(a, b int) (int, error) {\n    return a + b, fmt.Errorf("x: %d", a)\n}'),
    ],
)
def test_code_in_other_languages_is_drawn_fenced_as_its_own_and_checked(language, source):
    rows = [
        drawn_row(simple_code_ocr, seed, MATERIALS._replace(functions=lambda *_: Function("f", source, code=language)))
        for seed in range(12)
    ]
    assert [simple_code_ocr.faults(row) for row in rows] == [[]] * len(rows)
    assert {row["messages"][1]["content"] for row in rows} == {source, f"```{language}\n{source}\n```"}
    assert "is not the function" in simple_code_ocr.faults(with_answer(rows[0], source.replace("(", "[", 1)))[0]


def test_a_function_that_no_picture_holds_is_rejected():
    with pytest.raises(RejectedError, match="a line is too long to draw"):
        drawn_from(f"def f():\n    return '{'a' * 120}'")


def test_the_validator_sees_other_code(rows):
    for row in rows[:8]:
        answer = row["messages"][1]["content"]
        for spoilt in (answer + "x", answer.replace("  ", " ", 1), answer.replace("(", "[", 1), ""):
            assert "is not the function" in simple_code_ocr.faults(with_answer(row, spoilt))[0]
    python = next(row for row in rows if truth(row)["language"] == "python")  # the one language that is parsed
    row = with_truth(python, code=truth(python)["code"] + "\n    pass")
    assert "are not those of the code" in simple_code_ocr.faults(row)[0]
    source = "def f(:\n    pass"
    lines = [[text, 0, 0, 1, 1] for text in source.split("\n")]
    row = with_truth(with_answer(python, source), code=source, picture={**truth(python)["picture"], "lines": lines})
    assert "is not the function" in simple_code_ocr.faults(row)[-1]


def test_the_validator_sees_other_questions_and_pictures(rows):
    row = next(row for row in rows if row["language"] == "en" and truth(row)["picture"]["numbered"])
    found = simple_code_ocr.faults(with_question(row, "What is this?"))
    assert [fault.split("?' ")[1][:20] for fault in found[:2]] == ["does not ask for cod", "does not say of line"]
    assert "does not ask for code in pt" in simple_code_ocr.faults({**row, "language": "pt"})[0]
    blank = Image.new("RGB", open_picture(row).size, tuple(truth(row)["picture"]["paper"]))
    assert "not all of" in simple_code_ocr.faults({**row, "images": [{"bytes": png(blank)}]})[0]


def test_questions_are_european_portuguese():
    verdict = judge("\n".join([*QUESTIONS["pt"], NO_NUMBERS["pt"], IN_FENCE["pt"]]))
    assert verdict.is_pt_pt, verdict.reasons
