"""FATURA: fields and boxes as the release writes them, and what is passed over, with the reason."""

import io
import json
import logging
import random

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.invoices import fatura
from amalia_vl_hf.data.invoices.fatura import PassedOverError, read_invoices, read_page

from .fatura_folder import FIELDS, HEIGHT, WIDTH, annotate, draw_page, write_folder, write_page

NAME = "Template1_Instance0"


def read(root, **entries):
    """Read a page whose annotation has other entries; None takes one away."""
    annotation = {label: entry for label, entry in {**annotate(), **entries}.items() if entry is not None}
    return read_page(write_page(root, NAME, annotation), NAME)


def test_values_stand_without_their_labels(tmp_path):
    assert read(tmp_path).fields == {
        "title": "TAX INVOICE",
        "number": "INV/72-97/395",
        "date": "20-Mar-2008",
        "due": "16-Oct-2016",
        "seller": "Kelly-Moss",
        "seller_address": "6030 Willie Shores Suite 354, Guerraton, TX 60058 US",
        "buyer_block": "Denise Perez, 16424 Timothy Mission, Markville, AK 58294 US",
        "buyer": "Denise Perez",
        "buyer_address": "16424 Timothy Mission, Markville, AK 58294 US",
        "subtotal": "725.30 EUR",
        "discount": "13.42",
        "levy": "28.18 EUR",
        "total": "734.33 EUR",
    }


@pytest.mark.parametrize(
    ("label", "text", "field", "value"),
    [
        ("NUMBER", "INVOICE # 4411-929", "number", "4411-929"),
        ("PO_NUMBER", "PO Number : 99", "order", "99"),
        ("DATE", "Invoice Date: 11-May-2013", "date", "11-May-2013"),
        ("SELLER_EMAIL", "Email:melvin40@example.net", "seller_email", "melvin40@example.net"),
        ("SELLER_SITE", "www.ThompsonandSons.org", "seller_site", "www.ThompsonandSons.org"),
        ("TOTAL", "TOTAL : 266.80 $", "total", "266.80 $"),
        ("TOTAL_WORDS", "Total in words: one thousand dollars", "words", "one thousand dollars"),
        ("SEND_TO", "Ship to:\nAda Lovelace\n1 A St\nB, CA 90001 US", "recipient", "Ada Lovelace"),
    ],
)
def test_labels_are_written_in_more_than_one_way(tmp_path, label, text, field, value):
    entry = {"text": text, "bbox": annotate()["TOTAL"]["bbox"]}
    assert read(tmp_path, **{label: entry}).fields[field] == value


def test_a_due_amount_is_the_total_where_there_is_no_other(tmp_path):
    entry = {"text": "BALANCE DUE : 99.10 USD", "bbox": annotate()["TOTAL"]["bbox"]}
    assert read(tmp_path, TOTAL=None, AMOUNT_DUE=entry).fields["total"] == "99.10 USD"
    assert "total" not in read(tmp_path, AMOUNT_DUE=entry).fields


def test_boxes_hold_the_ink_though_y_is_counted_from_the_bottom(tmp_path):
    page = read(tmp_path)
    assert set(page.boxes) == {fatura.LABELS[label].box for label in FIELDS}
    dark = np.asarray(Image.open(io.BytesIO(page.picture)).convert("L")) < 128
    outside = dark.copy()
    for x0, y0, x1, y1 in page.boxes.values():
        rows, cols = slice(round(y0 * HEIGHT), round(y1 * HEIGHT)), slice(round(x0 * WIDTH), round(x1 * WIDTH))
        assert dark[rows, cols].mean() > 0.8
        outside[rows, cols] = False
    assert not outside.any()


