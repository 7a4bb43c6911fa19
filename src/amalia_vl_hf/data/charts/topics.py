"""Charts' contents from a seed: what Portugal counts and measures, in Portuguese and in English, from `facts.txt`.

Each value lies in the range that its category has in life: rain falls in winter, Faro is warmer than Bragança, and
only towns with a metro have passengers in one. Values are drawn; the file says where ranges are from.
"""

from __future__ import annotations

import random
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..dataset import RejectedError
from ..languages import LANGUAGES, Language
from .content import MAX_MARKS, UNITS, ChartShape, ChartValues, Content, check_shape

FACTS = Path(__file__).with_name("facts.txt")
STEPPED = 0.4  # share of contents whose values are whole steps, of those that need not be
BY_YEAR = 0.25  # share of contents of tables by year that have years as categories
AROUND = {"warmth": 1.4, "rain": 0.45}  # how far a year lies from normal: degrees, and share of the rain
YEARS = tuple(range(2015, 2025))
WAVER = 0.01  # share of itself by which a value that grows or falls lies off its line
OTHERS: Words = ("Restantes", "Other")  # what is too small for a slice of its own
ODD_YEARS = (2020, 2021)  # of the pandemic, which some sources' ranges leave out
DIFFERENT, ROUNDED = 3, 0.2  # values of a row that steps must leave; share of itself that one may be rounded by
LEAST_SHARE, SPREAD = 4, 0.12  # per cent of a whole; how evenly points lie around their line

Words = tuple[str, str]  # in Portuguese and in English


class Row(NamedTuple):
    """A category.

    Args:
        name: Of it.
        low: The lowest value that it has in any year.
        high: The highest.
        needs: What a town must have for it.
        trend: Its values at equal steps from the first of the years to the last, where it grows or falls.
    """

    name: Words
    low: float
    high: float
    needs: str = ""
    trend: tuple[float, ...] = ()

    def limits(self, year: int | None) -> tuple[float, float]:
        """Give the lowest and the highest value of a year."""
        if not self.trend or year is None:
            return self.low, self.high
        middle = float(np.interp(year, np.linspace(YEARS[0], YEARS[-1], len(self.trend)), self.trend))
        return middle * (1 - WAVER), middle * (1 + WAVER)

    def scaled(self, factor: float) -> Row:
        """Give the category of a town that is larger or smaller than what the table is stated for."""
        return self._replace(low=self.low * factor, high=self.high * factor)


class Table(NamedTuple):
    """Something that is counted or measured.

    Args:
        key: Its name in the file.
        titles: With gaps for a place or a year.
        shares: Titles of parts of a whole; none if it is no whole.
        category: Noun for a category.
        measure: What is measured.
        unit: One of `UNITS`.
        places: Behind the decimal sign.
        run: Whether neighbours are taken, as of months.
        series: What is told apart.
        needs: What a town must have to be named.
        climate: "rain" or "warmth" if rows are a town's months; else nothing.
        level: "residents" or "nights" if its values are of a town with 100 thousand of the one or a million of the
            other, and grow with them; else nothing.
        source: Of its ranges.
        rows: Its categories.
    """

    key: str
    titles: tuple[Words, ...]
    shares: tuple[Words, ...]
    category: Words
    measure: Words
    unit: str
    places: int
    run: bool
    series: str
    needs: str
    climate: str
    level: str
    source: str
    rows: tuple[Row, ...]

    @property
    def years(self) -> tuple[int, ...]:
        """List the years that its ranges are of."""
        return tuple(year for year in YEARS if "without 2020" not in self.source or year not in ODD_YEARS)


class FactPlace(NamedTuple):
    """A town, what there is in it, its size by what tables are stated for, the warmth and the rain of its months."""

    name: Words
    has: frozenset[str]
    size: dict[str, float]
    climate: dict[str, tuple[float, ...]]


class MeasurePair(NamedTuple):
    """Two measures of each thing, their highest values, and the sign with which they go together."""

    table: str
    titles: tuple[Words, ...]
    measures: tuple[Words, Words]
    highest: tuple[int, int]
    sign: int


MONTHS: tuple[Words, ...] = (
    ("janeiro", "January"), ("fevereiro", "February"), ("março", "March"), ("abril", "April"), ("maio", "May"),
    ("junho", "June"), ("julho", "July"), ("agosto", "August"), ("setembro", "September"), ("outubro", "October"),
    ("novembro", "November"), ("dezembro", "December"),
)  # fmt: skip


