"""What charts say: in the ranges that the table of facts gives, where there is such a thing, in the right months."""

import random
from itertools import pairwise

import pytest

from amalia_vl_hf.data.charts.content import UNITS
from amalia_vl_hf.data.charts.templates import TEMPLATES
from amalia_vl_hf.data.charts.topics import (
    MONTHS,
    OTHERS,
    ROUNDED,
    YEARS,
    _pairs,
    _series,
    places,
    rows_of,
    tables,
    write_content,
)
from amalia_vl_hf.data.languages import LANGUAGES
from amalia_vl_hf.variety import judge

NAMES = sorted(TEMPLATES)
CONTENTS = [
    (name, write_content(random.Random(seed), TEMPLATES[name].shape, LANGUAGES[seed % 5 == 0]))
    for seed in range(900)
    if (name := NAMES[seed % len(NAMES)])
]


def table_of(content):
    """Find the table of a content; none of a scatter plot, which has two measures."""
    at = LANGUAGES.index(content.language)
    for table in tables():
        bare = {table.measure[at], table.measure[at].partition(" (")[0]}
        titles = [words[at].partition("{")[0] for words in (*table.titles, *table.shares)]
        if content.measure in bare and any(content.title.startswith(title) for title in titles if title):
            return table, at
    return None, at


def town_in(title, at):
    there = [place for place in places() if place.name[at] in title]
    return max(there, key=lambda place: len(place.name[at]), default=None)  # Bragança has Braga in it


def test_values_lie_in_the_ranges_of_their_categories():
    held = 0
    for name, content in CONTENTS:
        table, at = table_of(content)
        if table is None or TEMPLATES[name].shape.whole or TEMPLATES[name].shape.distinct:
            continue
        rows = {row.name[at]: row for row in rows_of(table, town_in(content.title, at))}
        if table.series != "years" and len(content.series) > 1:
            continue
        for series, values in zip(content.series, content.values, strict=True):
            for category, value in zip(content.categories, values, strict=True):
                by_year = content.title.rpartition(": ")[2]
                row = rows.get(category) or rows.get(series) or rows.get(by_year)
                assert row is not None, (content.title, category, series)
                low, high = row.low / (1 + ROUNDED) - 1, row.high * (1 + ROUNDED) + 1
                assert low <= value <= high, (content.title, category, value)
                held += 1
    assert held > 1_500


def test_what_grows_or_falls_does_so_from_year_to_year():
    (renewables,) = (table for table in tables() if table.key == "renewables")
    for row in renewables.rows:
        middles = [sum(row.limits(year)) / 2 for year in YEARS]
        assert middles == sorted(middles)
        assert all(row.low <= low < high <= row.high + 1e-9 for low, high in map(row.limits, YEARS))
    held = 0
    for _, content in CONTENTS:
        table, at = table_of(content)
        if table is None or not content.categories[0].isdecimal():
            continue
        rows = {row.name[at]: row for row in table.rows}
        for series, values in zip(content.series, content.values, strict=True):
            row = rows.get(series) or rows[content.title.rpartition(": ")[2]]
            for year, value in zip(content.categories, values, strict=True):
                low, high = row.limits(int(year))
                assert low / (1 + ROUNDED) - 1 <= value <= high * (1 + ROUNDED) + 1, (content.title, year, value)
                held += bool(row.trend)
    assert held > 30


def test_a_larger_town_has_more_of_what_towns_have():
    lisbon, beja = (next(place for place in places() if place.name[0] == name) for name in ("Lisboa", "Beja"))
    levels = [table for table in tables() if table.level]
    assert {table.level for table in levels} == {"residents", "nights"}
    for table in levels:
        larger, smaller = ({row.name: row for row in rows_of(table, place)} for place in (lisbon, beja))
        assert all(larger[name].low > 10 * smaller[name].low for name in smaller)
        assert all("{place}" in words[0] for words in (*table.titles, *table.shares))


