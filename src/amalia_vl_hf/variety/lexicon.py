"""The lexicon of spellings that one variety has and the other has not, mined from the parallel corpus.

    python -m amalia_vl_hf.variety.lexicon PACKAGES --out lexicon.tsv

Where the two sides of a pair differ by one word that is nearly the same (registro and registo, planejar and planear),
the letters that differ are a change, `gistro > gisto`. A change that several packages show is tried on every form of
both affix dictionaries, Hunspell's for pt_BR and pt_PT, so that the whole paradigm of a word and words that no package
has come in (registrávamos, matrimônio). A form stays only if the other country's dictionary does not know it.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..disk import write_file
from .corpus import Pair, read_pairs
from .features import fold

SHIPPED_LEXICON = Path(__file__).with_name("lexicon.tsv")
FEWEST_PACKAGES = 2  # that show a change
_LONGEST_CHANGE = 2  # letters of one side
_FEWEST_BEFORE = 3  # letters that are the same
_WORD = re.compile(r"[a-zà-öø-ÿ]+(?:-[a-zà-öø-ÿ]+)*")
_AFFIX = re.compile(r"^SFX[ \t]+(\S)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)


class Change(NamedTuple):
    """Letters that differ, and those before them, which are the same."""

    before: str
    brazilian: str
    european: str


def read_forms(folder: Path, name: str) -> set[str]:
    """Read a Hunspell dictionary below a folder, `pt_PT` or `pt_BR`, and form every inflection it has.

    Raises:
        ValueError: There is no such dictionary.
    """
    files = sorted(folder.rglob(f"{name}.dic"))
    if not files:
        raise ValueError(f"{folder}: no {name}.dic; unpack hunspell-pt-pt and hunspell-pt-br beside the others")
    suffixes: dict[str, list[tuple[str, str, re.Pattern[str]]]] = defaultdict(list)
    for match in _AFFIX.finditer(files[0].with_suffix(".aff").read_text(encoding="utf-8-sig")):
        flag, cut, added, condition = match.groups()
        if not cut.isdigit() or cut == "0":
            ending = "" if added.split("/")[0] == "0" else added.split("/")[0]
            suffixes[flag].append(("" if cut == "0" else cut, ending, re.compile(f"(?:{condition})$")))
    forms = set()
    for line in files[0].read_text(encoding="utf-8-sig").splitlines()[1:]:
        stem, _, flags = line.split("\t")[0].partition("/")
        if not _WORD.fullmatch(stem) or "-" in stem:
            continue
        forms.add(stem)
        for cut, ending, condition in (rule for flag in flags.strip() for rule in suffixes.get(flag, ())):
            if "-" not in ending and stem.endswith(cut) and condition.search(stem):
                forms.add(stem[: len(stem) - len(cut)] + ending)
    return forms


def mined(pairs: Iterable[Pair]) -> dict[tuple[str, str], set[str]]:
    """Give nearly equal words, Brazilian and European, that the two sides of pairs differ by, and the packages."""
    words: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pair in pairs:
        european, brazilian = (set(_WORD.findall(text.lower())) for text in pair[1:])
        for theirs in brazilian - european:
            for ours in european - brazilian:
                if theirs[:2] == ours[:2] and change(theirs, ours):
                    words[theirs, ours].add(pair.package)
    return words


def change(brazilian: str, european: str) -> Change | None:
    """Give the letters that differ inside two words, or None where they are not nearly the same.

    A difference at the end is none: two inflections of one word differ there, as they do in a vowel (todos and todas)
    or in the ending of a participle (gravação and gravada).
    """
    shortest = min(len(brazilian), len(european))
    start = next((at for at in range(shortest) if brazilian[at] != european[at]), shortest)
    rest = shortest - start
    end = next((at for at in range(rest) if brazilian[-1 - at] != european[-1 - at]), rest)
    letters = brazilian[start : len(brazilian) - end], european[start : len(european) - end]
    if start < _FEWEST_BEFORE or not end or max(map(len, letters)) > _LONGEST_CHANGE or _inflected(*letters):
        return None
    return Change(brazilian[:start], *letters)


def spellings(words: Iterable[tuple[str, str]], european: set[str], brazilian: set[str]) -> dict[str, str]:
    """Give European forms by Brazilian ones: of these words, and of those that the same changes relate.

    The European form is empty where Brazil's dictionary knows it, too (registo): it speaks for neither.

    A change of an accent alone (ô and ó) is tried in every word, any other in words that begin alike.
    """
    strict = [
        change(theirs, ours)
        for theirs, ours in words
        if theirs in brazilian and theirs not in european and ours in european
    ]
    stems = {(one.before + one.brazilian, one.before + one.european) for one in strict if one}
    accents = {(one.brazilian, one.european) for one in strict if one and _accents(one.brazilian, one.european)}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for theirs, ours in stems:
        by_stem[ours].append(theirs)
    forms: dict[str, str] = {}
    for word in sorted(european):
        others = [theirs + word[at:] for at in range(3, len(word)) for theirs in by_stem.get(word[:at], ())]
        others += [word[:at] + theirs + word[at + 1 :] for theirs, ours in accents for at in _places(word, ours)]
        for other in others:
            if other in brazilian and other not in european and len(other) > _FEWEST_BEFORE:
                if word not in brazilian:
                    forms.setdefault(other, word)
                elif fold(other) != fold(word):  # the old European spelling, otherwise
                    forms.setdefault(other, "")
    return forms


def _inflected(brazilian: str, european: str) -> bool:
    letters = set(brazilian + european)
    return letters <= set("aeiouó") or bool(letters & set("dçv"))


def _accents(brazilian: str, european: str) -> bool:
    """Tell whether two single letters differ by their accents alone, and both have one."""
    bare = [unicodedata.normalize("NFD", letter)[:1] for letter in (brazilian, european)]
    return len(brazilian) == len(european) == 1 and bare[0] == bare[1] and not {brazilian, european} & {*bare}


def _places(word: str, letter: str) -> list[int]:
    return [at for at, sign in enumerate(word) if sign == letter] if letter in word else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Mine the lexicon and write it: a Brazilian form and its European one a line."""
    parser = argparse.ArgumentParser(prog="python -m amalia_vl_hf.variety.lexicon", description=main.__doc__)
    parser.add_argument("packages", type=Path, metavar="PACKAGES", help="folder with one unpacked package a folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table to write")
    parsed = parser.parse_args(arguments)
    words = mined(read_pairs(parsed.packages))
    shown = [pair for pair, packages in words.items() if len(packages) >= FEWEST_PACKAGES]
    forms = spellings(shown, *(read_forms(parsed.packages, name) for name in ("pt_PT", "pt_BR")))
    lines = [f"{theirs}\t{ours}" for theirs, ours in sorted(forms.items())]
    write_file(parsed.out, "\n".join(lines) + "\n")
    print(f"written: {parsed.out}, {len(lines)} forms from {len(shown)} pairs of words")


if __name__ == "__main__":
    main()
