"""What captions of three levels are held to: lengths in order, languages, variety, openings that are not all one.

Checks of one image raise `RejectedError`; how captions open is seen over all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from ...variety import judge
from ...variety.text import is_portuguese
from ..brazilian import BRAZILIAN
from ..dataset import RejectedError
from ..languages import Language

Level = Literal["short", "medium", "detailed"]
LEVELS: tuple[Level, ...] = ("short", "medium", "detailed")
LEVEL_KEYS: dict[Language, dict[Level, str]] = {  # of the JSON that is asked for
    "pt": {"short": "curta", "medium": "média", "detailed": "detalhada"},
    "en": {"short": "short", "medium": "medium", "detailed": "detailed"},
}
WORDS: dict[Level, tuple[int, int]] = {"short": (3, 20), "medium": (12, 70), "detailed": (35, 400)}  # ours
LONGER = 1.5  # times the words of the level before; ours
STOCK_SHARE = 0.05  # of captions may open with "a imagem mostra" and its like; ours
SAME_SHARE = 0.1  # of captions of one level may open with the same words; ours
OPENING_WORDS = 4

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n\s*```\s*\Z", re.DOTALL)
_PICTURE = (
    "imagem|imagens|fotografia|fotografias|foto|fotos|figura|ilustração|cena|quadro"
    "|image|picture|photo|photograph|illustration|scene"
)
_SHOWS = (
    r"mostram?|apresentam?|retratam?|exibem?|ilustram?|revelam?|captam?|captura|capturam|representam?|descrevem?|destacam?"
    r"|shows?|depicts?|presents?|features?|captures?|displays?|illustrates?|portrays?|showcases?"
)
_STOCK = re.compile(
    rf"\W*(?:(?:(?:a|o|as|os|esta|este|uma?|the|this|an?)\s+)?(?:[\w-]+\s+){{0,2}}?(?:{_PICTURE})\b[^.,;:]{{0,40}}?\b(?:{_SHOWS})\b"
    rf"|(?:n(?:a|est[ae]|um|uma|o)|in|on)\s+(?:(?:the|this|an?)\s+)?(?:{_PICTURE})\b"
    rf"|(?:vê-se|vemos|podemos ver|pode ver-se|we (?:can )?see|you can see)\b)",
    re.IGNORECASE,
)


class ImageCaption(NamedTuple):
    """A caption of an image.

    Args:
        image: Its id.
        language: Of the caption.
        level: Of its detail.
        text: The caption.
    """

    image: str
    language: Language
    level: Level
    text: str


def read_captions(answer: str, language: Language) -> dict[Level, str]:
    """Read the three captions that a model wrote as JSON, fenced or not, by their level.

    Raises:
        RejectedError: It is no JSON, has other keys, or a caption is no text.
    """
    keys = LEVEL_KEYS[language]
    record = read_json_object(answer, list(keys.values()))
    captions = {level: record[key] for level, key in keys.items()}
    if wrong := [level for level, text in captions.items() if not isinstance(text, str) or not text.strip()]:
        raise RejectedError("a caption that is no text", wrong[0])
    return {level: " ".join(text.split()) for level, text in captions.items()}


def read_json_object(answer: str, keys: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object with these keys and no others, in a code fence or not.

    Raises:
        RejectedError: It is none.
    """
    try:
        record = json.loads(fenced(answer))
    except (ValueError, RecursionError) as error:
        raise RejectedError("an answer that is no JSON", answer[:80]) from error
    if not isinstance(record, dict) or set(record) != set(keys):
        raise RejectedError("JSON with other keys", str(record)[:80])
    return record


def fenced(answer: str) -> str:
    """Take an answer out of its code fence, if it is in one."""
    fence = _FENCE.match(answer)
    return fence[1] if fence else answer


def count_words(text: str) -> int:
    """Count the words of a caption; parts of compound words are one."""
    return len(_WORD.findall(text))


def check_captions(captions: Mapping[Level, str], language: Language) -> None:
    """Hold the three captions of an image in one language to their lengths, the language, and its variety.

    Raises:
        RejectedError: They are not what was asked for.
    """
    check_lengths(captions)
    for level, text in captions.items():
        check_language(text, language, level)
    if language == "pt" and (verdict := judge("\n".join(captions.values()))).refused:
        raise RejectedError(BRAZILIAN, "; ".join(verdict.reasons))


