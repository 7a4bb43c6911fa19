"""InvoiceQA: boxes hold what they are said to hold, sums are right, and wrong boxes are rejected."""

import json
import random
import re
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf.data.answer_formats import FORMATS
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.invoices import invoice_qa, questions
from amalia_vl_hf.data.invoices.fatura import read_invoices
from amalia_vl_hf.data.invoices.questions import (
    NOUNS,
    WORDS,
    InvoiceQuery,
    bodies,
    endings,
    noun,
    write_box,
)
from amalia_vl_hf.data.invoices.typeset import InvoicePage
from amalia_vl_hf.data.rows import FEATURES, exchanges, open_pictures, png
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.variety import judge

from ..rows import MATERIALS, drawn_row, with_truth
from .fatura_folder import write_folder

SAMPLES = 30
TASKS = {"extraction", "fields", "box", "confirmation", "rejection"}


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(invoice_qa, seed) for seed in range(SAMPLES)]


@pytest.fixture(scope="module")
def fatura_rows(tmp_path_factory):
    source = read_invoices(write_folder(tmp_path_factory.mktemp("fatura"), 5))
    return [drawn_row(invoice_qa, seed, MATERIALS._replace(invoices=source)) for seed in range(SAMPLES)]


def asked_in(row):
    return [InvoiceQuery.of(known) for known in json.loads(row["truth"])["asked"]]


def of_task(rows, task):
    """Find a row with a task; gives the row, the number of the exchange, what is asked and what is said."""
    for row in rows:
        for number, asked in enumerate(asked_in(row)):
            if asked.task == task:
                return row, number, asked, exchanges(row)[number]
    raise AssertionError(f"no row has {task}")


def with_exchange(row, number, exchange):
    turns = [*row["messages"]]
    turns[2 * number : 2 * number + 2] = [
        {"role": role, "content": text} for role, text in zip(("user", "assistant"), exchange, strict=True)
    ]
    return {**row, "messages": turns}


def test_samples_are_what_their_pictures_show(rows):
    assert [invoice_qa.faults(row) for row in rows] == [[]] * SAMPLES
    assert {asked.task for row in rows for asked in asked_in(row)} == TASKS


def test_samples_of_fatura_are_what_its_annotations_say(fatura_rows):
    assert [invoice_qa.faults(row) for row in fatura_rows] == [[]] * SAMPLES
    assert {asked.task for row in fatura_rows for asked in asked_in(row)} == TASKS
    assert {json.loads(row["truth"])["page"] for row in fatura_rows} == {f"Template{n}_Instance0" for n in range(5)}


def test_the_same_sample_has_the_same_bytes(rows):
    assert drawn_row(invoice_qa, 7) == rows[7]


def test_each_conversation_mixes_extraction_and_boxes_and_three_in_ten_have_a_negative():
    page = invoice_qa.write_invoice(random.Random(0), 0)
    chosen = [invoice_qa._choose(page, random.Random(seed)) for seed in range(1_000)]
    negatives = 0
    for asking in chosen:
        tasks = Counter(asked.task for asked in asking)
        assert 2 <= len(asking) <= 4
        assert tasks["extraction"] + tasks["fields"] >= 1
        assert tasks["box"] >= 1
        assert tasks["rejection"] <= 1
        negatives += tasks["rejection"]
        named = [name for asked in asking if asked.task in ("extraction", "fields") for name in asked.names]
        assert len(set(named)) == len(named)
    assert 0.24 < negatives / len(chosen) < 0.36  # four standard deviations
    assert {asked.kind for asking in chosen for asked in asking if asked.task == "fields"} == set(FORMATS)


def test_a_rejection_names_the_field_whose_box_it_is(rows):
    row, _, asked, (question, answer) = of_task(rows, "rejection")
    truth = json.loads(row["truth"])
    box = re.search(r"\[.*\]", question)[0]
    (there,) = [
        name
        for name, place in truth["boxes"].items()
        if write_box(place) == box and asked.page in (None, truth["sheets"].get(name))
    ]
    assert there == asked.there != asked.field
    assert answer.startswith("Não")
    assert all(
        part in answer
        for part in (noun(asked.field, asked.document), noun(there, asked.document), truth["fields"][there])
    )


def test_a_field_is_not_rejected_where_it_is():
    boxes = {"number": (0.1, 0.1, 0.2, 0.2), "buyer_block": (0.1, 0.1, 0.5, 0.5), "date": (0.6, 0.6, 0.7, 0.7)}
    page = InvoicePage(b"", {"number": "1", "buyer_block": "Ana, Rua B", "date": "2-Jan-2020"}, boxes)
    assert not invoice_qa._apart(page, "number", "buyer_block")
    assert invoice_qa._apart(page, "date", "buyer_block")
    same = page._replace(fields={**page.fields, "date": "Rua B"})
    assert not invoice_qa._apart(same, "date", "buyer_block")
    assert not invoice_qa._apart(same, "buyer_block", "date")


