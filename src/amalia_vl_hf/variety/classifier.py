"""The n-gram classifier: a table of weights, kept in safetensors, and what it says of a text."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import (
    TABLE_BITS,
    fold,
    hashes,
    slots_and_fingerprints,
)

SHIPPED = Path(__file__).with_name("weights.safetensors")
_SLOTS = 1 << TABLE_BITS


class NgramClassifier:
    """Logistic regression over hashed n-grams.

    The log-odds of a text are the sum of its n-grams' weights over the root of their number: they grow with its
    length, but slower than it does, because neighbouring n-grams say the same thing.

    Args:
        weights: int8, `(2**18,)`; 0 where no feature is.
        fingerprints: uint16, `(2**18,)`: of the one feature a slot keeps.
        scale: Log-odds of a weight of 1.

    Raises:
        ValueError: The arrays are of another shape or type, or the scale is no positive number.
    """

    def __init__(self, weights: NDArray[np.int8], fingerprints: NDArray[np.uint16], scale: float) -> None:
        for name, array, dtype in (("weights", weights, np.int8), ("fingerprints", fingerprints, np.uint16)):
            if array.shape != (_SLOTS,) or array.dtype != dtype:
                expected = f"{np.dtype(dtype)} ({_SLOTS},)"
                raise ValueError(
                    f"{name} of the variety classifier must be {expected}, not {array.dtype} {array.shape}"
                )
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"the variety classifier's scale must be a positive number, not {scale}")
        self.weights = weights.astype(np.float32) * np.float32(scale)
        self.fingerprints = fingerprints

    def __call__(self, text: str) -> float:
        """Give the log-odds, in nats, that a clean text is pt-PT rather than pt-BR."""
        return self.of_folded(fold(text))

    def of_folded(self, folded: str) -> float:
        """Give the same of a text that `features.fold` has written."""
        total, count = 0.0, 0
        for hashed in hashes(folded):
            slots, fingerprints = slots_and_fingerprints(hashed)
            known = self.fingerprints[slots] == fingerprints
            total += float(self.weights[slots[known]].sum(dtype=np.float64))
            count += len(hashed)
        return total / math.sqrt(count) if count else 0.0


@functools.cache
def load_classifier(path: Path = SHIPPED) -> NgramClassifier:
    """Load weights from safetensors; the package's own by default.

    Raises:
        ValueError: The file is not one of this classifier's.
        FileNotFoundError: There is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error
    if missing := {"weights", "fingerprints", "scale"} - arrays.keys():
        raise ValueError(f"{path}: no weights of the variety classifier; it lacks {', '.join(sorted(missing))}")
    return NgramClassifier(arrays["weights"], arrays["fingerprints"], float(arrays["scale"].reshape(-1)[0]))


def save_classifier(
    path: Path, weights: NDArray[np.floating[Any]], fingerprints: NDArray[np.uint16], facts: Mapping[str, str]
) -> None:
    """Write real weights as int8, with the facts about them in the file's header.

    Args:
        path: File to write.
        weights: `(2**18,)`.
        fingerprints: uint16, `(2**18,)`.
        facts: Sources, licence and versions.
    """
    from safetensors.numpy import save_file

    scale = float(np.abs(weights).max()) / 127 or 1.0
    rounded = np.rint(weights / scale).astype(np.int8)
    arrays = {"weights": rounded, "fingerprints": fingerprints, "scale": np.array([scale], dtype=np.float32)}
    save_file(arrays, path, metadata=dict(facts))
