"""Holds what was asked about charts to the charts, from the JSON record alone and with arithmetic of its own.

Numbers are fractions here, names are looked up in the record, and answers are read back from their words, so that an
error of `questions` shows. Texts are looked for in the picture, where the record says that they stand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from ..choices import YES_NO
from ..languages import Language
from .content import from_record, grid_step, read_value
from .style import TextBox, clashes

ChartRecord = Mapping[str, Any]
AnswerValue = Fraction | bool | str | list[str]

MIN_INK_STEP = 40  # of 255, between letters and what they stand on
END = 0.3  # share of a box's width: both ends must have ink, or the box is too wide
UNMARKED = ("cards", "table")  # their values are texts
NEAR = 28  # of 255, between a mark's colour and its pixels
OFF, OFF_SHARE = 2.0, 0.01  # pixels, or share of itself, that a mark's size may be off by
PERCENTAGE_POINTS = {"pt": " p.p.", "en": " pp"}


def derive(query: ChartRecord, panels: Sequence[ChartRecord], language: Language) -> AnswerValue | None:
    """Work an answer out; None if the charts do not decide it."""
    op = query["op"]
    values = [_table(panels[panel])[series, category] for panel, series, category in query["cells"]]
    names = [category for _, _, category in query["cells"]]
    if op in ("highest", "lowest", "second", "order"):
        return _rank(op, dict(zip(names, values, strict=True)))
    if op in ("greater", "rises"):
        return all((one > other) == (op == "greater") and one != other for one, other in pairwise(values))
    if op in ("title", "measure", "legend", "count"):
        return _read(op, panels[query["panel"]]["content"])
    if op.startswith("panel"):
        return _best_panel(op, panels, language)
    if op == "above":
        return Fraction(len([value for value in values if value > Fraction(query["threshold"])]))
    if op == "share":
        return Fraction(math.floor(100 * values[0] / sum(values) + Fraction(1, 2)))
    return {
        "value": values[0],
        "difference": max(values) - min(values),
        "sum": Fraction(sum(values)),
        "average": Fraction(sum(values)) / len(values),
    }.get(op)


def says(
    text: str, result: AnswerValue, query: ChartRecord, panels: Sequence[ChartRecord], language: Language
) -> bool:
    """Tell whether an answer's words say a result, with its unit."""
    if isinstance(result, bool):
        return text == YES_NO[language][0 if result else 1]
    if isinstance(result, list):
        return text == ", ".join(result)
    if isinstance(result, str):
        return text == result
    unit = _unit(query, panels, language)
    bare = text.removeprefix(unit).removesuffix(unit).strip()
    number = read_value(bare, "", language)
    return number is not None and Fraction(number) == result and (not unit or unit.strip() in text)


def check_chart(panel: ChartRecord, grey: np.ndarray) -> list[str]:
    """Say what of a chart is not in the picture: its texts, or what its values can be read from."""
    boxes = [TextBox(*box) for box in panel["texts"]]
    height, width = grey.shape
    problems = clashes(boxes, width, height)
    if not problems:
        problems = [f"{box.text!r} is not written in {box[1:]}" for box in boxes if not _inked(grey, box)]
    content, texts = from_record(panel["content"]), [box.text for box in boxes]
    names = [content.title, *(content.series if len(content.series) > 1 else ()), *content.categories]
    for name in names:  # alone, or with a value or a unit after it
        if not any(text == name or text.startswith(f"{name} ") for text in texts):
            problems.append(f"{name!r} stands nowhere")
    if not _readable(panel, texts):
        problems.append(f"the values of {content.title!r} cannot be read")
    return problems


def check_picture(panel: ChartRecord, picture: Image.Image) -> list[str]:
    """Say what of a chart is not in the picture: texts, or marks where its values say."""
    return check_chart(panel, np.asarray(picture.convert("L"))) + list(_check_marks(panel, np.asarray(picture)))


def _check_marks(panel: ChartRecord, pixels: np.ndarray) -> Iterator[str]:
    """Hold marks to the picture, by their colours, and their sizes to the values."""
    table, content = _table(panel), panel["content"]
    keys = [(content["series"][mark["series"]], content["categories"][mark["category"]]) for mark in panel["marks"]]
    if panel["template"] not in UNMARKED and sorted(keys) != sorted(table):
        yield f"{content['title']!r} has marks of {len(keys)} values, and {len(table)} values"
        return
    for key, mark in zip(keys, panel["marks"], strict=True):
        colour = [int(mark["colour"][at : at + 2], 16) for at in (1, 3, 5)]
        if not all(_is_coloured(pixels, point, colour) for point in mark["inside"]):
            yield f"the mark of {key} is not at {mark['inside']} in {mark['colour']}"
        if any(_is_coloured(pixels, point, colour) for point in mark["outside"]):
            yield f"the mark of {key} goes on to {mark['outside']}"
    scaled = [(key, mark) for key, mark in zip(keys, panel["marks"], strict=True) if mark["kind"] == "length"]
    for series in content["series"] if panel["template"] == "scatter plot" else [None]:
        group = [(table[key], mark["measure"]) for key, mark in scaled if series in (None, key[0])]
        scale = sum(measure for _, measure in group) / float(sum(value for value, _ in group) or 1)
        for value, measure in group:
            if abs(measure - scale * float(value)) > max(OFF, OFF_SHARE * measure):
                yield f"a mark of {measure} is not in proportion to {value} in {content['title']!r}"
    shades = sorted((table[key], -sum(int(mark["colour"][at : at + 2], 16) for at in (1, 3, 5)))
                    for key, mark in zip(keys, panel["marks"], strict=True) if mark["kind"] == "shade")  # fmt: skip
    if any(other < one for (_, one), (_, other) in pairwise(shades)):
        yield f"the cells of {content['title']!r} do not darken with their values"


