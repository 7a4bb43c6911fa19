"""Numbers of two texts: are they the same, whichever way a language writes them?

English writes 1,234.5 and Portuguese 1 234,5 or 1.234,5; small numbers may be words; the 19th century is século XIX,
the 1990s are the anos 90, and 5 PM is 17 h. Nothing else may differ.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

_SIGN = r"(?:(?<![\w)\]%–-])[-−])?"
_TOKEN = re.compile(rf"{_SIGN}(?:\d{{1,3}}(?:[ \u00a0\u202f]\d{{3}})+(?![\d.])(?:,\d+)?|\d+(?:[.,]\d+)*)")
_SPACES = re.compile(r"\s")
_DECADE = re.compile(r"\b\d\d(\d0)s\b")
_NOON = re.compile(r"\b(\d{1,2})(?:[:.h]\d{2})?\s*p\.?\s?m\b", re.IGNORECASE)
_CENTURY = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)[ -]centur", re.IGNORECASE)
_ROMAN = re.compile(r"\b[IVXLC]+\b")
_WORD = re.compile(r"[^\W\d_]+")
_UNITS: Mapping[str, int] = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5},
    **{"once": 1, "twice": 2, "a": 1, "an": 1, "half": 2, "both": 2, "dozen": 12, "hundred": 100, "thousand": 1000},
    **{"sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "thirteen": 13, "fourteen": 14, "fifteen": 15},
    **{"sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20},
}
_UNIDADES: Mapping[str, int] = {
    **{"zero": 0, "um": 1, "uma": 1, "dois": 2, "duas": 2, "três": 3, "quatro": 4, "cinco": 5, "seis": 6, "sete": 7},
    **{"oito": 8, "nove": 9, "dez": 10, "onze": 11, "doze": 12, "primeiro": 1, "primeira": 1, "segundo": 2},
    **{"segunda": 2, "terceiro": 3, "terceira": 3, "quarto": 4, "quarta": 4, "quinto": 5, "quinta": 5, "ambos": 2},
    **{"ambas": 2, "metade": 2, "cem": 100, "cento": 100, "mil": 1000, "treze": 13, "catorze": 14, "quinze": 15},
    **{"dezasseis": 16, "dezassete": 17, "dezoito": 18, "dezanove": 19, "vinte": 20, "sexto": 6, "sexta": 6},
}


def number_faults(source: str, translation: str) -> tuple[list[str], list[str]]:
    """Give the numbers of an English text that its translation lacks, and those that the translation adds.

    >>> number_faults("It costs 1,234.50 for two.", "Custa 1.234,50 para 2.")
    ([], [])
    >>> number_faults("It costs 1.5.", "Custa 15.")
    (['1.5'], ['15'])
    """
    left = [_readings(token, ",") | _readings(token, ".") for token in _tokens(translation)]
    names = _tokens(translation)
    lost = []
    for token in _tokens(source):
        place = _place(token, left, names)
        if place is None:
            lost.append(token)
        else:
            del left[place], names[place]
    lost = _without_words(lost, _words(translation, _UNIDADES) + _centuries(source, translation))
    added = _without_words(names, _words(source, _UNITS))
    return _without_shortened(source, lost, added)


def _tokens(text: str) -> list[str]:
    return [match[0] for match in _TOKEN.finditer(text)]


def _readings(token: str, decimal: str) -> set[Decimal]:
    """Read a number with one of the two decimal signs; nothing where it is not written so."""
    token = _SPACES.sub("", token).replace("−", "-")
    group = "." if decimal == "," else ","
    if re.fullmatch(rf"-?(?:\d{{1,3}}(?:\{group}\d{{3}})+(?:\{decimal}\d+)?|\d+(?:\{decimal}\d+)?)", token):
        return {Decimal(token.replace(group, "").replace(decimal, "."))}
    return set()


def _place(token: str, left: list[set[Decimal]], names: list[str]) -> int | None:
    """Find a number among those left: written the same, or else worth the same."""
    if token in names:
        return names.index(token)
    worth = _readings(token, ".") or _readings(token, ",")
    return next((place for place, values in enumerate(left) if worth & values), None)


def _words(text: str, words: Mapping[str, int]) -> list[Decimal]:
    return [Decimal(words[word]) for word in _WORD.findall(text.lower()) if word in words]


def _centuries(source: str, translation: str) -> list[Decimal]:
    """Give the centuries that a translation writes in Roman numerals."""
    romans = Counter(_ROMAN.findall(translation))
    return [Decimal(number) for number in map(int, _CENTURY.findall(source)) if _roman(number) in romans]


def _roman(number: int) -> str:
    tens, ones = divmod(number, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]


def _without_words(tokens: list[str], values: list[Decimal]) -> list[str]:
    """Leave out the numbers that stand as words on the other side, each word once."""
    left, rest = list(values), []
    for token in tokens:
        worth = _readings(token, ".") | _readings(token, ",")
        known = next((value for value in left if value in worth), None)
        if known is None:
            rest.append(token)
        else:
            left.remove(known)
    return rest


def _without_shortened(source: str, lost: list[str], added: list[str]) -> tuple[list[str], list[str]]:
    """Leave out hours after noon that a translation counts on from 12, and decades by their last two digits."""
    shortened = [(hour, str(int(hour) % 12 + 12)) for hour in _NOON.findall(source)]
    shortened += [(match[0][:-1], match[1]) for match in _DECADE.finditer(source)]
    for long, short in shortened:
        if long in lost and short in added:
            lost.remove(long)
            added.remove(short)
    return lost, added
