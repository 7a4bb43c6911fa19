"""Documents as typst sets them: every value in its box, and a QR code that a decoder reads."""

import io
import random
import re

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from amalia_vl_hf.data.invoices.documents import draw_document
from amalia_vl_hf.data.invoices.labels import MONEY, money
from amalia_vl_hf.data.invoices.typeset import CODE, FONTS, LAYOUTS, MARKS, PLACES, RULES, draw_setting, set_document


def drawn(seed, **wanted):
    """Draw documents until one has these properties, and how it is set."""
    rng = random.Random(seed)
    while True:
        document = draw_document(rng)
        if all(getattr(document, name) == value for name, value in wanted.items()):
            return document, draw_setting(rng, document)


def opened(pages):
    return [Image.open(io.BytesIO(page)).convert("L") for page in pages]


@pytest.mark.parametrize("paper", ["a4", "roll"])
@pytest.mark.parametrize("name", ["number", "date", "seller_nif", "atcud", "total", "first_value", "seller_address"])
def test_a_value_that_changes_changes_the_picture_in_its_box_alone(paper, name):
    document, setting = drawn(0 if paper == "a4" else 1, format=paper, language="pt", kind="invoice-receipt")
    setting = setting._replace(data={**setting.data, "font": "Courier Prime"})  # digits as wide as one another
    other = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), document.fields[name])
    changed = document._replace(fields={**document.fields, name: other})
    (first,), boxes = set_document(document, setting)
    (second,), moved = set_document(changed, setting)
    one, two = (np.asarray(picture) for picture in opened([first, second]))
    rows, cols = np.nonzero(one != two)
    pixel_y, pixel_x = 1.5 / one.shape[0], 1.5 / one.shape[1]
    (x0, y0, x1, y1), (left, _, right, _) = boxes[name].box, moved[name].box
    assert min(x0, left) - pixel_x <= cols.min() / one.shape[1]
    assert cols.max() / one.shape[1] <= max(x1, right) + pixel_x
    assert y0 - pixel_y <= rows.min() / one.shape[0]
    assert rows.max() / one.shape[0] <= y1 + pixel_y


def test_qr_codes_are_read_by_a_decoder():
    for seed in range(12):
        document, setting = drawn(seed)
        pages, places = set_document(document, setting)
        read = [(page, found) for page in opened(pages) for found in zxingcpp.read_barcodes(np.asarray(page))]
        assert [found.text for _, found in read] == [document.qr]
        ((page, found),), (x0, y0, x1, y1) = read, places[CODE].box
        corners = found.position.top_left, found.position.bottom_right
        for x, y in ((corner.x / page.width, corner.y / page.height) for corner in corners):
            assert x0 <= x <= x1
            assert y0 <= y <= y1


def test_every_field_is_set_once_inside_its_page():
    for seed in range(20):
        document, setting = drawn(100 + seed)
        pages, places = set_document(document, setting)
        assert set(places) == {*document.fields, CODE}
        for page, (x0, y0, x1, y1) in places.values():
            assert 0 <= page < len(pages)
            assert 0 < x0 < x1 < 1
            assert 0 < y0 < y1 < 1


def test_a_month_of_delivery_notes_takes_several_pages_upright():
    seed = next(seed for seed in range(900) if sum(bool(line.group) for line in drawn(seed)[0].lines) > 28)
    document, setting = drawn(seed)
    pages, places = set_document(document, setting)
    assert len(pages) > 1
    assert all(page.height > page.width for page in opened(pages))
    assert places["number"].page == 0
    assert places["last_value"].page == places["total"].page or places["total"].page == len(pages) - 1


def test_settings_vary():
    drawn_settings = [drawn(seed) for seed in range(150)]
    for name, values in (("layout", LAYOUTS), ("rules", RULES), ("place", PLACES), ("mark", MARKS)):
        assert {setting.data[name] for _, setting in drawn_settings} == set(values)
    for paper, fonts in FONTS.items():
        assert {setting.data["font"] for document, setting in drawn_settings if document.format == paper} == set(fonts)


@pytest.mark.parametrize(("cents", "text"), [(5, "0,05 €"), (99999, "999,99 €"), (100000, "1 000,00 €")])
def test_amounts_are_written_as_in_portugal(cents, text):
    assert money(cents) == text


def test_every_way_to_write_an_amount_is_read_back():
    for styles in MONEY.values():
        for style in styles:
            assert int(re.sub(r"\D", "", money(123456789, style))) == 123456789
