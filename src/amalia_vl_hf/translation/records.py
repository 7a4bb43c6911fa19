"""The texts of a training sample: which are translated, and where they go back.

A sample is as `samples.loading` reads it: `messages`, or `prompt`, `chosen` and `rejected`, whose contents are texts
or lists of parts. Image slots, roles and the order of parts stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..samples.loading import FIELDS
from .masks import mask

Record = Mapping[str, Any]

# Questions whose answer is read off the picture (English).
_READING = re.compile(
    r"\b(?:transcri(?:be|ption)|read (?:out|aloud|the|all|what)|extract (?:all |the |any )*text|perform ocr|\bocr\b"
    r"|what (?:does|do|did) [^?.\n]{1,80}\b(?:say|read|spell)\b"
    r"|what (?:is|are) (?:the )?(?:text|words?|letters?|writing)\b"
    r"|what[^?.\n]{0,60}\b(?:written|printed|inscribed|engraved|spelled)\b|which (?:word|text|letter)s?\b"
    r"|what (?:text|words?|letters?|brand|slogan|title|name)\b[^?.\n]{0,60}"
    r"\b(?:on|in|written|shown|visible|appears?)\b)",
    re.IGNORECASE,
)
_SENTENCE_ABOUT = re.compile(r"^(?:the|it|this|that|there|these|they|on|in|at|yes|no)\b", re.IGNORECASE)


class SampleText(NamedTuple):
    """A text of a sample.

    Args:
        field: `messages`, `prompt`, `chosen` or `rejected`.
        turn: Number of its turn there.
        part: Number of its part in the turn; None where the turn's content is the text.
        role: Of the turn.
        text: The text.
    """

    field: str
    turn: int
    part: int | None
    role: str
    text: str


def texts_of(record: Record) -> list[SampleText]:
    """List the texts of a sample, in order."""
    return [
        SampleText(field, number, part, turn["role"], text)
        for field in _fields(record)
        for number, turn in enumerate(record[field])
        for part, text in _parts(turn["content"])
    ]


def with_texts(record: Record, texts: Sequence[str]) -> dict[str, Any]:
    """Put translations in the place of a sample's texts.

    Raises:
        ValueError: There are not as many of them.
    """
    places = [(text.field, text.turn, text.part) for text in texts_of(record)]
    known = dict(zip(places, texts, strict=True))
    return {
        field: [_turn(turn, (field, number), known) for number, turn in enumerate(record[field])]
        for field in _fields(record)
    }


def stays(texts: Sequence[SampleText], reads: bool = False) -> list[bool]:
    """Tell for each text whether it stays in the picture's language: an answer that is read off the picture.

    The paper's model said "Barco" where the picture said "Boat" (section 7.1.2). An answer that is a sentence about
    the picture is translated; what it quotes is masked.

    Args:
        texts: Of a sample.
        reads: Whether all of its answers are read off the picture, as in datasets of OCR.
    """
    found, asked = [], False
    for text in texts:
        if text.role == "user":
            asked = _READING.search(text.text) is not None
        about = bool(_SENTENCE_ABOUT.match(text.text)) and "quoted" in mask(text.text).kinds.values()
        found.append(text.role == "assistant" and (reads or asked) and not about)
    return found


def _fields(record: Record) -> list[str]:
    return [field for fields in FIELDS.values() for field in fields if record.get(field) is not None]


def _parts(content: Any) -> Iterator[tuple[int | None, str]]:
    if isinstance(content, str):
        yield None, content
        return
    for number, part in enumerate(content):
        if part["type"] == "text":
            yield number, part["text"]


def _turn(turn: Record, place: tuple[str, int], known: Mapping[tuple[str, int, int | None], str]) -> dict[str, Any]:
    if isinstance(turn["content"], str):
        return {**turn, "content": known[(*place, None)]}
    parts = [
        {**part, "text": known[(*place, number)]} if part["type"] == "text" else dict(part)
        for number, part in enumerate(turn["content"])
    ]
    return {**turn, "content": parts}
