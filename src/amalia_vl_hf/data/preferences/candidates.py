"""AnswerCandidate answers to a prompt: the policy's own, and small edits of them by another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ...evaluation.metrics import distance
from ..scores import HIGHEST, LOWEST
from .rules import AnswerRule

AnswerOrigin = Literal["policy", "edit"]
ORIGINS: tuple[AnswerOrigin, ...] = ("policy", "edit")
MOST_EDITED = 0.3  # normalised edit distance of an edit to what it was made of; ours, the paper says "small"


class AnswerCandidate(NamedTuple):
    """One answer to a prompt.

    Args:
        text: The answer.
        origin: Who wrote it.
        score: Of a judge or a reward model; None where it has none.
        right: What a rule says; None where there is no rule.
    """

    text: str
    origin: AnswerOrigin
    score: float | None = None
    right: bool | None = None


def from_records(records: Sequence[Mapping[str, Any]]) -> list[AnswerCandidate]:
    """Read candidates as items hold them."""
    return [AnswerCandidate(**record) for record in records]


def own_candidates(texts: Sequence[str]) -> list[AnswerCandidate]:
    """Make candidates of a policy's answers, each once."""
    return [AnswerCandidate(text, "policy") for text in dict.fromkeys(text.strip() for text in texts) if text]


def edited_candidates(
    own: Sequence[AnswerCandidate], edits: Sequence[str | None], most: float = MOST_EDITED
) -> list[AnswerCandidate]:
    """Make candidates of edits, those that changed something, and not much; none that is there already.

    Args:
        own: What was edited.
        edits: The edit of each, None where there is none.
        most: Largest edit distance, as a share of the longer text.
    """
    there = {candidate.text for candidate in own}
    made: dict[str, AnswerCandidate] = {}
    for before, after in zip(own, edits, strict=True):
        text = (after or "").strip()
        if text and text not in there and edit_share(before.text, text) <= most:
            made.setdefault(text, AnswerCandidate(text, "edit"))
    return list(made.values())


def edit_share(before: str, after: str) -> float:
    """Give the edit distance of two texts as a share of the longer one."""
    return distance(before, after) / max(len(before), len(after), 1)


def checked_by_rule(candidates: Sequence[AnswerCandidate], rule: AnswerRule | None) -> list[AnswerCandidate]:
    """Check candidates by their prompt's rule, before any judge.

    Wrong ones have the lowest score, and right ones the highest where nothing is left to judge. What the rule cannot
    read is wrong where the question asks for that alone, and is left out elsewhere: it may be right.
    """
    if rule is None:
        return list(candidates)
    checked = []
    for candidate in candidates:
        right = rule.check(candidate.text)
        if right is None and not rule.alone:
            continue
        score = float(LOWEST) if not right else float(HIGHEST) if rule.bare else None
        checked.append(candidate._replace(right=bool(right), score=score))
    return checked
