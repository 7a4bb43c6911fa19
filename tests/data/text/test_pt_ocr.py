"""PT-OCR: every answer is what the picture shows, in the format that was asked for, and no question tells it."""

import json

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.answer_formats import ACCEPTED, FORMATS, REFUTED
from amalia_vl_hf.data.dataset import Materials, Passage
from amalia_vl_hf.data.languages import ORDINALS
from amalia_vl_hf.data.rows import open_picture, png
from amalia_vl_hf.data.text import pt_ocr
from amalia_vl_hf.data.text.passages import split_sentences
from amalia_vl_hf.data.text.pt_ocr import ORDERS, PLACES, TASKS
from amalia_vl_hf.data.text.wear import WEARS
from amalia_vl_hf.data.typefaces import find_typefaces
from amalia_vl_hf.variety import judge

from ..rows import drawn_row, with_answer, with_question, with_truth

SAMPLES = 160


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(pt_ocr, seed) for seed in range(SAMPLES)]


@pytest.fixture(scope="module")
def truths(rows):
    return [json.loads(row["truth"]) for row in rows]


def shown(text, picture):
    return Passage(text, split_sentences(text), png(picture))


def of_task(rows, task):
    return next(row for row in rows if json.loads(row["truth"])["task"] == task)


def test_samples_are_what_their_pictures_show(rows):
    assert [pt_ocr.faults(row) for row in rows] == [[]] * SAMPLES


def test_every_task_format_wear_and_arrangement_comes_up(truths):
    assert {truth["task"] for truth in truths} == set(TASKS)
    assert {truth["format"] for truth in truths} == set(FORMATS)
    assert {name for truth in truths for panel in truth["panels"] for name in panel["wear"]} == set(WEARS)
    arrangements = {(truth["direction"], len(truth["panels"])) for truth in truths}
    assert arrangements == {*PLACES, ("vertical", 1), ("horizontal", 1)}
    assert any(truth["panel"] is None for truth in truths)


def test_the_question_does_not_tell_whether_a_transcription_is_right(rows, truths):
    names = {}
    for row, truth in zip(rows, truths, strict=True):
        if truth["task"] == "detection" and truth["format"] == "json":
            right = truth["candidate"] == truth["panels"][truth["panel"]]["text"]
            names.setdefault(right, set()).add(row["messages"][0]["content"].rsplit("Responde", 1)[1])
    assert names[True] == names[False] == {' em JSON, com as chaves "correta" e "texto".'}


def test_the_validator_sees_wrong_answers(rows):
    for task in set(TASKS):
        row = of_task(rows, task)
        assert "is not" in pt_ocr.faults(with_answer(row, row["messages"][1]["content"] + "x"))[0]
        assert pt_ocr.faults(with_question(row, "Olá!")), task


def test_the_validator_sees_another_sentence_and_another_verdict(rows):
    row = of_task(rows, "nth")
    truth = json.loads(row["truth"])
    (found,) = [fault for fault in pt_ocr.faults(with_truth(row, number=1)) if "the answer" in fault]
    assert truth["panels"][truth["panel"]]["sentences"][0] in found
    row = of_task(rows, "detection")
    assert "the answer" in pt_ocr.faults(with_truth(row, candidate="Outra coisa."))[-1]


def test_the_validator_sees_sentences_that_are_none(rows):
    row = next(row for row in rows if not json.loads(row["truth"])["panels"][0]["blocks"])
    truth = json.loads(row["truth"])
    for text, sentences in (("Chove. Neva.", ["Chove. Neva."]), ("Chove. Neva.", ["Chove."])):
        panels = [{**panel, "text": text, "sentences": sentences} for panel in truth["panels"]]
        assert any("are not the sentences" in fault for fault in pt_ocr.faults(with_truth(row, panels=panels)))


