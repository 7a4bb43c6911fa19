"""The words of a text that one variety says oftener than the other, by frequencies in speech.

A word of a text counts once, however often it is there, and no word counts for much: a subject is no variety.
`frequencies` makes the table from two lists, and `weights.md` tells of the shipped one.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).with_name("vocabulary.safetensors")
TRUST = 0.4  # of a word's log-odds: words of a sentence say the same thing, and a film is not a form
MOST = 2.0  # log-odds of a word: a list has the other country's texts among its own
_STEP = MOST / 127  # of a stored weight, in nats

Weights = Mapping[int, float]


@functools.cache
def load_vocabulary(file: Path = SHIPPED) -> Weights:
    """Load words' weights, in nats, by the hashes of the words.

    Raises:
        ValueError: The file is none of a vocabulary.
        FileNotFoundError: There is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file: {error}") from error
    if missing := {"keys", "weights"} - arrays.keys():
        raise ValueError(f"{file}: no vocabulary of the variety filter; it lacks {', '.join(sorted(missing))}")
    return dict(zip(arrays["keys"].tolist(), (arrays["weights"] * (TRUST * _STEP)).tolist(), strict=True))


def save_vocabulary(file: Path, odds: Mapping[str, float], facts: Mapping[str, str]) -> None:
    """Write words' log-odds: hashes of the words, in order, and int8 weights; no word can be read from it."""
    from safetensors.numpy import save_file

    hashed = {_hash(word): weight for word, weight in odds.items()}
    keys = np.array(sorted(hashed), np.uint32)
    weights = np.rint([hashed[int(key)] / _STEP for key in keys]).astype(np.int8)
    save_file({"keys": keys, "weights": weights}, file, metadata=dict(facts))


def weighed(folded: str, vocabulary: Weights | None = None) -> dict[str, float]:
    """Give the words of a folded text that tell something, each once, and their weights in nats."""
    weight_of = _shipped if vocabulary is None else lambda word: vocabulary.get(_hash(word), 0.0)
    words = {word: weight_of(word) for word in set(folded.split())}
    return {word: weight for word, weight in words.items() if weight}


@functools.lru_cache(maxsize=1 << 15)
def _shipped(word: str) -> float:
    return load_vocabulary().get(_hash(word), 0.0)


def _hash(word: str) -> int:
    return zlib.crc32(word.encode())
