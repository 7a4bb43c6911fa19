r"""Segments: a text cut into what is sent by itself; letters of options, bullets and blank lines are never sent.

    >>> segments = cut("Which colour?\n\nA. Red\nB. Blue")
    >>> [segment.body for segment in segments if segment.body]
    ['Which colour?', 'Red', 'Blue']
    >>> join(segments, ["De que cor?", "Vermelho", "Azul"])
    'De que cor?\n\nA. Vermelho\nB. Azul'

A paragraph is one segment, its line breaks in it; an option, a bullet or a heading is one, too, without its mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .languages import PORTUGUESE, TARGETS
from .masks import mask

_FENCE = re.compile(r"(```.*?```|~~~.*?~~~)", re.DOTALL)
_LETTERED = r"(?:\(([A-Z])\)|([A-Z])[).:])"
_OPTION = re.compile(rf"\s*(?:[-*•]\s+)?{_LETTERED}[ \t]+(?=\S)")
_LISTED = re.compile(r"\s*(?:[-*•–]|\d{1,3}[.)]|#{1,6}|>)[ \t]+(?=\S)")
_INLINE = re.compile(r"(?:(?<=\s)|^)(?:\(([A-Z])\)|([A-Z])\))[ \t]+(?=\S)")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class TextSegment(NamedTuple):
    """A piece of a text.

    Args:
        before: What stands before it and stays: white space, an option's letter, a bullet.
        body: What is translated; empty where all of it stays.
        after: What stands after it and stays.
        option: The letter, where it is an option's text.
    """

    before: str
    body: str
    after: str
    option: str | None = None


def cut(text: str) -> list[TextSegment]:
    """Cut a text into segments, which together are the text."""
    segments: list[TextSegment] = []
    for number, part in enumerate(_FENCE.split(text)):
        if number % 2:
            segments.append(TextSegment(part, "", ""))
        elif part:
            segments += _cut_lines(part)
    return segments


def join(segments: Sequence[TextSegment], bodies: Sequence[str]) -> str:
    """Put translations in the place of the segments' bodies that are not empty, in their order.

    Raises:
        ValueError: There are not as many of them.
    """
    left = iter(bodies)
    if len(bodies) != (wanted := sum(bool(segment.body) for segment in segments)):
        raise ValueError(f"{len(bodies)} translations of {wanted} segments")
    return "".join(f"{segment.before}{next(left) if segment.body else ''}{segment.after}" for segment in segments)


def options(text: str) -> dict[str, str]:
    """Give the options of a text by their letters, in their order."""
    return {segment.option: segment.body for segment in cut(text) if segment.option}


def translated_word(body: str, target: str = PORTUGUESE) -> str | None:
    """Translate yes, no, true and false, which need no model and must be the same everywhere; None for all else.

    >>> translated_word("No."), translated_word("YES"), translated_word("Nobody")
    ('Não.', 'SIM', None)
    """
    word = body.rstrip(".!")
    translation = TARGETS[target].answers.get(word.lower())
    if translation is None:
        return None
    cased = translation.upper() if word.isupper() else translation.capitalize() if word[0].isupper() else translation
    return cased + body[len(word) :]


def _cut_lines(text: str) -> Iterator[TextSegment]:
    """Cut into options, bullets, and paragraphs of what is between them."""
    lines = text.splitlines(keepends=True)
    marks = _option_lines(lines)
    paragraph = ""
    for number, line in enumerate(lines):
        mark = marks.get(number) or _LISTED.match(line)
        if mark is None and mask(line).has_words and not _inline(line):
            paragraph += line
            continue
        yield from _segment(paragraph)
        paragraph = ""
        if mark is not None:
            yield from _segment(line[mark.end() :], mark[0], _letter(mark) if number in marks else None)
        else:
            yield from _inline(line) or [TextSegment(line, "", "")]
    yield from _segment(paragraph)


def _option_lines(lines: Sequence[str]) -> dict[int, re.Match[str]]:
    """Find the lines that are options: letters that follow each other from A on, or one alone that is all there is."""
    found = [(number, match) for number, line in enumerate(lines) if (match := _OPTION.match(line))]
    if len(found) == 1 and len([line for line in lines if line.strip()]) == 1:
        return dict(found)
    chosen: dict[int, re.Match[str]] = {}
    run: list[tuple[int, re.Match[str]]] = []
    for entry in [*found, None]:
        if entry is not None and run and _letter(entry[1]) == _LETTERS[len(run) % 26]:
            run.append(entry)
            continue
        chosen.update(run if len(run) > 1 else [])
        run = [entry] if entry is not None and _letter(entry[1]) == "A" else []
    return chosen


def _inline(line: str) -> list[TextSegment]:
    """Cut a line that holds several options, `(A) red (B) blue`, or give nothing."""
    marks = list(_INLINE.finditer(line))
    if len(marks) < 2 or [_letter(mark) for mark in marks] != list(_LETTERS[: len(marks)]):
        return []
    segments = list(_segment(line[: marks[0].start()]))
    ends = [*(mark.start() for mark in marks[1:]), len(line)]
    for mark, end in zip(marks, ends, strict=True):
        body = line[mark.end() : end]
        kept = body.rstrip(" \t\n\r,;")
        segments += [TextSegment(mark[0], kept, body[len(kept) :], _letter(mark))]
    return segments


def _segment(text: str, before: str = "", option: str | None = None) -> Iterator[TextSegment]:
    if text or before:
        leading, body, trailing = _EDGES.fullmatch(text).groups()  # type: ignore[union-attr]
        yield TextSegment(before + leading, body, trailing, option)


def _letter(mark: re.Match[str]) -> str:
    return str(mark[1] or mark[2])
