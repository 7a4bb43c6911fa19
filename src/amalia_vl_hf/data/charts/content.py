"""What a chart says: title, categories, series, values and unit; its numbers as they are written, and a model's JSON.

Values are decimals with the same number of places each, so that sums and differences are exact and are written as the
chart writes its own numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from ..dataset import RejectedError
from ..languages import Language
from ..typefaces import GLYPHS

ChartValues = tuple[tuple[Decimal, ...], ...]

# Of values, with whether adding them up says something.
UNITS = {
    "": True, "%": False, "€": True, "kg": True, "t": True, "km": True, "ha": True, "mm": True, "GWh": True,
    "h": True, "min": True, "m": False, "°C": False,
}  # fmt: skip
TITLE_LENGTH, NAME_LENGTH, NOUN_LENGTH = (8, 70), (1, 24), (2, 24)  # letters, from and to
MAX_VALUE = 10_000_000
MAX_PLACES = 2  # behind the decimal sign
MAX_MARKS = 10  # gridlines above zero, or symbols in a row, that a reader counts without error
DRAWABLE = GLYPHS | {" ", "°"}
_KEYS = {"title", "category", "measure", "unit", "categories", "series"}
_SERIES_KEYS = {"name", "values"}


class ChartShape(NamedTuple):
    """How much a chart template holds.

    Args:
        categories: Fewest and most.
        series: Fewest and most.
        whole: Whether the values are parts of one whole: 100 where the unit is %.
        stepped: Whether values must be whole numbers of symbols or gridlines.
        distinct: Whether no two values of a series are alike: marks would cover one another.
        apart: Whether several series need whole gridlines, and different values in a category: lines would cover
            one another, and their numbers too.
        added: Whether values are put on top of one another, so that their sum must mean something.
        ordered: Whether categories are read one after the other, as years and months are.
    """

    categories: tuple[int, int]
    series: tuple[int, int] = (1, 1)
    whole: bool = False
    stepped: bool = False
    distinct: bool = False
    apart: bool = False
    added: bool = False
    ordered: bool = False


@dataclass(frozen=True)
class Content:
    """What a chart says.

    Args:
        title: Above it.
        category: What a category is, a noun in small letters: "cidade".
        measure: What the values measure: "Visitantes". Points of a scatter plot have two measures, its series.
        unit: Of the values, one of `UNITS`.
        categories: Their names.
        series: Names of the series; the measure's where there is one only.
        values: A row a series, a value a category, all with the same number of places.
        language: Of everything that is written.
    """

    title: str
    category: str
    measure: str
    unit: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    values: ChartValues
    language: Language

    @property
    def additive(self) -> bool:
        """Tell whether a sum of values means anything."""
        return UNITS[self.unit]

    @property
    def measured(self) -> str:
        """Say what the values measure, with their unit."""
        return f"{self.measure} ({self.unit})" if self.unit else self.measure

    def value(self, series: str, category: str) -> Decimal:
        """Look a value up."""
        return self.values[self.series.index(series)][self.categories.index(category)]

    def record(self) -> dict[str, Any]:
        """Give JSON values, the numbers as text."""
        values = [[str(value) for value in row] for row in self.values]
        return {
            "title": self.title,
            "category": self.category,
            "measure": self.measure,
            "unit": self.unit,
            "categories": list(self.categories),
            "series": list(self.series),
            "values": values,
            "language": self.language,
        }


def write_number(value: Decimal, language: Language) -> str:
    """Write a number as Portugal or as England does.

    >>> write_number(Decimal("12345.60"), "pt")
    '12 345,60'
    """
    written = f"{value:,f}"
    return written.replace(",", " ").replace(".", ",") if language == "pt" else written


def write_value(value: Decimal, unit: str, language: Language) -> str:
    """Write a number with its unit.

    >>> write_value(Decimal(1250), "€", "en"), write_value(Decimal(1250), "€", "pt")
    ('€1,250', '1 250 €')
    """
    number = write_number(value, language)
    if language == "en" and unit in ("€", "%"):
        return f"€{number}" if unit == "€" else f"{number}%"
    return f"{number} {unit}".strip()


def read_value(text: str, unit: str, language: Language) -> Decimal | None:
    """Read a number back, with its unit or without; None where it is no number written that way.

    >>> read_value("1 250,5 €", "€", "pt")
    Decimal('1250.5')
    """
    bare = text.strip()
    if unit:
        bare = bare.removeprefix(unit).removesuffix(unit).strip()
    group, point = (" ", ",") if language == "pt" else (",", ".")
    if not re.fullmatch(rf"([0-9]{{1,3}}({group}[0-9]{{3}})*|[0-9]+)({re.escape(point)}[0-9]+)?", bare):
        return None
    return Decimal(bare.replace(group, "").replace(point, "."))


def grid_step(values: ChartValues) -> Decimal | None:
    """Find a step of gridlines so that each value is on one, at most `MAX_MARKS` above zero; None if there is none."""
    flat = [value for row in values for value in row]
    highest = max(flat)
    exponent = highest.adjusted() - 1
    for power in (exponent, exponent + 1):
        for factor in (1, 2, 5):
            step = Decimal(factor).scaleb(power)
            places = flat[0].as_tuple().exponent
            if isinstance(places, int) and power < places:
                continue  # finer than the values are written
            if highest / step <= MAX_MARKS and all(value % step == 0 for value in flat):
                return step
    return None


def find_step(values: ChartValues) -> Decimal:
    """Find the step of gridlines of values that have one.

    Raises:
        RejectedError: They have none.
    """
    step = grid_step(values)
    if step is None:
        raise RejectedError("values between gridlines", ", ".join(map(str, values[0])))
    return step


def read_contents(answer: str, shapes: Sequence[ChartShape], language: Language) -> tuple[Content, ...]:
    """Read a model's answer: a JSON list of charts, and nothing else.

    Args:
        answer: As the model gave it.
        shapes: What the template of each chart holds.
        language: It was asked for.

    Raises:
        RejectedError: It is not exactly what was asked for.
    """
    charts = read_json_list(answer)
    if len(charts) != len(shapes):
        raise RejectedError("another number of charts", f"{len(charts)} and not {len(shapes)}")
    return tuple(_read_content(chart, shape, language) for chart, shape in zip(charts, shapes, strict=True))


def read_json_list(answer: str) -> list[Any]:
    """Read an answer that is a JSON list, its numbers exact.

    Raises:
        RejectedError: It is none.
    """
    try:
        items = json.loads(answer, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise RejectedError("no JSON", answer[:80]) from error
    if not isinstance(items, list):
        raise RejectedError("no JSON list", answer[:80])
    return items


def _read_content(chart: Any, shape: ChartShape, language: Language) -> Content:
    if not isinstance(chart, dict) or set(chart) != _KEYS:
        raise RejectedError("other keys of a chart", str(chart)[:80])
    title = _text(chart["title"], TITLE_LENGTH)
    category, measure = _text(chart["category"], NOUN_LENGTH), _text(chart["measure"], NOUN_LENGTH)
    if not isinstance(chart["unit"], str) or chart["unit"] not in UNITS:
        raise RejectedError("an unknown unit", str(chart["unit"]))
    categories = _names(chart["categories"], shape.categories, "categories")
    series = _list(chart["series"], shape.series, "series")
    if any(not isinstance(one, dict) or set(one) != _SERIES_KEYS for one in series):
        raise RejectedError("other keys of a series", str(series)[:80])
    names = _names([one["name"] for one in series], shape.series, "series")
    values = _read_values([one["values"] for one in series], len(categories))
    if len(names) == 1:
        names = (measure,)
    content = Content(title, category, measure, chart["unit"], categories, names, values, language)
    if clashing := {name.lower() for name in names} & {name.lower() for name in categories}:
        raise RejectedError("a series called like a category", ", ".join(sorted(clashing)))
    check_shape(content, shape)
    return content


def check_shape(content: Content, shape: ChartShape) -> None:
    """Hold a chart's values to what the template can show.

    Raises:
        RejectedError: It cannot show them.
    """
    if shape.whole and content.unit == "%" and any(sum(row) != 100 for row in content.values):
        raise RejectedError("shares that are not 100 % together", str(sum(content.values[0])))
    if shape.whole and any(min(row) * 25 < sum(row) for row in content.values):
        raise RejectedError("a slice too thin to see", str(min(content.values[0])))
    several = shape.apart and len(content.series) > 1
    scales = [(row,) for row in content.values] if shape.distinct else [content.values]
    if (shape.stepped or several) and any(grid_step(values) is None for values in scales):
        raise RejectedError("values between gridlines", content.title)
    if several and any(len(set(column)) < len(column) for column in zip(*content.values, strict=True)):
        raise RejectedError("lines that cover one another", content.title)
    if shape.distinct and content.unit:
        raise RejectedError("one unit for two measures", content.unit)
    if shape.added and not content.additive:
        raise RejectedError("a sum that means nothing", content.unit)
    if shape.distinct and any(len(set(row)) < len(row) for row in content.values):
        raise RejectedError("points at the same height", content.title)


def _text(text: Any, length: tuple[int, int]) -> str:
    if not isinstance(text, str) or not length[0] <= len(text) <= length[1]:
        raise RejectedError("a text too short or too long", str(text)[:80])
    if text != " ".join(text.split()) or set(text) - DRAWABLE:
        raise RejectedError("a text that cannot be drawn", repr(text))
    return text


def _list(items: Any, length: tuple[int, int], what: str) -> list[Any]:
    if not isinstance(items, list) or not length[0] <= len(items) <= length[1]:
        raise RejectedError(f"another number of {what}", str(items)[:80])
    return items


def _names(items: Any, length: tuple[int, int], what: str) -> tuple[str, ...]:
    names = tuple(_text(name, NAME_LENGTH) for name in _list(items, length, what))
    if odd := [name for name in names if not name[0].isalnum()]:
        raise RejectedError("a name that begins with a sign", odd[0])
    if clashing := [name for name in names if "," in name]:
        raise RejectedError("a name with a comma, which parts names in lists", clashing[0])
    if len({name.lower() for name in names}) < len(names):
        raise RejectedError(f"{what} that are called alike", ", ".join(names))
    return names


def _read_values(rows: Sequence[Any], width: int) -> ChartValues:
    """Read numbers, and give all of them the same number of places."""
    for row in rows:
        if not isinstance(row, list) or len(row) != width:
            raise RejectedError("not a value a category", str(row)[:80])
        for value in row:
            if not isinstance(value, Decimal) or not 0 <= value <= MAX_VALUE:
                raise RejectedError("a value out of range", str(value)[:40])
    if not any(value for row in rows for value in row):
        raise RejectedError("a value out of range", "all are 0")
    places = max((_places(value) for row in rows for value in row), default=0)
    if places > MAX_PLACES:
        raise RejectedError("values with too many places", f"{places}")
    unit = Decimal(1).scaleb(-places)
    return tuple(tuple(value.quantize(unit) for value in row) for row in rows)


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def from_record(record: Mapping[str, Any]) -> Content:
    """Give the content that a record was made of."""
    values = tuple(tuple(Decimal(value) for value in row) for row in record["values"])
    return Content(
        record["title"],
        record["category"],
        record["measure"],
        record["unit"],
        tuple(record["categories"]),
        tuple(record["series"]),
        values,
        record["language"],
    )
