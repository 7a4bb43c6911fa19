"""How far a figure may be off: bootstrap intervals, of one model or of the difference of two on the same rows.

What is drawn anew is a task's unit: an image for RefCOCO's expressions and for captions, a pair of questions for MME,
a conversation for those of several turns, a row for the others. Two models are drawn alike, so that what makes a row
hard for both is not taken for a difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..variety.pooled import wilson
from .counting import captions
from .counting.scoring import Item, scores_of, texts_of
from .counting.totals import aggregate, conversation_scores, each_score
from .tasks import Benchmark, Protocol

DRAWS = 1000
COVERAGE = 0.95
_MEANS = {"mean": 1.0, "rounded": 1.0, "percent": 100.0, "pope": 1.0, "transcription": 1.0, "thousand": 1.0}


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval, in the units of the task's aggregate.

    Args:
        value: The figure.
        low: 2.5th percentile of the draws.
        high: 97.5th percentile.
        units: How many were drawn from: rows, images or pairs.
    """

    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same rows.

    Args:
        first: Figure of the first.
        second: Of the second.
        difference: Second minus first, with its paired interval.
    """

    first: float
    second: float
    difference: Interval


def interval(task: Benchmark, items: Sequence[Item], protocol: Protocol, seed: int = 0) -> Interval:
    """Bootstrap a task's figure; a share of conversations has Wilson's interval, which is none of zero width.

    Args:
        task: The benchmark.
        items: Its rows with `answer` and `score`; `image` is the unit of tasks that say so.
        protocol: By which `score` was counted.
        seed: Of the draws; the same gives the same interval.
    """
    draws, groups = _draws(task, items, protocol, [unit_of(task, item, n) for n, item in enumerate(items)], seed)
    value = float(aggregate(task, items, protocol))
    low, high = wilson(value, groups) if task.aggregate == "variety" else _limits(draws)
    return Interval(value, low, high, groups)


def compare(
    task: Benchmark, first: Sequence[Item], second: Sequence[Item], protocol: Protocol, seed: int = 0
) -> PairedComparison:
    """Compare two models' items on a task, row by row.

    Raises:
        ValueError: They are not about the same rows, in the same order.
    """
    one, other = ([item.get("key") for item in items] for items in (first, second))
    if one != other:
        place = next(
            (n for n, keys in enumerate(zip(one, other, strict=False)) if keys[0] != keys[1]),
            min(len(one), len(other)),
        )
        raise ValueError(
            f"{task.name}: {len(one)} rows of the first and {len(other)} of the second are not the same, from row"
            f" {place} on; were both run on the same data, with the same prompts and limit?"
        )
    units = [unit_of(task, item, number) for number, item in enumerate(first)]
    before, groups = _draws(task, first, protocol, units, seed)
    after, _ = _draws(task, second, protocol, units, seed)
    low, high = _limits(after - before)
    left, right = (float(aggregate(task, items, protocol)) for items in (first, second))
    return PairedComparison(left, right, Interval(right - left, low, high, groups))


def unit_of(task: Benchmark, item: Item, number: int) -> Hashable:
    """Say what is drawn together with a row."""
    if task.unit == "image" and item.get("image") is not None:
        return str(item["image"])
    if task.unit == "group":
        return str(item["question_id"])
    if task.unit == "identity" and item.get("question_id") is not None:
        return str(item.get("category")), str(item["question_id"])
    return number


def _draws(
    task: Benchmark, items: Sequence[Item], protocol: Protocol, units: Sequence[Hashable], seed: int
) -> tuple[np.ndarray, int]:
    """Give the figure of every draw, and how many units there are."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        members[unit].append(number)
    groups = list(members.values())
    generator = np.random.default_rng(seed)
    if task.aggregate == "variety":
        return _drawn(conversation_scores(items), np.ones(len(groups)), generator), len(groups)
    if task.aggregate in _MEANS or task.aggregate == "cider":
        return _drawn_means(task, items, protocol, groups, generator), len(groups)
    figure = _bleu_of(items) if task.aggregate == "bleu1" else _figure_of(task, items, protocol)
    drawn = []
    for _ in range(DRAWS):
        chosen = generator.integers(len(groups), size=len(groups))
        drawn.append(figure([(copy, number) for copy, group in enumerate(chosen) for number in groups[group]]))
    return np.array(drawn), len(groups)


def _drawn_means(
    task: Benchmark,
    items: Sequence[Item],
    protocol: Protocol,
    groups: Sequence[Sequence[int]],
    generator: np.random.Generator,
) -> np.ndarray:
    count = each_score if task.aggregate == "cider" else scores_of  # CIDEr keeps the corpus's document frequencies
    scores = count(task, items, protocol)
    sums = np.array([sum(scores[number] for number in group) for group in groups])
    sizes = np.array([len(group) for group in groups])
    scale = _MEANS.get(task.aggregate, 1.0)
    if task.aggregate == "thousand" and protocol == "published":
        scale = len(items) / 1000
    return _drawn(scale * sums, sizes, generator)


def _drawn(sums: np.ndarray, sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    drawn = []
    for _ in range(DRAWS):
        chosen = generator.integers(len(sums), size=len(sums))
        drawn.append(sums[chosen].sum() / sizes[chosen].sum())
    return np.array(drawn)


Figure = Callable[[Sequence[tuple[int, int]]], float]  # of rows, each with the number of the draw that brought it


def _figure_of(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Figure:
    scores = scores_of(task, items, protocol)

    def figure(rows: Sequence[tuple[int, int]]) -> float:
        # A unit that is drawn twice is two units: its copies must not become one image with four questions.
        copies = [
            {**items[number], "score": scores[number], "question_id": (copy, items[number].get("question_id"))}
            for copy, number in rows
        ]
        return float(aggregate(task, copies, protocol))

    return figure


def _bleu_of(items: Sequence[Item]) -> Figure:
    counts = [captions.bleu_counts(str(item["answer"]).strip(), texts_of(item)) for item in items]
    return lambda rows: captions.bleu1([counts[number] for _, number in rows])


def _limits(draws: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)