def _is_coloured(pixels: np.ndarray, point: Sequence[int], colour: Sequence[int]) -> bool:
    x, y = point
    if not (0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]):
        return False
    return bool(np.abs(pixels[y, x].astype(np.int16) - colour).max() <= NEAR)


def _table(panel: ChartRecord) -> dict[tuple[str, str], Fraction]:
    content = panel["content"]
    return {
        (series, category): Fraction(value)
        for series, row in zip(content["series"], content["values"], strict=True)
        for category, value in zip(content["categories"], row, strict=True)
    }


def _rank(op: str, named: dict[str, Fraction]) -> AnswerValue | None:
    """Name what has the asked rank, if nothing shares it."""
    order = sorted(named, key=lambda name: named[name])
    if op == "order":
        top = order[::-1]
        return top[:3] if len({named[name] for name in top[:4]}) == 4 else None
    value = named[order[{"highest": -1, "lowest": 0, "second": -2}[op]]]
    alike = [name for name in order if named[name] == value]
    return alike[0] if len(alike) == 1 else None


def _read(op: str, content: ChartRecord) -> AnswerValue:
    if op == "title":
        return str(content["title"])
    if op == "legend":
        return list(content["series"])
    if op == "count":
        return Fraction(len(content["categories"]))
    unit = f" ({content['unit']})" if content["unit"] else ""
    return f"{content['measure']}{unit}"


def _best_panel(op: str, panels: Sequence[ChartRecord], language: Language) -> AnswerValue | None:
    most = op == "panel of most"
    ranks = [Fraction(len(one["content"]["categories"])) if most else max(_table(one).values()) for one in panels]
    first = max(range(len(ranks)), key=lambda number: ranks[number])
    word = {"pt": "Painel", "en": "Panel"}[language]
    return f"{word} {'ABC'[first]}" if ranks.count(ranks[first]) == 1 else None


def _unit(query: ChartRecord, panels: Sequence[ChartRecord], language: Language) -> str:
    if query["op"] in ("count", "above"):
        return ""
    if query["op"] == "share":
        return "%"
    unit = str(panels[query["cells"][0][0]]["content"]["unit"])
    return PERCENTAGE_POINTS[language] if unit == "%" and query["op"] == "difference" else unit


def _inked(grey: np.ndarray, box: TextBox) -> bool:
    """Tell whether letters stand at both ends of a box, left and right, or, where it may be turned, up and down."""
    part = grey[int(box.top) : math.ceil(box.bottom), int(box.left) : math.ceil(box.right)].astype(np.int16)
    ink = np.abs(part - np.median(part)) >= MIN_INK_STEP
    turned = part.shape[0] > 1.5 * part.shape[1]
    few = len(box.text) <= 2 and ink.any()  # a 1 fills little of its width
    return bool(few) or _at_both_ends(ink) or (turned and _at_both_ends(ink.T))


def _at_both_ends(ink: np.ndarray) -> bool:
    end = max(round(ink.shape[1] * END), 1)
    return bool(ink[:, :end].any() and ink[:, -end:].any())


def _readable(panel: ChartRecord, texts: Sequence[str]) -> bool:
    """Tell whether each value is printed, or on a gridline with its number, or a count of symbols that have one."""
    content = from_record(panel["content"])
    flat = [value for row in content.values for value in row]
    behind = [text.removeprefix(name) for name in content.categories for text in texts if text.startswith(f"{name} ")]
    numbers = Counter(read_value(text, content.unit, content.language) for text in (*texts, *behind))
    if Counter(flat) <= numbers:
        return True
    if panel["template"] == "pictogram":
        each = {"pt": " vale ", "en": " for "}[content.language]
        amounts = [read_value(text.rpartition(each)[2], content.unit, content.language) for text in texts]
        return (grid_step(content.values) or -1) in amounts
    scales = [(row,) for row in content.values] if panel["template"] == "scatter plot" else [content.values]
    for scale in scales:
        step = grid_step(scale)
        highest = max(value for row in scale for value in row)
        if step is None or any(step * mark not in numbers for mark in range(int(highest / step) + 1)):
            return False
    return True
