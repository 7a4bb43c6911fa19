"""Which conversations make a step, and how they are laid into rows: balanced, bounded, and as many in every step."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from .balance import Costs, Indices, fullest_first, longest_first, micro_batches

Rows = list[list[int]]

# With fewer conversations a row, the rows of a step differ so much in cost that ranks wait less with one in each.
LEAST_A_ROW = 3

# Steps whose conversations are sorted together where each has a row of its own. The more of them, the less ranks wait
# for one another, and the more alike are the conversations of a micro-batch.
LOOK_AHEAD = 32

_END = -1  # of a row, where a step's lie one after the other


@dataclass(frozen=True, eq=False)
class RowPlan(Sequence[Rows]):
    """The rows of each step of a run, in two arrays: lists of millions of numbers would take ten times the memory.

    Args:
        order: Positions in the dataset, row after row.
        stops: Where each row begins in `order`, and last where the last one ends.
        rows: Of a step.
    """

    order: Indices
    stops: Indices
    rows: int

    @classmethod
    def of(cls, steps: Iterable[Rows]) -> RowPlan:
        """Take steps of equally many rows, one after the other."""
        order, stops, rows = array("q"), array("q", [0]), 0
        for step in steps:
            rows = len(step)
            for row in step:
                order.extend(row)
                stops.append(len(order))
        return cls(np.frombuffer(order, np.int64), np.frombuffer(stops, np.int64), rows)

    def each_row(self) -> Iterator[list[int]]:
        """Give the rows of all steps."""
        for start, stop in pairwise(self.stops):
            yield self.order[start:stop].tolist()

    def __len__(self) -> int:
        """Count the steps."""
        return (len(self.stops) - 1) // self.rows

    @overload
    def __getitem__(self, step: int) -> Rows: ...

    @overload
    def __getitem__(self, step: slice) -> list[Rows]: ...

    def __getitem__(self, step: int | slice) -> Rows | list[Rows]:
        """Give the rows of a step, or of several."""
        if isinstance(step, slice):
            return [self[one] for one in range(len(self))[step]]
        first = range(len(self))[step] * self.rows
        stops = self.stops[first : first + self.rows + 1]
        return [self.order[start:stop].tolist() for start, stop in pairwise(stops)]


def plan_rows(
    lengths: Indices, costs: Costs, *, conversations: int, ranks: int, max_length: int, steps: int, seed: int
) -> RowPlan:
    """Lay out the rows of every step of a run.

    Every step holds exactly `conversations`, in the same number of rows, a multiple of `ranks`: the fewest in which
    all steps fit. One rank waits for nobody, so its rows are filled; several get rows of equal cost. Where ranks
    would wait because a row holds few conversations, each conversation gets one of its own, and a micro-batch takes
    conversations of like cost. An epoch that whole steps do not divide is filled up with conversations drawn again.

    Args:
        lengths: Tokens of each conversation of the dataset, visual ones included.
        costs: Of each conversation.
        conversations: Of a step, over all ranks.
        ranks: How many processes train; rows `0, ranks, 2 * ranks...` of a step are rank 0's.
        max_length: Most tokens of a row.
        steps: Of the whole run.
        seed: Of the order.

    Returns:
        The rows of each step, of positions in the dataset.

    Raises:
        ValueError: There are no conversations, one is longer than a row, or the ranks cannot share a step's.
    """
    _check(lengths, conversations, ranks, max_length)
    epochs = math.ceil(steps / math.ceil(len(lengths) / conversations))
    generators = [np.random.default_rng((seed, epoch)) for epoch in range(epochs)]
    even = np.concatenate([even_steps(lengths, conversations, generator) for generator in generators])[:steps]
    if ranks == 1:
        return _filled(even, lengths, max_length)
    fewest = math.ceil(lengths[even].sum(axis=1).max() / max_length / ranks) * ranks
    for rows in range(fewest, conversations // LEAST_A_ROW + 1, ranks):
        plan = _pack(even, lengths, costs, rows, ranks, max_length)
        if plan is not None:
            return plan
    alike = np.concatenate([alike_steps(costs, conversations, ranks, generator) for generator in generators])[:steps]
    return RowPlan.of(_in_micro_batches([[one] for one in step.tolist()], costs, ranks) for step in alike)


def even_steps(lengths: Indices, conversations: int, generator: np.random.Generator) -> Indices:
    """Deal an epoch out to steps that hold as many tokens each, very nearly.

    Sorted by length, conversations are cut into as many strata as a step has places; each step draws one from each.

    Returns:
        `(steps, conversations)`, positions in the dataset.
    """
    pool = _filled_up(len(lengths), conversations, generator)
    strata = pool[np.argsort(lengths[pool], kind="stable")].reshape(conversations, -1)
    return generator.permuted(strata, axis=1).T


def alike_steps(costs: Costs, conversations: int, ranks: int, generator: np.random.Generator) -> Indices:
    """Deal an epoch out to steps of micro-batches, one conversation a rank, whose conversations cost the same.

    The conversations of some steps are sorted, cut into micro-batches, and these shuffled among the steps.

    Returns:
        `(steps, conversations)`, positions in the dataset.
    """
    pool = _filled_up(len(costs), conversations, generator)
    steps = []
    for start in range(0, len(pool), LOOK_AHEAD * conversations):
        ahead = pool[start : start + LOOK_AHEAD * conversations]
        batches = ahead[np.argsort(costs[ahead], kind="stable")].reshape(-1, ranks)
        steps.append(generator.permutation(batches).reshape(-1, conversations))
    return generator.permutation(np.concatenate(steps))


def _filled_up(count: int, conversations: int, generator: np.random.Generator) -> Indices:
    """Shuffle the dataset's positions and repeat as many as whole steps lack."""
    order = generator.permutation(count)
    return np.resize(order, math.ceil(count / conversations) * conversations)