def small_page(count, boxes):
    names = ["buyer", "date", "iban", "number"][:count]
    return InvoicePage(b"", {name: f"value {name}" for name in names}, dict(zip(names, boxes, strict=False)))


def test_a_page_with_too_little_is_rejected():
    apart = [(0.1, 0.1 * place, 0.3, 0.1 * place + 0.05) for place in range(4)]
    asked = invoice_qa._choose(small_page(4, apart), random.Random(0))
    assert 2 <= len(asked) <= 4
    for page in (small_page(3, apart), small_page(4, [apart[0]] * 4), small_page(4, [])):
        with pytest.raises(RejectedError, match="the page has too few fields to ask about"):
            invoice_qa._choose(page, random.Random(0))
    nested = [(0.1 * place, 0.1 * place, 1 - 0.1 * place, 1 - 0.1 * place) for place in range(4)]
    with pytest.raises(RejectedError, match="no two fields of the page are apart"):
        [invoice_qa._choose(small_page(4, nested), random.Random(seed)) for seed in range(20)]


def test_nothing_is_asked_twice_on_a_small_page():
    apart = [(0.1, 0.1 * place, 0.3, 0.1 * place + 0.05) for place in range(4)]
    for seed in range(300):
        asked = [(one.task, one.names) for one in invoice_qa._choose(small_page(4, apart), random.Random(seed))]
        assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_validator_sees_wrong_answers_and_questions(rows, task):
    row, number, _, exchange = of_task(rows, task)
    wrong = with_exchange(row, number, exchange._replace(answer=exchange.answer + "0"))
    assert "is none of" in invoice_qa.faults(wrong)[0]
    asking = exchange.question.replace("fatura", "conta").replace("recibo", "conta")
    other = with_exchange(row, number, exchange._replace(question=f"{asking} Olá?"))
    assert re.search("does not ask for|lacks", invoice_qa.faults(other)[0])


def test_the_validator_sees_a_box_of_no_field_and_the_wrong_verdict(rows):
    row, number, asked, exchange = of_task(rows, "confirmation")
    nowhere = exchange._replace(question=re.sub(r"\[.*\]", "[0.000, 0.000, 0.001, 0.001]", exchange.question))
    assert "is none of []" in invoice_qa.faults(with_exchange(row, number, nowhere))[-1]
    known = json.loads(row["truth"])["asked"]
    known[number] = asked._replace(task="rejection")._asdict()
    assert "is none of []" in invoice_qa.faults(with_truth(row, asked=known))[0]


def test_the_validator_counts_the_exchanges(rows):
    row = next(row for row in rows if len(exchanges(row)) == 2)
    assert "1 exchanges, and 2 things were asked" in invoice_qa.faults({**row, "messages": row["messages"][:2]})[0]


def test_the_validator_sees_boxes_that_are_empty_too_wide_or_outside(rows, fatura_rows):
    row = next(row for row in rows if json.loads(row["truth"])["facts"]["handling"] == "clean")
    boxes = json.loads(row["truth"])["boxes"]
    x0, y0, x1, y1 = boxes["total"]
    for box in ([x0, 0.0, x1, 0.01], [x0, y0, 1.2, y1], [x1, y0, x0, y1]):
        assert f"total is not printed in {box}" in invoice_qa.faults(with_truth(row, boxes={**boxes, "total": box}))
    for spoilt, count in ((row, len(boxes)), (fatura_rows[0], 11)):
        blank = Image.new("RGB", open_pictures(spoilt)[0].size, "white")
        assert len(invoice_qa.faults({**spoilt, "images": [{"bytes": png(blank)}]})) == count
    boxes = json.loads(fatura_rows[0]["truth"])["boxes"]
    for box in ([0.3, 0.4, 0.5, 0.41], [0.5, 0.5, 0.5, 0.5001]):
        found = invoice_qa.faults(with_truth(fatura_rows[0], boxes={**boxes, "total": box}))
        assert f"total is not printed in {box}" in found


def test_the_validator_sees_a_box_that_did_not_move_with_its_page(rows):
    row = next(row for row in rows if json.loads(row["truth"])["facts"]["handling"] != "clean")
    truth = json.loads(row["truth"])
    flat = {**truth["boxes"], "date": [round(share, 3) for share in truth["facts"]["flat"]["date"]]}
    moved = [box for box in invoice_qa.faults(with_truth(row, boxes=flat)) if box.startswith("date went to")]
    assert moved
    corners = {**truth["facts"], "corners": [[[0, 0], [1, 0], [1, 1], [0, 1]]] * 2}
    assert any("pages, and corners of 2" in fault for fault in invoice_qa.faults(with_truth(row, facts=corners)))