def check_lengths(captions: Mapping[Level, str]) -> None:
    """Hold captions to the words of their level, each clearly longer than the one before.

    Raises:
        RejectedError: One is too short, too long, or not longer than the one before.
    """
    lengths = {level: count_words(captions[level]) for level in LEVELS}
    for level, (least, most) in WORDS.items():
        if not least <= lengths[level] <= most:
            raise RejectedError(
                "a caption too short or too long", f"{level}: {lengths[level]} words, {least} to {most}"
            )
    for shorter, longer in pairwise(LEVELS):
        if lengths[longer] < LONGER * lengths[shorter]:
            raise RejectedError(
                "levels of captions that do not differ", f"{shorter} {lengths[shorter]}, {longer} {lengths[longer]}"
            )


def check_language(text: str, language: Language, what: str) -> None:
    """Hold a text to a language; one too short to tell passes.

    Raises:
        RejectedError: It is in another.
    """
    portuguese = is_portuguese(text)
    if portuguese is not None and portuguese is not (language == "pt"):
        raise RejectedError("a text in another language", f"{what}: {text[:80]}")


def is_stock(text: str) -> bool:
    """Tell whether a caption opens by saying that it is about an image.

    >>> [is_stock(text) for text in ("A imagem mostra um gato.", "This old photo depicts a cat.", "Um gato.")]
    [True, True, False]
    """
    return _STOCK.match(text) is not None


def opening(text: str) -> str:
    """Give the first words of a caption, folded.

    >>> opening("Um gato, preto e branco, dorme.")
    'um gato preto e'
    """
    return " ".join(_WORD.findall(text.lower())[:OPENING_WORDS])


def surplus_openings(
    captions: Sequence[ImageCaption], stock_share: float = STOCK_SHARE, same_share: float = SAME_SHARE
) -> set[str]:
    """Name the images to leave out, so that captions do not all open alike.

    In each language and level, those that open with "a imagem mostra" and its like are at most one share of what
    stays, and those that open with the same words another. Which go is drawn by their ids.

    Args:
        captions: Of all images; an image may have several.
        stock_share: Most of what stays that may say it is about an image.
        same_share: Most of what stays that may open with the same words; at least one may.

    Returns:
        Ids of the images.
    """
    left_out: set[str] = set()
    for kind in sorted({(caption.language, caption.level) for caption in captions}):
        of_kind = [caption for caption in captions if (caption.language, caption.level) == kind]
        left_out |= _surplus(of_kind, stock_share, same_share, left_out)
    return left_out


def _surplus(captions: Sequence[ImageCaption], stock_share: float, same_share: float, gone: set[str]) -> set[str]:
    """Name what is too much among captions of one language and level, beside those that are gone."""
    staying = sorted((caption for caption in captions if caption.image not in gone), key=_drawn)
    stock = [caption for caption in staying if is_stock(caption.text)]
    others = len(staying) - len(stock)
    allowed = int(stock_share * others / (1 - stock_share)) if stock_share < 1 else len(stock)
    left_out = {caption.image for caption in stock[allowed:]}
    staying = [caption for caption in staying if caption.image not in left_out]
    groups = Counter(opening(caption.text) for caption in staying)
    most = max(1, _level(list(groups.values()), same_share))
    seen: Counter[str] = Counter()
    for caption in staying:
        words = opening(caption.text)
        seen[words] += 1
        if seen[words] > most:
            left_out.add(caption.image)
    return left_out


def _level(counts: Sequence[int], share: float) -> int:
    """Find how many of each group may stay at most, so that none is more than a share of what stays.

    What is over the share, by the level, is convex and 0 at 0: the largest level that fits is found by halves.
    """
    sizes = np.asarray(counts, np.int64)
    low, high = 0, max(counts, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if middle <= share * int(np.minimum(sizes, middle).sum()):
            low = middle
        else:
            high = middle - 1
    return low


def _drawn(caption: ImageCaption) -> str:
    return hashlib.sha256(f"opening {caption.image}".encode()).hexdigest()
