"""What the variety classifier sees of a text: hashed n-grams of 2-5 characters and 1-2 words.

A feature's 64-bit hash names a slot of a fixed table and a 16-bit fingerprint; a slot keeps one feature, so an n-gram
that was never seen in training hits the wrong feature once in 65,536 times instead of always. No n-gram is stored.

Both spellings of a word that the orthographic agreement of 1990 changed are folded into one before hashing, whatever
the country: "acção" and "ação", "idéia" and "ideia" are the same to the classifier, so that no old text counts as
Brazilian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

TABLE_BITS = 18
_CHUNK = 1 << 14  # characters hashed at once; bounds the memory of a huge text
_ORDERS = (2, 3, 4, 5)

_NAME = re.compile(r"(?<=[a-zà-öø-ÿ,;] )[A-ZÀ-ÖØ-Þ][\w-]*")  # capitalised inside a sentence: a name, not a dialect
# Portugal wrote them with a capital before 1990, as names; small as everybody writes them now, they tell nothing.
_MONTHS_AND_SEASONS = re.compile(
    r"\b(?:janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro|primavera|verão|"
    r"outono|inverno)\b"
)
_DIGITS = re.compile(r"\d+")
_OTHER_SIGNS = re.compile(r"[^a-zà-öø-ÿ0-]+")

# Letters that the agreement of 1990 took away, from the longest on; applied to lower case, in this order.
_OLD_SPELLING = (
    ("cç", "ç"),
    ("pç", "ç"),
    ("cc", "c"),
    ("pc", "c"),
    ("ct", "t"),
    ("pt", "t"),
    ("éi", "ei"),
    ("ói", "oi"),
    ("êe", "ee"),
    ("ôo", "oo"),
    ("ü", "u"),
    ("pára", "para"),
    ("pêlo", "pelo"),
    ("pólo", "polo"),
    ("-de-", " de "),
    ("-de ", " de "),
)

_ODD = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0x100000001B3  # odd, so that it has an inverse modulo 2**64
_FINGERPRINT_SHIFT = np.uint64(64 - TABLE_BITS - 16)
_SLOT_SHIFT = np.uint64(64 - TABLE_BITS)


def fold(text: str) -> str:
    """Write a text, clean as `text.clean` leaves it, in the classifier's letters.

    Lower case, spelling of after 1990, names, months, seasons and numbers masked, one space for all other signs and at
    both ends.
    """
    text = _MONTHS_AND_SEASONS.sub("0", _NAME.sub("0", text).lower())
    text = _OTHER_SIGNS.sub(" ", _DIGITS.sub("0", text))
    for old, new in _OLD_SPELLING:
        text = text.replace(old, new)
    text = text.strip()
    return f" {text} " if text else ""


def hashes(folded: str) -> Iterator[Hashes]:
    """Hash every n-gram of a folded text, a chunk of it at a time.

    Yields:
        One 64-bit hash per occurrence of an n-gram, `(ngrams,)`.
    """
    start = 0
    while start < len(folded) - 1:
        end = start + _CHUNK
        if end < len(folded):
            space = folded.rfind(" ", start + _CHUNK // 2, end)
            end = space + 1 if space >= 0 else end  # inside a word only if it is endless
        yield _chunk_hashes(np.frombuffer(folded[start:end].encode("latin-1"), dtype=np.uint8))
        start = end - 1


def slots_and_fingerprints(hashed: Hashes) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Split hashes into slots of the table and what tells the features of a slot apart."""
    slots = (hashed >> _SLOT_SHIFT).astype(np.int64)
    return slots, (hashed >> _FINGERPRINT_SHIFT).astype(np.uint16)


def _chunk_hashes(letters: NDArray[np.uint8]) -> Hashes:
    grams = letters.astype(np.uint64)  # `(letters,)`, then keys of ever longer n-grams: up to five bytes fit exactly
    grams_by_order = []
    for order in _ORDERS:
        if len(letters) < order:
            break
        grams = grams[:-1] | (letters[order - 1 :].astype(np.uint64) << np.uint64(8 * (order - 1)))
        grams_by_order.append(grams)
    keys = np.concatenate((*grams_by_order, _word_keys(letters)))
    mixed = keys * _ODD
    return (mixed ^ (mixed >> np.uint64(29))) * _ODD


def _word_keys(letters: NDArray[np.uint8]) -> Hashes:
    """Key words and pairs of neighbours by a polynomial that does not depend on where they stand."""
    spaces = np.flatnonzero(letters == ord(" "))
    sums = np.zeros(len(letters) + 1, dtype=np.uint64)
    np.cumsum(letters * _POWERS[: len(letters)], out=sums[1:])
    spans = []
    for words in (1, 2):
        first, last = spaces[:-words] + 1, spaces[words:]
        keys = (sums[last] - sums[first]) * _INVERSES[first]
        spans.append(keys | np.uint64(1 << 63))  # apart from the keys of characters, which have 40 bits
    return np.concatenate(spans)


def _powers(base: int) -> Hashes:
    with np.errstate(over="ignore"):
        powers: Hashes = np.cumprod(np.full(_CHUNK, base, dtype=np.uint64), dtype=np.uint64)
    return np.concatenate((np.ones(1, dtype=np.uint64), powers))


_POWERS = _powers(_BASE)
_INVERSES = _powers(pow(_BASE, -1, 1 << 64))
