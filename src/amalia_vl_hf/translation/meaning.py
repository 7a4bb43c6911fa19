"""What a translation turned round: a negation that is gone or new, left for right, red for blue.

Signals that see little else see these: words of a closed kind, of which a sentence has either one or the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from .vocabulary import BETWEEN, BETWEEN_PORTUGUESE, DENYING, DENYING_PORTUGUESE, IN_BRAZIL, OPPOSITES, SIGNS

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NOT, _NAO = frozenset(DENYING.split()), frozenset(DENYING_PORTUGUESE.split())
# English without a "not" that Portuguese often says with one, and the other way round.
_NEARLY_NOT = re.compile(
    r"\b(?:un(?:able|known|clear|finished|likely|usual|seen|used|even|equal|like|touched|readable|available)"
    r"|in(?:valid|visible|correct|accurate|complete|sufficient|active)|dis(?:like|agree|allow|connect)\w*"
    r"|impossible|illegible|irregular|irrelevant|non\w*|lack\w*|absen\w+|fail\w*|avoid\w*|empty|hardly|barely|rarely"
    r"|seldom|few|instead|rather|unless|except|refus\w+|prevent\w*|stop(?:s|ped)? (?:\w+ing|from)|den(?:y|ies|ied)"
    r"|miss(?:es|ed|ing)?|away|yet|any\w*|but|\w+less|other than|too|false|wrong|least|blank|bare|exclud\w+|ignor\w+"
    r"|different|still|only|apart|otherwise|off)\b",
    re.IGNORECASE,
)
_QUASE = re.compile(
    r"\b(?:in(?:válid|visíve|corret|exat|complet|suficient|capa|ativ|existent|comum|vulgar|acabad)\w*"
    r"|im(?:possíve|própri)\w*|des(?:ativ|lig|conhec|ocupad|provid|aparec)\w*|apenas|só|somente|exceto|falt\w+|deix\w+"
    r"|vazi[oa]s?|evit\w+|fals[oa]s?|em vez|fora|ausên\w+|ausent\w+|ilegíve\w+|irregular\w*|proibid\w+|recus\w+"
    r"|escass\w+|salvo|menos|diferente\w*|ao contrário|de outr[oa]|mal)\b",
    re.IGNORECASE,
)
_NO_NUMBER = re.compile(r"\bno\.\s*\d", re.IGNORECASE)


class _Member(NamedTuple):
    """One of a group of opposites: its English words, the Portuguese ones, and the beginnings of others."""

    english: frozenset[str]
    words: frozenset[str]
    stems: tuple[str, ...]

    def is_in(self, words: Iterable[str]) -> bool:
        """Tell whether a Portuguese text says it."""
        return any(word in self.words or word.startswith(self.stems) for word in words)


def _member(text: str) -> _Member:
    english, _, portuguese = text.partition("=")
    forms = portuguese.split()
    words = frozenset(form for form in forms if not form.endswith("*"))
    return _Member(frozenset(english.split()), words, tuple(form[:-1] for form in forms if form.endswith("*")))


_GROUPS = [[_member(line) for line in group.splitlines()] for group in OPPOSITES.strip().split("\n\n")]
_SIGNS = [*chain.from_iterable(_GROUPS), *map(_member, SIGNS.strip().splitlines())]
_BETWEEN, _BETWEEN_ENGLISH = frozenset(BETWEEN_PORTUGUESE.split()), frozenset(BETWEEN.split())
_IN_BRAZIL = [[frozenset(side.split()) for side in line.split("=")] for line in IN_BRAZIL.strip().splitlines()]


def negation_fault(source: str, translation: str) -> str | None:
    """Say that one side denies what the other does not, where neither has words that may stand for it.

    Sentences are held against each other where both sides have as many, and the whole texts otherwise.
    """
    theirs, ours = _sentences(_NO_NUMBER.sub(" ", source)), _sentences(translation)
    pairs = zip(theirs, ours, strict=True) if len(theirs) == len(ours) else [(source, translation)]
    return next((fault for pair in pairs if (fault := _denial(*pair))), None)


def _denial(source: str, translation: str) -> str | None:
    denied, denies = _first(_words(source), _NOT, "n't"), _first(_words(translation), _NAO)
    if denied and not denies and not _QUASE.search(translation):
        return f"{denied!r} is not in the translation"
    if denies and not denied and not _NEARLY_NOT.search(source):
        return f"{denies!r} is not in the source"
    return None


def brazilian_words(source: str, translation: str) -> str | None:
    """Find words that mean what the source says in Brazil alone, though Portugal has them for something else.

    >>> brazilian_words("Save the file.", "Guarda o arquivo."), brazilian_words("An archive.", "Um arquivo.")
    ("'arquivo' for 'file'", None)
    """
    theirs, ours = set(_words(source)), _words(translation)
    for english, brazilian in _IN_BRAZIL:
        meant = next((word for word in english if word in theirs), None)
        said = next((word for word in ours if word in brazilian), None)
        if meant and said:
            return f"{said!r} for {meant!r}"
    return None


def contradictions(source: str, translation: str) -> str | None:
    """Find a word of a closed kind that became another one of its kind: left and right, colours, months, numerals."""
    theirs, ours = _words(source), _words(translation)
    for group in _GROUPS:
        said = [member for member in group if not member.english.isdisjoint(theirs)]
        if not said:
            continue
        lost = [member for member in said if not member.is_in(ours)]
        new = [member for member in group if member not in said and member.is_in(ours)]
        if lost and new:
            return f"{_first_of(lost[0], theirs)!r} became {next(word for word in ours if new[0].is_in([word]))!r}"
    return None


def can_be_translated(source: str) -> bool:
    """Whether every word of an English text is one whose Portuguese is known here.

    >>> can_be_translated("Boat"), can_be_translated("BOAT 7"), can_be_translated("Boatswain")
    (True, True, False)
    """
    words = [word for word in _words(source) if word not in _BETWEEN_ENGLISH]
    return bool(words) and all(any(word in member.english for member in _SIGNS) for word in words)


def is_translated(source: str, text: str) -> bool:
    """Whether a text is an English one in Portuguese, as far as the words are known here; numbers may be there too.

    >>> is_translated("Boat", "Barco."), is_translated("Boat", "Boat"), is_translated("Boat", "Carro")
    (True, False, False)
    """
    theirs = [word for word in _words(source) if word not in _BETWEEN_ENGLISH]
    ours = [word for word in _words(text) if word not in _BETWEEN]
    members = [[member for member in _SIGNS if word in member.english] for word in theirs]
    if not theirs or not ours or set(theirs) & set(ours) or not all(members):
        return False
    said = all(any(member.is_in(ours) for member in known) for known in members)
    return said and all(any(member.is_in([word]) for known in members for member in known) for word in ours)


def _first_of(member: _Member, words: Sequence[str]) -> str:
    return next(word for word in words if word in member.english)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"[.!?\n]+", text) if part.strip()]


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _first(words: Sequence[str], known: frozenset[str], ending: str = "\0") -> str | None:
    return next((word for word in words if word in known or word.endswith(ending)), None)