def write_content(rng: random.Random, shape: ChartShape, language: Language) -> Content:
    """Draw contents until a template of the shape can show one; a pair of series where it takes points."""
    at = LANGUAGES.index(language)
    write = _write_pair if shape.distinct else _write_whole if shape.whole else _write_counts
    while True:
        try:
            content = write(rng, shape, at)
            check_shape(content, shape)
        except RejectedError:
            continue
        return content


def other_titles(title: str, language: Language) -> list[str]:
    """List titles of charts that are not this one, for options."""
    at = LANGUAGES.index(language)
    return [words[at] for table in tables() for words in table.titles if "{" not in words[at] and words[at] != title]


def other_measures(measured: str, language: Language) -> list[str]:
    """List what charts measure beside this, for options."""
    at = LANGUAGES.index(language)
    named = [f"{one.measure[at]} ({one.unit})" if one.unit else one.measure[at] for one in tables()]
    return [name for name in dict.fromkeys(named) if name != measured]


@lru_cache(maxsize=1)
def tables() -> tuple[Table, ...]:
    """Read the tables."""
    blocks = _sections()
    return tuple(_table(name[1:-1], lines) for name, lines in blocks.items() if name.startswith("["))


@lru_cache(maxsize=1)
def places() -> tuple[FactPlace, ...]:
    """Read the towns."""
    return tuple(_place(line) for line in _sections()["towns:"])


@lru_cache(maxsize=1)
def _series() -> dict[str, tuple[Row, ...]]:
    return {
        name.strip(): tuple(_part(part) for part in parts)
        for name, *parts in (line.split("|") for line in _sections()["series:"])
    }


@lru_cache(maxsize=1)
def _pairs() -> tuple[MeasurePair, ...]:
    return tuple(_pair(line) for line in _sections()["pairs:"])


def _sections() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in FACTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") or line in ("towns:", "series:", "pairs:"):
            lines = sections[line] = []
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


def _words(text: str) -> Words:
    portuguese, english = text.strip().split(" / ")
    return portuguese, english


def _table(key: str, lines: list[str]) -> Table:
    settings = [line.split(": ", 1) for line in lines if "|" not in line]
    one = {name: value for name, value in settings if name not in ("title", "share")}
    unit, digits = one["unit"].split()
    return Table(
        key=key,
        titles=tuple(_words(value) for name, value in settings if name == "title"),
        shares=tuple(_words(value) for name, value in settings if name == "share"),
        category=_words(one["category"]),
        measure=_words(one["measure"]),
        unit="" if unit == "-" else unit,
        places=int(digits),
        run=one.get("order") == "run",
        series=one["series"],
        needs=one.get("places", ""),
        climate=one.get("climate", ""),
        level=one.get("level", ""),
        source=one["source"],
        rows=tuple(_row(line) for line in lines if "|" in line),
    )


def _row(line: str) -> Row:
    name, values = line.split("|")
    limits, _, needs = values.strip().partition(" ")
    if ">" in limits:
        trend = tuple(float(part) for part in limits.split(">"))
        return Row(_words(name), min(trend) * (1 - WAVER), max(trend) * (1 + WAVER), needs.strip("[]"), trend)
    low, high = (float(part) for part in limits.split("-"))
    return Row(_words(name), low, high, needs.strip("[]"))


def _part(text: str) -> Row:
    name, _, limits = text.strip().rpartition(" ")
    low, high = (float(part) for part in limits.split("-"))
    return Row(_words(name), low, high)


def _place(line: str) -> FactPlace:
    name, has, sizes, warmth, rain = line.split("|")
    residents, nights = (float(part) for part in sizes.split())
    climate = {"warmth": tuple(map(float, warmth.split())), "rain": tuple(map(float, rain.split()))}
    size = {"residents": residents / 100, "nights": nights / 1000}
    return FactPlace(_words(name), frozenset(has.split()) - {"-"}, size, climate)


def _pair(line: str) -> MeasurePair:
    table, *parts, sign = (part.strip() for part in line.split("|"))
    names, highest = zip(*((part.rpartition(" ")[0], int(part.rpartition(" ")[2])) for part in parts[2:]), strict=True)
    titles = tuple(_words(part) for part in parts[:2])
    return MeasurePair(table, titles, (_words(names[0]), _words(names[1])), highest, {"+": 1, "-": -1, "0": 0}[sign])


