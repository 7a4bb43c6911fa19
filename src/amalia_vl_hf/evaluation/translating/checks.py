"""What a translated row must pass, beside the hard rules that every text of it is held to.

>>> wrong = RowTexts("Um ____ mia.", ("gato", "gata"))
>>> row_faults(RowTexts("A ____ meows.", ("cat", "female cat")), wrong)
[Fault(rule='blank', detail="'Um' before the blank fits 'gato' and not 'gata'")]
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...translation.languages import PORTUGUESE
from ...translation.masks import plain_pair
from ...translation.names import changed_names
from ...translation.quality import chrf
from ...translation.segments import translated_word
from ...translation.structure import Fault, faults
from .rows import RowTexts

_BLANK = re.compile(
    r"(\w+)\s+(?:_{2,}|\[\s*(?:blank|MASK|espaço)\s*\]|…|\.{3}|\(\s*\))|(\w+)\s*(?::|…|\.{3})?\s*$", re.IGNORECASE
)
_BY_FORM = {  # articles, alone and joined to prepositions, by gender and number
    ("m", "s"): "o um do no ao pelo num dum este esse aquele deste neste outro algum nenhum",
    ("f", "s"): "a uma da na à pela numa duma esta essa aquela desta nesta outra alguma nenhuma",
    ("m", "p"): "os uns dos nos aos pelos estes esses aqueles",
    ("f", "p"): "as umas das nas às pelas estas essas aquelas",
}
_ARTICLES = {word: form for form, words in _BY_FORM.items() for word in words.split()}
_MASCULINE = re.compile(r"(?:(?<!ã)o|or|al|el|il|ol|ul|ês|ão|ema|oma|ma|dia|mapa|é)$")
_FEMININE = re.compile(r"(?:a|ção|são|ssão|dade|gem|tude|ície|ice|ã)$")
_YES_OR_NO = re.compile(r"\byes\s*(?:or|/)\s*no\b", re.IGNORECASE)
_SIM_OU_NAO = re.compile(r"\bsim\s*(?:ou|/)\s*não\b", re.IGNORECASE)
_MOVED = 0.5  # chrF by which an option's translation is nearer to another option than to its own


def row_faults(source: RowTexts, texts: RowTexts, target: str = PORTUGUESE) -> list[Fault]:
    """Say what is wrong with the translation of a row by itself."""
    if len(source.options) != len(texts.options):
        return [Fault("option count", f"{len(texts.options)} options in the place of {len(source.options)}")]
    return [
        *_text_faults(source, texts, target),
        *_names(source, texts),
        *_order(source, texts),
        *_distinct(source, texts),
        *_yes_and_no(source, texts, target),
        *(_giveaway(texts) if target == PORTUGUESE else ()),
    ]


def group_faults(sources: Sequence[RowTexts], texts: Sequence[RowTexts]) -> dict[int, Fault]:
    """Find the rows of a group where a text is translated otherwise than in an earlier row, by their places."""
    known: dict[str, str] = {}
    wrong: dict[int, Fault] = {}
    for place, (source, translated) in enumerate(zip(sources, texts, strict=True)):
        for before, after in zip(source.all, translated.all, strict=True):
            first = known.setdefault(_folded(before), after)
            if _folded(first) != _folded(after) and place not in wrong:
                wrong[place] = Fault("one translation", f"{before!r} is {after!r} here and {first!r} elsewhere")
    return wrong


def broken_pairs(groups: Sequence[object], kept: Sequence[bool]) -> list[int]:
    """List the places of rows that are left without the others of their group."""
    left: dict[object, list[bool]] = defaultdict(list)
    for group, whole in zip(groups, kept, strict=True):
        left[group].append(whole)
    return [place for place, group in enumerate(groups) if kept[place] and not all(left[group])]


def _text_faults(source: RowTexts, texts: RowTexts, target: str) -> Iterator[Fault]:
    """Hold each text to the hard rules: digits, LaTeX, code, placeholders, length, variety, leftover English."""
    for before, after in zip(source.all, texts.all, strict=True):
        yield from (
            Fault(fault.rule, f"{fault.detail} (in {after[:60]!r})") for fault in faults(before, after, target)
        )


def _names(source: RowTexts, texts: RowTexts) -> Iterator[Fault]:
    """Find names of people, brands and places that are other ones in the translation, or gone."""
    for before, after in zip(source.all, texts.all, strict=True):
        if changed := changed_names(*plain_pair(before, after)):
            yield Fault("names", changed)


def _order(source: RowTexts, texts: RowTexts) -> Iterator[Fault]:
    """Find two options that changed places: each translation is like the other's source, and not like its own."""
    for first, before in enumerate(source.options):
        for second in range(first + 1, len(source.options)):
            other = source.options[second]
            there = chrf(texts.options[first], other) + chrf(texts.options[second], before)
            here = chrf(texts.options[first], before) + chrf(texts.options[second], other)
            if (there - here) / 2 > _MOVED / 2 and _folded(before) != _folded(other):
                yield Fault(
                    "option order",
                    f"{texts.options[first]!r} stands for {before!r}, {texts.options[second]!r} for {other!r}",
                )
                return


