"""English that a translation left as it was: all of it, a word, or a run of words inside Portuguese."""

from __future__ import annotations

import re

from .vocabulary import ENGLISH, FUNCTION_WORDS

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ENGLISH, _FUNCTION = frozenset(ENGLISH.split()), frozenset(FUNCTION_WORDS.split())
_FEWEST_IN_ROW = 3  # words that stand in the translation as they stood in the source


def copied(source: str, translation: str) -> str | None:
    """Say that a translation is its source; names, numbers and words of both languages may be."""
    if _letters(source) != _letters(translation):
        return None
    words = _WORD.findall(source)
    telling = [word for word in words if word.lower() in _ENGLISH]
    return f"{source.strip()[:60]!r} as it was" if telling else None


def left_over(source: str, translation: str) -> str | None:
    """Find a run of the source's words in its translation, names apart: three with a telling one among them."""
    ours, theirs = _WORD.findall(translation), _WORD.findall(source)
    runs = {
        tuple(word.lower() for word in theirs[at : at + _FEWEST_IN_ROW])
        for at in range(len(theirs) - _FEWEST_IN_ROW + 1)
    }
    for at in range(len(ours) - _FEWEST_IN_ROW + 1):
        run = ours[at : at + _FEWEST_IN_ROW]
        small = [word for word in run if word[0].islower()]
        if tuple(word.lower() for word in run) in runs and len(small) > 1 and any(word in _FUNCTION for word in small):
            return " ".join(run)
    return None


def _letters(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
