r"""Weighs words by how much oftener one variety says them: from two lists of frequencies, of speech or of anything.

    python -m amalia_vl_hf.variety.frequencies --european pt_50k.txt --brazilian pt_br_50k.txt \
        --out vocabulary.safetensors

Programs say little of what people talk about, and a list of words that one country alone has is short. Lists of
frequencies, a word and its count a line, are had for many kinds of text; the shipped table is of subtitles of films.
A word weighs the logarithm of the ratio of its two shares.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from .features import fold
from .vocabulary import MOST, save_vocabulary

LEAST = 0.2  # log-odds, under which a word is left out: topics differ by as much
_UNSEEN = 0.5  # of the rarest count of a list, for a word that it lacks
_STEADY = 1e-7  # of all words of a list, added to every count


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
            shares = [(side.get(word, rarest) + _STEADY * total) / total for side, total, rarest in sides]
            ratio = math.log(shares[0] / shares[1])
            if abs(ratio) > LEAST:
                odds[word] = max(-MOST, min(MOST, ratio))
    return odds


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a list of frequencies of either variety, write the words' weights."""
    parser = argparse.ArgumentParser(prog="python -m amalia_vl_hf.variety.frequencies", description=main.__doc__)
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
