"""Questions that a model asks about charts: each is kept only if its answer is what the chart gives.

With every question the model gives a query (`questions`); the query is computed from the content, the answer is
held to the result, and the question and its reasoning to the names and numbers that the query is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ...variety.text import is_portuguese
from ..choices import final_answer
from ..dataset import RejectedError
from ..languages import Language
from .content import read_json_list, read_value, write_number
from .questions import LETTERS, Cell, ChartAnswer, Panel, Query, compute, is_whole, look_up, panel_name, result_unit

MOST = 3  # questions that are kept
QUESTION_LENGTH, STEPS_LENGTH = (8, 260), (5, 1_500)  # letters, from and to
NAMING = ("value", "difference", "sum", "share", "greater", "rises")  # their questions name categories
_Words = Mapping[Language, tuple[str, ...]]
# What a question says that asks for an operation, one of the first, and what it then does not say.
_HIGH: _Words = {
    "pt": ("mais alt", "mais elevad", "maior", "superior", "máximo"),
    "en": ("high", "great", "large", "most"),
}
_LOW: _Words = {"pt": ("mais baix", "menor", "inferior", "mínimo", "menos"), "en": ("lowe", "less", "small", "least")}
_SECOND: _Words = {"pt": ("segund",), "en": ("second",)}
_WORDS: dict[str, tuple[_Words, _Words]] = {
    "value": ({"pt": ("valor", "quant"), "en": ("value", "how m")}, {"pt": ("difer",), "en": ("differ",)}),
    "difference": ({"pt": ("difer",), "en": ("differ",)}, {}),
    "sum": ({"pt": ("soma", "total"), "en": ("sum", "total", "add up")}, {"pt": ("médi",), "en": ("average",)}),
    "average": ({"pt": ("média", "médio"), "en": ("average", "mean")}, {}),
    "share": ({"pt": ("percentagem",), "en": ("percentage",)}, {}),
    "highest": (_HIGH, {"pt": (*_LOW["pt"], *_SECOND["pt"]), "en": (*_LOW["en"], *_SECOND["en"])}),
    "lowest": (_LOW, {"pt": (*_HIGH["pt"], *_SECOND["pt"]), "en": (*_HIGH["en"], *_SECOND["en"])}),
    "second": (_SECOND, _LOW),
    "order": ({"pt": ("decrescente",), "en": ("descending", "from highest")}, {}),
    "above": ({"pt": ("superior", "acima", "mais de"), "en": ("above", "more than", "over")}, _LOW),
    "greater": (_HIGH, _LOW),
    "rises": ({"pt": ("sobe", "aument", "cresce"), "en": ("rise", "increase", "grow")}, {}),
    "title": ({"pt": ("título",), "en": ("title",)}, {}),
    "measure": ({"pt": ("mede", "grandeza"), "en": ("measure", "quantity")}, {}),
    "legend": ({"pt": ("legenda",), "en": ("legend",)}, {}),
    "count": ({"pt": ("categorias",), "en": ("categories",)}, {}),
    "panel of the highest": (_HIGH, _LOW),
    "panel of most": ({"pt": ("mais categorias",), "en": ("most categories", "more categories")}, _LOW),
}  # fmt: skip
_KEYS = {"question", "steps", "answer", "query"}
_QUERY_KEYS = {"op", "panel", "cells", "threshold"}
_NUMBER = re.compile(r"\d(?:[\d., ]*\d)?")


class Candidate(NamedTuple):
    """A question with its reasoning, as the model wrote them, and with the computed answer."""

    question: str
    steps: str
    query: Query
    answer: ChartAnswer


def read_candidates(answer: str, panels: Sequence[Panel], language: Language) -> tuple[Candidate, ...]:
    """Read a model's answer, a JSON list of questions, and keep those whose answer is right, at most `MOST`.

    Raises:
        RejectedError: It is no such list, or no question is left.
    """
    items = read_json_list(answer)
    kept: list[Candidate] = []
    reasons = ["no questions"]
    for item in items:
        try:
            candidate = _verify(item, panels, language)
        except RejectedError as error:
            reasons.append(str(error))
            continue
        if candidate.query not in [one.query for one in kept]:
            kept.append(candidate)
    if not kept:
        raise RejectedError("no question whose answer is right", reasons[-1])
    return tuple(kept[:MOST])


def _verify(item: Any, panels: Sequence[Panel], language: Language) -> Candidate:
    if not isinstance(item, dict) or set(item) != _KEYS:
        raise RejectedError("other keys of a question", str(item)[:80])
    question, reasoning = _text(item["question"], QUESTION_LENGTH), _text(item["steps"], STEPS_LENGTH)
    written = _text(item["answer"], (1, 200))
    if is_portuguese(f"{question}\n{reasoning}") is (language != "pt"):
        raise RejectedError("a question in another language", question)
    query = read_query(item["query"])
    answer = compute(query, panels, language)
    if not _agree(written, answer, query, panels, language):
        raise RejectedError("a wrong answer", f"{written} and not {answer.text}")
    if missing := [part for part in _named(query, panels, language) if part.lower() not in question.lower()]:
        raise RejectedError("a question that does not name what it asks for", missing[0])
    if not _asks(question.lower(), query, panels, language):
        raise RejectedError("a question for something else than its query", question)
    numbers = [read_value(text, "", language) for text in _NUMBER.findall(question)]
    if query.threshold is not None and query.threshold not in numbers:
        raise RejectedError("a question that does not name what it asks for", str(query.threshold))
    read = [look_up(cell, panels) for cell in query.cells] if query.op in NAMING else []
    if missing := [text for text in (write_number(value, language) for value in read) if text not in reasoning]:
        raise RejectedError("reasoning without its numbers", missing[0])
    if "\n" in question or final_answer(reasoning, language) is not None:
        raise RejectedError("a question or reasoning of another form", question)
    return Candidate(question, reasoning, query, answer)


def read_query(item: Any) -> Query:
    """Read a query as the model writes it: panels by their letters, cells as `["A", series, category]`.

    Raises:
        RejectedError: It is none.
    """
    if not isinstance(item, dict) or set(item) != _QUERY_KEYS or not isinstance(item["op"], str):
        raise RejectedError("other keys of a query", str(item)[:80])
    cells, threshold = item["cells"], item["threshold"]
    if not isinstance(cells, list) or any(not _is_cell(cell) for cell in cells):
        raise RejectedError("other cells of a query", str(cells)[:80])
    if threshold is not None and not isinstance(threshold, Decimal):
        raise RejectedError("a threshold that is no number", str(threshold)[:80])
    panel = None if item["panel"] is None else _panel(item["panel"])
    read = tuple(Cell(_panel(letter), series, category) for letter, series, category in cells)
    return Query(item["op"], panel, read, threshold)  # type: ignore[arg-type]  # unknown operations are rejected later


def _is_cell(cell: Any) -> bool:
    return isinstance(cell, list) and len(cell) == 3 and all(isinstance(part, str) for part in cell)


def _panel(letter: Any) -> int:
    if not isinstance(letter, str) or len(letter) != 1 or letter not in LETTERS:
        raise RejectedError("a question about what is not there", f"panel {letter}")
    return LETTERS.index(letter)


def _text(text: Any, length: tuple[int, int]) -> str:
    if not isinstance(text, str) or not length[0] <= len(text.strip()) <= length[1]:
        raise RejectedError("a text too short or too long", str(text)[:80])
    return text.strip()


def _agree(written: str, answer: ChartAnswer, query: Query, panels: Sequence[Panel], language: Language) -> bool:
    """Tell whether two answers are the same: the same number, or the same words but for case, marks and spaces."""
    if answer.kind in ("number", "count"):
        unit = panels[query.cells[0].panel].content.unit if query.cells else ""
        return read_value(written, result_unit(query, unit, language), language) == answer.value
    plain, right = (" ".join(re.sub(r"[«»“”\".]", "", text).lower().split()) for text in (written, answer.text))
    return plain == right


def _named(query: Query, panels: Sequence[Panel], language: Language) -> list[str]:
    """List what a question must say, so that it asks for what its query computes."""
    named = []
    if len(panels) > 1 and query.panel is not None:
        named.append(panel_name(query.panel, language))
    all_of_it = query.op == "sum" and is_whole(query, panels)
    for number, cell in enumerate(query.cells):
        if query.op in NAMING and not all_of_it and (query.op != "share" or number == 0):
            named.append(cell.category)
        if len(panels[cell.panel].content.series) > 1:
            named.append(cell.series)
        if query.panel is None:
            named.append(panel_name(cell.panel, language))
    return named


def _asks(question: str, query: Query, panels: Sequence[Panel], language: Language) -> bool:
    """Tell whether a question has the words of its operation, beside the names, and compares in its direction."""
    bare = question.lower()
    for name in sorted(_named(query, panels, language), key=len, reverse=True):
        bare = bare.replace(name.lower(), " ")
    words, others = (listed.get(language, ()) for listed in _WORDS[query.op])
    right = any(word in bare for word in words) and not any(word in bare for word in others)
    return right and (query.op != "greater" or _in_order(question.lower(), query, language))


def _in_order(question: str, query: Query, language: Language) -> bool:
    """Tell whether a comparison names its first value first, by what sets the two apart."""
    named = [(cell.category, cell.series, panel_name(cell.panel, language)) for cell in query.cells]
    for one, other in zip(*named, strict=True):
        first, second = question.find(one.lower()), question.find(other.lower())
        if one != other and min(first, second) >= 0:
            return first < second
    return False
