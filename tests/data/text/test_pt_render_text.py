"""PT-Render-Text: what is asked is what is drawn, in fonts that have every letter."""

import json

import pytest
from PIL import Image

from amalia_vl_hf.data.rows import open_picture
from amalia_vl_hf.data.text import pt_render_text

from ..rows import drawn_row, with_answer, with_question, with_truth


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(pt_render_text, seed) for seed in range(30)]


def test_samples_are_what_their_pictures_show(rows):
    assert [pt_render_text.faults(row) for row in rows] == [[]] * len(rows)
    assert {row["task"].split(",")[0] for row in rows} == set(pt_render_text.LAYOUTS)
    assert {row["task"].split(", ")[1] for row in rows} == set(pt_render_text.QUESTIONS)


def test_the_validator_sees_what_is_wrong(rows):
    row = rows[0]
    truth = json.loads(row["truth"])
    white = Image.new("RGB", open_picture(row).size, "white")
    buffer = pt_render_text.png(white)
    assert pt_render_text.faults({**row, "images": [{"bytes": buffer}]})[0].startswith("no ink where")
    outside = [[text, top, left, bottom, 10**6] for text, top, left, bottom, _ in truth["lines"]]
    assert pt_render_text.faults(with_truth(row, lines=outside))[0].startswith("no ink where")
    assert pt_render_text.faults(with_truth(row, lines=truth["lines"][1:]))[0].startswith("the words drawn")
    assert pt_render_text.faults(with_question(row, "Quem és?")) == [f"'Quem és?' does not ask for {truth['mode']}"]
    assert pt_render_text.faults(with_answer(row, "nada"))[0].startswith("the answer 'nada' is not")
