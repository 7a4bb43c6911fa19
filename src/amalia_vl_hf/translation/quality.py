"""Soft rules: how far a translation says what its source says, as numbers, and thresholds that good pairs set.

    >>> round(chrf("O comboio é vermelho.", "O comboio é verde."), 2)
    0.74
    >>> threshold([0.9, 0.8, 0.7, 0.95], lost=0.25)
    0.8

A threshold is never a constant: scores of two models are on two scales, so it is the quantile of the scores of
translations that are known to be good (or, where none are known, of the run's own).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .masks import plain

Embed = Callable[[Sequence[str]], NDArray[Any]]  # texts -> unit vectors, one a row
Score = Callable[[Sequence[str], Sequence[str]], Sequence[float]]  # sources, translations -> the higher the better
FEWEST_WORDS = 4  # of a source that soft rules can say anything about
_SENTENCE = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"”»)]))\s+(?=[\"“«(]?[A-ZÀ-Þ0-9])|\n+")
_ORDER = 6  # letters of the longest n-grams (Popović 2015)
_BETA = 2.0  # recall counts twice


class Agreement(NamedTuple):
    """How near embeddings of a source and a translation are, as cosines.

    Args:
        whole: Of the whole texts.
        least: Of the sentence of either side that has the least like it where it should be on the other.
    """

    whole: float
    least: float


def chrf(text: str, reference: str) -> float:
    """Give the F-score of n-grams of letters, 0 to 1, as sacreBLEU has it; white space does not count."""
    text, reference = ("".join(part.split()) for part in (text, reference))
    shares = []
    for order in range(1, min(_ORDER, len(text), len(reference)) + 1):
        ours, theirs = _ngrams(text, order), _ngrams(reference, order)
        shared = (ours & theirs).total()
        shares.append((shared / ours.total(), shared / theirs.total()))
    if not shares:
        return float(text == reference)
    precision, recall = (sum(share) / len(shares) for share in zip(*shares, strict=True))
    both = _BETA**2 * precision + recall
    return (1 + _BETA**2) * precision * recall / both if both else 0.0


def sentences(text: str) -> list[str]:
    """Cut a text into sentences and lines."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def agreement(pairs: Sequence[tuple[str, str]], embed: Embed) -> list[Agreement]:
    """Compare texts and their translations, whole and sentence by sentence.

    Where both sides have as many sentences, each is held against the one in its place, so that two that changed
    places are noticed; otherwise against the nearest to its place.
    """
    cut = [(_spoken(source), _spoken(translation)) for source, translation in pairs]
    flat = [text for pair in cut for side in pair for text in (" ".join(side), *side)]
    if not flat:
        return []
    vectors = np.asarray(embed(flat), dtype=np.float32)
    found, position = [], 0
    for source, translation in cut:
        whole = vectors[position], vectors[position + len(source) + 1]
        ours = vectors[position + 1 : position + 1 + len(source)]
        theirs = vectors[position + len(source) + 2 : position + len(source) + 2 + len(translation)]
        position += len(source) + len(translation) + 2
        found.append(Agreement(float(whole[0] @ whole[1]), _least(ours @ theirs.T)))
    return found


def threshold(scores: Sequence[float], lost: float) -> float:
    """Give the score under which the given share of good translations lies; what scores lower is refused.

    Args:
        scores: Of translations that are good.
        lost: Share of them that may be refused, 0 to 1.

    Raises:
        ValueError: There are no scores, one is not finite, or the share is none.
    """
    if not scores or not all(map(math.isfinite, scores)):
        raise ValueError(f"a threshold needs finite scores of good translations, not {list(scores)[:5]}")
    if not 0 <= lost < 1:
        raise ValueError(f"the share of good translations that may be lost is {lost}, but must be 0 to below 1")
    return sorted(scores)[math.floor(lost * len(scores))]


def measurable(source: str) -> bool:
    """Tell whether a text says enough for soft rules; of an option's two words they know nothing."""
    return len(plain(source).split()) >= FEWEST_WORDS


def _spoken(text: str) -> list[str]:
    return sentences(text) or [""]


def _least(cosines: NDArray[Any]) -> float:
    rows, columns = cosines.shape
    if rows == columns:
        return float(np.diagonal(cosines).min())
    # A sentence may have been cut in two, or two joined: one place more or less, beside the difference.
    reach = abs(rows - columns) + 1
    near = np.abs(np.arange(rows)[:, None] - np.arange(columns)[None, :]) <= reach
    held = np.where(near, cosines, -1.0)
    return float(min(held.max(axis=1).min(), held.max(axis=0).min()))


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))
