"""European or Brazilian Portuguese: judges a whole dialogue by strong rules and an n-gram classifier, with reasons.

    >>> judge("O autocarro está a chegar à paragem e as pessoas estão a entrar.").is_pt_pt
    True
    >>> judge("O ônibus está chegando ao ponto e as pessoas estão entrando.").is_pt_pt
    False
    >>> judge("The bus is arriving at the stop and people are getting on.").reasons
    ('not Portuguese',)

A short string says little. On software that was not trained on, a pt-PT string has the higher score .76 of the time
alone, and .95 joined with three others; in news, four sentences give .92 (`benchmarks/RESULTS.md`). So give it all
turns of a dialogue at once. Code blocks and addresses are not read.

The spelling of before 1990 never speaks for Brazil: both spellings are the same to the classifier, and where Brazil
had changed a word long before ("acção", "óptimo"), the old one speaks for Portugal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .classifier import load_classifier
from .rules import RULES, evidence, findings
from .text import clean, is_portuguese

Classifier = Callable[[str], float]

NOT_PORTUGUESE = "not Portuguese"
TOO_LITTLE = "too little Portuguese to tell"
_SHOWN = 3  # findings of a rule, in a reason


@dataclass(frozen=True)
class Verdict:
    """What a text was judged to be.

    Args:
        is_pt_pt: Whether it is European Portuguese; None where there is nothing to judge: another language, or too
            little text.
        score: 0 to 1, 1 for surely pt-PT; 0.5 where there is nothing to judge.
        reasons: What spoke for either side, for people to read: `pt-BR, Brazilian words: ônibus, trem`.
    """

    is_pt_pt: bool | None
    score: float
    reasons: tuple[str, ...]


def judge(text: str, threshold: float = 0.5, classifier: Classifier | None = None) -> Verdict:
    """Judge the variety of a text, best a whole dialogue, its turns joined by line breaks.

    Args:
        text: Any text, of any length.
        threshold: Lowest score that counts as pt-PT; higher lets less pt-BR through, and loses more pt-PT.
        classifier: Gives the log-odds, in nats, that a clean text is pt-PT; the shipped n-grams by default. See
            `hub` for a model of the Hub.

    Raises:
        TypeError: The text is no `str`.
        ValueError: The threshold is not between 0 and 1.
    """
    if not isinstance(text, str):
        raise TypeError(f"judge takes one text, a whole dialogue joined by line breaks, not {type(text).__name__}")
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold is between 0 and 1, not {threshold}")
    text = clean(text)
    found = findings(text)
    portuguese = is_portuguese(text)
    if portuguese is False:
        return Verdict(None, 0.5, (NOT_PORTUGUESE,))
    if portuguese is None and not found:
        return Verdict(None, 0.5, (TOO_LITTLE,))
    learned = (classifier or load_classifier())(text)
    score = _sigmoid(learned + evidence(found))
    return Verdict(score >= threshold, score, (*map(_reason, found, found.values()), f"classifier: {learned:+.1f}"))


def _reason(name: str, matches: list[str]) -> str:
    shown = list(dict.fromkeys(matches))
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{RULES[name].variety}, {name}: {', '.join(shown[:_SHOWN])}{more}"


def _sigmoid(log_odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * log_odds))
