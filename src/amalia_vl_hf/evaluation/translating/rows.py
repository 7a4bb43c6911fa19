"""The texts of a benchmark's row: what is translated, and where it goes back; all else stays as it is."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...fields import shown
from ...translation.languages import PORTUGUESE
from ...translation.masks import Masked, mask, unmask
from ...translation.segments import translated_word
from ..parsing import LETTERS
from ..tasks import READ_OFF, Columns, find_tasks

_QUESTIONS = ("question", "prompt", "caption_request", "text")
_ANSWERS = ("answers", "answer", "references", "label")
_OPTIONS = (
    ("options",),
    ("choices",),
    ("answer_options",),
    ("choice_a", "choice_b", "choice_c", "choice_d"),
    tuple("ABCD"),
)
_IDENTITIES = ("question_id", "questionId", "id", "index")


@dataclass(frozen=True)
class TextColumns:
    """Where a benchmark keeps its texts.

    Args:
        question: Column of the question.
        options: One column with a list, or with the text of one; or one column an option; none.
        answers: Column of the answer, or of several; None where there is none.
        identity: Column whose equal values make rows a group: MME's pairs.
        pairs: Whether a group is whole or nothing.
        keep_answers: Whether answers stay as they are, since they are read off the picture.
    """

    question: str
    options: tuple[str, ...] = ()
    answers: str | None = None
    identity: str | None = None
    pairs: bool = False
    keep_answers: bool = False


class RowTexts(NamedTuple):
    """The texts of a row, or of its translation.

    Args:
        question: What is asked.
        options: In their order.
        answers: Those that are translated: no letter, no index, none that repeats an option.
    """

    question: str
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """List all texts."""
        return (self.question, *self.options, *self.answers)


class MaskedRow(NamedTuple):
    """What a translator gets of a row.

    Args:
        text: JSON of the texts that need a model, masked.
        fields: Those texts, by the field and its place there.
        fixed: Translations that need none.
    """

    text: str
    fields: dict[tuple[str, int], Masked]
    fixed: dict[tuple[str, int], str]


class UnreadableRowError(ValueError):
    """A translator's answer is not the JSON object that was asked for."""


def columns_of(names: Sequence[str], task: str | None, keep_answers: bool | None = None) -> TextColumns:
    """Find the columns of texts, by the task that the rows are of, or by their usual names.

    Args:
        names: Of the rows' columns.
        task: Of the package's benchmarks.
        keep_answers: Whether answers stay as they are; by the task when left out.

    Raises:
        ValueError: There is no question among them.
    """
    if task is not None:
        benchmark = find_tasks(task)[0]
        return _known(names, benchmark.columns, benchmark.scorer, benchmark.unit == "identity", keep_answers)
    question = next((name for name in _QUESTIONS if name in names), None)
    if question is None:
        raise ValueError(f"no question among {', '.join(names)}; name the task, or rename the column to question")
    return TextColumns(
        question,
        next((several for several in _OPTIONS if set(several) <= set(names)), ()),
        next((name for name in _ANSWERS if name in names), None),
        next((name for name in _IDENTITIES if name in names), None),
        keep_answers=bool(keep_answers),
    )


def _known(names: Sequence[str], columns: Columns, scorer: str, pairs: bool, keep: bool | None) -> TextColumns:
    wanted = (columns.question, *columns.options)
    if lost := [name for name in wanted if name not in names]:
        raise ValueError(f"no {', '.join(lost)} among {', '.join(names)}; are these rows of another task?")
    answers = columns.references if columns.references in names else None
    identity = columns.identity if columns.identity in names else None
    return TextColumns(
        columns.question, columns.options, answers, identity, pairs, scorer in READ_OFF if keep is None else keep
    )


def read_texts(values: Mapping[str, Any], columns: TextColumns) -> RowTexts:
    """Read the texts of a row.

    Raises:
        ValueError: A column holds no text.
    """
    question = values.get(columns.question)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"{columns.question} is {shown(question)}, and no text")
    options = tuple(map(str, _options(values, columns)))
    answers = tuple(text for text in _answers(values, columns) if isinstance(text, str) and text.strip())
    kept = columns.keep_answers or len(options) > 0
    return RowTexts(question, options, () if kept else answers)


