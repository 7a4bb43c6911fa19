"""Masks: what a translator must leave as it is stands as `[1]`, `[2]`, ... while it works.

    >>> masked = mask('The box [0.1, 0.2, 0.5, 0.9] holds $x^2$; the sign reads "STOP".')
    >>> masked.text
    'The box [1] holds [2]; the sign reads [3].'
    >>> unmask("A caixa [1] contém [2]; o sinal diz [3].", masked)
    'A caixa [0.1, 0.2, 0.5, 0.9] contém $x^2$; o sinal diz "STOP".'

Numbers in square brackets are what a real translator kept best: 31 of 31 in 20 sentences, against none of `<1>`, `{1}`
or white brackets (`benchmarks/translation.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple


def _braces(depth: int) -> str:
    """Match a group in braces, with others in it to a depth."""
    inside = r"[^{}\n]"
    for _ in range(depth - 1):
        inside = rf"(?:[^{{}}\n]|\{{{inside}*\}})"
    return rf"\{{{inside}*\}}"


_CELL = r"[-+−]?\d+(?:\.\d+)?%?"  # a comma in it would leave too many ways to read a list
_LISTS = r"\[\s*\[[\d\s.,+-]{1,200}\](?:\s*,\s*\[[\d\s.,+-]{1,200}\]){0,63}\s*\]"
_COMMAS = r"[-+−]?\d+(?:,\d+)?"
_GREEK = "alpha|beta|gamma|delta|theta|lambda|mu|pi|sigma|phi|omega|Delta|Sigma|Omega"
_SIGNS = "times|cdot|div|pm|leq|geq|neq|approx|infty|angle|circ|degree|rightarrow|to|sum|int"
# By kind, in the order they are looked for: what is inside one is not looked at again. What may span much is bounded,
# so that a text of openings without an end costs no more than its length times the bound.
_PATTERNS = {
    "code": r"```.*?```|~~~.*?~~~|``[^\n]{1,400}?``|`[^`\n]+`",
    "maths": (
        r"\$\$.{1,4000}?\$\$|\\\[.{1,1500}?\\\]|\\\(.{1,1500}?\\\)"
        r"|\\begin\{(?P<env>[a-z]{1,20}\*?)\}.{0,4000}?\\end\{(?P=env)\}"
        r"|(?<![\\$\w])\$(?![\s$])[^$\n]{1,400}?(?<![\s\\])\$(?![\d$\w])"
        rf"|\\[a-zA-Z]{{1,40}}(?:\[[^\[\]\n]{{0,80}}\])?(?:{_braces(5)})+|\\(?:{_GREEK}|{_SIGNS})\b"
    ),
    "address": (
        r"(?:https?://|ftp://|www\.)[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}]"
        r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
    ),
    "box": (
        r"<(?P<marker>box|bbox|ref|quad|point|loc)>[^<>\n]{0,400}</(?P=marker)>|<\|box_start\|>[^<\n]{0,400}<\|box_end\|>"
        rf"|[\[(]\s*{_CELL}(?:(?:\s*[,;]\s*|\s+){_CELL}){{3}}\s*[\])]|\[\s*{_COMMAS}(?:\s*;\s*{_COMMAS}){{1,63}}\s*\]"
        rf"|\[\s*{_CELL}(?:\s*,\s*{_CELL}){{1,63}}\s*\]|{_LISTS}"
        rf"|\(\s*{_CELL}\s*,\s*{_CELL}\s*\)(?:\s*,\s*\(\s*{_CELL}\s*,\s*{_CELL}\s*\))?|<loc\d+>"
    ),
    "slot": r"<(?:image|video|audio|img)(?:[ _-]?\d+)?\s*/?>|\[(?:IMAGE|IMG)(?:[ _]?\d+)?\]",
    "tag": (
        r"</?[a-zA-Z][\w:-]*(?:\s+[\w:-]+(?:=(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"']+))?)*\s*/?>|<\|[^|<>\n]{1,40}\|>"
        r"|&#?\w{2,10};"
    ),
    "placeholder": r"\{\{?[A-Za-z_]\w*\}?\}|%(?:\([a-z_]\w*\))?[sdif]\b|\$\{[^{}\n]{1,60}\}|__[A-Z][A-Z0-9_]*__",
    "reference": r"\[\d+\]",
    "blank": r"_{2,}",
}
HARD = tuple(_PATTERNS)  # kinds that must come back letter by letter
_HARD = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()), re.DOTALL)
# Numbers by themselves: not "1990s", "2nd", "A4" or "3D", whose letters are words of the language.
_NUMBERS = re.compile(r"(?<![\w.,])[-+−]?[$€£]?\d+(?:[.,:/]\d+)*(?!\w|[.,:/]\d)")
_QUOTED = re.compile(
    r"\"[^\"\n]{1,120}\"|“[^“”\n]{1,120}”|«[^«»\n]{1,120}»|‘[^‘’\n]{1,120}’(?!\w)|(?<!\w)'[^'\n]{1,120}'(?!\w)"
)
_SIGN = re.compile(
    r"\b(?:signs?|signage|says?|saying|reads?|reading|label(?:s|led|ed)?|written|writes|writing|words?|letters?|text"
    r"|titled?|titles|inscriptions?|inscribed|captions?|captioned|banners?|logos?|spells?|spelled|printed|displays?"
    r"|displayed|plates?|buttons?|headlines?|menus?|headings?|brand(?:ed|s)?|posters?|marked|stamped|engraved"
    r"|transcribed?|legends?)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?](?=\s)|\n")
_PLACE = re.compile(r"\[\s*(\d+)\s*\]")
Quoted = Literal["signs", "all"]
_Span = tuple[int, int, str]  # beginning, end, kind


class Masked(NamedTuple):
    """A text with places for what a translator must not touch.

    Args:
        text: What the translator gets.
        pieces: What stands at each place, by its number.
        kinds: What kind of piece each is: one of `HARD`, `"quoted"` or `"number"`.
    """

    text: str
    pieces: dict[int, str]
    kinds: dict[int, str]

    @property
    def has_words(self) -> bool:
        """Whether anything is left to translate."""
        return any(letter.isalpha() for letter in self.text)


class LostPlaceError(ValueError):
    """A translation lacks places, or has some twice or of its own making."""


def mask(text: str, quoted: Quoted = "signs", numbers: bool = True, first: int = 1) -> Masked:
    """Put places for image slots, boxes, mathematics, code, addresses, tags, quoted sign text and numbers.

    Args:
        text: In the source's language.
        quoted: Which quotations stay as they are: those that the sentence says are on a sign, a label or a title, or
            all in double quotation marks as well.
        numbers: Whether numbers do.
        first: Number of the first place.
    """
    pieces: dict[int, str] = {}
    kinds: dict[int, str] = {}
    parts: list[str] = []
    position = 0
    for number, (start, end, kind) in enumerate(_spans(text, quoted, numbers), start=first):
        pieces[number], kinds[number] = text[start:end], kind
        parts += [text[position:start], f"[{number}]"]
        position = end
    return Masked("".join([*parts, text[position:]]), pieces, kinds)


def unmask(translation: str, masked: Masked) -> str:
    """Put the pieces back into their places.

    Raises:
        LostPlaceError: A place is missing, stands there too often, or is none of the source's.
    """
    places = Counter(int(number) for number in _PLACE.findall(translation))
    wanted = Counter(masked.pieces.keys())
    faults = [
        f"{word} " + ", ".join(f"[{number}]" + _named(masked, number) for number in sorted(some))
        for word, some in (("lost", wanted - places), ("not asked for", places - wanted))
        if some
    ]
    if faults:
        raise LostPlaceError("; ".join(faults))
    return _PLACE.sub(lambda place: masked.pieces[int(place[1])], translation)


def protected(text: str) -> Counter[str]:
    """Count the pieces that a translation must have letter by letter, whatever the language."""
    return Counter(match[0] for match in _HARD.finditer(text))


def plain(text: str) -> str:
    """Take everything out of a text that is nobody's language: what is masked, quotations on signs among it."""
    return _PLACE.sub(" ", mask(text).text)