def rows_of(table: Table, place: FactPlace | None) -> list[Row]:
    """List what a table has at a place: months of its climate, or rows for what there is, as large as the town is."""
    if table.climate and place:
        normal = place.climate[table.climate]
        around = AROUND[table.climate]
        span = [(v - around, v + around) if table.climate == "warmth" else (v * (1 - around), v * (1 + around))
                for v in normal]  # fmt: skip
        return [Row(name, *limits) for name, limits in zip(MONTHS, span, strict=True)]
    rows = [row for row in table.rows if not row.needs or (place and row.needs in place.has)]
    return [row.scaled(place.size[table.level]) for row in rows] if table.level and place else rows


def _write_counts(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Draw a value a category, or one for each series."""
    table = rng.choice([one for one in tables() if UNITS[one.unit] or not shape.added])
    count, rows = rng.randint(*shape.categories), rng.randint(*shape.series)
    if table.series == "years" and not table.run and (shape.ordered or rng.random() < BY_YEAR):
        return _write_years(rng, shape, table, at)
    if shape.added and shape.series[0] > 1 and table.series in ("years", "inventories"):
        raise RejectedError("years on top of one another", table.key)
    if shape.ordered and not table.run:
        raise RejectedError("categories without an order", table.key)
    place = rng.choice([one for one in places() if not table.needs or table.needs in one.has])
    categories = _take(rng, rows_of(table, place), table.run, count)
    series = _take_series(rng, table, rows)
    dated = bool(series) and table.series in ("years", "inventories")
    year = rng.choice(table.years)
    title = _title(rng, table.titles, place, table, at, None if dated else year)
    if "{place}" not in "".join(words[0] for words in table.titles) and table.climate:
        raise RejectedError("a climate without a place", table.key)
    values = _draw_values(rng, shape, table, categories, series, year)
    names = tuple(row.name[at] for row in series) or (table.measure[at],)
    shown = tuple(row.name[at] for row in categories)
    return Content(title, table.category[at], table.measure[at], table.unit, shown, names, values, LANGUAGES[at])


def _write_years(rng: random.Random, shape: ChartShape, table: Table, at: int) -> Content:
    """Draw some rows of a table over neighbouring years."""
    years = table.years
    count, rows = rng.randint(*shape.categories), rng.randint(*shape.series)
    starts = [at for at in range(len(years) - count + 1) if years[at + count - 1] - years[at] == count - 1]
    chosen = _take(rng, rows_of(table, None), False, rows)
    if not starts:
        raise RejectedError("too few years", table.key)
    first = rng.choice(starts)
    names = tuple(row.name[at] for row in chosen)
    titles = [words[at] for words in table.titles if "{" not in words[at]]
    if not titles:
        raise RejectedError("no title without a year", table.key)
    title = f"{rng.choice(titles)}: {names[0]}" if rows == 1 else rng.choice(titles)
    drawn = [[rng.uniform(*row.limits(year)) for year in years[first : first + count]] for row in chosen]
    values = _round_values(rng, shape, table, drawn)
    shown = tuple(str(year) for year in years[first : first + count])
    series = names if rows > 1 else (table.measure[at],)
    return Content(title, ("ano", "year")[at], table.measure[at], table.unit, shown, series, values, LANGUAGES[at])


def _take(rng: random.Random, rows: list[Row], run: bool, count: int) -> list[Row]:
    if len(rows) < count:
        raise RejectedError("too few categories", str(len(rows)))
    if run:
        first = rng.randint(0, len(rows) - count)
        return rows[first : first + count]
    return rng.sample(rows, count)


def _take_series(rng: random.Random, table: Table, count: int) -> list[Row]:
    """Choose what is told apart; nothing for one series."""
    if count == 1:
        return []
    if table.series == "years":
        years = sorted(rng.sample(table.years, count))
        return [Row((str(year), str(year)), 1, 1) for year in years]
    return _take(rng, list(_series()[table.series]), True, count)


def _title(
    rng: random.Random, titles: tuple[Words, ...], place: FactPlace, table: Table, at: int, year: int | None
) -> str:
    """Choose a title; one without a year where years are told apart, with its place where rows depend on it."""
    fitting = [words for words in titles if year is not None or "{year}" not in words[0]]
    if table.climate or table.level:
        fitting = [words for words in fitting if "{place}" in words[0]]
    if not fitting:
        raise RejectedError("no title without a year", table.key)
    return rng.choice(fitting)[at].format(place=place.name[at], year=year)


def _draw_values(
    rng: random.Random, shape: ChartShape, table: Table, categories: list[Row], series: list[Row], year: int
) -> ChartValues:
    """Draw a value in the year's range of each category; its part of it for each of the series."""
    parts = series or [Row(("", ""), 1, 1)]
    drawn = []
    for part in parts:
        then = int(part.name[0]) if part.name[0].isdecimal() else year  # series may be years themselves
        drawn.append([rng.uniform(*row.limits(then)) * rng.uniform(part.low, part.high) for row in categories])
    return _round_values(rng, shape, table, drawn)


def _round_values(rng: random.Random, shape: ChartShape, table: Table, drawn: list[list[float]]) -> ChartValues:
    """Round values to whole steps where gridlines must tell them, else to the table's places."""
    stepped = shape.stepped or (shape.apart and len(drawn) > 1) or rng.random() < STEPPED
    unit = Decimal(1).scaleb(-table.places)
    step = _step(max(map(max, drawn)), unit) if stepped else unit
    values = tuple(tuple((round(value / float(step)) * step).quantize(unit) for value in row) for row in drawn)
    if min(map(min, values)) <= 0:
        raise RejectedError("a value too small to see", table.key)
    if stepped and any(len(set(row)) < min(len(row), DIFFERENT) for row in values):
        raise RejectedError("steps that make values alike", table.key)
    off = [abs(float(value) / exact - 1) for row, line in zip(values, drawn, strict=True)
           for value, exact in zip(row, line, strict=True)]  # fmt: skip
    if max(off) > ROUNDED:
        raise RejectedError("steps too coarse", table.key)
    return values


def _step(highest: float, least: Decimal) -> Decimal:
    """Choose the smallest round step of which at most ten reach the highest value."""
    steps = [Decimal(factor).scaleb(power) for power in range(-1, 5) for factor in (1, 2, 5)]
    return next(step for step in steps if step >= least and highest / float(step) <= MAX_MARKS + 0.49)


def _write_whole(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Share 100 % out as the table's categories do: all of them, the smallest in one."""
    table = rng.choice([one for one in tables() if one.shares])
    place, year = rng.choice(places()), rng.choice(table.years)
    rows, count = rows_of(table, place), rng.randint(*shape.categories)
    drawn = [rng.uniform(*row.limits(year)) for row in rows]
    if count < len(rows):
        kept = sorted(sorted(range(len(rows)), key=drawn.__getitem__)[1 - count :])
        rest = sum(drawn) - sum(drawn[number] for number in kept)
        rows, drawn = [*(rows[number] for number in kept), Row(OTHERS, 0, 0)], [*(drawn[n] for n in kept), rest]
    exact = [100 * value / sum(drawn) for value in drawn]
    shares = [int(share) for share in exact]
    for number in sorted(range(len(exact)), key=lambda one: shares[one] - exact[one])[: 100 - sum(shares)]:
        shares[number] += 1
    if min(shares) < LEAST_SHARE or (count < len(rows_of(table, place)) and shares[-1] == max(shares)):
        raise RejectedError("a slice too thin to see, or too much left over", table.key)
    name = table.measure[at].partition(" (")[0]
    title = _title(rng, table.shares, place, table, at, year)
    values = (tuple(Decimal(share) for share in shares),)
    shown = tuple(row.name[at] for row in rows)
    return Content(title, table.category[at], name, "%", shown, (name,), values, LANGUAGES[at])


def _write_pair(rng: random.Random, shape: ChartShape, at: int) -> Content:
    """Draw two measures of each thing around a line; no two things share either."""
    pair = rng.choice(_pairs())
    (table,) = (one for one in tables() if one.key == pair.table)
    count = rng.randint(*shape.categories)
    categories = _take(rng, rows_of(table, rng.choice(places())), False, count)
    first = rng.sample(range(1, MAX_MARKS + 1), count)
    follows = sorted(rng.sample(range(1, MAX_MARKS + 1), count), reverse=pair.sign < 0)
    order = sorted(range(count), key=lambda one: first[one] + rng.gauss(0, SPREAD * MAX_MARKS))
    second = [0] * count
    for mark, one in zip(follows, order, strict=True):
        second[one] = mark
    scale = [Decimal(high) / MAX_MARKS for high in pair.highest]
    places_ = 1 if any(step % 1 for step in scale) else 0
    unit = Decimal(1).scaleb(-places_)
    rows = tuple(tuple((mark * step).quantize(unit) for mark in marks)
                 for marks, step in zip((first, second), scale, strict=True))  # fmt: skip
    names = (pair.measures[0][at], pair.measures[1][at])
    title = rng.choice(pair.titles)[at]
    shown = tuple(row.name[at] for row in categories)
    return Content(title, table.category[at], names[1], "", shown, names, rows, LANGUAGES[at])
