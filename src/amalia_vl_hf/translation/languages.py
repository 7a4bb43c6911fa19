"""The languages that texts are translated into, as prompts call them and as their small words tell them apart.

European Portuguese is known best: its rules see Brazilian words, negations and opposites, too. The others are those of
Multi-PixMo.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..variety.text import is_portuguese

PORTUGUESE = "pt-PT"
_WORD = re.compile(r"[^\W\d_]+")
_ENCLITIC = re.compile(r"-(?:me|te|se|nos|vos|lhes?|[oa]s?|l[oa]s?|n[oa]s?)\b")  # "senta-te", whose "te" is Dutch, too


class TargetLanguage(NamedTuple):
    """A language that texts are translated into.

    Args:
        name: In European Portuguese, for prompts.
        words: Frequent small words, those apart that others of these languages have, too.
        answers: Yes, no, true and false, by the English word.
    """

    name: str
    words: frozenset[str]
    answers: Mapping[str, str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _answers(words: str) -> dict[str, str]:
    return dict(zip(("yes", "no", "true", "false"), words.split(), strict=True))


TARGETS: Mapping[str, TargetLanguage] = {
    PORTUGUESE: TargetLanguage(
        "português europeu",
        _words("não são uma um do da ao em com mais os as na no à está há"),
        _answers("sim não verdadeiro falso"),
    ),
    "es": TargetLanguage(
        "espanhol",
        _words("el los las y del una un con más está hay pero muy al su lo por qué se en"),
        _answers("sí no verdadero falso"),
    ),
    "fr": TargetLanguage(
        "francês",
        _words("le les des est et une dans sur avec pas qui pour ce cette il elle du au ne"),
        _answers("oui non vrai faux"),
    ),
    "de": TargetLanguage(
        "alemão",
        _words("der die das und ist ein eine nicht mit auf den dem zu im sind von sich es"),
        _answers("ja nein wahr falsch"),
    ),
    "it": TargetLanguage(
        "italiano",
        _words("il gli della di che è una con non sono per del nella si i le dei alla un"),
        _answers("sì no vero falso"),
    ),
}
SOURCES: Mapping[str, str] = {"en": "inglês"}  # what texts are translated from, as prompts call it
_ENGLISH = _words("the of and is are this that with there what which on from not it was does")


def is_in(text: str, target: str) -> bool | None:
    """Tell whether a text is in a language of `TARGETS`: None where it has no word that tells.

    >>> is_in("El gato está en la mesa.", "es"), is_in("The cat is on the table.", "de"), is_in("Paris", "fr")
    (True, False, None)
    """
    if target == PORTUGUESE:
        return False if _is_spanish(text) else is_portuguese(_ENCLITIC.sub("", text))
    words = _WORD.findall(text.lower())
    counts = {code: sum(word in language.words for word in words) for code, language in TARGETS.items()}
    counts["en"] = sum(word in _ENGLISH for word in words)
    if not any(counts.values()):
        return None
    return counts[target] == max(counts.values())


# Small words of Spanish that Portuguese has not; without them, the rest of such a text is taken for Portuguese.
_SPANISH = _words("el los las y del una un con pero muy también según hay")
_STRONG = _words("el una pero muy también según los")


def _is_spanish(text: str) -> bool:
    words = [word for word in _WORD.findall(text) if word.islower()]
    return sum(word in _SPANISH for word in words) > 1 or any(word in _STRONG for word in words)
