"""The best candidate against the worst, and which pairs stay, so that neither length nor origin gives one away."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..dataset import RejectedError
from .candidates import AnswerCandidate, AnswerOrigin

MARGIN = 2.0  # between the scores of a pair, at least; ours
LENGTH_RATIO = (0.9, 1.1)  # mean of chosen to rejected; ours
ORIGIN_GAP = 0.1  # between the shares of edits among chosen and among rejected, at most; ours


class PreferencePair(NamedTuple):
    """Two answers to a prompt, of which one is better."""

    chosen: AnswerCandidate
    rejected: AnswerCandidate

    @property
    def length_ratio(self) -> float:
        """Give the length of the chosen to that of the rejected."""
        return len(self.chosen.text) / max(1, len(self.rejected.text))


class PairFacts(NamedTuple):
    """What of a pair decides on whether it stays.

    Args:
        id: Of the prompt.
        length_ratio: Of chosen to rejected.
        chosen: Who wrote the chosen.
        rejected: Who wrote the rejected.
        margin: Between their scores.
    """

    id: str
    length_ratio: float
    chosen: AnswerOrigin
    rejected: AnswerOrigin
    margin: float = 0.0


def choose_pair(
    candidates: Sequence[AnswerCandidate], margin: float = MARGIN, refused: Callable[[str], bool] = lambda _text: False
) -> PreferencePair:
    """Choose the best against the worst.

    Where a rule checked them, the best is right and the worst wrong. Of equally good ones, and of equally bad ones,
    those pair that one origin wrote, and then those whose lengths are the most alike.

    Args:
        candidates: With scores; those without are left out.
        margin: Between the two scores, at least.
        refused: Tells what must not be chosen: another variety than European Portuguese.

    Raises:
        RejectedError: There is no such pair.
    """
    scored = [candidate for candidate in candidates if candidate.score is not None]
    if len(scored) < 2:
        raise RejectedError("fewer than two candidates with a score", f"{len(scored)} of {len(candidates)}")
    good = [candidate for candidate in scored if candidate.right is not False and not refused(candidate.text)]
    bad = [candidate for candidate in scored if candidate.right is not True]
    if not good or not bad:
        raise RejectedError("no candidate to choose" if not good else "no candidate to reject", f"of {len(scored)}")
    best, worst = max(map(_score, good)), min(map(_score, bad))
    if best - worst < margin:
        raise RejectedError("best and worst too close", f"{best:g} and {worst:g}")
    pairs = [
        PreferencePair(one, other)
        for one in good if _score(one) == best
        for other in bad if _score(other) == worst
    ]  # fmt: skip
    return min(pairs, key=_unlike)


def _unlike(pair: PreferencePair) -> tuple[bool, float, str, str]:
    ratio = pair.length_ratio
    return (
        pair.chosen.origin != pair.rejected.origin,
        max(ratio, 1 / max(ratio, 1e-9)),
        pair.chosen.text,
        pair.rejected.text,
    )


def _score(candidate: AnswerCandidate) -> float:
    return -1e9 if candidate.score is None else candidate.score


def balanced_pairs(
    pairs: Sequence[PairFacts],
    ratio: tuple[float, float] = LENGTH_RATIO,
    origin_gap: float = ORIGIN_GAP,
    most: int | None = None,
) -> list[str]:
    """Drop pairs until lengths and origins tell nothing of which answer is the better, on average.

    First go, of the pairs of two origins of which there are too many, those of the smallest margin; then those whose
    lengths differ the most; and in the end whatever is more than wanted, by their ids.

    Args:
        pairs: All there are, in any order.
        ratio: Least and largest mean length of chosen to rejected.
        origin_gap: Between the shares of edits among chosen and among rejected, at most.
        most: How many are wanted.

    Returns:
        Ids of those that stay, sorted.
    """
    staying = sorted(pairs, key=lambda pair: _drawn(pair.id))
    if most is not None and len(staying) > most:  # as balanced as all of them, but for chance
        staying = _balanced(staying, ratio, origin_gap)[:most]
    return sorted(pair.id for pair in _balanced(staying, ratio, origin_gap))


def _balanced(pairs: list[PairFacts], ratio: tuple[float, float], origin_gap: float) -> list[PairFacts]:
    while True:
        before = len(pairs)
        pairs = _even_lengths(_even_origins(pairs, origin_gap), ratio)
        if len(pairs) == before:
            return pairs


def _even_origins(pairs: list[PairFacts], gap: float) -> list[PairFacts]:
    """Drop of the pairs of two origins those that are too many: each narrows the gap by one."""
    kinds = {
        kind: sorted((pair for pair in pairs if (pair.chosen, pair.rejected) == kind), key=lambda pair: pair.margin)
        for kind in (("edit", "policy"), ("policy", "edit"))
    }
    many, few = sorted(kinds.values(), key=len, reverse=True)
    dropped: set[str] = set()
    while len(many) - len(dropped) - len(few) > gap * (len(pairs) - len(dropped)):
        dropped.add(many[len(dropped)].id)
    return [pair for pair in pairs if pair.id not in dropped]


def _even_lengths(pairs: list[PairFacts], ratio: tuple[float, float]) -> list[PairFacts]:
    """Drop the longest, or the shortest, until the mean is within bounds."""
    low, high = ratio
    by_ratio = sorted(pairs, key=lambda pair: (pair.length_ratio, pair.id))
    total, start, stop = sum(pair.length_ratio for pair in by_ratio), 0, len(by_ratio)
    while start < stop and not low <= total / (stop - start) <= high:
        if total / (stop - start) > high:
            stop -= 1
            total -= by_ratio[stop].length_ratio
        else:
            total -= by_ratio[start].length_ratio
            start += 1
    kept = {pair.id for pair in by_ratio[start:stop]}
    return [pair for pair in pairs if pair.id in kept]


def describe_pairs(pairs: Iterable[PairFacts]) -> list[str]:
    """Say how many pairs there are, of which origins, how long, and how far apart."""
    listed = list(pairs)
    if not listed:
        return ["no pairs"]
    kinds = Counter((pair.chosen, pair.rejected) for pair in listed)
    edits = [sum(kinds[kind] for kind in kinds if kind[side] == "edit") / len(listed) for side in (0, 1)]
    return [
        f"{len(listed)} pairs; {edits[0]:.0%} of the chosen and {edits[1]:.0%} of the rejected are edits",
        *(f"{count} x {chosen} over {rejected}" for (chosen, rejected), count in sorted(kinds.items())),
        f"length of chosen to rejected: mean {statistics.fmean(pair.length_ratio for pair in listed):.3f}, "
        f"median {statistics.median(pair.length_ratio for pair in listed):.3f}",
        f"margin: mean {statistics.fmean(pair.margin for pair in listed):.2f}",
    ]


def _drawn(name: str) -> str:
    return hashlib.sha256(f"pair {name}".encode()).hexdigest()
