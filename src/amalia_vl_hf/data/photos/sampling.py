"""Which of millions of images are asked about: as many of each mega-concept as there can be, none of them twice.

Duplicates go by their content's hash first and by cosine then. Quotas are filled like water: a concept that has few
images gives all of them, and the others share what is left evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .concepts import normalised

NEAR = 0.95  # cosine from which on two images are one; ours, of SigLIP2's embeddings
BLOCK = 2_048  # images held to those that were kept, at once
SKETCH = 256  # numbers of an image's sketch, a byte each: 5 M images are 1.3 GB, a ninth of their embeddings

Numbers = NDArray[np.int64]


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


def first_of_each(hashes: Sequence[str] | NDArray[np.bytes_]) -> Numbers:
    """Give the places of images that are there once, or for the first time: equal bytes have one hash."""
    _, places = np.unique(np.asarray(hashes), return_index=True)
    return np.sort(places).astype(np.int64)


def sketch(embeddings: NDArray[np.floating]) -> NDArray[np.int8]:
    """Project embeddings to a few random directions, a byte each; those of one encoder are compared by cosine.

    A cosine keeps its value but for about `(1 - cosine^2) / 16`: .006 at .95.

    Args:
        embeddings: `(images, size)`.

    Returns:
        `(images, SKETCH)`.
    """
    directions = np.random.default_rng(0).normal(size=(embeddings.shape[1], SKETCH)).astype(np.float32)
    projected = normalised(normalised(embeddings) @ directions)
    return np.clip(np.rint(projected * 400), -127, 127).astype(np.int8)  # of unit length: 1/16 each, 5 deviations fit


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
    sketches: NDArray[np.number] | None = None,
    near: float = NEAR,
    kinds: int = 60,
) -> ImageDraw:
    """Draw images, of each concept as many as there can be, without near duplicates of one concept.

    What a concept lacks once its duplicates are out is shared by the others.

    Args:
        concepts: `(images,)`, the concept of each.
        order: `(images,)`, by which they are drawn, as `draw_order` gives it.
        total: How many are wanted; fewer come where there are no more.
        sketches: `(images, size)`, to tell near duplicates; none are looked for when left out.
        near: Cosine from which on two images are one.
        kinds: How many concepts there are.
    """
    members = _by_concept(concepts, order, kinds)
    pools = [_Pool(rows, sketches, near) for rows in members]
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
        sketches: Of all images; None: no two are near.
        threshold: Cosine from which on two images are one.
    """

    rows: Numbers
    sketches: NDArray[np.number] | None
    threshold: float
    kept: list[int] = field(default_factory=list)
    near_ones: int = 0
    looked_at: int = 0

    def fill(self, quota: int) -> None:
        """Keep images until there are as many as wanted, or none is left to look at."""
        earlier = [] if self.sketches is None or not self.kept else [normalised(self.sketches[self.kept])]
        while len(self.kept) < quota and self.looked_at < len(self.rows):
            rows = self.rows[self.looked_at : self.looked_at + min(BLOCK, quota - len(self.kept))]
            self.looked_at += len(rows)
            self.kept += rows[self._apart(rows, earlier)].tolist()

    def _apart(self, rows: Numbers, earlier: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
        """Tell which images are near to none that was kept, nor to an earlier one of their own that is."""
        fresh = np.ones(len(rows), bool)
        if self.sketches is None:
            return fresh
        vectors = normalised(self.sketches[rows])
        for kept in earlier:
            fresh &= (vectors @ kept.T).max(axis=1, initial=-1) < self.threshold
        alike = vectors @ vectors.T >= self.threshold
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            fresh[row] &= not (alike[row, :row] & fresh[:row]).any()
        self.near_ones += int((~fresh).sum())
        earlier.append(vectors[fresh])
        return fresh
