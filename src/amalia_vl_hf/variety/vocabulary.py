r"""How much oftener one variety says a word than the other, by frequencies in speech: the subtitles of films.

    python -m amalia_vl_hf.variety.vocabulary --european pt_50k.txt --brazilian pt_br_50k.txt \
        --out vocabulary.safetensors

Programs say little of what people talk about, and a list of words that one country alone has is short. Lists of
frequencies, a word and its count a line, are had for many kinds of text; `weights.md` tells of the shipped ones. A
word weighs the logarithm of the ratio of its two shares. A word of a text counts once, however often it is there, and
no word counts for much: a subject is no variety.
"""

from __future__ import annotations

import argparse
import functools
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .features import fold

SHIPPED = Path(__file__).with_name("vocabulary.safetensors")
TRUST = 0.5  # of a word's log-odds: words of a sentence say the same thing, and a film is not a form
LEAST = 0.3  # log-odds, under which a word is left out: topics differ by as much
MOST = 2.0  # log-odds of a word: a list has the other country's subtitles among its own
_UNSEEN = 0.5  # of the rarest count of a list, for a word that it lacks
_STEADY = 20  # occurrences added to both sides, in lists of 200 million words
_MANY = 2e8
_STEP = MOST / 127  # of a stored weight, in nats

Weights = Mapping[int, float]


def counts(file: Path) -> Counter[str]:
    """Read a list of frequencies: a word and its count a line, in the classifier's letters.

    Raises:
        ValueError: A line is something else, or there is none (named).
    """
    words: Counter[str] = Counter()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        word, _, count = line.strip().rpartition(" ")
        if not word or not count.isdigit():
            raise ValueError(f"{file}:{number}: a word and its count are wanted, not {line[:60]!r}")
        words[fold(word).strip()] += int(count)
    if not words:
        raise ValueError(f"{file}: no word in it")
    return words


def log_odds(european: Mapping[str, int], brazilian: Mapping[str, int]) -> dict[str, float]:
    """Give each word's log-odds, in nats, above 0 for pt-PT; those that tell little are left out."""
    sides = [(side, sum(side.values()), _UNSEEN * min(side.values())) for side in (european, brazilian)]
    odds = {}
    for word in european.keys() | brazilian.keys():
        if word.replace("-", "").isalpha():
            shares = [(side.get(word, rarest) + _STEADY * total / _MANY) / total for side, total, rarest in sides]
            ratio = math.log(shares[0] / shares[1])
            if abs(ratio) > LEAST:
                odds[word] = max(-MOST, min(MOST, ratio))
    return odds


def save_vocabulary(file: Path, odds: Mapping[str, float], facts: Mapping[str, str]) -> None:
    """Write words' log-odds: hashes of the words, in order, and int8 weights; no word can be read from it."""
    from safetensors.numpy import save_file

    hashed = {_hash(word): weight for word, weight in odds.items()}
    keys = np.array(sorted(hashed), np.uint32)
    weights = np.rint([hashed[int(key)] / _STEP for key in keys]).astype(np.int8)
    save_file({"keys": keys, "weights": weights}, file, metadata=dict(facts))


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a list of frequencies of either variety, write the words' weights."""
    parser = argparse.ArgumentParser(prog="python -m amalia_vl_hf.variety.vocabulary", description=main.__doc__)
    parser.add_argument(
        "--european", type=Path, required=True, metavar="FILE", help="pt-PT, a word and its count a line"
    )
    parser.add_argument("--brazilian", type=Path, required=True, metavar="FILE", help="pt-BR, the same")
    parser.add_argument("--source", default="unknown", help="where the lists are from, for the header of the file")
    parser.add_argument("--licence", default="unknown", help="licence of the lists, for the header of the file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parsed = parser.parse_args(arguments)
    odds = log_odds(counts(parsed.european), counts(parsed.brazilian))
    save_vocabulary(parsed.out, odds, {"source": parsed.source, "licence_of_sources": parsed.licence})
    print(f"written: {parsed.out}, {len(odds):,} words")


if __name__ == "__main__":
    main()
