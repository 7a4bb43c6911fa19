"""Short answers made comparable: the VQA challenge's rules, CARAVELA's, and Portuguese ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ..parsing import NUMBER_WORDS, number

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = {
    **{"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"},
    **{"seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
_ARTICLES = frozenset(("a", "an", "the"))
_CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd"
    " he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've"
    " needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've"
    " somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll"
    " that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've"
    " we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's"
    " who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've"
    " you'll you're you've"
)
_SMALL_WORDS = r"\b(?:o|a|os|as|um|uma|uns|umas|de|do|da|dos|das|em|no|na|nos|nas)\b"
_PORTUGUESE_ARTICLES = frozenset(("o", "a", "os", "as", "um", "uma", "uns", "umas", "the", "an"))
_DENIED = re.compile(r"\b(?:não|nao|nem|nunca)\b")


def _contractions() -> Mapping[str, str]:
    """Give each contraction by its forms with one apostrophe left out, as the challenge lists them."""
    forms = {
        word[:place] + word[place + 1 :]: word
        for word in _CONTRACTED.split()
        for place, character in enumerate(word)
        if character == "'"
    }
    return {**forms, "somebody'd": "somebodyd"}


CONTRACTIONS = _contractions()


def published_vqa_words(text: str) -> str:
    """Normalise as the VQA challenge's evaluation does: English articles and numbers, and no commas at all.

    >>> published_vqa_words("The red one!"), published_vqa_words("1,5")
    ('red 1', '15')
    """
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    spaced = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        spaced = spaced.replace(mark, "" if beside_space else " ")
    spaced = re.sub(r"\.(?!\d)", "", spaced, count=int(re.UNICODE))  # a flag in the place of a count, there
    words = [_NUMBERS.get(word, word) for word in spaced.split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_words(text: str) -> str:
    """Normalise a short answer: case, punctuation, Portuguese and English articles, number words, decimal commas.

    >>> vqa_words("O vermelho!"), vqa_words("1,5"), vqa_words("Dez")
    ('vermelho', '1.5', '10')
    """
    text = re.sub(r"(?<=\d),(?=\d)", ".", text.casefold())
    text = re.sub(r"[^\w\s.'%]|\.(?!\d)|(?<!\d)\.(?=\D|$)", " ", text)
    words = [str(NUMBER_WORDS[word]) if word in NUMBER_WORDS else _NUMBERS.get(word, word) for word in text.split()]
    kept = [word for word in words if word not in _PORTUGUESE_ARTICLES]
    return " ".join(kept or words)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """VQA accuracy: how many of the other nine people gave the answer, three being enough, averaged over the ten."""
    others = [sum(text == answer for text in references) - (reference == answer) for reference in references]
    return sum(min(1.0, count / 3) for count in others) / len(others)


def published_caravela_words(text: str) -> str:
    """Normalise as CARAVELA's scorer does: articles and prepositions go, accents stay."""
    text = re.sub(_SMALL_WORDS, "", text.strip().lower())
    return " ".join(re.sub(r"[^\w\s]", "", text).split())


def caravela_words(text: str) -> str:
    """Normalise without accents, and leave what consists of small words alone as it is."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    plain = " ".join(re.sub(r"[^\w\s]", " ", plain).split())
    return " ".join(re.sub(_SMALL_WORDS, "", plain).split()) or plain


def says(answer: str, reference: str) -> bool:
    """Whether an answer gives a reference: its words, whole and in order, and not to deny them."""
    one, other = caravela_words(answer), caravela_words(reference)
    if one == other:
        return bool(other)
    if not other or f" {other} " not in f" {one} ":
        return False
    return not _DENIED.search(f" {one} ".partition(f" {other} ")[0])


def transcribes(answer: str, reference: str) -> bool:
    """Whether an answer holds a reference as words of its own, in any case: "10" is not in "100"."""
    one, other = (" ".join(text.casefold().split()) for text in (answer, reference))
    if not other:
        return False
    value, target = number(one), number(other)
    if value is not None and target is not None:
        return value == target
    return re.search(rf"(?<!\w){re.escape(other)}(?!\w)", one) is not None


def same_formula(answer: str, reference: str) -> bool:
    """Whether two formulas are written alike, spaces and dollar signs aside."""
    one, other = (re.sub(r"[\s$]|\\left|\\right|\\[,;! ]", "", text) for text in (answer, reference))
    return one == other != ""