def written(
    values: Mapping[str, Any], columns: TextColumns, source: RowTexts, texts: RowTexts, target: str = PORTUGUESE
) -> dict[str, Any]:
    """Give a row with its translation; ids, letters, indices, images and whatever else it holds stay."""
    row = dict(values)
    row[columns.question] = texts.question
    if len(columns.options) == 1 and columns.options[0] in values:
        listed = values[columns.options[0]]
        row[columns.options[0]] = repr(list(texts.options)) if isinstance(listed, str) else list(texts.options)
    elif columns.options:
        row.update(zip(columns.options, texts.options, strict=False))
    if columns.answers is not None and not columns.keep_answers:
        known = dict(zip((*source.options, *source.answers), (*texts.options, *texts.answers), strict=True))
        row[columns.answers] = _mapped(values.get(columns.answers), known, bool(source.options), target)
    return row


def masked_row(texts: RowTexts, target: str = PORTUGUESE) -> MaskedRow:
    """Mask a row's texts, the places counted through; yes and no need no model."""
    fields: dict[tuple[str, int], Masked] = {}
    fixed: dict[tuple[str, int], str] = {}
    first = 1
    for place, text in _placed(texts):
        masked = mask(text, quoted="all", first=first)
        known = translated_word(text, target) if place[0] != "question" else None
        if known is not None or not masked.has_words or len(text.strip()) == 1:
            fixed[place] = text if known is None else known
            continue
        fields[place] = masked
        first += len(masked.pieces)
    asked: dict[str, Any] = {}
    for (name, _), masked in fields.items():
        asked.setdefault(name, []).append(masked.text)
    asked = {name: listed[0] if name == "question" else listed for name, listed in asked.items()}
    return MaskedRow(json.dumps(asked, ensure_ascii=False, indent=1), fields, fixed)


def read_translation(answer: str, source: RowTexts, masked: MaskedRow) -> RowTexts:
    """Read a translator's answer.

    Raises:
        UnreadableRowError: It is no JSON object, or its fields or their lengths are others.
        LostPlaceError: A place is missing, or stands in another field.
    """
    said = _object(answer)
    wanted: dict[str, int] = {}
    for name, _ in masked.fields:
        wanted[name] = wanted.get(name, 0) + 1
    lists = {name: [value] if isinstance(value, str) else value for name, value in said.items()}
    held = {name: len(value) if isinstance(value, list) else 0 for name, value in lists.items()}
    if held != wanted or not all(isinstance(text, str) for value in lists.values() for text in value):
        raise UnreadableRowError(f"fields of {held} texts in the place of {wanted}")
    flat = iter([text for name in dict.fromkeys(name for name, _ in masked.fields) for text in lists[name]])
    texts = {place: unmask(next(flat).strip(), piece) for place, piece in masked.fields.items()} | masked.fixed
    return RowTexts(
        texts["question", 0],
        tuple(texts["options", number] for number in range(len(source.options))),
        tuple(texts["answers", number] for number in range(len(source.answers))),
    )


def _placed(texts: RowTexts) -> list[tuple[tuple[str, int], str]]:
    named = {"question": (texts.question,), "options": texts.options, "answers": texts.answers}
    return [((name, number), text) for name, several in named.items() for number, text in enumerate(several)]


def _object(answer: str) -> dict[str, Any]:
    """Find the JSON object of an answer, in a code fence or not."""
    start, end = answer.find("{"), answer.rfind("}")
    try:
        said = json.loads(answer[start : end + 1])
    except (ValueError, RecursionError) as error:
        raise UnreadableRowError(f"no JSON object: {shown(answer)}") from error
    if not isinstance(said, dict):
        raise UnreadableRowError(f"no JSON object: {shown(answer)}")
    return said


def _options(values: Mapping[str, Any], columns: TextColumns) -> list[Any]:
    if len(columns.options) != 1:
        return [values[name] for name in columns.options if values.get(name) is not None]
    listed = values.get(columns.options[0])
    if isinstance(listed, str):
        try:
            listed = ast.literal_eval(listed)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(f"{columns.options[0]} is no list of options: {shown(listed)}") from error
    return list(listed) if isinstance(listed, list | tuple) else []


def _answers(values: Mapping[str, Any], columns: TextColumns) -> list[Any]:
    if columns.answers is None:
        return []
    held = values.get(columns.answers)
    return list(held) if isinstance(held, list | tuple) else [held]


def _mapped(held: Any, known: Mapping[str, str], has_options: bool, target: str) -> Any:
    """Translate an answer as it was translated among the options or the answers; a letter or an index stays."""
    if isinstance(held, list | tuple):
        return [_mapped(entry, known, has_options, target) for entry in held]
    if not isinstance(held, str) or (has_options and len(held) == 1 and held.upper() in LETTERS):
        return held
    if held in known:
        return known[held]
    return translated_word(held, target) or held
