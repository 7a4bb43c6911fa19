"""What charts say: numbers are read back as they were written, and a model's charts are exactly what was asked for."""

import random
from decimal import Decimal

import pytest

from amalia_vl_hf.data.charts.content import (
    MAX_MARKS,
    UNITS,
    ChartShape,
    check_shape,
    from_record,
    grid_step,
    read_contents,
    read_value,
    write_number,
    write_value,
)
from amalia_vl_hf.data.charts.templates import TEMPLATES
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.languages import LANGUAGES

from .charts import RAIN, TOWNS, as_model, dump, written

NUMBERS = ("0", "7", "12.5", "999", "1000", "1250.05", "9999999.99", "10000000")
FOUR = ChartShape((4, 4))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("unit", UNITS)
def test_numbers_are_read_back_as_they_were_written(unit, language):
    for number in map(Decimal, NUMBERS):
        assert read_value(write_value(number, unit, language), unit, language) == number


def test_portuguese_and_english_numbers_look_as_they_do_there():
    assert write_number(Decimal("1234567.5"), "pt") == "1 234 567,5"
    assert write_number(Decimal("1234567.5"), "en") == "1,234,567.5"
    assert write_value(Decimal(42), "%", "pt") == "42 %"
    assert write_value(Decimal(42), "%", "en") == "42%"
    assert write_value(Decimal(3), "°C", "en") == "3 °C"


@pytest.mark.parametrize("text", ["", "um", "1.5", "1 25", "12 5000", "1,", "-3", "3 kg", "1e3", "٣"])
def test_other_texts_are_no_portuguese_numbers(text):
    assert read_value(text, "€", "pt") is None


def test_every_value_is_on_a_gridline_and_gridlines_are_few():
    rng = random.Random(0)
    found = 0
    for _ in range(1_000):
        places = rng.choice((0, 0, 1, 2))
        values = (tuple(Decimal(rng.randint(0, 60) * rng.choice((1, 5, 10))).scaleb(-places) for _ in range(3)),)
        if not any(values[0]):
            continue
        step = grid_step(values)
        fine = [Decimal(factor).scaleb(power) for power in range(-places, 4) for factor in (1, 2, 5)]
        able = [one for one in fine if all(not value % one and value / one <= MAX_MARKS for value in values[0])]
        assert (step is None) == (not able)
        if step is not None:
            found += 1
            assert step in able
    assert found > 15


def test_records_are_read_back():
    for content in (TOWNS, RAIN):
        assert from_record(content.record()) == content


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_seeded_contents_are_what_a_model_is_asked_for(template, language):
    shape = TEMPLATES[template].shape
    for seed in range(12):
        content = written(template, seed, language).content
        (told,) = read_contents(dump([as_model(content)]), [shape], language)
        assert told.categories == content.categories
        assert [list(map(float, row)) for row in told.values] == [list(map(float, row)) for row in content.values]


def test_titles_do_not_name_a_year_where_years_are_compared():
    for seed in range(150):
        content = written("grouped columns", seed).content
        if content.series[0].isdecimal():
            assert not any(letter.isdecimal() for letter in content.title), content.title


def changed(**changes):
    return dump([{**as_model(TOWNS), **changes}])


def with_values(*values):
    return changed(series=[{"name": "Visitantes", "values": list(values)}])


REJECTED = {
    "no JSON": "Aqui está: []",
    "no JSON list": "{}",
    "another number of charts": "[]",
    "other keys of a chart": changed(note="olá"),
    "a text too short or too long": changed(title="Olá"),
    "a text that cannot be drawn": changed(title="Visitantes 日本語 aqui"),
    "an unknown unit": changed(unit="libras"),
    "another number of categories": changed(categories=["Braga"]),
    "another number of series": changed(series=[]),
    "other keys of a series": changed(series=[{"name": "Visitantes"}]),
    "categories that are called alike": changed(categories=["Braga", "braga", "Beja", "Viseu"]),
    "a name that begins with a sign": changed(categories=["_Braga", "Porto", "Beja", "Viseu"]),
    "a name with a comma": changed(categories=["Braga, Faro", "Porto", "Beja", "Viseu"]),
    "a series called like a category": changed(measure="Braga"),
    "not a value a category": with_values(1, 2, 3),
    "a value out of range": with_values(1, 2, 3, -4),
    "a value out of range: all are 0": with_values(0, 0, 0, 0),
    "values with too many places": with_values(1, 2, 3, 4.125),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_other_charts_are_rejected(reason):
    with pytest.raises(RejectedError, match=reason):
        read_contents(REJECTED[reason], [FOUR], "pt")


@pytest.mark.parametrize("answer", [
    "[" * 100_000, '[{"title": NaN}]', "[null]", "[[]]", changed(unit=[]), changed(categories={}), changed(title=7),
    with_values(1, 2, 3, True), with_values(1, 2, 3, "4"), changed(series=[3]), changed(categories=[1, 2, 3, 4]),
    changed(title="Uma\nlinha e outra"), with_values(1, 2, 3, 1e300),
])  # fmt: skip
def test_hostile_answers_are_rejected_and_nothing_else(answer):
    with pytest.raises(RejectedError):
        read_contents(answer, [FOUR], "pt")


def numbers(*rows, unit=""):
    values = tuple(tuple(map(Decimal, row)) for row in rows)
    names = tuple(f"Série {number}" for number in range(len(rows)))
    categories = TOWNS.categories[: len(rows[0])]
    return TOWNS.__class__("Um título", "cidade", "Coisas", unit, categories, names, values, "pt")


@pytest.mark.parametrize(
    ("reason", "content", "shape"),
    [
        ("shares that are not 100 %", numbers((50, 40), unit="%"), ChartShape((2, 4), whole=True)),
        ("a slice too thin to see", numbers((97, 3), unit="%"), ChartShape((2, 4), whole=True)),
        ("values between gridlines", numbers((97, 3)), ChartShape((2, 4), stepped=True)),
        ("values between gridlines", numbers((97, 3), (1, 2)), ChartShape((2, 4), (2, 2), apart=True)),
        ("points at the same height", numbers((5, 5), (1, 2)), ChartShape((2, 4), (2, 2), distinct=True)),
        ("one unit for two measures", numbers((5, 6), (1, 2), unit="h"), ChartShape((2, 4), (2, 2), distinct=True)),
        ("lines that cover one another", numbers((5, 6), (5, 2)), ChartShape((2, 4), (2, 2), apart=True)),
        ("a sum that means nothing", numbers((5, 6), unit="°C"), ChartShape((2, 4), added=True)),
    ],
)
def test_values_that_a_template_cannot_show_are_rejected(reason, content, shape):
    with pytest.raises(RejectedError, match=reason):
        check_shape(content, shape)
    check_shape(content, ChartShape((2, 4)))
