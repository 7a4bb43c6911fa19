"""What a conversation costs to train on, and how conversations are dealt out so that no rank waits for another."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...memory import head_size
from ...modeling.configuration_amalia_vl import AmaliaVLConfig

Costs = NDArray[np.float64]
Indices = NDArray[np.int64]


class CostModel(NamedTuple):
    """FLOPs of a forward pass; the backward one scales all three terms alike.

    The head is left out: it sees the answers' tokens only.
    """

    tile: float  # tower and connector, FLOPs a tile
    token: float  # the decoder's matrices, FLOPs a token
    pair: float  # the decoder's attention, FLOPs a squared token, half of which causality spares

    @classmethod
    def of(cls, config: Any) -> CostModel:
        """Count the multiplications and additions of a model's matrices; a language model alone sees no tile.

        AMALIA-VL: 0.54 TFLOPs a tile, 16.2 GFLOPs a token, 344 kFLOPs a squared token.
        """
        text = getattr(config, "text_config", config)
        d_head = head_size(text)
        heads = 2 * text.hidden_size * d_head * (text.num_attention_heads + text.num_key_value_heads)
        return cls(
            tile=_tile_cost(config) if isinstance(config, AmaliaVLConfig) else 0.0,
            token=2.0 * text.num_hidden_layers * (heads + 3 * text.hidden_size * text.intermediate_size),
            pair=2.0 * text.num_hidden_layers * text.num_attention_heads * d_head,
        )

    def conversations(self, lengths: Indices, tiles: Indices) -> Costs:
        """Cost of each conversation of `lengths` tokens, visual ones included, and `tiles` tiles."""
        return self.tile * tiles + self.token * lengths + self.pair * lengths.astype(np.float64) ** 2


def _tile_cost(config: AmaliaVLConfig) -> float:
    """Count the FLOPs of tower and connector over a tile."""
    vision, d_text = config.vision_config, config.text_config.hidden_size
    patches, d_vision = config.patches_per_side**2, vision.hidden_size
    block = 2 * patches * (4 * d_vision**2 + 2 * d_vision * vision.intermediate_size) + 4 * patches**2 * d_vision
    embedding = 2 * patches * d_vision * vision.num_channels * vision.patch_size**2
    connector = 2 * patches * (d_vision * d_text + d_text**2)
    return float(vision.num_hidden_layers * block + embedding + connector)


def longest_first(costs: Sequence[float], sizes: Sequence[int], bins: int, capacity: int) -> list[list[int]] | None:
    """Deal items into bins, the costliest first, each to the bin with the least cost so far in which it fits.

    Args:
        costs: What is to be equal over the bins.
        sizes: What is bounded in each bin.
        bins: How many there are; none stays empty.
        capacity: Most of `sizes` a bin takes.

    Returns:
        The items' positions bin by bin, or None if an item fits nowhere or a bin would stay empty.
    """
    if len(costs) < bins:
        return None
    order = sorted(range(len(costs)), key=lambda item: (-costs[item], item))
    loads: list[tuple[float, int]] = [(0.0, index) for index in range(bins)]  # a heap, the least load first
    taken = [0] * bins
    dealt: list[list[int]] = [[] for _ in range(bins)]
    for item in order:
        full = []
        while loads and taken[loads[0][1]] + sizes[item] > capacity:
            full.append(heapq.heappop(loads))
        if not loads:
            return None
        load, index = heapq.heappop(loads)
        dealt[index].append(item)
        taken[index] += sizes[item]
        for entry in (*full, (load + costs[item], index)):
            heapq.heappush(loads, entry)
    return dealt


def fullest_first(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """Fill one bin after the other: the largest item that is left, then those that leave the least room.

    >>> fullest_first([5, 2, 6, 3, 4], 10)
    [[2, 4], [0, 3, 1]]

    Args:
        sizes: Of the items, at most `capacity` each.
        capacity: Of a bin.

    Returns:
        The items' positions bin by bin.
    """
    left = sorted(range(len(sizes)), key=lambda item: (sizes[item], item))
    bins = []
    while left:
        taken = [left.pop()]
        room = capacity - sizes[taken[0]]
        while closest := _closest(left, sizes, room):
            taken += closest
            room -= sum(sizes[item] for item in closest)
            left = [item for item in left if item not in closest]
        bins.append(taken)
    return bins


def _closest(left: Sequence[int], sizes: Sequence[int], room: int) -> list[int]:
    """Choose what goes into a bin next, of items in ascending size.

    The largest that fits, while two more would fit beside it; then the one or two that leave the least room.
    """
    fits = [item for item in left if sizes[item] <= room]
    if len(fits) > 2 and sizes[fits[0]] + sizes[fits[1]] + sizes[fits[-1]] <= room:
        return fits[-1:]
    best, low, high = fits[-1:], 0, len(fits) - 1
    while low < high:
        pair = [fits[high], fits[low]]
        if sum(sizes[item] for item in pair) > room:
            high -= 1
            continue
        best = max(best, pair, key=lambda items: sum(sizes[item] for item in items))
        low += 1
    return best


def micro_batches(costs: Costs, ranks: int) -> list[list[int]]:
    """Form micro-batches of one item a rank, equal in cost, so that no rank waits within a step either.

    Args:
        costs: Of the items, as many as a multiple of `ranks`.
        ranks: Items of a micro-batch.

    Returns:
        Micro-batches in descending cost; the item at position `r` is rank `r`'s, the costliest going to the rank
        with the least so far.
    """
    order = np.argsort(-costs, kind="stable")
    loads, batches = np.zeros(ranks), []
    for alike in order.reshape(-1, ranks):
        batch = np.empty(ranks, dtype=np.int64)
        batch[np.argsort(loads, kind="stable")] = alike
        loads += costs[batch]
        batches.append(batch.tolist())
    return batches


def busy_share(loads: Costs) -> float:
    """Predict which share of the time ranks compute, those that have finished a step waiting for the last one.

    Args:
        loads: `(steps, ranks)`, the cost of what each rank computes between two meetings.

    >>> busy_share(np.array([[4.0, 2.0]]))
    0.75
    """
    return float(loads.sum() / (loads.shape[1] * loads.max(axis=1).sum()))