def _distinct(source: RowTexts, texts: RowTexts) -> Iterator[Fault]:
    wanted, held = set(map(_folded, source.options)), set(map(_folded, texts.options))
    if len(held) < len(wanted):
        twice = next(text for text in texts.options if [*map(_folded, texts.options)].count(_folded(text)) > 1)
        yield Fault("options distinct", f"{twice!r} stands there more than once")


def _yes_and_no(source: RowTexts, texts: RowTexts, target: str) -> Iterator[Fault]:
    """Hold yes and no to one mapping everywhere, and a question that asks for them to both words."""
    for before, after in zip((*source.options, *source.answers), (*texts.options, *texts.answers), strict=True):
        wanted = translated_word(before, target)
        if wanted is not None and _folded(after) != _folded(wanted):
            yield Fault("yes and no", f"{before!r} is {after!r}, and not {wanted!r}")
    asks = target == PORTUGUESE and _YES_OR_NO.search(source.question)
    if asks and not _SIM_OU_NAO.search(texts.question):
        yield Fault("yes and no", "the question asks for yes or no, and its translation not for sim ou não")


def _giveaway(texts: RowTexts) -> Iterator[Fault]:
    """Find an article before the blank that fits some options by gender or number, and others not."""
    article = next((match[1] or match[2] for match in _BLANK.finditer(texts.question) if match[1] or match[2]), "")
    wanted = _ARTICLES.get(article.lower())
    if wanted is None:
        return
    forms = {option: form for option in texts.options if (form := _form(option))}
    fits = [option for option, form in forms.items() if _agree(form, wanted)]
    others = [option for option, form in forms.items() if not _agree(form, wanted)]
    if others:
        fitting = f"fits {fits[0]!r} and not {others[0]!r}" if fits else f"does not fit {others[0]!r}"
        yield Fault("blank", f"{article!r} before the blank {fitting}")


def _form(option: str) -> tuple[str, str] | None:
    """Guess gender and number of an option by its article, or else by the ending of its first word."""
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", option.lower())
    if not words or not option.strip()[:1].isalpha():
        return None
    if len(words) > 1 and words[0] in _ARTICLES:
        return _ARTICLES[words[0]]
    plural = words[0].endswith("s") and not words[0].endswith(("ês", "is"))
    stem = words[0][:-1] if plural else words[0]
    gender = (
        "f"
        if re.search(r"(?:ção|são|ssão)$", stem)
        else "m"
        if _MASCULINE.search(stem)
        else "f"
        if _FEMININE.search(stem)
        else ""
    )
    return (gender, "p" if plural else "s") if gender else None


def _agree(form: tuple[str, str], wanted: tuple[str, str]) -> bool:
    return form == wanted


def _folded(text: str) -> str:
    return " ".join(text.lower().rstrip(".").split())
