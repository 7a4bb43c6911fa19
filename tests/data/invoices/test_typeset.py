"""Invoices as typst sets them: every value in its box."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest

from amalia_vl_hf.data.invoices.typeset import FONTS, LAYOUTS, RULES, draw_invoice, money, set_invoice


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
