"""Counting: exact match by kind of question, and how often the better of two answers is preferred."""

from collections import defaultdict
from collections.abc import Sequence


def exact_match_by_kind(answers: Sequence[str], expected: Sequence[str], kinds: Sequence[str]) -> dict[str, float]:
    """Count the share of answers equal to the expected ones, spaces around them aside, for each kind of question.

    >>> exact_match_by_kind(["azul", "azul", "SOL "], ["azul", "verde", "SOL"], ["cor", "cor", "ler"])
    {'cor': 0.5, 'ler': 1.0}

    Raises:
        ValueError: Answers, expected answers and kinds are not as many.
    """
    _require_as_many(answers=answers, expected=expected, kinds=kinds)
    right: dict[str, list[bool]] = defaultdict(list)
    for answer, key, kind in zip(answers, expected, kinds, strict=True):
        right[kind].append(answer.strip() == key.strip())
    return {kind: sum(hits) / len(hits) for kind, hits in right.items()}


def exact_match(answers: Sequence[str], expected: Sequence[str]) -> float:
    """Count the share of answers equal to the expected ones, spaces around them aside.

    Raises:
        ValueError: Answers and expected answers are not as many, or there are none.
    """
    return exact_match_by_kind(answers, expected, [""] * len(answers)).get("", 0.0)


def preference_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Count the share of pairs whose chosen answer scores strictly higher.

    Raises:
        ValueError: The two lists are not equally long, or empty.
    """
    _require_as_many(chosen=chosen, rejected=rejected)
    return sum(better > worse for better, worse in zip(chosen, rejected, strict=True)) / len(chosen)


def _require_as_many(**lists: Sequence[object]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"as many of each are needed, and at least one: {lengths}")
