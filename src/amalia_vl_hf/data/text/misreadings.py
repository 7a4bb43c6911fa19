"""Wrong transcriptions of a text, as a model that reads badly, or imagines, would give them."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

from .passages import write_passage

Misreading = Callable[[list[str], random.Random], list[str]]


def misread(text: str, rng: random.Random) -> str:
    """Give a text that differs from the one in the picture in one of seven ways."""
    words = text.split(" ")  # line breaks stay
    while True:
        candidate = " ".join(rng.choice(MISREADINGS)(words, rng))
        if candidate and candidate.split() != text.split():
            return candidate


def _drop(words: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(words))
    return words[:place] + words[place + 1 :]


def _repeat(words: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(words))
    return words[: place + 1] + words[place:]


def _swap(words: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(words))
    return words[:place] + words[place : place + 2][::-1] + words[place + 2 :]


def _replace(words: list[str], rng: random.Random) -> list[str]:
    """Put another word in the place of one."""
    place = rng.randrange(len(words))
    return [*words[:place], rng.choice(write_passage(rng, 0).text.split()), *words[place + 1 :]]


def _imagine(words: list[str], rng: random.Random) -> list[str]:
    """Go on with a sentence that is not there."""
    return [*words, *write_passage(rng, 0).text.split()]


def _unaccent(words: list[str], rng: random.Random) -> list[str]:
    """Take the accents of one word; a cedilla is one."""
    place = rng.randrange(len(words))
    letters = unicodedata.normalize("NFD", words[place])
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return [*words[:place], bare, *words[place + 1 :]]


def _renumber(words: list[str], rng: random.Random) -> list[str]:
    """Change one digit."""
    places = [place for place, word in enumerate(words) if any(map(str.isdecimal, word))]
    if not places:
        return words
    place = rng.choice(places)
    digit = rng.choice([letter for letter in words[place] if letter.isdecimal()])
    return [*words[:place], words[place].replace(digit, str((int(digit) + 1) % 10), 1), *words[place + 1 :]]


MISREADINGS: tuple[Misreading, ...] = (_drop, _repeat, _swap, _replace, _imagine, _unaccent, _renumber)
