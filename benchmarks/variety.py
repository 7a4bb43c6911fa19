"""European against Brazilian Portuguese: speed, accuracy on software that was not trained on, precision of each rule.

The shipped weights were trained on LibreOffice and Mozilla; they are measured on the other packages that
`amalia_vl_hf.variety.corpus` lists, strings alone and four of a package joined, as the turns of a dialogue are.
Unpack them in runs/variety/packages, as that module says; without them only the speed is measured.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amalia_vl_hf.variety import judge
from amalia_vl_hf.variety.classifier import load_classifier
from amalia_vl_hf.variety.corpus import Pair, read_pairs
from amalia_vl_hf.variety.fit import PERMISSIVE
from amalia_vl_hf.variety.rules import RULES, findings
from amalia_vl_hf.variety.text import clean

PACKAGES = Path(__file__).parents[1] / "runs" / "variety" / "packages"
JOINED = 4
WANTED_SPEED, WANTED_AUC = 2000, 0.94
ROUNDS, TEXTS = 5, 1000
DIALOGUES = (
    "O que se vê na imagem?\nUm autocarro amarelo está parado em frente ao café da esquina, onde três pessoas estão a "
    "conversar.\nDe que cor é a faixa do autocarro?\nÉ branca e segue ao longo das janelas; ao fundo vê-se a torre da "
    "igreja e um elétrico antigo a subir a rua.",
    "O que se vê na imagem?\nUm ônibus amarelo está parado em frente ao café da esquina, onde três pessoas estão "
    "conversando.\nQual é a cor da faixa do ônibus?\nEla é branca e segue ao longo das janelas; no fundo se vê a "
    "torre da igreja e um bonde antigo subindo a rua.",
)
Scores = np.ndarray


class Judged(NamedTuple):
    """Both sides of texts of the same number, `(texts,)` each: scores, and what was decided."""

    european: Scores
    brazilian: Scores
    right: Scores  # decided rightly, European sides then Brazilian, `(2 * texts,)`


def speed() -> float:
    """Texts a second on one core, the best of some rounds: others share the machine."""
    texts = [f"{DIALOGUES[number % 2]} {number}" for number in range(TEXTS)]
    judge(texts[0])
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for text in texts:
            judge(text)
        seconds.append(time.process_time() - start)
    return TEXTS / min(seconds)


def area(european: Scores, brazilian: Scores) -> float:
    """Area under the ROC curve: how often a pt-PT text has the higher score; ties count half."""
    scores = np.concatenate((european, brazilian))
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[: len(european)].sum() - len(european) * (len(european) + 1) / 2
    return float(wins / (len(european) * len(brazilian)))


def groups(pairs: Sequence[Pair], joined: int) -> Iterator[tuple[str, str]]:
    """Join so many strings of a package, in random order; a rest is left out."""
    order = random.Random(0).sample(pairs, len(pairs))  # noqa: S311
    for start in range(0, len(order) - joined + 1, joined):
        chosen = order[start : start + joined]
        yield "\n".join(pair.european for pair in chosen), "\n".join(pair.brazilian for pair in chosen)


def measure(texts: Sequence[tuple[str, str]]) -> Judged:
    """Judge both sides by the filter; where it sees nothing to judge, it is not right."""
    verdicts = [[judge(text) for text in side] for side in zip(*texts, strict=True)]
    scores = [np.array([verdict.score for verdict in side]) for side in verdicts]
    right = [
        verdict.is_pt_pt is wanted for side, wanted in zip(verdicts, (True, False), strict=True) for verdict in side
    ]
    return Judged(*scores, np.array(right))


def joined(parts: Sequence[Judged]) -> Judged:
    """Put packages together."""
    return Judged(*(np.concatenate(sides) for sides in zip(*parts, strict=True)))


def row(name: str, single: Judged, four: Judged) -> str:
    """One line of the table of packages."""
    cells = "".join(
        f"{len(judged.european):>9}{area(judged.european, judged.brazilian):>8.3f}{judged.right.mean():>10.3f}"
        for judged in (single, four)
    )
    return f"{name:<20}{cells}"


def accuracy(pairs: Sequence[Pair]) -> dict[str, dict[str, float | str]]:
    """Print the table of packages; give the areas overall."""
    packages: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        packages[pair.package].append(pair)
    print(f"\n{'':<20}{'one string':^27}{f'{JOINED} strings joined':^27}")
    print(f"{'held-out package':<20}" + f"{'pairs':>9}{'AUC':>8}{'accuracy':>10}" * 2)
    judged: dict[int, list[Judged]] = {1: [], JOINED: []}
    for name, own in sorted(packages.items()):
        for number, parts in judged.items():
            parts.append(measure(list(groups(own, number))))
        print(row(name, judged[1][-1], judged[JOINED][-1]), flush=True)
    single, four = joined(judged[1]), joined(judged[JOINED])
    print(row("all", single, four))
    threshold = np.quantile(four.european, 0.05)
    removed = (four.brazilian < threshold).mean()
    print(f"keeping 95 % of pt-PT (threshold {threshold:.3f}) removes {removed:.1%} of pt-BR, {JOINED} strings joined")
    alone = ngrams_alone(packages)
    area_of_four = area(four.european, four.brazilian)
    print(f"n-grams without rules, {JOINED} strings joined: AUC {alone:.3f}")
    return {
        "AUC, 4 strings joined": result(area_of_four, WANTED_AUC, "AUC held out by package; stock: wanted"),
        "AUC beside n-grams alone": result(area_of_four, alone, "AUC held out by package; stock: no rules"),
        "AUC, one string": result(area(single.european, single.brazilian), 0.5, "AUC by package; stock: chance"),
    }


def ngrams_alone(packages: dict[str, list[Pair]]) -> float:
    """The area of the classifier without rules."""
    classifier = load_classifier()
    texts = [text for own in packages.values() for text in groups(own, JOINED)]
    european, brazilian = (np.array([classifier(clean(text)) for text in side]) for side in zip(*texts, strict=True))
    return area(european, brazilian)


def rules(pairs: Sequence[Pair]) -> None:
    """Print how often each rule fires on the right side; strings, not findings, are counted."""
    counted: dict[tuple[str, bool], list[int]] = defaultdict(lambda: [0, 0])
    for pair in pairs:
        for side, text in (("pt-PT", pair.european), ("pt-BR", pair.brazilian)):
            for name in findings(text):
                counted[name, pair.package in PERMISSIVE][RULES[name].variety != side] += 1
    print(f"\n{'':<30}{'LibreOffice, Mozilla':^27}{'held-out packages':^27}")
    print(f"{'rule':<30}" + f"{'right':>8}{'wrong':>7}{'precision':>12}" * 2)
    for name, rule in RULES.items():
        cells = ""
        for part in (True, False):
            right, wrong = counted[name, part]
            precision = f"{right / (right + wrong):.3f}" if right + wrong else "-"
            cells += f"{right:>8}{wrong:>7}{precision:>12}"
        print(f"{f'{rule.variety} {name}':<30}{cells}")


def result(ours: float, stock: float, unit: str) -> dict[str, float | str]:
    """One entry of the JSON line."""
    return {"ours": ours, "stock": stock, "ratio": ours / stock, "unit": unit}


def timed() -> dict[str, dict[str, float | str]]:
    """Print the speed."""
    texts_a_second = speed()
    length = sum(map(len, DIALOGUES)) // len(DIALOGUES)
    print(f"{texts_a_second:,.0f} dialogues of {length} characters a second on one core ({WANTED_SPEED:,} wanted)")
    return {"speed": result(texts_a_second, WANTED_SPEED, "texts / CPU s; stock: wanted")}


def main() -> None:
    """Print the tables and the JSON line."""
    results = timed()
    if PACKAGES.is_dir():
        pairs = read_pairs(PACKAGES)
        results |= accuracy([pair for pair in pairs if pair.package not in PERMISSIVE])
        rules(pairs)
    else:
        print(
            f"no accuracy: there is no {PACKAGES}; amalia_vl_hf/data/variety/corpus.py says how to fetch the packages"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
