"""Captions of one image by several models: outliers are left out, and the three most dissimilar are merged (5.1).

The paper excludes outliers and says no more. Ours: a caption whose mean similarity to the others is below their median
by several median absolute deviations. Without it, "the three most dissimilar" always takes a caption of another image.
What one caption says beside the truth is no outlier: claims are checked one by one, against the image.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dataset import RejectedError
from .captions import read_json_object
from .concepts import normalised

DEVIATIONS = 2.5  # MADs, scaled to a standard deviation (Leys et al., "Detecting outliers", 2013)
LEAST_SPREAD = 0.03  # of cosines, ours: captions that agree have a MAD near 0, and none of them is an outlier
MERGED = 3  # captions; paper, section 5.1
SCALE = 1.4826  # of a MAD, for a normal distribution

_SENTENCE = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'»”)]))\s+(?=[«\"“(]?[A-ZÀ-Þ0-9])")


class CaptionChoice(NamedTuple):
    """Which captions of an image are merged.

    Args:
        merged: Their places.
        excluded: Places of the outliers.
        similarity: Mean cosine of each caption to all others.
    """

    merged: tuple[int, ...]
    excluded: tuple[int, ...]
    similarity: tuple[float, ...]


def choose_captions(embeddings: NDArray[np.floating], merged: int = MERGED) -> CaptionChoice:
    """Leave outliers out, and choose the captions whose mutual similarity is the least.

    Args:
        embeddings: `(captions, size)`, of a sentence encoder.
        merged: How many are chosen.

    Raises:
        RejectedError: Fewer stay.
    """
    unit = normalised(embeddings)
    cosines = np.asarray(unit @ unit.T, np.float64)
    excluded = outliers(cosines)
    staying = [place for place in range(len(cosines)) if place not in excluded]
    if len(staying) < merged:
        raise RejectedError("captions that do not agree", f"{len(staying)} of {len(cosines)} stay")
    chosen = min(combinations(staying, merged), key=lambda places: (_mutual(cosines, places), places))
    return CaptionChoice(chosen, excluded, tuple(_means(cosines).tolist()))


def outliers(cosines: NDArray[np.float64]) -> tuple[int, ...]:
    """Find captions that are far less like the others than those are among themselves.

    Args:
        cosines: `(captions, captions)`.

    Returns:
        Their places; none where there are fewer than three captions, of which no one can be the odd one.
    """
    if len(cosines) < 3:
        return ()
    means = _means(cosines)
    median = np.median(means)
    spread = max(SCALE * float(np.median(np.abs(means - median))), LEAST_SPREAD)
    return tuple(np.flatnonzero(means < median - DEVIATIONS * spread).tolist())


def read_verdicts(answer: str, claims: int) -> list[bool]:
    """Read what a model says of numbered claims: JSON, `{"1": true, "2": false}`.

    Raises:
        RejectedError: It is no such JSON, or a claim has no verdict.
    """
    record = read_json_object(answer, [str(number) for number in range(1, claims + 1)])
    if any(type(verdict) is not bool for verdict in record.values()):
        raise RejectedError("a verdict that is neither true nor false", str(record)[:80])
    return [record[str(number)] for number in range(1, claims + 1)]


def sentences(text: str) -> list[str]:
    """Cut a caption into its sentences: each is a claim to check.

    >>> sentences("Um gato dorme. São 10.30 h. «Olá», diz a placa.")
    ['Um gato dorme.', 'São 10.30 h.', '«Olá», diz a placa.']
    """
    return [part.strip() for line in text.splitlines() for part in _SENTENCE.split(line) if part.strip()]


def _means(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean cosine of each caption to all others."""
    means: NDArray[np.float64] = (cosines.sum(axis=1) - cosines.diagonal()) / max(1, len(cosines) - 1)
    return means


def _mutual(cosines: NDArray[np.float64], places: tuple[int, ...]) -> float:
    return float(sum(cosines[one, other] for one, other in combinations(places, 2)))
