"""Which conversations make a step, and how they are laid into rows: balanced, bounded, and as many in every step."""

from __future__ import annotations

import math

import numpy as np

from .balance import Costs, Indices, fullest_first, longest_first, micro_batches

Rows = list[list[int]]

# With fewer conversations a row, the rows of a step differ so much in cost that ranks wait less with one in each.
LEAST_A_ROW = 3

# Steps whose conversations are sorted together where each has a row of its own. The more of them, the less ranks wait
# for one another, and the more alike are the conversations of a micro-batch.
LOOK_AHEAD = 32


def plan_rows(
    lengths: Indices, costs: Costs, *, conversations: int, ranks: int, max_length: int, steps: int, seed: int
) -> list[Rows]:
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
    return [_in_micro_batches([[one] for one in step], costs, ranks) for step in alike.tolist()]


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


def _filled(steps: Indices, lengths: Indices, max_length: int) -> list[Rows]:
    """Fill the rows of each step; where one needs fewer than another, its longest lists of conversations are cut."""
    plan = [fullest_first(lengths[step].tolist(), max_length) for step in steps]
    most = max(map(len, plan))
    for rows in plan:
        while len(rows) < most:
            longest = max(rows, key=len)
            rows.append([longest.pop() for _ in range(len(longest) // 2)])
    return [[step[row].tolist() for row in rows] for step, rows in zip(steps, plan, strict=True)]


def _pack(steps: Indices, lengths: Indices, costs: Costs, rows: int, ranks: int, max_length: int) -> list[Rows] | None:
    """Lay each step into `rows` rows; None if one does not fit."""
    plan = []
    for step in steps:
        dealt = longest_first(costs[step].tolist(), lengths[step].tolist(), rows, max_length)
        if dealt is None:
            return None
        plan.append(_in_micro_batches([step[row].tolist() for row in dealt], costs, ranks))
    return plan


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
