"""Trains the variety classifier on the parallel corpus of `corpus`, in plain NumPy.

    python -m amalia_vl_hf.variety.fit PACKAGES --out variety_weights.safetensors

The shipped weights come from LibreOffice and Mozilla alone (MPL-2.0); more packages beside them in the folder are
trained on only with `--all`. The same packages and seed give the same weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

from .classifier import save_classifier
from .corpus import Pair, read_pairs, versions
from .features import (
    TABLE_BITS,
    fold,
    hashes,
    slots_and_fingerprints,
)

PERMISSIVE = ("libreoffice-help", "libreoffice-l10n", "firefox-esr-l10n", "thunderbird-l10n")  # MPL-2.0
EPOCHS = 20
LEARNING_RATE = 0.3  # of Adagrad
DECAY = 1e-7  # L2, a step, of the weights a batch touches
BATCH = 64  # groups of pairs
JOINED = (1, 2, 4)  # strings in a group: a dialogue is longer than a string
TRUST = 0.5  # of the log-odds, beside the rules: what was learned from software is worth less in other texts
FEWEST_TEXTS = 3  # an n-gram must be in

Weights = NDArray[np.float64]
Fingerprints = NDArray[np.uint16]


class Features(NamedTuple):
    """N-grams of many texts that have a slot, one text after the other.

    Args:
        slots: `(known,)`.
        starts: Where each text starts in `slots`, and the end, `(texts + 1,)`.
        counts: N-grams of each text, unknown ones included, `(texts,)`.
    """

    slots: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


def fit_weights(pairs: Sequence[Pair], epochs: int = EPOCHS, seed: int = 0) -> tuple[Weights, Fingerprints]:
    """Fit the weights of all slots.

    Args:
        pairs: The corpus.
        epochs: Passes over it.
        seed: Of the order, and of how many strings are joined.

    Returns:
        Weights and fingerprints, `(2**18,)` each.

    Raises:
        ValueError: The corpus has fewer than four pairs.
    """
    if len(pairs) < max(JOINED):
        raise ValueError(f"{len(pairs)} pairs are too few to train on; are the packages unpacked?")
    hashed = [_all_hashes(text) for pair in pairs for text in (pair.european, pair.brazilian)]
    fingerprints, used = _choose_features(hashed)
    features = _look_up(hashed, fingerprints, used)
    weights, squares = np.zeros(len(used)), np.full(len(used), 1e-8)
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(epochs), desc="training", unit="epoch", disable=None):
        for groups in _batches(rng, len(pairs)):
            _step(weights, squares, features, groups)
    return weights, fingerprints


def _all_hashes(text: str) -> NDArray[np.uint64]:
    return np.concatenate((np.zeros(0, np.uint64), *hashes(fold(text))))


def _choose_features(hashed: list[NDArray[np.uint64]]) -> tuple[Fingerprints, NDArray[np.bool_]]:
    """Give each slot the most frequent n-gram that falls into it."""
    found, texts = np.unique(np.concatenate([np.unique(text) for text in hashed]), return_counts=True)
    found, texts = found[texts >= FEWEST_TEXTS], texts[texts >= FEWEST_TEXTS]
    slots, marks = slots_and_fingerprints(found)
    rarest_first = np.argsort(texts, kind="stable")
    fingerprints, used = np.zeros(1 << TABLE_BITS, np.uint16), np.zeros(1 << TABLE_BITS, np.bool_)
    fingerprints[slots[rarest_first]] = marks[rarest_first]  # of several to one slot, the last stays
    used[slots] = True
    return fingerprints, used


def _look_up(hashed: list[NDArray[np.uint64]], fingerprints: Fingerprints, used: NDArray[np.bool_]) -> Features:
    known = []
    for text in hashed:
        slots, marks = slots_and_fingerprints(text)
        known.append(slots[(fingerprints[slots] == marks) & used[slots]])
    starts = np.concatenate(([0], np.cumsum([len(slots) for slots in known])))
    return Features(np.concatenate(known), starts, np.array([len(text) for text in hashed]))


def _batches(rng: np.random.Generator, pairs: int) -> Iterator[NDArray[np.int64]]:
    """Yield pairs in groups of the same size, `(groups, joined)`; each pair at most once."""
    order, start = rng.permutation(pairs), 0
    while start < pairs:
        joined = int(rng.choice(JOINED))
        chosen = order[start : start + joined * BATCH]
        start += len(chosen)
        if groups := len(chosen) // joined:
            yield chosen[: groups * joined].reshape(groups, joined)


def _step(weights: Weights, squares: Weights, features: Features, groups: NDArray[np.int64]) -> None:
    """Take one step of Adagrad on the logistic loss of both sides of each group, in place."""
    texts = np.concatenate((2 * groups, 2 * groups + 1))  # European sides, then Brazilian; `(2 * groups, joined)`
    rows = np.arange(len(texts))
    slots = np.concatenate([features.slots[features.starts[t] : features.starts[t + 1]] for t in texts.ravel()])
    lengths = (features.starts[texts + 1] - features.starts[texts]).sum(axis=1)
    row = np.repeat(rows, lengths)
    value = 1 / np.sqrt(features.counts[texts].sum(axis=1))
    log_odds = np.bincount(row, weights[slots], len(rows)) * value
    error = (1 / (1 + np.exp(-log_odds)) - (rows < len(groups))) * value / len(rows)
    slopes: Weights = np.bincount(slots, error[row], len(weights)).astype(np.float64)
    touched = np.flatnonzero(slopes)
    gradient = slopes[touched] + DECAY * weights[touched]
    squares[touched] += gradient**2
    weights[touched] -= LEARNING_RATE * gradient / np.sqrt(squares[touched])


def _record(packages: Path, pairs: Sequence[Pair]) -> dict[str, str]:
    """Say what weights were made from, for the header of their file."""
    trained = {pair.package for pair in pairs}
    used = {name: version for name, version in versions(packages).items() if name.startswith(tuple(trained))}
    licence = "MPL-2.0" if trained <= set(PERMISSIVE) else "various; see each package's copyright file"
    return {"sources": json.dumps(used), "licence_of_sources": licence, "pairs": str(len(pairs))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read packages, train, write the weights."""
    parser = argparse.ArgumentParser(prog="python -m amalia_vl_hf.variety.fit", description=main.__doc__)
    parser.add_argument("packages", type=Path, metavar="PACKAGES", help="folder with one unpacked package a folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parser.add_argument(
        "--all", action="store_true", help="train on every package, not on LibreOffice's and Mozilla's"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the training order (0)")
    parsed = parser.parse_args(arguments)
    pairs = [pair for pair in read_pairs(parsed.packages) if parsed.all or pair.package in PERMISSIVE]
    weights, fingerprints = fit_weights(pairs, seed=parsed.seed)
    save_classifier(parsed.out, TRUST * weights, fingerprints, _record(parsed.packages, pairs))
    print(f"written: {parsed.out}, {np.count_nonzero(weights)} n-grams from {len(pairs)} pairs")


if __name__ == "__main__":
    main()
