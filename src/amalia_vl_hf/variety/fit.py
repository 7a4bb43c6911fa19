r"""Trains the variety classifier on the parallel corpus of `corpus` and on texts of either variety, in plain NumPy.

    python -m amalia_vl_hf.variety.fit PACKAGES --out mine.safetensors \
        --european assembleia publico --brazilian camara folha

Who has parliament, news or literature of both countries trains better weights from them: `texts` says which files are
read. The two sides need not be translations of each other, but should be of the same kinds, or the classifier learns
the kind. The shipped weights come from the packages of `corpus` and from the training part of the treebank Bosque,
news of Público and of Folha de São Paulo (`weights.md`):

    mkdir -p news/pt news/br
    awk 'BEGIN {RS = ""; ORS = "\n\n"} /# sent_id = CP/' pt_bosque-ud-train.conllu > news/pt/bosque.conllu
    awk 'BEGIN {RS = ""; ORS = "\n\n"} /# sent_id = CF/' pt_bosque-ud-train.conllu > news/br/bosque.conllu
    python -m amalia_vl_hf.variety.fit PACKAGES --out weights.safetensors --european news/pt --brazilian news/br \
        --licence CC-BY-SA-4.0

More packages beside them in the folder are trained on only with `--all`. The same texts and seed give the same
weights.
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
from .corpus import LANGUAGE_SUFFIX, Pair, read_pairs, versions
from .features import TABLE_BITS, fold, hashes, slots_and_fingerprints
from .texts import read_texts

PERMISSIVE = {
    "libreoffice-help": "MPL-2.0",
    "libreoffice-l10n": "MPL-2.0",
    "firefox-esr-l10n": "MPL-2.0",
    "thunderbird-l10n": "MPL-2.0",
    "python3-django": "BSD-3-Clause",
    "chromium-l10n": "BSD-3-Clause",
    "homeassistant": "Apache-2.0",
    "home-assistant-frontend": "Apache-2.0",
    "wagtail": "BSD-3-Clause",
    "scratch-l10n": "BSD-3-Clause",
    "openstreetmap-id-tagging-schema": "ISC",
}
TEXTS = "texts"  # in the place of a package's name: a pair of folders' texts
EPOCHS = 6
LEARNING_RATE = 0.3  # of Adagrad
DECAY = 1e-7  # L2, a step, of the weights a batch touches
BATCH = 64  # groups of pairs
JOINED = (1, 2, 4)  # strings in a group: a dialogue is longer than a string
ROUNDS_OF_TEXTS = 6  # of news and books to one of programs, whose strings are many and say less about other texts
TRUST = 0.4  # of the log-odds, beside the rules: most was learned from software, and is worth less in other texts
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
    rounds = [ROUNDS_OF_TEXTS if pair.package == TEXTS else 1 for pair in pairs]
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(epochs), desc="training", unit="epoch", disable=None):
        for groups in _batches(rng, np.repeat(np.arange(len(pairs)), rounds)):
            _step(weights, squares, features, groups)
    return weights, fingerprints


def pair_up(european: Sequence[str], brazilian: Sequence[str], seed: int = 0) -> list[Pair]:
    """Set texts of the two varieties beside each other, in random order; the fewer ones come round again.

    Raises:
        ValueError: One side is empty.
    """
    if not european or not brazilian:
        raise ValueError(f"{len(european)} European and {len(brazilian)} Brazilian texts: both sides are needed")
    rng = np.random.default_rng(seed)
    sides = [[side[index] for index in rng.permutation(len(side))] for side in (european, brazilian)]
    rounds = range(max(len(european), len(brazilian)))
    return [Pair(TEXTS, *(side[index % len(side)] for side in sides)) for index in rounds]


def _all_hashes(text: str) -> NDArray[np.uint64]:
    return np.concatenate((np.zeros(0, np.uint64), *hashes(fold(text))))


def _choose_features(hashed: list[NDArray[np.uint64]]) -> tuple[Fingerprints, NDArray[np.bool_]]:
    """Give each slot the most frequent n-gram that falls into it."""
    ngrams, texts = np.unique(np.concatenate([np.unique(text) for text in hashed]), return_counts=True)
    ngrams, texts = ngrams[texts >= FEWEST_TEXTS], texts[texts >= FEWEST_TEXTS]
    slots, marks = slots_and_fingerprints(ngrams)
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


def _batches(rng: np.random.Generator, pairs: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield pairs in groups of the same size, `(groups, joined)`; each as often as it is there at most."""
    order, start = rng.permutation(pairs), 0
    while start < len(order):
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


def _record(packages: Path | None, pairs: Sequence[Pair], folders: Sequence[Path], licence: str) -> dict[str, str]:
    """Say what weights were made from, for the header of their file; `licence` is that of the folders."""
    trained = {pair.package for pair in pairs} - {TEXTS}
    licences = {"various; see each package's copyright file"}
    if trained <= PERMISSIVE.keys():
        licences = {PERMISSIVE[name] for name in trained}
    if folders:
        licences.add(licence)
    used = (
        {name: version for name, version in versions(packages).items() if _bare(name) in trained} if packages else {}
    )
    return {
        "sources": json.dumps(used),
        "folders": json.dumps([folder.name for folder in folders]),
        "licence_of_sources": ", ".join(sorted(licences)),
        "pairs": str(len(pairs)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read packages and folders, train, write the weights."""
    parser = argparse.ArgumentParser(prog="python -m amalia_vl_hf.variety.fit", description=main.__doc__)
    parser.add_argument("packages", type=Path, nargs="?", metavar="PACKAGES", help="folder with unpacked packages")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parser.add_argument("--european", type=Path, nargs="+", default=[], metavar="DIR", help="folders of pt-PT texts")
    parser.add_argument("--brazilian", type=Path, nargs="+", default=[], metavar="DIR", help="folders of pt-BR texts")
    parser.add_argument("--licence", default="unknown", help="licence of the folders' texts, for the file's header")
    parser.add_argument("--all", action="store_true", help="train on every package, not on the permissive ones alone")
    parser.add_argument("--seed", type=int, default=0, help="of the training order (0)")
    parsed = parser.parse_args(arguments)
    if not (parsed.packages or parsed.european or parsed.brazilian):
        parser.error("name PACKAGES, or folders by --european and --brazilian")
    pairs = read_pairs(parsed.packages) if parsed.packages else []
    pairs = [pair for pair in pairs if parsed.all or pair.package in PERMISSIVE]
    folders = [*parsed.european, *parsed.brazilian]
    if folders:
        european, brazilian = (
            [text for folder in side for text in read_texts(folder)] for side in (parsed.european, parsed.brazilian)
        )
        pairs += pair_up(european, brazilian, parsed.seed)
    weights, fingerprints = fit_weights(pairs, seed=parsed.seed)
    facts = _record(parsed.packages, pairs, folders, parsed.licence)
    save_classifier(parsed.out, TRUST * weights, fingerprints, facts)
    print(f"written: {parsed.out}, {np.count_nonzero(weights)} n-grams from {len(pairs)} pairs")


def _bare(package: str) -> str:
    """Give a package's name without its language, as pairs have it."""
    return LANGUAGE_SUFFIX.sub("", package)


if __name__ == "__main__":
    main()
