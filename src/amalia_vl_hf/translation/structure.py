"""Hard rules: what is wrong with a translation whatever it says, and can be seen without a model.

    >>> faults("There are 3 dogs.", "Há 4 cães.")
    [Fault(rule='numbers', detail='lost 3; added 4')]
    >>> faults("The train is red.", "Aqui está a tradução: O comboio é vermelho.")
    [Fault(rule='preamble', detail='Aqui está a tradução:')]

A fault is a rule's name and what it saw, both for the reason of a rejection and for the model that repairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ..variety import judge
from .english import copied, left_over
from .languages import PORTUGUESE, is_in
from .masks import plain_pair, protected
from .meaning import brazilian_words, contradictions, negation_fault
from .numbers import number_faults
from .segments import options

Rule = Callable[[str, str], str | None]  # source, translation -> what was seen, None where all is well
SHORT = 20  # letters up to which a translation may be any length within `SHORT_RATIO`
RATIO, SHORT_RATIO = (0.55, 2.0), (0.2, 5.0)  # letters of a translation to those of its source
_LOOP = re.compile(r"\b(\w[^\n]{0,60}?)(?:[\s,.;:!?-]+\1\b){3,}", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"\s*(?:(?:aqui (?:está|tens|tem|vai)|eis|segue(?:-se)?)\b[^\n:]{0,60}\btradu[^\n:]{0,40}:"
    r"|(?:here(?:'s| is)|sure|certainly|of course)\b[^\n]{0,80}(?::|!)"
    r"|(?:claro|certamente|com certeza)[!,:][^\n]{0,80}?:"
    r"|\**(?:tradução|translation|português(?: europeu)?|pt-pt|portuguese)\**(?: \([^()\n]{0,40}\))?\s*:)",
    re.IGNORECASE,
)
_AFTERWORD = re.compile(
    r"\n\s*(?:[(*\[]*\s*(?:nota|note|observaç(?:ão|ões))\b[^\n]{0,20}:|espero que|let me know"
    r"|i hope|se precisares|se precisar)"
    r"|\((?:nota|note|n\. ?do ?t\.|nota d[oe] tradutor)[:\s]",
    re.IGNORECASE,
)
_MARK = re.compile(r"^\s*(?:[-*•–]|\d{1,3}[.)]|#{1,6}|>)(?=\s)", re.MULTILINE)
_ENDED = re.compile(r"[.!?…:;][\"”»)\]*_'’]*$")
_QUOTES = "\"“”«»'`"


class Fault(NamedTuple):
    """What is wrong with a translation.

    Args:
        rule: One of `RULES`, of `quality`, or of a caller's own.
        detail: What was seen.
    """

    rule: str
    detail: str


def faults(source: str, translation: str, target: str = PORTUGUESE) -> list[Fault]:
    """Hold the translation of an English text to all hard rules.

    Args:
        source: The text.
        translation: With the source's pieces in their places.
        target: One of `languages.TARGETS`; rules for Brazilian words, negations and opposites know Portuguese alone.
    """
    rules: Mapping[str, Rule] = RULES if target == PORTUGUESE else {**_ANY, "language": _language_of(target)}
    found = ((name, rule(source, translation)) for name, rule in rules.items())
    return [Fault(name, detail) for name, detail in found if detail is not None]


def _empty(source: str, translation: str) -> str | None:
    return "nothing was said" if source.strip() and not translation.strip() else None


def _tokens(source: str, translation: str) -> str | None:
    """Image slots, boxes, mathematics, code, addresses, tags and placeholders, letter by letter."""
    wanted, held = protected(source), protected(translation)
    return _difference(list((wanted - held).elements()), list((held - wanted).elements()))


def _numbers(source: str, translation: str) -> str | None:
    lost, added = number_faults(_words_alone(source), _words_alone(translation))
    return _difference(lost, added)


def _options(source: str, translation: str) -> str | None:
    wanted, held = options(source), options(translation)
    if list(wanted) != list(held):
        return f"options {', '.join(held) or 'none'} in the place of {', '.join(wanted) or 'none'}"
    same = [text for text, count in Counter(map(_folded, held.values())).items() if count > 1]
    if same and len(set(map(_folded, wanted.values()))) == len(wanted):
        return f"two options say {same[0]!r}"
    return None


def _lines(source: str, translation: str) -> str | None:
    wanted, held = _outline(source), _outline(translation)
    if len(wanted) != len(held):
        return f"{len(held)} lines in the place of {len(wanted)}"
    return None if wanted == held else "empty lines, bullets or headings stand elsewhere"


def _preamble(source: str, translation: str) -> str | None:
    """Words about the translation, before it or after it, and quotation marks around it."""
    for pattern in (_PREAMBLE, _AFTERWORD):
        search = pattern.match if pattern is _PREAMBLE else pattern.search
        if (match := search(translation)) and not search(source):
            return match[0].strip()
    text, original = translation.strip(), source.strip()
    if len(text) > 2 and text[0] in _QUOTES and text[-1] in _QUOTES and original[:1] not in _QUOTES:
        return f"{text[0]}...{text[-1]} around all of it"
    return None


def _copy(source: str, translation: str) -> str | None:
    return copied(*plain_pair(source, translation))


def _english(source: str, translation: str) -> str | None:
    return left_over(*plain_pair(source, translation))


def _length(source: str, translation: str) -> str | None:
    before, after = (len(text.strip()) for text in plain_pair(source, translation))
    if not before:
        return None
    low, high = SHORT_RATIO if before <= SHORT else RATIO
    ratio = after / before
    return None if low <= ratio <= high else f"{after} letters for {before}"


def _loops(source: str, translation: str) -> str | None:
    match = _LOOP.search(translation)
    if match and not _LOOP.search(source):
        return f"{match[1]!r} again and again"
    sentences = Counter(part.strip().lower() for part in re.split(r"[.!?\n]+", translation) if len(part.split()) > 3)
    most = max(Counter(part.strip().lower() for part in re.split(r"[.!?\n]+", source)).values(), default=0)
    said = next((sentence for sentence, count in sentences.items() if count > max(most, 2)), None)
    return None if said is None else f"{said!r} again and again"


def _language_of(target: str) -> Rule:
    """Make the rule that finds another language than the target, as a whole or in a sentence of five words or more."""

    def rule(source: str, translation: str) -> str | None:
        _, text = plain_pair(source, translation)
        if is_in(text, target) is False:
            return f"not {target}"
        several = (sentence.strip() for sentence in re.split(r"[.!?\n;]+", text) if len(sentence.split()) >= 5)
        other = next((sentence for sentence in several if is_in(sentence, target) is False), None)
        return None if other is None else f"not {target}: {other[:80]!r}"

    return rule


def _ending(source: str, translation: str) -> str | None:
    """A sentence that stops in the middle, as answers that were cut do."""
    if _ENDED.search(source.rstrip()) and translation.strip() and not _ENDED.search(translation.rstrip()):
        return f"stops at {translation.strip()[-20:]!r}"
    return None


def _variety(source: str, translation: str) -> str | None:
    verdict = judge(translation)
    if not verdict.refused:
        return brazilian_words(*plain_pair(source, translation))
    signs = [reason for reason in verdict.reasons if reason.startswith("pt-BR")]
    return "; ".join(signs) or f"n-grams alone, score {verdict.score:.2f}"


def _negation(source: str, translation: str) -> str | None:
    return negation_fault(*plain_pair(source, translation))


def _opposites(source: str, translation: str) -> str | None:
    return contradictions(*plain_pair(source, translation))


_ANY: Mapping[str, Rule] = {
    "empty": _empty,
    "tokens": _tokens,
    "numbers": _numbers,
    "options": _options,
    "lines": _lines,
    "preamble": _preamble,
    "copy": _copy,
    "leftover English": _english,
    "length": _length,
    "ending": _ending,
    "loops": _loops,
}
RULES: Mapping[str, Rule] = {
    **_ANY,
    "language": _language_of(PORTUGUESE),
    "Brazilian": _variety,
    "negation": _negation,
    "opposites": _opposites,
}


def _difference(lost: list[str], added: list[str]) -> str | None:
    parts = [f"{word} {', '.join(part[:60] for part in some[:5])}" for word, some in _named(lost, added) if some]
    return "; ".join(parts) or None


def _named(lost: list[str], added: list[str]) -> Iterator[tuple[str, list[str]]]:
    yield "lost", lost
    yield "added", added


def _words_alone(text: str) -> str:
    """Take out what `tokens` looks after, so that a number is missed once."""
    for piece in protected(text):
        text = text.replace(piece, " ")
    return text


def _outline(text: str) -> list[str]:
    """Give for each line whether it is empty, and its bullet or number."""
    return [
        (mark[0].strip() if (mark := _MARK.match(line)) else "text") if line.strip() else ""
        for line in text.strip().split("\n")
    ]


def _folded(text: str) -> str:
    return " ".join(text.lower().rstrip(".").split())
