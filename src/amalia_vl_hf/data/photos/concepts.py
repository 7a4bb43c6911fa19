"""The 60 mega-concepts of PT-VQA-Gen, and which of them an image is of: the nearest by a dual encoder's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONCEPTS = Path(__file__).with_name("concepts.txt")
BLOCK = 16_384  # rows turned into single precision at once: 75 MB of 1152 numbers each


class MegaConcept(NamedTuple):
    """What images are mapped to.

    Args:
        name: Of the concept.
        captions: What an image of it may be captioned with; its embedding is the mean of theirs.
    """

    name: str
    captions: tuple[str, ...]


def read_concepts(path: Path = CONCEPTS) -> tuple[MegaConcept, ...]:
    """Read concepts, one a line: `name | caption; caption`; lines that begin with `#` are notes.

    Raises:
        ValueError: A line has another form, or a name stands twice.
    """
    concepts: dict[str, MegaConcept] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, bar, rest = (part.strip() for part in line.partition("|"))
        captions = tuple(caption.strip() for caption in rest.split(";") if caption.strip())
        if not (name and bar and captions):
            raise ValueError(f"{path}, line {number}: needs `name | caption; caption`, not {line[:80]!r}")
        if name in concepts:
            raise ValueError(f"{path}, line {number}: the concept {name!r} stands twice")
        concepts[name] = MegaConcept(name, captions)
    if not concepts:
        raise ValueError(f"{path} holds no concept")
    return tuple(concepts.values())


def concept_vectors(captions: NDArray[np.floating], concepts: Sequence[MegaConcept]) -> NDArray[np.float32]:
    """Give one vector of length 1 a concept: the mean of its captions' unit vectors.

    Args:
        captions: `(captions, size)`, those of all concepts in their order.
        concepts: What they belong to.

    Returns:
        `(concepts, size)`.

    Raises:
        ValueError: They are not as many.
    """
    counts = [len(concept.captions) for concept in concepts]
    if sum(counts) != len(captions):
        raise ValueError(f"{len(captions)} embeddings for {sum(counts)} captions of {len(concepts)} concepts")
    unit = normalised(captions)
    return normalised(np.add.reduceat(unit, np.cumsum([0, *counts[:-1]]), axis=0))


def nearest_concepts(embeddings: NDArray[np.floating], concepts: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map each image to the concept of the highest cosine, block by block: 5 M images never lie in memory together.

    Args:
        embeddings: `(images, size)`, of any length; a file opened with `mmap_mode="r"` is read once.
        concepts: `(concepts, size)`, at most 256.

    Returns:
        `(images,)`; of equal cosines the first concept.

    Raises:
        ValueError: The two are of different encoders.
    """
    if embeddings.shape[1] != concepts.shape[1]:
        raise ValueError(f"images of {embeddings.shape[1]} numbers, concepts of {concepts.shape[1]}: two encoders?")
    if len(concepts) > 256:
        raise ValueError(f"{len(concepts)} concepts; at most 256")
    nearest = np.empty(len(embeddings), np.uint8)
    for start in range(0, len(embeddings), BLOCK):
        block = np.asarray(embeddings[start : start + BLOCK], np.float32)
        nearest[start : start + len(block)] = np.argmax(block @ concepts.T, axis=1)  # length changes no order
    return nearest


def normalised(vectors: NDArray[np.number]) -> NDArray[np.float32]:
    """Give vectors length 1, those of length 0 as they are.

    Args:
        vectors: `(count, size)`.
    """
    single = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(single, axis=1, keepdims=True)
    return np.asarray(single / np.where(lengths > 0, lengths, 1), np.float32)
