"""Questions about an image as personas ask them: read from an answer, held to their form, and to one variety."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...variety import Verdict, judge
from ..dataset import RejectedError
from .captions import check_language, fenced

MOST = 5  # questions of a persona; paper, section 5.1
QUESTION_LENGTH, ANSWER_LENGTH = (12, 300), (1, 200)  # letters, from and to

_ARTICLES = frozenset(("o", "a", "os", "as", "um", "uma", "uns", "umas", "the", "an"))
_NUMBERS = {
    "zero": "0", "um": "1", "uma": "1", "dois": "2", "duas": "2", "três": "3", "quatro": "4", "cinco": "5",
    "seis": "6", "sete": "7", "oito": "8", "nove": "9", "dez": "10", "onze": "11", "doze": "12",
}  # fmt: skip
_WORDS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


class ImageQuestion(NamedTuple):
    """A question about an image.

    Args:
        question: As it was asked.
        answer: In few words.
    """

    question: str
    answer: str


def read_questions(answer: str) -> list[ImageQuestion]:
    """Read a JSON list of `{"pergunta": ..., "resposta": ...}`; what has another form is left out, and so is a repeat.

    Returns:
        At most five; they are one or more.

    Raises:
        RejectedError: It is no JSON list, or nothing is left.
    """
    try:
        items = json.loads(fenced(answer))
    except (ValueError, RecursionError) as error:
        raise RejectedError("an answer that is no JSON", answer[:80]) from error
    if not isinstance(items, list):
        raise RejectedError("JSON of another form", str(items)[:80])
    read: dict[str, ImageQuestion] = {}
    reason = "an empty list"
    for item in items:
        try:
            question = _read(item)
            read.setdefault(folded(question.question), question)
        except RejectedError as error:
            reason = str(error)
    if not read:
        raise RejectedError("no question of the form asked for", reason)
    return list(read.values())[:MOST]


def read_texts(answer: str) -> list[str]:
    """Read a JSON list of texts; nothing where it is none."""
    try:
        items = json.loads(fenced(answer))
    except (ValueError, RecursionError):
        return []
    texts = [" ".join(item.split()) for item in items if isinstance(item, str)] if isinstance(items, list) else []
    return [text for text in texts if 0 < len(text) <= ANSWER_LENGTH[1]]


def read_verdict(answer: str) -> bool | None:
    """Read yes or no; None where an answer is neither, or says more.

    >>> read_verdict("**Sim.**"), read_verdict("não"), read_verdict("Sim, mas não em tudo.")
    (True, False, None)
    """
    word = answer.strip(" .!*_`\n").lower()
    return {"sim": True, "yes": True, "não": False, "nao": False, "no": False}.get(word)


def _read(item: object) -> ImageQuestion:
    if not isinstance(item, Mapping) or set(item) != {"pergunta", "resposta"}:
        raise RejectedError("a question with other keys", str(item)[:80])
    question = ImageQuestion(*(_line(item[key]) for key in ("pergunta", "resposta")))
    for text, (least, most) in zip(question, (QUESTION_LENGTH, ANSWER_LENGTH), strict=True):
        if not least <= len(text) <= most:
            raise RejectedError("a question or answer too short or too long", text[:80])
    if not question.question.endswith("?"):
        raise RejectedError("a question that asks nothing", question.question[:80])
    if folded(question.answer) and folded(question.answer) == folded(question.question):
        raise RejectedError("an answer that is the question", question.answer[:80])
    check_language(question.question, "pt", "question")
    return question


def _line(text: object) -> str:
    if not isinstance(text, str):
        raise RejectedError("a question or answer that is no text", str(text)[:80])
    return " ".join(text.split())


def judge_together(questions: Sequence[ImageQuestion]) -> Verdict:
    """Judge the variety of all that a persona asks about an image, at once: one question alone says too little."""
    return judge("\n".join(text for question in questions for text in question))


def same_answer(one: str, other: str) -> bool:
    """Tell whether two short answers are the same words or the same number, which no model needs to be asked.

    Case, punctuation and articles at the beginning do not count; accents do.

    >>> same_answer("Três.", "3"), same_answer("O gato", "gato"), same_answer("1,5", "1.5"), same_answer("avó", "avô")
    (True, True, True, False)
    """
    return folded(one) == folded(other) != ""


def folded(text: str) -> str:
    """Fold a text for comparing: lower case, number words as digits, no punctuation, no article at the beginning."""
    found = _WORDS.findall(unicodedata.normalize("NFC", text).lower())
    words = [_NUMBERS.get(word, word.replace(",", ".")) for word in found]
    return " ".join(words[1:] if len(words) > 1 and found[0] in _ARTICLES else words)
