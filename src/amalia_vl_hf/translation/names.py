"""Proper names that a translation changed or dropped: people, brands, titles and small places keep theirs.

    >>> changed_names("Who is holding Mary Smith's bag?", "Quem segura a mala da Maria Silva?")
    "'Mary' and 'Smith' are not in the translation"
    >>> changed_names("Is London in England?", "Londres fica em Inglaterra?") is None
    True

What a name is can be seen of words with a capital that stand in a run of two, or inside a sentence. Countries, large
cities, languages, months and common nouns with a capital have translations, and are free to have them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher

from .vocabulary import ENGLISH, TRANSLATED_NAMES

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_START = re.compile(r"(?:^|[.!?:;\n\"“«(\[*•]|\d[.)]|\b[A-Z][.)])\s*$")
_NAMED = re.compile(r"[A-Z][a-zà-ÿ'’]*[a-zà-ÿ](?:-[A-Za-zà-ÿ]+)*")
_DEMONYM = re.compile(r"(?:[a-z]{2}ish|[a-z]{2}ese|[a-z]ian|[a-z]{2}can|[a-z]{2}ean|[a-z]{2}ans|[a-z]{2}eans)$")
_FREE = frozenset(ENGLISH.split()) | frozenset(TRANSLATED_NAMES.split())
_ALIKE = 0.75  # from this ratio on a word is the name in another spelling: Vienna and Viena, not John and João
_TITLE = 0.6  # share of words with a capital from which on a text is written like a title, and tells nothing


def changed_names(source: str, translation: str) -> str | None:
    """Say which of a text's names its translation does not hold."""
    held = {_folded(word) for word in _WORD.findall(translation)}
    lost = list(dict.fromkeys(name for name in names(source) if not _is_held(_folded(name), held)))
    if not lost:
        return None
    several = len(lost) > 1
    listed = " and ".join(repr(name) for name in lost[:3])
    return f"{listed} {'are' if several else 'is'} not in the translation"


def names(text: str) -> Iterator[str]:
    """Find the words of a text that are names, and that no language has words of its own for."""
    words = [(match, match[0]) for match in _WORD.finditer(text)]
    long = [word for _, word in words if len(word) > 3]
    if len(long) > 4 and sum(word[0].isupper() for word in long) >= _TITLE * len(long):
        return
    capital = [bool(_NAMED.fullmatch(word)) for _, word in words]
    for place, (match, word) in enumerate(words):
        if not capital[place] or _is_free(word):
            continue
        inside = not _START.search(text[: match.start()])
        if inside or _has_neighbour(text, words, capital, place):
            yield word


def _has_neighbour(text: str, words: list[tuple[re.Match[str], str]], capital: list[bool], place: int) -> bool:
    """Whether the next word is a part of the same name; the first of a sentence is one only then."""
    if place + 1 == len(words) or not capital[place + 1] or _is_free(words[place + 1][1]):
        return False
    return text[words[place][0].end() : words[place + 1][0].start()] == " "


def _is_free(word: str) -> bool:
    lower = word.lower()
    return lower in _FREE or lower.removesuffix("s") in _FREE or bool(_DEMONYM.search(lower))


def _is_held(name: str, held: set[str]) -> bool:
    if name in held or name.removesuffix("s") in held:
        return True
    return any(word[:1] == name[:1] and SequenceMatcher(None, name, word).ratio() >= _ALIKE for word in held)


def _folded(word: str) -> str:
    plain = unicodedata.normalize("NFD", word.lower())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
