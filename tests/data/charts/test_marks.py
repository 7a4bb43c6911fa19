"""Marks of charts: the validator sees in the picture where each value ends, and that it is in proportion."""

import random

import pytest

from amalia_vl_hf.data.charts import checks
from amalia_vl_hf.data.charts.checks import check_picture
from amalia_vl_hf.data.charts.infographic_synth import _mark_record
from amalia_vl_hf.data.charts.templates import TEMPLATES, draw_chart
from amalia_vl_hf.data.dataset import RejectedError

from .charts import seeded

MARKED = sorted(set(TEMPLATES) - set(checks.UNMARKED))


def shown(template, seed):
    """Draw a chart; gives its record and its picture."""
    while True:
        panel = seeded(template, seed)
        try:
            chart = draw_chart(template, panel.content, random.Random(seed))
        except RejectedError:
            seed += 1_000
            continue
        texts = [[box.text, *map(int, box[1:])] for box in chart.texts]
        marks = [_mark_record(mark) for mark in chart.marks]
        record = {"template": template, "content": panel.content.record(), "texts": texts, "marks": marks}
        return record, chart.picture


@pytest.mark.parametrize("template", MARKED)
def test_every_value_has_a_mark_that_is_seen(template):
    for seed in range(3):
        record, picture = shown(template, seed)
        assert check_picture(record, picture) == []
        content = record["content"]
        assert len(record["marks"]) == len(content["series"]) * len(content["categories"])


@pytest.mark.parametrize("template", MARKED)
def test_a_mark_of_another_size_colour_or_place_is_found(template):
    record, picture = shown(template, 1)
    first, *others = record["marks"]
    spoilt = [
        ({**first, "inside": [[1, 1] for _ in first["inside"]]}, "is not at"),
        ({**first, "colour": "#ff00ff"}, "is not at"),
    ]
    if first["kind"] == "length":
        spoilt.append(({**first, "measure": first["measure"] * 1.2 + 4}, "is not in proportion to"))
    if first["outside"]:
        spoilt.append(({**first, "outside": first["inside"]}, "goes on to"))
    for mark, fault in spoilt:
        assert any(fault in found for found in check_picture({**record, "marks": [mark, *others]}, picture)), fault
    assert "has marks of" in check_picture({**record, "marks": others}, picture)[0]


def test_cells_darken_with_their_values():
    record, picture = shown("heat map", 0)
    values = record["content"]["values"]
    low = min((float(value), row, column) for row, line in enumerate(values) for column, value in enumerate(line))
    values[low[1]][low[2]] = "99999"
    assert any("do not darken" in found for found in check_picture(record, picture))


def test_a_value_that_is_not_the_drawn_one_is_found():
    for template in ("columns", "bars", "pie", "pictogram", "lollipops"):
        record, picture = shown(template, 2)
        record["content"]["values"][0][0] = str(2 * float(record["content"]["values"][0][0]) + 1)
        assert any("is not in proportion to" in found for found in check_picture(record, picture))