def test_corners_may_stand_in_any_order_and_a_little_outside(tmp_path):
    (left, upper), (right, lower) = annotate()["TOTAL"]["bbox"]
    straight = read(tmp_path).boxes["total"]
    for corners in ([[right, lower], [left, upper]], [[left, lower], [right, upper]], [[right, upper], [left, lower]]):
        assert read(tmp_path, TOTAL={"text": "TOTAL : 1.00", "bbox": corners}).boxes["total"] == straight
    beside = {"text": "TOTAL : 1.00", "bbox": [[left, upper], [WIDTH + 2, lower]]}
    assert read(tmp_path, TOTAL=beside).boxes["total"][2] == 1.0


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"text": "TOTAL : 1.00", "bbox": [[400, 182], [WIDTH + 3, 167]]}, "outside its page of 842 x 595"),
        ({"text": "TOTAL : 1.00", "bbox": [[300, 182], [390, 167]]}, "nothing is printed in"),
        ({"text": "TOTAL : 1.00", "bbox": [[400, 182], [400, 182]]}, "nothing is printed in"),
        ({"text": "TOTAL : 1.00", "bbox": [400, 182, 530, 167]}, "not two corners"),
        ({"text": "TOTAL : 1.00"}, "not two corners"),
        ({"text": "TOTAL : 1.00", "bbox": [[400, "182"], [530, 167]]}, "its box has corners"),
        ({"text": "TOTAL : 1.00", "bbox": [[400, float("nan")], [530, 167]]}, "its box has corners"),
        ({"text": " \n", "bbox": [[400, 182], [530, 167]]}, "it has no text"),
        ({"text": 734.33, "bbox": [[400, 182], [530, 167]]}, "it has no text"),
        (["TOTAL : 1.00"], "it has no text"),
        ({"text": "9" * 301, "bbox": [[400, 182], [530, 167]]}, "301 letters"),
        ({"text": "<image> 1.00", "bbox": [[400, 182], [530, 167]]}, "marks that are no text"),
        ({"text": "TOTAL : \x1b[31m1.00", "bbox": [[400, 182], [530, 167]]}, "marks that are no text"),
        ({"text": "TOTAL :", "bbox": [[400, 182], [530, 167]]}, "is not how its value is written"),
    ],
)
def test_a_field_is_passed_over_with_a_reason(tmp_path, caplog, entry, reason):
    caplog.set_level(logging.INFO, fatura.__name__)
    page = read(tmp_path, TOTAL=entry)
    assert "total" not in page.fields | page.boxes
    assert len(page.boxes) == len(FIELDS) - 1
    (line,) = caplog.messages
    assert line.startswith(f"{NAME}: TOTAL is passed over: ")
    assert reason in line


def test_labels_that_leave_a_doubt_are_not_asked_about(tmp_path, caplog):
    annotation = annotate()
    page = read(tmp_path, BILL_TO=annotation["BUYER"], **{"GST(5%)": annotation["TAX"]})
    assert not {"buyer", "buyer_block", "levy"} & page.fields.keys()
    caplog.set_level(logging.INFO, fatura.__name__)
    read(tmp_path, DATE={**annotation["DATE"], "text": "Due Date : 08-Mar-2020"})
    assert "'Due Date : 08-Mar-2020' is not how its value is written" in caplog.text
    read(tmp_path, BUYER={**annotation["BUYER"], "text": "Bill to:\nTel: 12"})
    assert "is no name with an address below" in caplog.text


def refused(root, reason):
    with pytest.raises(PassedOverError, match=reason):
        read_page(root, NAME)


def test_a_page_is_passed_over_with_a_reason(tmp_path):
    root = write_page(tmp_path, NAME, annotate())
    picture, annotation = root / "images" / f"{NAME}.jpg", root / "Annotations/Original_Format" / f"{NAME}.json"
    annotation.write_text(json.dumps({"TOTAL": annotate()["TOTAL"]}))
    refused(root, "1 usable fields, at least 4")
    annotation.write_text("[]")
    refused(root, "no object of labels")
    annotation.write_text("[" * 100_000)
    refused(root, "is no JSON")
    annotation.write_text(" " * (2**20 + 1))
    refused(root, "has over 1048576 bytes")
    annotation.write_text(json.dumps(annotate()))
    draw_page().save(picture, "GIF")
    refused(root, "is GIF, neither JPEG nor PNG")
    Image.new("L", (6_000, 10)).save(picture, "JPEG")
    refused(root, "has 10 x 6000 pixels")
    picture.write_bytes(b"no picture")
    refused(root, "cannot be read")
    picture.unlink()
    refused(root, f"there is no images/{NAME}.jpg")


@pytest.mark.parametrize("place", ["images", "Annotations/Original_Format"])
def test_links_do_not_leave_the_folder(tmp_path, place):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    root = write_page(tmp_path / "fatura", NAME, annotate())
    (file,) = (root / place).iterdir()
    file.unlink()
    file.symlink_to(secret)
    refused(root, "is a link that leaves the folder")


def test_pages_take_turns_and_those_that_are_no_good_are_passed_over(tmp_path, caplog):
    source = read_invoices(write_folder(tmp_path, 3))
    assert len({source(random.Random(0), index).name for index in range(3)}) == 3
    assert source(random.Random(1), 4) == source(random.Random(0), 1)
    lost = source(random.Random(0), 0).name
    (tmp_path / "images" / f"{lost}.jpg").unlink()
    assert source(random.Random(0), 0) == source(random.Random(0), 1)
    assert f"{lost}: the page is passed over: there is no" in caplog.text


def test_a_folder_that_is_no_fatura_is_refused(tmp_path):
    (tmp_path / "coco").mkdir()
    with pytest.raises(ValueError, match=r"has Annotations/Original_Format and images; here: coco$"):
        read_invoices(tmp_path)
    with pytest.raises(ValueError, match="here: no such folder"):
        read_invoices(tmp_path / "none")
    root = write_page(tmp_path / "fatura", NAME, {"TOTAL": {}})
    with pytest.raises(ValueError, match="none of its 1 pages can be used"):
        read_invoices(root)(random.Random(0), 0)
    (root / "Annotations/Original_Format" / f"{NAME}.json").unlink()
    with pytest.raises(ValueError, match="was the archive unpacked whole"):
        read_invoices(root)
