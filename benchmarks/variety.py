"""European against Brazilian Portuguese: speed, what is told and refused of texts not trained on, precision of rules.

The shipped weights were trained on packages and news that `weights.md` names; they are measured on the other packages
that `amalia_vl_hf.variety.corpus` lists, and on corpora of other kinds, one string alone and four and eight joined, as
the turns of a dialogue are. Unpack packages in runs/variety/packages, as that module says; a corpus is a folder in
runs/variety/corpora with `european` and `brazilian`, each of files that `amalia_vl_hf.variety.texts` reads. Without
them only the speed is measured.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amalia_vl_hf.variety import REFUSED_WITH_HINT, REFUSED_WITH_SIGN, REFUSED_WITHOUT, Verdict, judge
from amalia_vl_hf.variety.corpus import Pair, read_pairs
from amalia_vl_hf.variety.fit import PERMISSIVE
from amalia_vl_hf.variety.rules import RULES, findings
from amalia_vl_hf.variety.texts import read_texts

PACKAGES = Path(__file__).parents[1] / "runs" / "variety" / "packages"
CORPORA = PACKAGES.with_name("corpora")
JOINED = (1, 4, 8)
WANTED_SPEED, WANTED_AUC = 2000, 0.94
MOST_REFUSED, FEWEST_REFUSED = 0.02, 0.9  # of European texts without a sign of Brazil, of Brazilian ones of eight
ROUNDS, TEXTS = 5, 1000
MOST_PAIRS = 800  # of a package, drawn
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
    """What the filter says of texts of the same number on both sides.

    Args:
        area: How often a European text has the higher score.
        refused: Share of European texts that is refused.
        unmarked: Share of those without a sign of Brazil that is.
        caught: Share of Brazilian texts that is refused.
        undecided: Share of European texts that is undecided.
        texts: European ones.
    """

    area: float
    refused: float
    unmarked: float
    caught: float
    undecided: float
    texts: int


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


def groups(texts: Sequence[str], joined: int) -> Iterator[str]:
    """Join so many texts of one side, in random order; a rest is left out."""
    order = random.Random(0).sample(texts, len(texts))  # noqa: S311
    for start in range(0, len(order) - joined + 1, joined):
        yield "\n".join(order[start : start + joined])


def verdicts(parts: Sequence[Sequence[str]], joined: int) -> list[Verdict]:
    """Judge texts, joined within each part; what has nothing to judge scores 0.5."""
    return [judge(text) for part in parts for text in groups(part, joined)]


def measure(european: Sequence[Sequence[str]], brazilian: Sequence[Sequence[str]], joined: int) -> Judged:
    """Judge both sides by the filter."""
    ours, theirs = verdicts(european, joined), verdicts(brazilian, joined)
    plain = [verdict for verdict in ours if not any(reason.startswith("pt-BR") for reason in verdict.reasons)]
    return Judged(
        area=area(*(np.array([verdict.score for verdict in side]) for side in (ours, theirs))),
        refused=float(np.mean([verdict.refused for verdict in ours])),
        unmarked=float(np.mean([verdict.refused for verdict in plain])),
        caught=float(np.mean([verdict.refused for verdict in theirs])),
        undecided=float(np.mean([verdict.undecided for verdict in ours])),
        texts=len(ours),
    )


def told(name: str, european: Sequence[Sequence[str]], brazilian: Sequence[Sequence[str]]) -> dict[int, Judged]:
    """Print a line for each number of strings."""
    judged = {joined: measure(european, brazilian, joined) for joined in JOINED}
    for joined, own in judged.items():
        shares = (own.refused, own.unmarked, own.undecided, own.caught)
        print(
            f"{name if joined == 1 else '':<40}{joined:>3}{own.texts:>8}{own.area:>8.3f}"
            + "".join(f"{share:>10.1%}" for share in shares),
            flush=True,
        )
    return judged


def draw(pairs: Sequence[Pair]) -> list[Pair]:
    """Draw so many pairs of each package."""
    packages: dict[str, list[Pair]] = defaultdict(list)
    for pair in random.Random(0).sample(pairs, len(pairs)):  # noqa: S311
        packages[pair.package].append(pair)
    return [pair for own in packages.values() for pair in own[:MOST_PAIRS]]


def accuracy(pairs: Sequence[Pair]) -> dict[str, dict[str, float | str]]:
    """Print what is told and refused in packages and corpora that were not trained on; give the main figures."""
    packages: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        packages[pair.package].append(pair)
    print(f"\nrefused by words, with a sign of Brazil: {REFUSED_WITH_SIGN}")
    print(f"with what Brazil says oftener: {REFUSED_WITH_HINT}; without: {REFUSED_WITHOUT}")
    print(f"{'':<51}{'':>8}{'European refused':^20}{'European':>10}{'Brazilian':>10}")
    print(f"{'held out':<40}{'of':>3}{'texts':>8}{'AUC':>8}{'all':>10}{'no sign':>10}{'undecided':>10}{'refused':>10}")
    for name, own in sorted(packages.items()):
        told(name, [[pair.european for pair in own]], [[pair.brazilian for pair in own]])
    sides = [[getattr(pair, side) for pair in own] for side in ("european", "brazilian") for own in packages.values()]
    judged = {"software": told("all packages", sides[: len(packages)], sides[len(packages) :])}
    for folder in sorted(CORPORA.iterdir()) if CORPORA.is_dir() else ():
        texts = [[read_texts(folder / side)] for side in ("european", "brazilian")]
        judged[folder.name] = told(folder.name, *texts)
    results = {}
    for name, own in judged.items():
        results[f"AUC of 4, {name}"] = result(own[4].area, WANTED_AUC, "AUC; stock: wanted")
        results[f"European refused of 8, {name}"] = result(own[8].unmarked, MOST_REFUSED, "share; stock: at most")
        results[f"Brazilian refused of 8, {name}"] = result(own[8].caught, FEWEST_REFUSED, "share; stock: wanted")
    return results


def rules(pairs: Sequence[Pair]) -> None:
    """Print how often each rule fires on the right side; strings, not findings, are counted."""
    counted: dict[tuple[str, bool], list[int]] = defaultdict(lambda: [0, 0])
    for pair in pairs:
        for side, text in (("pt-PT", pair.european), ("pt-BR", pair.brazilian)):
            for name in findings(text):
                counted[name, pair.package in PERMISSIVE][RULES[name].variety != side] += 1
    print(f"\n{'':<30}{'trained on':^27}{'held-out packages':^27}")
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
        pairs = draw(read_pairs(PACKAGES))
        results |= accuracy([pair for pair in pairs if pair.package not in PERMISSIVE])
        rules(pairs)
    else:
        print(f"no accuracy: there is no {PACKAGES}; amalia_vl_hf/variety/corpus.py says how to fetch the packages")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
