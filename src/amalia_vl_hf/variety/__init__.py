"""European or Brazilian Portuguese: judges a whole dialogue by rules, words and n-grams, with reasons.

    >>> judge("O autocarro está a chegar à paragem e as pessoas estão a entrar.").is_pt_pt
    True
    >>> judge("O ônibus está chegando ao ponto e as pessoas estão entrando.").refused
    True
    >>> judge("Qual é a localidade? Portimão").undecided
    True
    >>> judge("The bus is arriving at the stop and people are getting on.").reasons
    ('not Portuguese',)

A short string says little, so give it all turns of a dialogue at once; `benchmarks/RESULTS.md` has what one string,
four and eight are worth. A text is **refused** only where it is Brazilian enough to drop: by a sign of Brazil that the
rest does not outweigh, or, without one, by enough text whose words and n-grams are Brazilian. What has neither is
**undecided**, and kept. Code blocks and addresses are not read.

The spelling of before 1990 never speaks for Brazil: both spellings are the same to the classifier, and where Brazil
had changed a word long before ("acção", "óptimo"), the old one speaks for Portugal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .classifier import load_classifier
from .features import fold
from .rules import RULES, evidence, findings
from .text import clean, is_portuguese
from .vocabulary import weighed

Classifier = Callable[[str], float]

NOT_PORTUGUESE = "not Portuguese"
TOO_LITTLE = "too little Portuguese to tell"
# A text is refused under these scores, by the fewest different words (forms repeat themselves) and by what was seen
# beside the words' frequencies and n-grams, which are all weak: the more of either, the more a score is worth. Without
# a sign of Brazil a text of fewer words is never refused. What each keeps and refuses, of one string, four and eight
# joined, is in `benchmarks/RESULTS.md`: of European texts 1 % at most in software, news and books.
REFUSED_WITH_SIGN = {80: 0.5, 0: 0.4}
REFUSED_WITH_HINT = {80: 0.5, 60: 0.4, 40: 0.33, 30: 0.27, 20: 0.12}  # what Brazil only says oftener: você, tela
REFUSED_WITHOUT = {80: 0.5, 60: 0.22, 40: 0.18, 30: 0.08}
SURE = 0.8  # from this score on a text is European on evidence, not for want of it
_SIGN = 2.0  # weight from which on a rule for Brazil is a sign of it
_SHOWN = 3  # findings of a rule, in a reason
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Verdict:
    """What a text was judged to be.

    Args:
        is_pt_pt: The likelier side, True for European Portuguese; None where there is nothing to judge: another
            language, or no word that tells Portuguese.
        score: 0 to 1, 1 for surely pt-PT; 0.5 where there is nothing to judge.
        reasons: What spoke for either side, for people to read: `pt-BR, Brazilian words: ônibus, trem`.
        refused: Whether it is Brazilian enough to drop.
        undecided: Whether there is text, and not enough evidence for either side.
    """

    is_pt_pt: bool | None
    score: float
    reasons: tuple[str, ...]
    refused: bool = False
    undecided: bool = False


def judge(text: str, threshold: float | None = None, classifier: Classifier | None = None) -> Verdict:
    """Judge the variety of a text, best a whole dialogue, its turns joined by line breaks.

    Args:
        text: Any text, of any length.
        threshold: Refuse what scores lower, on whatever evidence, and leave nothing undecided; by default the
            thresholds that were measured, which ask for a sign of Brazil or for enough text.
        classifier: Gives the log-odds, in nats, that a clean text is pt-PT; by default the shipped n-grams and
            frequencies of words, whose verdict is among the reasons all the same. See `hub` for a model of the Hub.

    Raises:
        TypeError: The text is no `str`.
        ValueError: The threshold is not between 0 and 1.
    """
    if not isinstance(text, str):
        raise TypeError(f"judge takes one text, a whole dialogue joined by line breaks, not {type(text).__name__}")
    if threshold is not None and not 0 < threshold < 1:
        raise ValueError(f"a threshold is between 0 and 1, not {threshold}")
    text = clean(text)
    signs = findings(text)
    portuguese = is_portuguese(text)
    if portuguese is False:
        return Verdict(None, 0.5, (NOT_PORTUGUESE,))
    if portuguese is None and not signs:
        return Verdict(None, 0.5, (TOO_LITTLE,))
    folded = fold(text)
    ngrams, words = load_classifier().of_folded(folded), weighed(folded)
    shipped = ngrams + sum(words.values())
    learned = classifier(text) if classifier else shipped
    score = _sigmoid(learned + evidence(signs))
    reasons = [*map(_reason, signs, signs.values())]
    if classifier:
        without = _sigmoid(shipped + evidence(signs))
        reasons.append(f"classifier: {learned:+.1f}")
        reasons.append(f"shipped weights: {shipped:+.1f}, which make it {'pt-PT' if without >= 0.5 else 'pt-BR'}")
    else:
        reasons += [f"classifier: {ngrams:+.1f}", f"frequencies of words: {_weightiest(words)}"]
    if threshold is not None:
        return Verdict(score >= threshold, score, tuple(reasons), refused=score < threshold)
    refused = score < _limit(text, score, signs)
    return Verdict(score >= 0.5, score, tuple(reasons), refused, undecided=not refused and score < SURE)


def _limit(text: str, score: float, signs: Iterable[str]) -> float:
    """Give the score under which a text is refused."""
    weight = max((RULES[name].weight for name in signs if RULES[name].variety == "pt-BR"), default=0.0)
    limits = REFUSED_WITH_SIGN if weight >= _SIGN else REFUSED_WITH_HINT if weight else REFUSED_WITHOUT
    if score >= max(limits.values()):
        return 0.0  # and no word need be counted
    different = len(set(_WORD.findall(text.lower())))
    return next((limit for fewest, limit in limits.items() if different >= fewest), 0.0)


def _reason(name: str, matches: list[str]) -> str:
    shown = list(dict.fromkeys(matches))
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{RULES[name].variety}, {name}: {', '.join(shown[:_SHOWN])}{more}"


def _weightiest(words: Mapping[str, float]) -> str:
    """Write the sum of words' weights, and the words that weigh most on its side."""
    total = sum(words.values())
    side = sorted((word for word in words if words[word] * total > 0), key=lambda word: (-abs(words[word]), word))
    return f"{total:+.1f}" + (f" ({', '.join(side[:_SHOWN])})" if side else "")


def _sigmoid(log_odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * log_odds))