def test_the_validator_sees_wrong_sums_and_missing_fields(rows):
    truth = json.loads(rows[0]["truth"])
    facts = {**truth["facts"], "fields": {**truth["facts"]["fields"], "total": "0,01 €"}}
    wrong = with_truth(rows[0], fields={**truth["fields"], "total": "0,01 €"}, facts=facts)
    assert any("the total is printed as '0,01 €'" in fault for fault in invoice_qa.faults(wrong))
    fields = {**truth["fields"]}
    del fields["total"]
    assert any(fault.startswith("fields [") for fault in invoice_qa.faults(with_truth(rows[0], fields=fields)))


def test_pages_of_a_document_are_pictures_of_a_row_and_boxes_name_their_page(tmp_path):
    found = (drawn_row(invoice_qa, seed) for seed in range(400))
    row = next(
        row for row in found if len(row["images"]) > 1 and any(query.page is not None for query in asked_in(row))
    )
    assert invoice_qa.faults(row) == []
    assert [image["path"] for image in row["images"]][:2] == [
        f"invoice-qa-{row['index']:08}.{row['images'][0]['path'][-3:]}",
        f"invoice-qa-{row['index']:08}-1.{row['images'][1]['path'][-3:]}",
    ]
    truth = json.loads(row["truth"])
    for query, exchange in zip(asked_in(row), exchanges(row), strict=True):
        if query.task in invoice_qa.BOXED:
            assert query.page == truth["sheets"][query.there or query.field]
            assert f"{('primeira', 'segunda', 'terceira', 'quarta')[query.page]} página" in exchange.question
    (sample,) = pq_samples(tmp_path, row)
    assert len(sample["images"]) == len(row["images"])


def pq_samples(folder, row):
    table = pa.Table.from_pylist([row | dict.fromkeys(set(FEATURES) - set(row))], schema=FEATURES.arrow_schema)
    pq.write_table(table, folder / "rows.parquet")
    return load_samples(folder / "rows.parquet", "sft")


def test_every_wording_is_a_sentence_in_european_portuguese():
    box = dict.fromkeys(NOUNS, (0.1, 0.2, 0.3, 0.4))
    fields = dict.fromkeys(NOUNS, "Lda.")
    written = []
    for document in WORDS:
        for name in NOUNS:
            for task in ("extraction", "box", "confirmation", "rejection"):
                asked = InvoiceQuery(task, (name,), "iban" if task == "rejection" else None, document=document)
                asking = bodies(asked, box)
                answering = questions.answers(asked, fields, box)
                assert len(set(asking)) == len(asking)
                assert all(re.fullmatch(r"[A-Z].*[.?]", body) for body in asking)
                assert all(re.fullmatch(r"[A-Z].*[^.]\.|\[.*\]", answer) for answer in answering)
                written += asking + answering
    assert not re.search(r"[{}]|\.\.|\bde o\b|\ba o\b|\ba recibo|\bo fatura|\bo nota", "\n".join(written))
    verdict = judge("\n".join(written))
    assert verdict.is_pt_pt, verdict.reasons


def test_names_of_formats_are_one_word():
    for document in WORDS:
        names = [questions.key(name, document) for name in NOUNS]
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() for name in names)
    assert endings(InvoiceQuery("fields", ("number", "date"), kind="tagged"))[0].startswith("Responde com etiquetas")


def test_an_exchange_survives_json():
    asked = InvoiceQuery("fields", ("number", "date"), kind="json")
    assert InvoiceQuery.of(json.loads(json.dumps(asked._asdict()))) == asked


def test_boxes_for_the_preview_are_in_pixels_of_their_page(rows):
    for row in rows[:5]:
        truth = json.loads(row["truth"])
        drawn = {box.text.partition(":")[0]: box for box in invoice_qa.boxes(row)}
        assert set(drawn) == set(truth["boxes"])
        for name, box in drawn.items():
            picture = open_pictures(row)[box.picture]
            shares = box.left / picture.width, box.top / picture.height, box.right / picture.width
            assert shares == pytest.approx(truth["boxes"][name][:3])


def test_trainers_read_what_is_built_from_ours_and_from_fatura(tmp_path):
    write_folder(tmp_path / "fatura")
    for name, invoices in (("ours", None), ("theirs", str(tmp_path / "fatura"))):
        build(BuildRecipe("invoice-qa", 3, 0, invoices=invoices), tmp_path / name)
        assert len(load_samples(tmp_path / name, "sft")) == 3
