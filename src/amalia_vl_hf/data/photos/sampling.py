"""Which of millions of images are asked about: as many of each mega-concept as there can be, none of them twice.

Duplicates go by their content's hash first and by cosine then. Quotas are filled like water: a concept that has few
images gives all of them, and the others share what is left evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .concepts import normalised

NEAR = 0.95  # cosine from which on two images are one; ours, of SigLIP2's embeddings
BLOCK = 2_048  # images held to those that were kept, at once
SKETCH = 128  # numbers that two images are compared by first
SLACK = 0.08  # of cosine: whoever is as near by the first comparison is compared by all numbers; 9 deviations at .95

Numbers = NDArray[np.int64]
Vectors = NDArray[np.floating]


def water_fill(available: Sequence[int], total: int) -> list[int]:
    """Share a total out evenly among those that have limits.

    The level rises until the total is reached: everyone gives as much as it has, or as the level. What does not divide
    goes to the first of those above it. A larger total never gives anyone less.

    >>> water_fill([5, 100, 100], 65)
    [5, 30, 30]
    >>> water_fill([5, 100, 100], 66)
    [5, 31, 30]

    Raises:
        ValueError: A limit or the total is negative.
    """
    if total < 0 or any(count < 0 for count in available):
        raise ValueError(f"{total} of {list(available)}: counts are 0 or more")
    left, level, sharing = min(total, sum(available)), 0, sorted(available)
    for place, limit in enumerate(sharing):
        rise = min(limit - level, left // (len(sharing) - place))
        level, left = level + rise, left - rise * (len(sharing) - place)
        if level < limit:
            break
    quotas = [min(count, level) for count in available]
    for place, count in enumerate(available):
        if left and count > level:
            quotas[place], left = quotas[place] + 1, left - 1
    return quotas


def draw_order(image_ids: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Give each image the number that it is drawn by, the smallest first.

    It depends on the image and the seed alone: neither the order of the images nor what else there is changes a draw.

    Args:
        image_ids: `(images,)`, the first eight bytes of each SHA-256.
        seed: Of the draw.
    """
    mixed = image_ids ^ np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64's finaliser
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    ordered: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return ordered


def first_of_each(image_ids: Sequence[str]) -> Numbers:
    """Give the places of images that are there once, or for the first time: equal bytes have one hash."""
    _, places = np.unique(np.asarray(image_ids, dtype="S64"), return_index=True)
    return np.sort(places).astype(np.int64)


@dataclass
class ImageDraw:
    """What was drawn.

    Args:
        chosen: Places of the images, in order.
        counts: How many of each concept.
        near: Images left out as near duplicates of others that were looked at.
    """

    chosen: Numbers
    counts: list[int]
    near: int


def draw_images(
    concepts: NDArray[np.uint8],
    order: NDArray[np.uint64],
    total: int,
    embeddings: Vectors | EmbeddingFile | None = None,
    near: float = NEAR,
    kinds: int = 60,
) -> ImageDraw:
    """Draw images, of each concept as many as there can be, without near duplicates of one concept.

    What a concept lacks once its duplicates are out is shared by the others.

    Args:
        concepts: `(images,)`, the concept of each.
        order: `(images,)`, by which they are drawn, as `draw_order` gives it.
        total: How many are wanted; fewer come where there are no more.
        embeddings: `(images, size)`, to tell near duplicates; none are looked for when left out. Rows are read when
            they are needed.
        near: Cosine from which on two images are one.
        kinds: How many concepts there are.
    """
    members = _by_concept(concepts, order, kinds)
    pools = [_Pool(rows, embeddings, near) for rows in members]
    limits = [len(pool.rows) for pool in pools]
    while True:
        quotas = water_fill(limits, total)
        for pool, quota in zip(pools, quotas, strict=True):
            pool.fill(quota)
        counts = [len(pool.kept) for pool in pools]
        if counts == quotas:
            break
        # Whoever fell short has no more than it has kept; the level rises for the others.
        limits = [
            min(limit, count) if count < quota else limit
            for limit, count, quota in zip(limits, counts, quotas, strict=True)
        ]
    chosen = np.sort(np.concatenate([np.asarray(pool.kept, np.int64) for pool in pools]))
    return ImageDraw(chosen, counts, sum(pool.near_ones for pool in pools))