def plain_pair(source: str, translation: str) -> tuple[str, str]:
    """Take out of both texts what is nobody's language, and of the translation what the source quotes, too."""
    masked = mask(source)
    for number, kind in masked.kinds.items():
        if kind == "quoted":
            translation = translation.replace(masked.pieces[number], " ", 1)
    return _PLACE.sub(" ", masked.text), plain(translation)


def _named(masked: Masked, number: int) -> str:
    return f" ({masked.pieces[number][:60]})" if number in masked.pieces else ""


def _spans(text: str, quoted: Quoted, numbers: bool) -> list[_Span]:
    """Find where pieces begin and end, in the order of the text."""
    found = [(*match.span(), str(match.lastgroup)) for match in _HARD.finditer(text)]
    kept = (match for match in _QUOTED.finditer(text) if _is_kept(text, match, quoted))
    found = _with(found, ((*match.span(), "quoted") for match in kept))
    if numbers:
        found = _with(found, ((*match.span(), "number") for match in _NUMBERS.finditer(text)))
    return found


def _with(found: list[_Span], more: Iterable[_Span]) -> list[_Span]:
    """Add spans, both in order, that overlap none of those found."""
    merged, rest = list(found), iter(found)
    current = next(rest, None)
    for span in more:
        while current is not None and current[1] <= span[0]:
            current = next(rest, None)
        if current is None or current[0] >= span[1]:
            merged.append(span)
    return sorted(merged)


def _is_kept(text: str, match: re.Match[str], quoted: Quoted) -> bool:
    return (quoted == "all" and match[0][0] in '"“«') or _on_sign(text, match)


def _on_sign(text: str, match: re.Match[str]) -> bool:
    """Tell a quotation of what is written in a picture from what somebody says, and from irony."""
    inside = match[0][1:-1]
    if inside.isupper() and len(inside) > 1:
        return True
    start, end = max(match.start() - _REACH, 0), match.end() + _REACH
    before = _SENTENCE.split(text[start : match.start()])[-1]
    after = _SENTENCE.split(text[match.end() : end])[0]
    return _SIGN.search(f"{before} {after}") is not None


_REACH = 200  # letters before and after a quotation that tell what it is