def test_a_whole_is_whole():
    wholes = [content for name, content in CONTENTS if TEMPLATES[name].shape.whole]
    assert len(wholes) > 40
    for content in wholes:
        at = LANGUAGES.index(content.language)
        (values,), names = content.values, content.categories
        (table,) = (
            one for one in tables()
            if one.category[at] == content.category and content.title[:12] in {w[at][:12] for w in one.shares}
        )  # fmt: skip
        place = town_in(content.title, at)
        assert sum(values) == 100
        if OTHERS[at] in names:
            assert names[-1] == OTHERS[at]
            assert values[-1] < max(values)
        else:
            assert place is None or set(names) == {row.name[at] for row in rows_of(table, place)}


def test_months_have_the_weather_of_their_town():
    june = MONTHS.index(("junho", "June"))
    for place in places():
        assert place.climate["warmth"][june] > 18.5
        assert place.climate["warmth"].index(max(place.climate["warmth"])) in (6, 7)
        assert sum(place.climate["rain"][6:8]) < 0.06 * sum(place.climate["rain"])
    (faro,) = (place for place in places() if place.name[0] == "Faro")
    (table,) = (table for table in tables() if table.key == "warmth")
    rows = rows_of(table, faro)
    assert [row.name for row in rows] == list(MONTHS)
    assert all(row.low < normal < row.high for row, normal in zip(rows, faro.climate["warmth"], strict=True))


def test_a_town_has_only_the_transport_that_it_has():
    (commuting,) = (table for table in tables() if table.key == "commuting")
    named = {place.name[0]: {row.name[0] for row in rows_of(commuting, place)} for place in places()}
    assert {town for town, rows in named.items() if "Metro" in rows} == {"Lisboa"}
    assert {town for town, rows in named.items() if "Elétrico" in rows} == {"Lisboa"}
    assert "Comboio" not in named["Viseu"] | named["Bragança"] | named["Vila Real"]
    assert "Barco" not in named["Portalegre"] | named["Évora"]
    assert not any("Ilhas" in content.series or "Islands" in content.series for _, content in CONTENTS)


def test_lines_and_areas_have_categories_in_order():
    for name, content in CONTENTS:
        if name in ("lines", "area"):
            assert content.category in ("ano", "year", "mês", "month", "dia", "day", "faixa etária", "age group")
        if content.categories[0].isdecimal():
            assert all(int(one) + 1 == int(other) for one, other in pairwise(content.categories))


def test_contents_vary():
    titles = [content.title for _, content in CONTENTS]
    assert len(set(titles)) > 350
    assert max(map(titles.count, titles)) / len(titles) < 0.03


def test_every_table_is_whole_and_says_where_it_is_from():
    assert len(tables()) >= 25
    for table in tables():
        assert table.unit in UNITS
        assert table.source
        assert table.series == "years" or table.series in _series()
        assert len(table.titles) >= 2
        assert all(0 < row.low <= row.high for row in table.rows)
        assert table.climate or len(table.rows) >= 5
        for at in (0, 1):
            assert len({row.name[at] for row in table.rows}) == len(table.rows)
            assert all("," not in row.name[at] and len(row.name[at]) <= 24 for row in table.rows)
    assert {pair.table for pair in _pairs()} <= {table.key for table in tables()}


def test_portuguese_words_are_european():
    titles = [words[0] for table in tables() for words in (*table.titles, *table.shares)]
    nouns = [words[0] for table in tables() for words in (table.category, table.measure)]
    names = [row.name[0] for table in tables() for row in table.rows]
    for texts in (titles, nouns, names):
        assert judge("\n".join(texts)).is_pt_pt is not False


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_seed_gives_the_same_content(language):
    for name in NAMES:
        one, other = (write_content(random.Random(3), TEMPLATES[name].shape, language) for _ in range(2))
        assert one == other