def _by_concept(concepts: NDArray[np.uint8], order: NDArray[np.uint64], kinds: int) -> list[Numbers]:
    """List the images of each concept, in the order they are drawn in."""
    if len(concepts) and int(concepts.max()) >= kinds:
        raise ValueError(f"an image of concept {int(concepts.max())}; there are {kinds}")
    sorted_rows = np.lexsort((order, concepts))
    ends = np.cumsum(np.bincount(concepts, minlength=kinds))[:-1]
    return [rows.astype(np.int64) for rows in np.split(sorted_rows, ends)]


@dataclass
class _Pool:
    """Images of one concept, of which some have been kept.

    Args:
        rows: Their places, in the order they are drawn in.
        embeddings: Of all images; None: no two are near.
        threshold: Cosine from which on two images are one.
    """

    rows: Numbers
    embeddings: Vectors | EmbeddingFile | None
    threshold: float
    kept: list[int] = field(default_factory=list)
    near_ones: int = 0
    looked_at: int = 0

    def fill(self, quota: int) -> None:
        """Keep images until there are as many as wanted, or none is left to look at."""
        earlier = [] if self.embeddings is None or not self.kept else [_sketch(self._vectors(np.asarray(self.kept)))]
        while len(self.kept) < quota and self.looked_at < len(self.rows):
            rows = self.rows[self.looked_at : self.looked_at + min(BLOCK, quota - len(self.kept))]
            self.looked_at += len(rows)
            self.kept += rows[self._apart(rows, earlier)].tolist()

    def _vectors(self, rows: Numbers) -> NDArray[np.float32]:
        """Read unit vectors, in the order they lie in on the disk."""
        assert self.embeddings is not None  # noqa: S101
        order = np.argsort(rows)
        return normalised(self.embeddings[rows[order]])[np.argsort(order)]

    def _apart(self, rows: Numbers, earlier: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
        """Tell which images are near to none that was kept, nor to an earlier one of their own that is."""
        if self.embeddings is None:
            return np.ones(len(rows), bool)
        vectors, fresh = self._vectors(rows), np.ones(len(rows), bool)
        sketches, kept = _sketch(vectors), 0
        for others in earlier:
            for place, other in np.argwhere(sketches @ others.T >= self.threshold - SLACK).tolist():
                if fresh[place]:
                    (vector,) = self._vectors(np.asarray(self.kept[kept + other : kept + other + 1]))
                    fresh[place] = vectors[place] @ vector < self.threshold
            kept += len(others)
        alike = vectors @ vectors.T >= self.threshold
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
        self.near_ones += int((~fresh).sum())
        earlier.append(sketches[fresh])
        return fresh


def _sketch(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project unit vectors to a few random directions; cosines stay, but for about (1 - cosine^2) / sqrt(SKETCH)."""
    if vectors.shape[1] <= SKETCH:
        return vectors
    directions = np.random.default_rng(0).normal(size=(vectors.shape[1], SKETCH)).astype(np.float32)
    return normalised(vectors @ directions)


class EmbeddingFile:
    """A `.npy` file of embeddings, of which only what is read takes memory, and only while it is used.

    Args:
        path: Of a matrix, `(images, size)`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape = np.load(path, mmap_mode="r").shape
        if len(self.shape) != 2:
            raise ValueError(f"{path} holds no matrix of embeddings but an array of {len(self.shape)} axes")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | Numbers) -> Vectors:
        return np.array(np.load(self.path, mmap_mode="r")[rows])  # mapped anew: the pages go when this is done
