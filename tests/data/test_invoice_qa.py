"""InvoiceQA: boxes hold what they are said to hold, sums are right, and wrong boxes are rejected."""

import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data import invoice_qa
from amalia_vl_hf.data.build import DATASETS, Plan, build
from amalia_vl_hf.data.dataset_rows import Materials, open_picture, png
from amalia_vl_hf.data.invoice_qa import BOX_QUESTIONS, NOUNS, OWN_QUESTIONS, QUESTIONS, REGION_QUESTIONS, write_box
from amalia_vl_hf.data.invoices import FONTS, LAYOUTS, RULES, draw_invoice, money, set_invoice
from amalia_vl_hf.data.passages import write_passage
from amalia_vl_hf.data.variety import judge
from amalia_vl_hf.training.samples import load_samples

SAMPLES = 30


def drawn_row(seed):
    sample = invoice_qa.draw(random.Random(seed), seed, Materials((), write_passage))
    turns = (("user", sample.question), ("assistant", sample.answer))
    return {
        "index": seed,
        "images": [{"bytes": sample.picture}],
        "messages": [{"role": role, "content": text} for role, text in turns],
        "truth": json.dumps(sample.truth),
        "task": sample.task,
    }


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(seed) for seed in range(SAMPLES)]


def of_task(rows, task):
    return next(row for row in rows if row["task"] == task)


def with_truth(row, **changes):
    return {**row, "truth": json.dumps({**json.loads(row["truth"]), **changes})}


def said(row, question, answer):
    turns = (("user", question), ("assistant", answer))
    return {**row, "messages": [{"role": role, "content": text} for role, text in turns]}


def exchange_of(row):
    return [turn["content"] for turn in row["messages"]]


def test_samples_are_what_their_pictures_show(rows):
    assert [invoice_qa.faults(row) for row in rows] == [[]] * SAMPLES
    assert {row["task"] for row in rows} == {*invoice_qa.TASKS, "rejection"}


def test_a_rejection_names_the_field_whose_box_it_is(rows):
    row = of_task(rows, "rejection")
    truth, (question, answer) = json.loads(row["truth"]), exchange_of(row)
    box = re.search(r"\[.*\]", question)[0]
    (there,) = [name for name, place in truth["boxes"].items() if write_box(place) == box]
    assert there != truth["field"]
    assert answer.startswith(f"Não. Essa região não contém {NOUNS[truth['field']]}, mas sim {NOUNS[there]}: ")


@pytest.mark.parametrize("task", [*sorted(set(invoice_qa.TASKS)), "rejection"])
def test_the_validator_sees_wrong_answers_and_questions(rows, task):
    row = of_task(rows, task)
    question, answer = exchange_of(row)
    assert "is none of" in invoice_qa.faults(said(row, question, answer + "0"))[0]
    assert "does not ask for" in invoice_qa.faults(said(row, "Olá?", answer))[0]


def test_the_validator_sees_a_box_of_no_field_and_the_wrong_verdict(rows):
    row = of_task(rows, "confirmation")
    question, answer = exchange_of(row)
    nowhere = re.sub(r"\[.*\]", "[0.000, 0.000, 0.001, 0.001]", question)
    assert "is none of []" in invoice_qa.faults(said(row, nowhere, answer))[0]
    assert "is none of []" in invoice_qa.faults(with_truth(row, task="rejection"))[0]


def test_the_validator_sees_boxes_that_are_empty_too_wide_or_outside(rows):
    row = rows[0]
    boxes = json.loads(row["truth"])["boxes"]
    x0, y0, x1, y1 = boxes["iban"]
    for box in ([x0, y0, x1 + 0.9 * (1 - x1), y1], [x0, 0.0, x1, 0.01], [x0, y0, 1.2, y1], [x1, y0, x0, y1]):
        assert f"iban is not printed in {box}" in invoice_qa.faults(with_truth(row, boxes={**boxes, "iban": box}))
    blank = Image.new("RGB", open_picture(row).size, "white")
    assert len(invoice_qa.faults({**row, "images": [{"bytes": png(blank)}]})) == len(NOUNS)


def test_the_validator_sees_wrong_sums_and_missing_fields(rows):
    truth = json.loads(rows[0]["truth"])
    fields = {**truth["fields"], "total": "0,01 €"}
    assert "cents are not a subtotal" in invoice_qa.faults(with_truth(rows[0], fields=fields))[0]
    del fields["total"]
    assert "must be" in invoice_qa.faults(with_truth(rows[0], fields=fields))[0]


@pytest.mark.parametrize("name", ["number", "date", "due", "seller_nif", "buyer_nif", "iban"])
def test_a_value_that_changes_changes_the_picture_in_its_box_alone(name):
    for seed in range(3):
        invoice = draw_invoice(random.Random(seed))
        other = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), invoice.fields[name])
        (first, boxes), (second, moved) = (
            set_invoice(replace(invoice, fields={**invoice.fields, name: value}))
            for value in (invoice.fields[name], other)
        )
        rows, cols = np.nonzero(np.asarray(first.convert("L")) != np.asarray(second.convert("L")))
        pixel_y, pixel_x = 1.5 / first.height, 1.5 / first.width
        x0, y0, _, y1 = boxes[name]
        x1 = max(boxes[name][2], moved[name][2])
        assert x0 - pixel_x <= cols.min() / first.width
        assert cols.max() / first.width <= x1 + pixel_x
        assert y0 - pixel_y <= rows.min() / first.height
        assert rows.max() / first.height <= y1 + pixel_y


def test_settings_vary():
    settings = [draw_invoice(random.Random(seed)).setting for seed in range(60)]
    for name, values in (("layout", LAYOUTS), ("rules", RULES), ("font", FONTS)):
        assert {setting[name] for setting in settings} == set(values)


@pytest.mark.parametrize(("cents", "text"), [(5, "0,05 €"), (99999, "999,99 €"), (100000, "1 000,00 €")])
def test_amounts_are_written_as_in_portugal(cents, text):
    assert money(cents) == text


def test_wordings_are_european_portuguese():
    wordings = [
        *QUESTIONS,
        *BOX_QUESTIONS,
        *REGION_QUESTIONS,
        *(text for some in OWN_QUESTIONS.values() for text in some),
    ]
    texts = [wording.format(noun=noun, box="") for noun in NOUNS.values() for wording in wordings]
    verdict = judge("\n".join(texts))
    assert verdict.is_pt_pt, verdict.reasons


def test_trainers_read_what_is_built(tmp_path):
    assert build(Plan("invoice-qa", 3, 0), tmp_path) == 3
    assert len(load_samples(tmp_path, "sft")) == 3
    assert "invoice-qa" in DATASETS
