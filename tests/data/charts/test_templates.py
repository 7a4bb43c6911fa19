"""The chart templates: every text is seen, alone and whole; marks are as high as their values."""

import random
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from amalia_vl_hf.data.charts import matplotlib_charts, vega_charts
from amalia_vl_hf.data.charts.checks import check_chart
from amalia_vl_hf.data.charts.content import write_number
from amalia_vl_hf.data.charts.style import FACES, THEMES, TextBox, clashes, draw_style, grown, text_width, wrap
from amalia_vl_hf.data.charts.templates import BARRED, TEMPLATES, draw_chart
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.languages import LANGUAGES
from amalia_vl_hf.data.typefaces import GLYPHS, missing_glyphs

from .charts import RAIN, TOWNS, seeded

STYLE = draw_style(random.Random(0), labels=False)._replace(
    theme=THEMES[0], width=480, height=300, varied=True, shape=0, scale=False
)


def colour_of(number):
    text = THEMES[0].palette[number]
    return [int(text[at : at + 2], 16) for at in (1, 3, 5)]


def mark(picture, number):
    """Measure where a colour of the palette stands: heights and widths in pixels, and how many pixels."""
    there = (np.abs(np.asarray(picture).astype(int) - colour_of(number)).max(axis=2) <= 2).nonzero()
    return np.ptp(there[0]) + 1, np.ptp(there[1]) + 1, len(there[0])


def test_there_are_fourteen_templates():
    assert len(TEMPLATES) == 14  # paper, section 5.1


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_text_is_seen_alone_and_whole_and_values_can_be_read(template):
    for seed, language in enumerate(LANGUAGES):
        panel = seeded(template, seed, language)
        chart = draw_chart(template, panel.content, random.Random(seed))
        record = {"template": template, "content": panel.content.record(), "texts": [list(box) for box in chart.texts]}
        assert check_chart(record, np.asarray(chart.picture.convert("L"))) == []


@pytest.mark.parametrize("template", ["columns", "heat map"])
def test_turned_names_are_seen_where_they_stand(template):
    content = seeded(template, 3).content
    chart = TEMPLATES[template].draw(content, STYLE._replace(turned=True, labels=True))
    names = [box for box in chart.texts if box.text in content.categories]
    assert all(box.bottom - box.top > box.right - box.left for box in names)
    record = {"template": template, "content": content.record(), "texts": [list(box) for box in chart.texts]}
    assert check_chart(record, np.asarray(chart.picture.convert("L"))) == []


@pytest.mark.parametrize("template", ["bars", "area", "lollipops"])
def test_values_are_printed_or_on_gridlines(template):
    seen = Counter()
    for seed in range(6):
        texts = {box.text for box in draw_chart(template, TOWNS, random.Random(seed)).texts}
        seen[{"10", "20", "30", "40"} <= texts, "5" in texts] += 1
    assert len(seen) == 2
    assert all(readable for readable, _ in seen)


def test_values_between_gridlines_are_printed():
    uneven = replace(TOWNS, values=((Decimal(41), Decimal(17), Decimal(30), Decimal(23)),))
    for seed in range(2):
        texts = {box.text for box in draw_chart("columns", uneven, random.Random(seed)).texts}
        assert {"41", "17", "30", "23"} <= texts


@pytest.mark.parametrize("scale", ["200000", "0.05"])
def test_gridlines_of_large_and_small_numbers_are_written_out(scale):
    values = tuple(value / 10 * Decimal(scale) for value in TOWNS.values[0])
    chart = vega_charts.draw_vega(vega_charts.lollipops, replace(TOWNS, values=(values,)), STYLE)
    texts = {box.text for box in chart.texts}
    assert {write_number(mark * Decimal(scale), "pt") for mark in range(5)} <= texts


def test_gridlines_are_not_drawn_where_values_are_between_them():
    uneven = replace(TOWNS, values=((Decimal(41), Decimal(17), Decimal(30), Decimal(23)),))
    with pytest.raises(RejectedError, match="values between gridlines: 41, 17, 30, 23"):
        vega_charts.draw_vega(vega_charts.lollipops, uneven, STYLE)
    for compose in (matplotlib_charts.columns, matplotlib_charts.pictogram):
        with pytest.raises(RejectedError, match="values between gridlines"):
            matplotlib_charts.draw_matplotlib(compose, uneven, STYLE)


def test_columns_are_as_high_as_their_values():
    chart = matplotlib_charts.draw_matplotlib(matplotlib_charts.columns, TOWNS, STYLE)
    heights = [mark(chart.picture, number)[0] for number in range(4)]
    assert heights == pytest.approx([heights[0] * share for share in (1, 0.25, 0.75, 0.5)], abs=2)


