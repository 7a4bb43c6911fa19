"""PT-OCR: every answer is what the picture shows, in the format that was asked for, and no question tells it."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.answer_formats import ACCEPTED, FORMATS, REFUTED, VERDICT, read, request, write
from amalia_vl_hf.data.dataset import Materials, Passage
from amalia_vl_hf.data.languages import ORDINALS
from amalia_vl_hf.data.rows import jpeg, open_picture, png
from amalia_vl_hf.data.text import pt_ocr
from amalia_vl_hf.data.text.misreadings import MISREADINGS, misread
from amalia_vl_hf.data.text.passages import split_sentences
from amalia_vl_hf.data.text.pt_ocr import ORDERS, PLACES, TASKS
from amalia_vl_hf.data.text.wear import WEARS, wear
from amalia_vl_hf.data.typefaces import find_typefaces
from amalia_vl_hf.variety import judge

from ..rows import asked, drawn_row, said, with_truth

SAMPLES = 60


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
        assert "is not" in pt_ocr.faults(said(row, row["messages"][1]["content"] + "x"))[0]
        assert pt_ocr.faults(asked(row, "Olá!")), task


def test_the_validator_sees_another_sentence_and_another_verdict(rows):
    row = of_task(rows, "nth")
    truth = json.loads(row["truth"])
    (found,) = [fault for fault in pt_ocr.faults(with_truth(row, number=1)) if "the answer" in fault]
    assert truth["panels"][truth["panel"]]["sentences"][0] in found
    row = of_task(rows, "detection")
    assert "the answer" in pt_ocr.faults(with_truth(row, candidate="Outra coisa."))[-1]


def test_the_validator_sees_sentences_that_are_none(rows):
    row = of_task(rows, "transcription")
    truth = json.loads(row["truth"])
    for text, sentences in (("Chove. Neva.", ["Chove. Neva."]), ("Chove. Neva.", ["Chove."])):
        panels = [{**panel, "text": text, "sentences": sentences} for panel in truth["panels"]]
        assert "are not the sentences" in pt_ocr.faults(with_truth(row, panels=panels))[0]


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
    assert {panel["text"] for panel in json.loads(row["truth"])["panels"]} == {passage.text}


def test_a_picture_that_is_none_says_whose():
    passage = Passage("Olá.", ("Olá.",), b"no picture")
    with pytest.raises(ValueError, match=r"the picture of 'Olá\.' cannot be read"):
        drawn_row(pt_ocr, 0, Materials(find_typefaces(), lambda rng, index: passage))


def test_text_that_cannot_be_seen_is_refused(monkeypatch):
    monkeypatch.setattr("amalia_vl_hf.data.text.text_pictures.MIN_INK", 0.99)
    with pytest.raises(ValueError, match=r"no ink where '.*' should be"):
        drawn_row(pt_ocr, 0)


CASES = [
    {"texto": "Olá, «mundo»!"},
    {"texto": 'Aspas "e" \\ barras\nem duas linhas'},
    {"frase": "1"},
    {"total": 3},
    {"texto_1": "Um.", "texto_2": "Dois."},
    {VERDICT: True},
    {VERDICT: False, "texto": "Chove."},
]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fields", CASES)
def test_formats_are_read_back_as_they_were_written(kind, fields):
    assert read(write(fields, kind), kind, fields) == fields


@pytest.mark.parametrize("kind", FORMATS[1:])
@pytest.mark.parametrize("answer", ["", "Chove.", "null", "{", "<texto>", "**texto:** ", '{"outro": 1}', "[]"])
def test_other_formats_are_not_read(kind, answer):
    assert read(answer, kind, {"frase": ""}) is None


def test_a_verdict_in_plain_words_is_one_of_two():
    assert read("Talvez.", "plain", {VERDICT: True}) is None
    assert read(ACCEPTED, "plain", {VERDICT: False, "texto": ""}) is None
    assert read(REFUTED + "Chove.", "plain", {VERDICT: True}) is None


def test_two_texts_do_not_pass_for_one():
    assert read("um", "plain", {"texto_1": "", "texto_2": ""}) is None


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


def test_requests_name_every_field():
    for kind in FORMATS[1:]:
        assert "texto_1" in request(["texto_1", "texto_2"], kind)
        assert "texto_2" in request(["texto_1", "texto_2"], kind)
    assert request(["texto"], "plain") == ""


@pytest.mark.parametrize("text", ["Chove.", "O pão custa 3,20 €. Leva dois.", "a a a", "ção 9"])
def test_a_misreading_is_never_the_text(text):
    for seed in range(40):
        assert misread(text, random.Random(seed)).split() != text.split()


def test_each_misreading_changes_words():
    words = ["A", "estação", "fecha", "às", "9", "e", "abre", "às", "17"]
    for misreading in MISREADINGS:
        assert any(misreading(words, random.Random(seed)) != words for seed in range(20))
    assert words == ["A", "estação", "fecha", "às", "9", "e", "abre", "às", "17"]


@pytest.mark.parametrize("name", WEARS)
def test_wear_leaves_a_picture_that_can_be_read(name):
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste((0, 0, 0), (20, 10, 40, 30))
    worn = WEARS[name](picture, random.Random(0))
    assert worn.mode == "RGB"
    assert worn.tobytes() != picture.tobytes()
    grey = np.asarray(worn.convert("L"))
    assert grey.max() - grey.min() > 100


def test_wear_says_what_it_did_in_the_order_it_did_it():
    picture = Image.linear_gradient("L").convert("RGB")
    for seed in range(20):
        worn, names = wear(picture, random.Random(seed))
        assert names == [name for name in WEARS if name in names]
        assert (worn is picture) == (not names)


def test_lossy_pictures_keep_their_colours_size():
    assert jpeg(Image.new("RGB", (32, 32), "red"), 60).startswith(b"\xff\xd8")


def test_directions_and_ordinals_cover_what_is_asked():
    assert {direction for direction, _ in PLACES} == set(ORDERS)
    assert len(ORDINALS["pt"]) == len(set(ORDINALS["pt"])) == 10
