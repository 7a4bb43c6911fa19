"""Strong rules: words and turns of phrase that one variety of Portuguese has and the other has not.

Of the strings where a rule finds something, the share that is of its variety: in a sample of the message catalogues of
80 packages, and in news and books (the development parts of the treebanks Bosque and CINTIL, the test part of
Porttinari), which no rule was mined from. `benchmarks/variety.py` counts it over packages.

| rule | speaks for | software | news and books |
|---|---|---|---|
| estar + gerund | pt-BR | .984 of 184 | 1.000 of 40 |
| ê, ô before m, n | pt-BR | .989 of 88 | .983 of 59 |
| em um | pt-BR | .977 of 341 | 1.000 of 29 |
| Brazilian words | pt-BR | .988 of 1377 | .995 of 183 |
| Brazilian spelling | pt-BR | .997 of 324 | 1.000 of 90 |
| você | pt-BR | .954 of 1362 | .917 of 24 |
| pronoun before the verb | pt-BR | 1.000 of 2 | .750 of 4 |
| por que in a question | pt-BR | .000 of 1 | 1.000 of 3 |
| going on + gerund | pt-BR | 1.000 of 2 | 1.000 of 8 |
| words more of Brazil | pt-BR | .962 of 3446 | .841 of 107 |
| estar a + infinitive | pt-PT | .994 of 163 | 1.000 of 129 |
| é, ó before m, n | pt-PT | .992 of 122 | 1.000 of 147 |
| European words | pt-PT | .976 of 3266 | .980 of 254 |
| European spelling | pt-PT | .987 of 150 | 1.000 of 109 |
| article + possessive | pt-PT | .693 of 1227 | .833 of 418 |
| second person | pt-PT | .933 of 45 | none |
| é que | pt-PT | 1.000 of 7 | .000 of 3 |
| ter de | pt-PT | .952 of 124 | .722 of 18 |
| going on + a + infinitive | pt-PT | .667 of 6 | .917 of 24 |
| pronoun after the verb | pt-PT | .548 of 847 | .796 of 289 |
| words more of Portugal | pt-PT | .830 of 1804 | .857 of 70 |
| consonants of before 1990 | pt-PT | .996 of 1102 | 1.000 of 347 |

A rule's weight is about the log-odds that its precision stands for, and 3 at most; 2 for the second person, which
parts of Brazil use, too. Software and news hold few of the listed words: that the others are right is our knowledge of
both varieties. From a weight of 2 on, a rule for Brazil is a sign of it, which a text may be refused for. Measured and
left out: `vocês`, which Portugal says as well.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from .features import fold
from .words import (
    BRAZILIAN_PHRASES,
    BRAZILIAN_WORDS,
    EUROPEAN_PHRASES,
    EUROPEAN_WORDS,
    OFTEN_BRAZILIAN,
    OFTEN_EUROPEAN,
    OLD_EUROPEAN_SPELLING,
)

LEXICON = Path(__file__).with_name("lexicon.tsv")

Variety = Literal["pt-PT", "pt-BR"]
MOST_COUNTED = 2  # findings of a rule
_STRONG = 1.5  # weight from which on a second finding counts


class Rule(NamedTuple):
    """One sign of a variety.

    Args:
        variety: The one it speaks for.
        weight: Log-odds that a finding adds, in nats: those measured, and 3 at most.
        find: Gives what it finds in a lower-case text, given the text and its words.
    """

    variety: Variety
    weight: float
    find: Callable[[str, list[str]], list[str]]


def findings(text: str) -> dict[str, list[str]]:
    """Apply all rules to a text, clean as `text.clean` leaves it.

    Returns:
        What was found, by the name of the rule; only rules that found something.
    """
    lower = _NAME.sub(_unaccented, text).lower()
    words = _WORD.findall(lower)
    signs = {name: rule.find(lower, words) for name, rule in RULES.items()}
    return {name: matches for name, matches in signs.items() if matches}


def _unaccented(name: re.Match[str]) -> str:
    return name[0].replace("ê", "e").replace("ô", "o")


def evidence(signs: Mapping[str, list[str]]) -> float:
    """Add up what findings speak for: log-odds in nats, above 0 for pt-PT.

    A rule counts twice at most, so that one subject, a text about trains, does not outweigh all else; a weak one
    counts once, because a long text of either country has what it looks for.
    """
    total = 0.0
    for name, matches in signs.items():
        rule = RULES[name]
        most = MOST_COUNTED if rule.weight >= _STRONG else 1
        total += rule.weight * min(len(matches), most) * (1 if rule.variety == "pt-PT" else -1)
    return total


def _pattern(pattern: str, *needed: str) -> Callable[[str, list[str]], list[str]]:
    """Search by a regular expression, if one of the texts it cannot do without is there: that costs far less."""
    compiled = re.compile(pattern)

    def find(lower: str, words: list[str]) -> list[str]:
        if needed and not any(text in lower for text in needed):
            return []
        return [match[0] for match in compiled.finditer(lower)]

    return find


def _vocabulary(words: str, phrases: str = "") -> Callable[[str, list[str]], list[str]]:
    """Search listed words, `stem*` for all that starts so, and phrases of several words, one a line."""
    listed = words.split()
    whole = {word for word in listed if not word.endswith("*")}
    stems = _by_start(word[:-1] for word in listed if word.endswith("*"))
    several = re.compile(rf"\b(?:{'|'.join(phrases.strip().splitlines())})\b") if phrases else None

    def find(lower: str, words: list[str]) -> list[str]:
        matches = [word for word in words if word in whole or word.startswith(stems.get(word[:_START], _NEVER))]
        return matches + [match[0] for match in several.finditer(lower)] if several else matches

    return find


def _listed(side: int) -> Callable[[str, list[str]], list[str]]:
    """Search the forms of one side of the lexicon, read when they are first needed."""

    def find(lower: str, words: list[str]) -> list[str]:
        forms = read_lexicon()[side]
        return [word for word in words if word in forms]

    return find


@functools.cache
def read_lexicon() -> tuple[frozenset[str], frozenset[str]]:
    """Read the Brazilian and the European forms of the shipped lexicon.

    Where they differ only by what the agreement of 1990 changed, the Brazilian form is the old European one, and is
    left out.
    """
    lines = LEXICON.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    brazilian = frozenset(theirs for theirs, ours in pairs if fold(theirs) != fold(ours))
    return brazilian, frozenset(ours for _, ours in pairs if ours)


def _by_start(stems: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for stem in stems:
        grouped[stem[:_START]] = (*grouped.get(stem[:_START], ()), stem)
    return grouped


_WORD = re.compile(r"[a-zà-öø-ÿ]+(?:-[a-zà-öø-ÿ]+)*")
_NAME = re.compile(r"(?<=[a-zà-öø-ÿ,;] )[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]*[êô][mn]\w*")  # Antônio is so named in Portugal, too
_START = 4  # letters; the shortest stem
_NEVER = ("\0",)
_ESTAR = (
    r"\best(?:ou|ás|á|amos|ão|av(?:a|as|am)|ávamos|ive|iveste|eve|ivemos|iveram|ar(?:ei|ás|á|emos|ão|ia|íamos|iam)?"
    r"|ej(?:a|as|amos|am)|ivesse(?:s|m)?|iver(?:es|em)?) "
)
_BETWEEN = r"(?:(?:já|ainda|sempre|também|só|apenas|agora|todos|todas|não|\w+mente) )?"
_NO_GERUND = r"(?!(?:quando|segundo|fundo|mundo|lindo|comando|bando|brando|tremendo|horrendo|estupendo)\b)"
_NO_INFINITIVE = r"(?!(?:par|bar|mar|lugar|flor|cor|redor|maior|menor|melhor|pior|favor|valor|vapor|milhar)\b)"
_NO_NUMBER = r"(?! (?:e|ou|só|único|dos|das|quarto|quinto|terço|décimo|milhão|para)\b)"
_POSSESSIVE = r"(?:meu|minha|teu|tua|seu|sua|nosso|nossa)s?\b"

# `fêmea`, `sêmea` and their like are written so in both countries.
_CLOSED = r"\b(?!fême|sême|blasfême)[a-zà-öø-ÿ]*(?:[êô][mn][aeiouáéíóú])[a-zà-öø-ÿ]*"
_OPEN = r"\b[a-zà-öø-ÿ]*[bcdfgjlmnprstvxzhi](?:[éó][mn][aeiouáéíóú])[a-zà-öø-ÿ]*"

# Where a sentence begins, so that no word before it can draw a pronoun in front of the verb.
_START_OF_SENTENCE = r"(?:^|[.!?:;…]\s+|\n\s*|[-–—]\s+)"
_GOING_ON = (
    r"\b(?:continu|fic|and|permanec|segu|v[ei][mn]h?)(?:o|a|e|amos|am|em|ou|aram|eu|eram|ia|iam|ava|avam|iu|iram) "
)
_ENDING = r"(?:r|va|vam|ram|ria|riam|rá|rão|sse|ssem|ndo|a|e|o|am|em|ou|eu|iu|i|mos)"

RULES: Mapping[str, Rule] = {
    "estar + gerund": Rule("pt-BR", 3.0, _pattern(_ESTAR + _BETWEEN + _NO_GERUND + r"\w+[aei]ndo\b", "ndo")),
    "ê, ô before m, n": Rule("pt-BR", 3.0, _pattern(_CLOSED, "êm", "ên", "ôm", "ôn")),
    "em um": Rule("pt-BR", 2.5, _pattern(r"\bem um(?:a|as|ns)?\b" + _NO_NUMBER, "em um")),
    "Brazilian words": Rule("pt-BR", 3.0, _vocabulary(BRAZILIAN_WORDS, BRAZILIAN_PHRASES)),
    "Brazilian spelling": Rule("pt-BR", 3.0, _listed(0)),
    "você": Rule("pt-BR", 1.5, _pattern(r"\bvocê\b", "você")),
    "pronoun before the verb": Rule(
        "pt-BR", 2.5, _pattern(_START_OF_SENTENCE + r"(?:me|te|lhe) \w+" + _ENDING + r"\b", "me ", "te ", "lhe ")
    ),
    "por que in a question": Rule(
        "pt-BR", 1.5, _pattern(_START_OF_SENTENCE + r"por que (?!raz|motivo|é que|causa)[^.!?\n]*\?", "por que ")
    ),
    "going on + gerund": Rule("pt-BR", 1.0, _pattern(_GOING_ON + _NO_GERUND + r"\w+[aei]ndo\b", "ndo")),
    "words more of Brazil": Rule("pt-BR", 1.0, _vocabulary(OFTEN_BRAZILIAN)),
    "estar a + infinitive": Rule(
        "pt-PT", 3.0, _pattern(_ESTAR + _BETWEEN + "a " + _NO_INFINITIVE + r"\w+[aei]r\b", " a ")
    ),
    "é, ó before m, n": Rule("pt-PT", 3.0, _pattern(_OPEN, "ém", "én", "óm", "ón")),
    "European words": Rule("pt-PT", 3.0, _vocabulary(EUROPEAN_WORDS, EUROPEAN_PHRASES)),
    "European spelling": Rule("pt-PT", 3.0, _listed(1)),
    "article + possessive": Rule(
        "pt-PT", 0.9, _pattern(r"\b(?:[nd]?[oa]s?|aos?|às?|pel[oa]s?) " + _POSSESSIVE, "eu", "ua", "oss", "inha")
    ),
    "second person": Rule("pt-PT", 2.0, _pattern(r"\b(?:tens|podes|queres|sabes|deves|consegues|contigo)\b")),
    "é que": Rule("pt-PT", 0.5, _pattern(r"\b(?:quem|como|quando|onde|porque|que|o que) é que\b", " é que")),
    "ter de": Rule(
        "pt-PT", 0.8, _pattern(r"\bt(?:em|êm|inha|inham|emos|ive|eve|iveram|erá|er) de \w+[aei]r\b", " de ")
    ),
    "going on + a + infinitive": Rule(
        "pt-PT", 1.0, _pattern(_GOING_ON + "a " + _NO_INFINITIVE + r"\w+[aei]r\b", " a ")
    ),
    "pronoun after the verb": Rule(
        "pt-PT", 0.6, _pattern(r"\b\w{2,}-(?:se|lhes?|me|nos|n?[oa]s?|l[oa]s?)\b(?!-)", "-")
    ),
    "words more of Portugal": Rule("pt-PT", 1.0, _vocabulary(OFTEN_EUROPEAN)),
    "consonants of before 1990": Rule("pt-PT", 3.0, _vocabulary(OLD_EUROPEAN_SPELLING)),
}
