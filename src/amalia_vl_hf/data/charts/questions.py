"""Questions about charts as small queries, `{"op": "difference", "panel": 0, "cells": [...]}`, and their answers.

An answer is computed from the content, never taken from a model's word; a query that the picture does not decide, such
as the highest of two equal values, is rejected. `wording` puts queries into words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise, permutations
from typing import Any, Literal, NamedTuple

from ..choices import YES_NO
from ..dataset import RejectedError
from ..languages import Language
from .content import MAX_PLACES, Content, write_value
from .topics import MONTHS, other_measures, other_titles

Op = Literal[
    "value", "difference", "sum", "average", "share", "highest", "lowest", "second", "order", "above", "greater",
    "rises", "title", "measure", "legend", "count", "panel of the highest", "panel of most",
]  # fmt: skip
AnswerKind = Literal["number", "count", "name", "names", "verdict", "text"]

UNNAMED = ("pie", "donut", "scatter plot", "pictogram")  # say not, or not alone, what their values measure
LEGENDS = ("grouped columns", "stacked columns", "lines")  # of series
IN_ORDER = ("columns", "lines", "area")  # read from left to right
ORDERED = ("mês", "month", "dia", "day", "ano", "year", "faixa etária", "age group")
ACROSS = ("difference", "greater", "panel of the highest", "panel of most")  # also of several panels, or of them only
LETTERS = "ABC"  # of panels
POINTS: dict[Language, str] = {"pt": "p.p.", "en": "pp"}  # percentage points
PANEL: dict[Language, str] = {"pt": "Painel", "en": "Panel"}
TOP = 3  # names in a ranking, and values that may rise
MANY = 99  # cells
CHOICES = 3  # wrong ones
COMPARED = 0.4  # share of questions about several panels that compare them
RISING = 0.6  # share of questions whether values rise that choose where they do; few do by chance
PART = 0.6  # share of sums that leave values out
ONE_CATEGORY = 0.4  # share of pairs that are of several series, and one category


class Panel(NamedTuple):
    """One chart of a picture: the name of its template, and what it says."""

    template: str
    content: Content


class Cell(NamedTuple):
    """One value of a picture."""

    panel: int
    series: str
    category: str


class Query(NamedTuple):
    """What is asked.

    Args:
        op: What is done with the cells.
        panel: Of the chart that is asked about; None where charts are compared.
        cells: What is looked at, in the order in which it is named; all of a series for its highest, or its average.
        threshold: What values are held to.
    """

    op: Op
    panel: int | None
    cells: tuple[Cell, ...] = ()
    threshold: Decimal | None = None

    def record(self) -> dict[str, Any]:
        """Give JSON values."""
        threshold = None if self.threshold is None else str(self.threshold)
        return {
            "op": self.op,
            "panel": self.panel,
            "cells": [list(cell) for cell in self.cells],
            "threshold": threshold,
        }


class ChartAnswer(NamedTuple):
    """The answer to a query: as it is written, and its number if it is one."""

    kind: AnswerKind
    text: str
    value: Decimal | None = None


def query_of(record: Mapping[str, Any]) -> Query:
    """Give the query that a record was made of."""
    threshold = record["threshold"]
    cells = tuple(Cell(*cell) for cell in record["cells"])
    return Query(record["op"], record["panel"], cells, None if threshold is None else Decimal(threshold))


def look_up(cell: Cell, panels: Sequence[Panel]) -> Decimal:
    """Read a cell's value.

    Raises:
        RejectedError: There is no such cell.
    """
    if not 0 <= cell.panel < len(panels):
        raise RejectedError("a question about what is not there", f"panel {cell.panel}")
    content = panels[cell.panel].content
    if cell.series not in content.series or cell.category not in content.categories:
        raise RejectedError("a question about what is not there", f"{cell.series}, {cell.category}")
    return content.value(cell.series, cell.category)


def whole_series(panels: Sequence[Panel], panel: int, series: str) -> tuple[Cell, ...]:
    """List the cells of a series."""
    return tuple(Cell(panel, series, category) for category in panels[panel].content.categories)


def is_whole(query: Query, panels: Sequence[Panel]) -> bool:
    """Tell whether a query is about all of a series."""
    first = query.cells[0]
    return set(query.cells) == set(whole_series(panels, first.panel, first.series))


def compute(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    """Answer a query.

    Raises:
        RejectedError: The picture does not decide it.
    """
    if query.op not in _ANSWERS:
        raise RejectedError("an unknown operation", str(query.op))
    if query.panel is not None and not 0 <= query.panel < len(panels):
        raise RejectedError("a question about what is not there", f"panel {query.panel}")
    fewest, most, answer = _ANSWERS[query.op]
    if not fewest <= len(query.cells) <= most or len(set(query.cells)) < len(query.cells):
        raise RejectedError("a question that its chart does not decide", f"{query.op} of {len(query.cells)} cells")
    if query.op not in (ACROSS if query.panel is None else WITHIN):
        raise RejectedError("a question that its chart does not decide", f"{query.op} of panel {query.panel}")
    charts = panels if query.panel is None else [panels[query.panel]]
    if query.op in _OF_CATEGORIES and any(panel.template == "scatter plot" for panel in charts):
        raise RejectedError("a question that its chart does not decide", f"{query.op} of points")
    if query.op in _OF_A_SERIES:
        _check_series(query, panels)
    elif query.panel is not None and any(cell.panel != query.panel for cell in query.cells):
        raise RejectedError("a question about what is not there", "cells of another panel")
    return answer(query, panels, language)


def draw_query(rng: random.Random, panels: Sequence[Panel]) -> Query:
    """Draw a query that the picture decides."""
    while True:
        across = len(panels) > 1 and rng.random() < COMPARED
        query = _draw_across(rng, panels) if across else _draw_within(rng, panels)
        try:
            compute(query, panels, "en")
        except RejectedError:
            continue
        return query


def wrong_answers(
    query: Query, answer: ChartAnswer, panels: Sequence[Panel], rng: random.Random, language: Language
) -> list[str]:
    """Think of up to three answers that are wrong and look right; none for texts."""
    if answer.kind == "name":
        if query.op.startswith("panel"):
            wrong = [panel_name(number, language) for number in range(len(panels))]
        else:
            wrong = list(panels[query.panel or 0].content.categories)
    elif answer.kind == "names" and query.op == "order":
        names = answer.text.split(", ")
        others = [name for name in panels[query.panel or 0].content.categories if name not in names]
        wrong = [", ".join(rng.sample(names, TOP)) for _ in range(4)] + [", ".join([*names[:2], rng.choice(others)])]
    elif answer.kind == "names":
        wrong = [", ".join(names) for names in permutations(answer.text.split(", "))]
    elif answer.kind == "verdict":
        wrong = list(YES_NO[language])
    elif answer.kind == "text":
        wrong = _wrong_texts(query, answer, panels)
    elif answer.value is not None:
        wrong = _wrong_numbers(query, answer, panels, rng, language)
    else:
        return []
    wrong = [text for text in dict.fromkeys(wrong) if text != answer.text]
    rng.shuffle(wrong)
    return wrong[:CHOICES]


def result_unit(query: Query, unit: str, language: Language) -> str:
    """Give the unit of a result of values in a unit: shares are in %, and between two of % lie percentage points."""
    if query.op == "share":
        return "%"
    return POINTS[language] if query.op == "difference" and unit == "%" else unit


def dimension(panel: Panel, series: str) -> str:
    """Say what may be compared: a unit, or what is counted, which may be counted in thousands."""
    if panel.template == "scatter plot":
        return series
    return panel.content.unit or panel.content.measure


def panel_name(number: int, language: Language) -> str:
    """Name a panel.

    >>> panel_name(1, "pt")
    'Painel B'
    """
    return f"{PANEL[language]} {LETTERS[number]}"


def _wrong_texts(query: Query, answer: ChartAnswer, panels: Sequence[Panel]) -> list[str]:
    """Give titles or measures of other charts, of this picture and of others."""
    written = panels[query.panel or 0].content.language
    if query.op == "title":
        there = [panel.content.title for panel in panels if panel.content.language == written]
        return there + other_titles(answer.text, written)
    return [panel.content.measured for panel in panels] + other_measures(answer.text, written)


def _wrong_numbers(
    query: Query, answer: ChartAnswer, panels: Sequence[Panel], rng: random.Random, language: Language
) -> list[str]:
    """Give numbers nearby, and others of the chart, written like the right one."""
    right = answer.value or Decimal(0)
    if answer.kind == "count":
        return [str(right + add) for add in (-2, -1, 1, 2) if right + add >= 0]
    last = Decimal(1).scaleb(min(int(right.as_tuple().exponent), 0))
    spread = max(abs(right) / 10, last)
    near = [right + sign * (spread * factor).quantize(last) for sign in (-1, 1) for factor in (1, 2, 3)]
    content = panels[query.cells[0].panel].content
    there = [] if query.op == "share" else [value for row in content.values for value in row]
    wrong = {number: number for number in (*near, *there) if number >= 0 and number != right}  # 12.5 and 12.50 are one
    return [write_value(number, result_unit(query, content.unit, language), language) for number in wrong.values()]


def _draw_within(rng: random.Random, panels: Sequence[Panel]) -> Query:
    """Draw a query about one panel; it may be one that nothing decides."""
    at = rng.randrange(len(panels))
    template, content = panels[at]
    cells = whole_series(panels, at, rng.choice(content.series))
    ops: list[Op] = [
        "value", "value", "difference", "sum", "sum", "average", "share", "highest", "lowest", "second", "order",
        "above", "above", "greater", "title", "measure", "count",
    ]  # fmt: skip
    if template in IN_ORDER and _in_order(content):
        ops += ["rises", "rises"]
    if template in LEGENDS and len(content.series) > 1:
        ops.append("legend")
    op = rng.choice(ops)
    if op in ("title", "measure", "legend", "count"):
        return Query(op, at)
    if op == "rises":
        runs = [cells[start : start + TOP] for start in range(len(cells) - TOP + 1)]
        rising = [run for run in runs if _rises([look_up(cell, panels) for cell in run])]
        return Query(op, at, rng.choice(rising if rising and rng.random() < RISING else runs) if runs else ())
    if op == "above":
        return Query(op, at, cells, _threshold(sorted(look_up(cell, panels) for cell in cells), rng))
    if op == "sum" and rng.random() < PART:
        return Query(op, at, tuple(rng.sample(cells, min(rng.randint(2, 3), len(cells)))))
    if op in ("value", "difference", "greater"):
        return Query(op, at, _draw_cells(rng, panels, at, 1 if op == "value" else 2))
    if op == "share":
        first = rng.randrange(len(cells))
        return Query(op, at, (cells[first], *cells[:first], *cells[first + 1 :]))
    return Query(op, at, cells)


def _in_order(content: Content) -> bool:
    """Tell whether categories follow one another, as years and months do."""
    first = content.categories[0]
    return first.isdecimal() or first[0].isdecimal() or content.category in ORDERED or first in sum(MONTHS, ())


def _draw_cells(rng: random.Random, panels: Sequence[Panel], at: int, count: int) -> tuple[Cell, ...]:
    """Draw cells of one series, or of one category."""
    content = panels[at].content
    category = rng.choice(content.categories)
    row = [Cell(at, series, category) for series in content.series]
    if panels[at].template != "scatter plot" and len(row) >= count and rng.random() < ONE_CATEGORY:
        return tuple(rng.sample(row, count))
    return tuple(rng.sample(whole_series(panels, at, rng.choice(content.series)), count))


def _draw_across(rng: random.Random, panels: Sequence[Panel]) -> Query:
    """Draw a query that compares panels."""
    op: Op = rng.choice(("difference", "greater", "panel of the highest", "panel of most"))
    if op.startswith("panel"):
        return Query(op, None)
    one, other = rng.sample(range(len(panels)), 2)
    return Query(op, None, (*_draw_cells(rng, panels, one, 1), *_draw_cells(rng, panels, other, 1)))


def _threshold(values: Sequence[Decimal], rng: random.Random) -> Decimal:
    """Choose a round number between two neighbours, or else the lower of them."""
    low, high = rng.choice(list(pairwise(values)))
    middle = (low + high) / 2
    for power in range(middle.adjusted() if middle else 0, int(low.as_tuple().exponent) - 1, -1):
        near = middle.quantize(Decimal(1).scaleb(power), ROUND_HALF_UP)
        if low < near < high:
            return near.quantize(Decimal(1)) if power > 0 else near
    return low


def _rises(values: Sequence[Decimal]) -> bool:
    return all(one < other for one, other in pairwise(values))


def _check_series(query: Query, panels: Sequence[Panel]) -> None:
    """Hold a query to all cells of one series."""
    first = query.cells[0]
    whole = whole_series(panels, first.panel, first.series) if first.panel == query.panel else ()
    if set(whole) != set(query.cells):
        raise RejectedError("a question about what is not there", f"{query.op} of a part of a series")


def _undecided(query: Query) -> RejectedError:
    return RejectedError("a question that its chart does not decide", query.op)


def _values(query: Query, panels: Sequence[Panel]) -> list[Decimal]:
    return [look_up(cell, panels) for cell in query.cells]


def _number(value: Decimal, query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    """Write a number with the unit of its cells, which must have one unit."""
    if len({dimension(panels[cell.panel], cell.series) for cell in query.cells}) > 1:
        raise RejectedError("values of different units", query.op)
    unit = result_unit(query, panels[query.cells[0].panel].content.unit, language)
    return ChartAnswer("number", write_value(value, unit, language), value)


def _value(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return _number(_values(query, panels)[0], query, panels, language)


def _difference(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    one, other = _values(query, panels)
    return _number(abs(one - other), query, panels, language)


def _sum(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    _check_additive(query, panels)
    return _number(sum(_values(query, panels), Decimal(0)), query, panels, language)


def _average(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    values = _values(query, panels)
    total = sum(values, Decimal(0))
    average = (total / len(values)).quantize(Decimal(1).scaleb(-MAX_PLACES))
    if average * len(values) != total:
        raise _undecided(query)
    places = (Decimal(1).scaleb(-count) for count in range(MAX_PLACES + 1))
    return _number(
        next(short for place in places if (short := average.quantize(place)) == average), query, panels, language
    )


def _share(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    _check_additive(query, panels)
    values = _values(query, panels)
    total = sum(values, Decimal(0))
    share = 100 * values[0] / total
    if panels[query.cells[0].panel].content.unit == "%" or share % 1 == Decimal("0.5"):
        raise _undecided(query)  # a share already; or a half, that may be rounded either way
    return _number(share.quantize(Decimal(1), ROUND_HALF_UP), query, panels, language)


def _check_additive(query: Query, panels: Sequence[Panel]) -> None:
    template, content = panels[query.cells[0].panel]
    if template == "scatter plot" or not (content.additive or template in ("pie", "donut")):
        raise RejectedError("a sum that means nothing", content.unit)


def _ranked(query: Query, panels: Sequence[Panel], rank: int) -> str:
    """Name the category of a rank, from 0 or, from below, -1; no other has its value."""
    ranked = sorted(((look_up(cell, panels), cell.category) for cell in query.cells), reverse=True)
    value, name = ranked[rank]
    if [other for other, _ in ranked].count(value) > 1:
        raise _undecided(query)
    return name


def _highest(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return ChartAnswer("name", _ranked(query, panels, 0))


def _lowest(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return ChartAnswer("name", _ranked(query, panels, -1))


def _second(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    _ranked(query, panels, 0)
    return ChartAnswer("name", _ranked(query, panels, 1))


def _order(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return ChartAnswer("names", ", ".join(_ranked(query, panels, rank) for rank in range(TOP)))


def _above(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    if query.threshold is None:
        raise _undecided(query)
    count = sum(value > query.threshold for value in _values(query, panels))
    return ChartAnswer("count", str(count), Decimal(count))


def _greater(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    one, other = _values(query, panels)
    _number(one, query, panels, language)  # of one unit
    if one == other:
        raise _undecided(query)
    return _verdict(one > other, language)


def _rising(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    values = _values(query, panels)
    template, content = panels[query.cells[0].panel]
    places = [content.categories.index(cell.category) for cell in query.cells]
    one_row = len({cell.series for cell in query.cells}) == 1
    if template not in IN_ORDER or not one_row or places != list(range(places[0], places[0] + len(places))):
        raise _undecided(query)
    return _verdict(_rises(values), language)


def _verdict(true: bool, language: Language) -> ChartAnswer:
    return ChartAnswer("verdict", YES_NO[language][0 if true else 1])


def _title(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return ChartAnswer("text", panels[query.panel or 0].content.title)


def _measure(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    template, content = panels[query.panel or 0]
    if template in UNNAMED:
        raise _undecided(query)
    return ChartAnswer("text", content.measured)


def _legend(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    template, content = panels[query.panel or 0]
    if template not in LEGENDS or len(content.series) < 2:
        raise _undecided(query)
    return ChartAnswer("names", ", ".join(content.series))


def _count(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    count = len(panels[query.panel or 0].content.categories)
    return ChartAnswer("count", str(count), Decimal(count))


def _panel_of_highest(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    if len({dimension(panel, series) for panel in panels for series in panel.content.series}) > 1:
        raise RejectedError("values of different units", query.op)
    return _first(query, [max(max(row) for row in panel.content.values) for panel in panels], language)


def _panel_of_most(query: Query, panels: Sequence[Panel], language: Language) -> ChartAnswer:
    return _first(query, [Decimal(len(panel.content.categories)) for panel in panels], language)


def _first(query: Query, numbers: Sequence[Decimal], language: Language) -> ChartAnswer:
    if len(numbers) < 2 or numbers.count(max(numbers)) > 1:
        raise _undecided(query)
    return ChartAnswer("name", panel_name(numbers.index(max(numbers)), language))


_OF_A_SERIES = ("average", "share", "highest", "lowest", "second", "order", "above")
_OF_CATEGORIES = ("order", "above", "count", "panel of most")  # their words count categories, which points are not
# Fewest and most cells that each looks at, and what answers it.
_ANSWERS: dict[str, tuple[int, int, Callable[[Query, Sequence[Panel], Language], ChartAnswer]]] = {
    "value": (1, 1, _value),
    "difference": (2, 2, _difference),
    "sum": (2, MANY, _sum),
    "average": (2, MANY, _average),
    "share": (2, MANY, _share),
    "highest": (2, MANY, _highest),
    "lowest": (2, MANY, _lowest),
    "second": (3, MANY, _second),
    "order": (TOP + 1, MANY, _order),
    "above": (2, MANY, _above),
    "greater": (2, 2, _greater),
    "rises": (TOP, TOP, _rising),
    "title": (0, 0, _title),
    "measure": (0, 0, _measure),
    "legend": (0, 0, _legend),
    "count": (0, 0, _count),
    "panel of the highest": (0, 0, _panel_of_highest),
    "panel of most": (0, 0, _panel_of_most),
}
WITHIN = tuple(op for op in _ANSWERS if not op.startswith("panel"))  # of one panel