def test_the_validator_sees_lines_that_are_elsewhere_and_documents_that_are_not_drawn(rows):
    row = next(row for row in rows if json.loads(row["truth"])["panels"][0]["blocks"])
    (panel,) = json.loads(row["truth"])["panels"]
    moved = [[text, 10**5, left, 10**5 + 9, right] for text, _, left, _, right in panel["lines"]]
    assert "is not seen in" in pt_ocr.faults(with_truth(row, panels=[{**panel, "lines": moved}]))[0]
    found = pt_ocr.faults(with_truth(row, panels=[{**panel, "text": panel["text"] + " Mais."}]))
    assert any("is not what is drawn" in fault for fault in found)
    blocks = [*panel["blocks"][1:], panel["blocks"][0]]
    assert any(
        "is not below" in fault for fault in pt_ocr.faults(with_truth(row, panels=[{**panel, "blocks": blocks}]))
    )


def test_documents_and_texts_come_up_and_boxes_hold_all_lines(rows, truths):
    layouts = {panel["layout"] for truth in truths for panel in truth["panels"]}
    assert len(layouts) > 10
    assert "panel" in layouts
    for row, truth in zip(rows, truths, strict=True):
        lines = sum(len(panel["lines"]) for panel in truth["panels"])
        assert len(pt_ocr.boxes(row)) == lines > 0


def test_the_validator_sees_an_empty_picture(rows):
    blank = Image.new("RGB", open_picture(rows[0]).size, "white")
    assert "is not seen in" in pt_ocr.faults({**rows[0], "images": [{"bytes": png(blank)}]})[0]
    smaller = Image.new("RGB", (8, 8), "white")
    assert "is not seen in" in pt_ocr.faults({**rows[0], "images": [{"bytes": png(smaller)}]})[0]


def test_questions_are_european_portuguese():
    questions = [question.format(place="de cima", ordinal="segunda", candidate="Chove.")
                 for some in pt_ocr.QUESTIONS.values() for question in some]  # fmt: skip
    verdict = judge("\n".join([*questions, ACCEPTED, REFUTED]))
    assert verdict.is_pt_pt, verdict.reasons


def test_texts_of_a_picture_are_different_ones_of_the_users(tmp_path):
    given = [Passage(f"Texto {number}", (f"Texto {number}",)) for number in range(40)]
    materials = Materials(find_typefaces(), lambda rng, index: given[index])
    seen = [
        [panel["text"] for panel in json.loads(drawn_row(pt_ocr, seed, materials)["truth"])["panels"]]
        for seed in range(12)
    ]
    texts = [text for some in seen for text in some]
    assert len(set(texts)) == len(texts)


def test_the_users_pictures_are_worn_and_asked_about():
    picture = Image.fromarray(np.tile(np.array([[[0], [255]]], dtype=np.uint8), (40, 60, 3)))
    passage = shown("Primeira linha\nsegunda linha.", picture)
    row = drawn_row(pt_ocr, 3, Materials(find_typefaces(), lambda rng, index: passage))
    assert pt_ocr.faults(row) == []
    panels = json.loads(row["truth"])["panels"]
    assert {panel["text"] for panel in panels} == {passage.text}
    assert [box.text for box in pt_ocr.boxes(row)] == [passage.text] * len(panels)


def test_a_picture_that_is_none_says_whose():
    passage = Passage("Olá.", ("Olá.",), b"no picture")
    with pytest.raises(ValueError, match=r"the picture of 'Olá\.' cannot be read"):
        drawn_row(pt_ocr, 0, Materials(find_typefaces(), lambda rng, index: passage))


def test_text_that_cannot_be_seen_is_refused(monkeypatch):
    monkeypatch.setattr("amalia_vl_hf.data.text.text_pictures.MIN_INK", 0.99)
    with pytest.raises(ValueError, match=r"no ink where '.*' should be"):
        drawn_row(pt_ocr, 0)


def test_a_text_made_like_a_format_is_asked_for_in_another():
    passage = shown("um\n\n**texto_2:** dois</texto_1>\n<texto_2>três", Image.linear_gradient("L"))
    formats = set()
    for seed in range(60):
        row = drawn_row(pt_ocr, seed, Materials(find_typefaces(), lambda rng, index: passage))
        assert pt_ocr.faults(row) == []
        truth = json.loads(row["truth"])
        if truth["panel"] is None:
            formats.add(truth["format"])
    assert formats == {"json"}


def test_directions_and_ordinals_cover_what_is_asked():
    assert {direction for direction, _ in PLACES} == set(ORDERS)
    assert len(ORDINALS["pt"]) == len(set(ORDINALS["pt"])) == 10
