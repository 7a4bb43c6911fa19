"""PT-Render-Text: what is asked is what is drawn, in the order of readers, in fonts that have every letter."""

import json

import pytest
from PIL import Image

from amalia_vl_hf.data.rows import open_picture
from amalia_vl_hf.data.text import pt_render_text
from amalia_vl_hf.data.text.documents import KINDS
from amalia_vl_hf.data.text.pt_render_text import CELLS, LAYOUTS, PANELS, QUESTIONS
from amalia_vl_hf.variety import judge

from ..rows import drawn_row, with_answer, with_question, with_truth


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(pt_render_text, seed) for seed in range(70)]


def test_samples_are_what_their_pictures_show(rows):
    assert [pt_render_text.faults(row) for row in rows] == [[]] * len(rows)
    seen = {row["task"].split(", ")[0] for row in rows}
    assert set(PANELS) <= seen <= set(LAYOUTS)
    assert len(seen & set(KINDS)) > 12
    assert {row["task"].split(", ")[1] for row in rows} == set(QUESTIONS)


def test_the_validator_sees_what_is_wrong(rows):
    row = rows[0]
    truth = json.loads(row["truth"])
    white = Image.new("RGB", open_picture(row).size, "white")
    buffer = pt_render_text.png(white)
    assert pt_render_text.faults({**row, "images": [{"bytes": buffer}]})[0].startswith("no ink where")
    assert pt_render_text.faults(with_question(row, "Quem és?")) == [f"'Quem és?' does not ask for {truth['mode']}"]
    assert pt_render_text.faults(with_answer(row, "nada"))[0].startswith("the answer 'nada' is not")
    longer = next(row for row in rows if len(json.loads(row["truth"])["blocks"]) > 1)
    spoilt = with_truth(longer, blocks=json.loads(longer["truth"])["blocks"][1:])
    assert any("the answer" in fault for fault in pt_render_text.faults(spoilt))


def test_columns_are_read_one_after_the_other(rows):
    row = next(row for row in rows if row["task"].startswith("columns"))
    blocks = json.loads(row["truth"])["blocks"]
    assert row["messages"][1]["content"].startswith(blocks[0]["lines"][0][0][0])
    swapped = [{**block, "region": -block["region"]} for block in reversed(blocks)]
    assert any("neither below nor right" in fault for fault in pt_render_text.faults(with_truth(row, blocks=swapped)))


def test_cells_are_asked_for_where_there_are_cells_alone(rows):
    for row in rows:
        question, answer = (turn["content"] for turn in row["messages"])
        assert (CELLS in question) == (" | " in answer)


def test_questions_are_european_portuguese():
    verdict = judge("\n".join([*QUESTIONS["text"], *QUESTIONS["lines"], CELLS]))
    assert verdict.is_pt_pt, verdict.reasons


def test_boxes_are_those_of_the_pieces(rows):
    for row in rows:
        picture = open_picture(row)
        boxes = pt_render_text.boxes(row)
        assert boxes
        assert all(0 <= box.left < box.right <= picture.width for box in boxes)
        assert all(0 <= box.top < box.bottom <= picture.height for box in boxes)