def test_bars_are_as_long_as_their_values():
    chart = matplotlib_charts.draw_matplotlib(matplotlib_charts.bars, TOWNS, STYLE)
    widths = [mark(chart.picture, number)[1] for number in range(4)]
    assert widths == pytest.approx([widths[0] * share for share in (1, 0.25, 0.75, 0.5)], abs=2)


def test_a_pictogram_has_a_symbol_a_step():
    chart = matplotlib_charts.draw_matplotlib(matplotlib_charts.pictogram, TOWNS, STYLE)
    counts = [mark(chart.picture, number)[2] for number in range(4)]
    assert counts == pytest.approx([counts[0] * share for share in (1, 0.25, 0.75, 0.5)], rel=0.03)
    assert any(box.text == "Visitantes: cada símbolo vale 5" for box in chart.texts)


@pytest.mark.parametrize(
    "draw",
    [
        lambda style: matplotlib_charts.draw_matplotlib(matplotlib_charts.pie, TOWNS, style),
        lambda style: vega_charts.draw_vega(vega_charts.donut, TOWNS, style),
    ],
)
def test_slices_are_as_large_as_their_shares(draw):
    areas = [mark(draw(STYLE._replace(legend=False)).picture, number)[2] for number in range(4)]
    assert [area / sum(areas) for area in areas] == pytest.approx([0.4, 0.1, 0.3, 0.2], abs=0.02)


def test_parts_of_stacked_columns_are_as_large_as_their_values():
    chart = matplotlib_charts.draw_matplotlib(matplotlib_charts.stacked, RAIN, STYLE)
    below, above = (mark(chart.picture, number)[2] for number in (0, 1))
    assert below / above == pytest.approx(60 / 50, abs=0.03)


@pytest.mark.parametrize("face", FACES)
def test_fonts_have_every_glyph(face):
    for path in (face.body_path, face.heading_path):
        assert missing_glyphs(path) == ""
    assert "€" in GLYPHS


@pytest.mark.parametrize(
    ("template", "content"),
    [
        ("cards", replace(TOWNS, categories=("W" * 60, "M" * 60, "Beja", "Viseu"))),
        ("stacked columns", replace(RAIN, values=((Decimal(1),) * 3, (Decimal(9_000_000),) * 3))),
        ("table", replace(TOWNS, categories=tuple(f"{name} {'W' * 130}" for name in "ABCD"))),
        ("bars", replace(TOWNS, categories=tuple(f"{name} {'W' * 60}" for name in "ABCD"))),
    ],
)
def test_texts_that_fit_no_size_are_rejected(template, content):
    with pytest.raises(RejectedError, match="texts do not fit"):
        draw_chart(template, content, random.Random(0))


def test_texts_that_cover_one_another_are_told():
    one, other = TextBox("um", 10, 10, 50, 20), TextBox("dois", 53, 11, 80, 21)
    assert clashes([one, other._replace(left=60)], 100, 40) == []
    assert clashes([one, other], 100, 40) == ["'um' and 'dois' cover one another"]  # too near to be two
    assert clashes([one, other._replace(top=20, bottom=30)], 100, 40) == []
    assert clashes([one], 40, 40) == ["'um' reaches out of the picture"]


def test_lines_fit_the_room_they_have():
    path = FACES[0].body_path
    wrapped = wrap("Deslocações diárias em Vila Real", 90, path, 14)
    assert " ".join(wrapped.split("\n")) == "Deslocações diárias em Vila Real"
    assert all(text_width(line, path, 14) <= 90 for line in wrapped.split("\n"))
    assert wrap("Incomensuravelmente", 5, path, 14) == "Incomensuravelmente"


def test_attempts_turn_names_and_then_grow():
    style = draw_style(random.Random(1), labels=True)
    sizes = [(grown(style, attempt).turned, grown(style, attempt).width) for attempt in range(4)]
    assert sizes[0] == (False, style.width)
    assert sizes[1] == (True, style.width)
    assert sizes[2][1] == sizes[3][1] > style.width


def test_drawing_leaves_no_figure_behind():
    draw_chart("columns", TOWNS, random.Random(0))
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("name", BARRED)
def test_a_bar_too_short_to_see_is_rejected(name):
    content = TOWNS if TEMPLATES[name].shape.series == (1, 1) else RAIN
    (first, *others), *rows = content.values
    short = replace(content, values=((first * 500, *others), *rows))
    with pytest.raises(RejectedError, match="a bar too short to see"):
        draw_chart(name, short, random.Random(0))