def _filled(steps: Indices, lengths: Indices, max_length: int) -> RowPlan:
    """Fill the rows of each step; where one needs fewer than another, its longest lists of conversations are cut."""
    filled = [_folded(fullest_first(lengths[step].tolist(), max_length)) for step in steps]
    most = max(rows.count(_END) for rows in filled)
    return RowPlan.of(
        [step[row].tolist() for row in _cut(_unfolded(rows), most)] for step, rows in zip(steps, filled, strict=True)
    )


def _cut(rows: Rows, most: int) -> Rows:
    """Cut the longest rows in two until there are so many."""
    while len(rows) < most:
        longest = max(rows, key=len)
        rows.append([longest.pop() for _ in range(len(longest) // 2)])
    return rows


def _folded(rows: Rows) -> array[int]:
    """Hold the rows of a step in little memory."""
    return array("i", [place for row in rows for place in (*row, _END)])


def _unfolded(places: array[int]) -> Rows:
    rows: Rows = [[]]
    for place in places:
        if place == _END:
            rows.append([])
        else:
            rows[-1].append(place)
    return rows[:-1]


def _pack(steps: Indices, lengths: Indices, costs: Costs, rows: int, ranks: int, max_length: int) -> RowPlan | None:
    """Lay each step into `rows` rows; None if one does not fit."""
    try:
        return RowPlan.of(_packed(step, lengths, costs, rows, ranks, max_length) for step in steps)
    except _DoesNotFitError:
        return None


class _DoesNotFitError(Exception):
    """A step does not fit into so many rows."""


def _packed(step: Indices, lengths: Indices, costs: Costs, rows: int, ranks: int, max_length: int) -> Rows:
    dealt = longest_first(costs[step].tolist(), lengths[step].tolist(), rows, max_length)
    if dealt is None:
        raise _DoesNotFitError
    return _in_micro_batches([step[row].tolist() for row in dealt], costs, ranks)


def _in_micro_batches(rows: Rows, costs: Costs, ranks: int) -> Rows:
    """Order a step's rows by micro-batch and rank."""
    loads = np.array([costs[row].sum() for row in rows])
    return [rows[row] for batch in micro_batches(loads, ranks) for row in batch]


def _check(lengths: Indices, conversations: int, ranks: int, max_length: int) -> None:
    if not len(lengths):
        raise ValueError("there are no conversations to pack")
    if conversations % ranks:
        raise ValueError(f"{ranks} ranks cannot share the {conversations} conversations of a step equally")
    longest = int(lengths.argmax())
    if lengths[longest] > max_length:
        raise ValueError(
            f"conversation {longest} has {lengths[longest]} tokens, more than max_length={max_length}: raise it, "
            "lower max_tiles, or leave the conversation out"
        )
