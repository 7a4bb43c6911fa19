"""How Brazilian a model's answers are: verdicts pooled over turns and over conversations, with intervals.

>>> answers = [["O autocarro está a chegar.", "Estão três pessoas na paragem."], ["O ônibus está chegando."]]
>>> pooled(answers).conversations.brazilian
0.5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import Verdict, judge

_Z = 1.959964  # of 95 %
_DRAWS = 1000


class VarietyShare(NamedTuple):
    """What part of texts is of which variety.

    Args:
        texts: Texts with something to judge; the shares are of these.
        brazilian: Share that is Brazilian enough to be refused.
        low: Lower end of its interval, 95 %.
        high: Upper end.
        undecided: Share with too little evidence for either side.
        score: Mean score, 1 for surely pt-PT.
        nothing: Texts with nothing to judge, beside the others.
    """

    texts: int
    brazilian: float
    low: float
    high: float
    undecided: float
    score: float
    nothing: int


class PooledVariety(NamedTuple):
    """The same answers, judged one turn at a time, and all turns of a conversation at once."""

    turns: VarietyShare
    conversations: VarietyShare


def pooled(conversations: Sequence[Sequence[str]], judge: Callable[[str], Verdict] = judge) -> PooledVariety:
    """Judge a model's answers, by turn and by conversation.

    Conversations are independent: theirs is Wilson's interval. Turns of one conversation are not, so theirs is that of
    1,000 draws of whole conversations (seed 0); where no draw differs it is Wilson's over the conversations, too.

    Args:
        conversations: The answers of each, in order; of a benchmark of single questions, one answer each.
        judge: Gives the verdict on a text.

    Raises:
        ValueError: There is no conversation.
    """
    if not conversations:
        raise ValueError("there is no conversation to judge")
    turns = [[judge(turn) for turn in turns] for turns in conversations]
    whole = [judge("\n".join(turns)) for turns in conversations]
    by_turn = _share([verdict for verdicts in turns for verdict in verdicts])
    low, high = _drawn(turns)
    if low == high:
        low, high = wilson(by_turn.brazilian, sum(any(v.is_pt_pt is not None for v in group) for group in turns))
    return PooledVariety(by_turn._replace(low=low, high=high), _share(whole))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Give Wilson's interval of a share, 95 %; 0 to 1 where nothing was counted."""
    if not count:
        return 0.0, 1.0
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _share(verdicts: Sequence[Verdict]) -> VarietyShare:
    judged = [verdict for verdict in verdicts if verdict.is_pt_pt is not None]
    count = len(judged)
    brazilian = sum(verdict.refused for verdict in judged) / max(count, 1)
    return VarietyShare(
        texts=count,
        brazilian=brazilian,
        low=wilson(brazilian, count)[0],
        high=wilson(brazilian, count)[1],
        undecided=sum(verdict.undecided for verdict in judged) / max(count, 1),
        score=sum(verdict.score for verdict in judged) / count if count else 0.5,
        nothing=len(verdicts) - count,
    )


def _drawn(turns: Sequence[Sequence[Verdict]]) -> tuple[float, float]:
    """Give the middle 95 % of the share over draws of whole conversations."""
    counts = np.array([[sum(v.refused for v in group), sum(v.is_pt_pt is not None for v in group)] for group in turns])
    rng = np.random.default_rng(0)
    draws = [counts[rng.integers(len(turns), size=len(turns))].sum(axis=0) for _ in range(_DRAWS)]
    shares = [refused / max(judged, 1) for refused, judged in draws]
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)
