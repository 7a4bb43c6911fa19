"""How varied a dataset is: distinct sentence frames, fonts, layouts, values, and the share of the most frequent.

A frame is a sentence without what templates fill in: figures, names, days and months. It is taken from the rows as
they were written, not from the templates: two templates that say the same are one frame.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from ..dataset import DatasetRow
from ..rows import spoken

MOST_ROWS = 20_000  # that are looked at, evenly spread; more would say the same
SENTENCES, QUESTIONS, FONTS, LAYOUTS, VALUES = KINDS = (
    "sentence frames", "question frames", "fonts", "layouts", "values",
)  # fmt: skip
# Keys under which `truth` names what a picture is drawn with.
_NAMED = {"font": FONTS, "fonts": FONTS, "layout": LAYOUTS, "template": LAYOUTS, "theme": LAYOUTS}
_CAPITAL, _SMALL = "A-ZÁÀÂÃÉÊÍÓÔÕÚÇ", "a-záàâãéêíóôõúüç"
_BOUNDARY = re.compile(rf"\n+|(?<=[.!?…])\s+(?=[«“\"—–-]?\s?[{_CAPITAL}0-9])")
_QUOTED = re.compile(r"«[^»]*»|“[^”]*”|`[^`]*`|\[[\d., ]+\]", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:[.,:h/-]\d+)*")
_CALENDAR = re.compile(
    r"\b(?:janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro"
    r"|(?:segunda|terça|quarta|quinta|sexta)-feira)\b"
)
_WORD = rf"[{_CAPITAL}][{_CAPITAL}{_SMALL}'’-]*"
_NAME = re.compile(rf"(?<=[^\W\d_,;:)»”] ){_WORD}(?: (?:(?:de|da|do|dos|das|e|of) )?{_WORD})*")


class Spread(NamedTuple):
    """How something is spread over a dataset.

    Args:
        distinct: How many different ones there are.
        total: How many there are.
        most: The one that is there most often.
        share: How often, of all.
    """

    distinct: int
    total: int
    most: str
    share: float


def measure(files: Sequence[Path]) -> dict[str, Spread]:
    """Count over the rows of files, of their conversations and truths; what they do not have is left out."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for row in _rows(files):
        for kind, value in traits(row):
            counts[kind][value] += 1
    return {kind: spread(count) for kind, count in counts.items() if count}


def spread(counts: Counter[str]) -> Spread:
    """Say how counts are spread."""
    ((most, times),) = counts.most_common(1)
    return Spread(len(counts), counts.total(), most, times / counts.total())


def traits(row: DatasetRow) -> Iterator[tuple[str, str]]:
    """List what a row is made of, each with its kind."""
    for turn in row.get("messages") or ():
        text = spoken(turn["content"])
        if turn["role"] == "user":
            yield from ((QUESTIONS, frame(sentence)) for sentence in _BOUNDARY.split(_QUOTED.sub("«»", text)))
            continue
        for sentence in filter(None, map(str.strip, _BOUNDARY.split(text))):
            yield SENTENCES, frame(sentence)
            yield from ((VALUES, value) for value in values(sentence))
    yield from _named(json.loads(row.get("truth") or "null"))


def frame(sentence: str) -> str:
    """Take what templates fill in out of a sentence.

    >>> frame("O comboio das 8h15 para Viana do Castelo parte à segunda-feira.")
    'O comboio das 0 para N parte à D.'
    """
    return _NUMBER.sub("0", _CALENDAR.sub("D", _NAME.sub("N", " ".join(sentence.split()))))


def values(sentence: str) -> list[str]:
    """List the figures and names of a sentence.

    >>> values("O pão custa 1,20 € em Beja.")
    ['1,20', 'Beja']
    """
    return [*_NUMBER.findall(sentence), *_NAME.findall(sentence)]


def _named(truth: Any) -> Iterator[tuple[str, str]]:
    """Find the fonts and layouts that a truth names, wherever in it."""
    for key, value in truth.items() if isinstance(truth, Mapping) else ():
        named = value if isinstance(value, list) else [value]
        if key in _NAMED and all(isinstance(name, str) for name in named):
            yield from ((_NAMED[key], name) for name in named)
        else:
            yield from _named(value)
    for part in truth if isinstance(truth, list) else ():
        if isinstance(part, Mapping):
            yield from _named(part)


def _rows(files: Sequence[Path]) -> Iterator[DatasetRow]:
    """Read rows without their pictures, evenly spread over the files."""
    step = 1 + sum(pq.read_metadata(file).num_rows for file in files) // MOST_ROWS
    number = 0
    for file in files:
        columns = [name for name in pq.read_schema(file).names if name in ("messages", "truth")]
        for batch in pq.ParquetFile(file).iter_batches(columns=columns) if columns else ():
            for row in batch.to_pylist():
                if number % step == 0:
                    yield row
                number += 1
