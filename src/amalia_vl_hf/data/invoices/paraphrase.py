"""Questions and answers about an invoice in a model's own words (paper, section 5.1), and what must stay as it was.

The model gets the conversation as JSON, with the bare value where an answer is to become a sentence, and gives it back
in the same form. What it says of boxes, numbers and values is checked, and so is the variety of its Portuguese.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...variety import judge
from ..brazilian import SURELY_BRAZILIAN
from ..dataset import Exchange, RejectedError
from .questions import BOX, NOUNS, InvoiceQuestion, write_box
from .typeset import FieldBox

QUESTION, ANSWER, FREE = "pergunta", "resposta", "reescrever_resposta"
LONGEST = 500  # letters of a question or an answer: the longest of ours have some 250


def is_free(asked: InvoiceQuestion) -> bool:
    """Tell whether the answer may be put in other words: it is neither a value alone, nor a box, nor in a format."""
    return asked.task in ("confirmation", "rejection") or (asked.task == "extraction" and not asked.alone)


def write_request(asking: Sequence[tuple[InvoiceQuestion, Exchange]], fields: Mapping[str, str]) -> str:
    """Write what the model gets: questions without their endings; the bare value where it is to become a sentence."""
    given = [
        {
            QUESTION: said.question,
            ANSWER: fields[asked.field] if asked.task == "extraction" else said.answer,
            FREE: is_free(asked),
        }
        for asked, said in asking
    ]
    return json.dumps(given, ensure_ascii=False, indent=1)


def read_paraphrase(
    text: str,
    asking: Sequence[tuple[InvoiceQuestion, Exchange]],
    fields: Mapping[str, str],
    boxes: Mapping[str, FieldBox],
) -> list[Exchange]:
    """Read what the model gave back.

    Raises:
        RejectedError: It is not the same conversation in European Portuguese, or not in the form asked for.
    """
    said = _parse(text, len(asking))
    for (asked, before), after in zip(asking, said, strict=True):
        if not is_free(asked) and after.answer != before.answer:
            raise RejectedError("the paraphrase changes an answer that must stay", after.answer[:80])
        if found := paraphrase_faults(asked, after, fields, boxes):
            raise RejectedError(found[0], f"{after.question} {after.answer}"[:160])
    if judge("\n".join(turn for exchange in said for turn in exchange), SURELY_BRAZILIAN).is_pt_pt is False:
        raise RejectedError("the paraphrase is not European Portuguese", said[0].question[:80])
    return said


def paraphrase_faults(
    asked: InvoiceQuestion, said: Exchange, fields: Mapping[str, str], boxes: Mapping[str, FieldBox]
) -> list[str]:
    """Say what a question without its ending and a free answer have lost, or have too much."""
    shown = [boxes[asked.there or asked.field]] if asked.task in ("confirmation", "rejection") else []
    free = said.answer if is_free(asked) else ""
    if re.search("[<>]", said.question + free) or not (said.question + free).isprintable():
        return ["the paraphrase has marks that are no text"]
    found = []
    if [match[0] for match in BOX.finditer(said.question)] != [write_box(box) for box in shown]:
        found.append("the paraphrase changes the box of a question")
    if re.search(r"\d", BOX.sub("", said.question)):
        found.append("the paraphrase puts a number into a question")
    values = [fields[name] for name in (*asked.names, *([asked.there] if asked.there else []))]
    if any(value.casefold() in said.question.casefold() for value in values):
        found.append("the paraphrase gives the answer in the question")
    lost = asked.task != "extraction" and not _in_order(said.question, asked.names)
    if lost or _strangers(said.question, asked.names):
        found.append("the paraphrase asks for another field")
    return found + (_answer_faults(asked, said.answer, fields) if is_free(asked) else [])


def _answer_faults(asked: InvoiceQuestion, answer: str, fields: Mapping[str, str]) -> list[str]:
    there = asked.there or asked.field
    if answer.count(fields[there]) != 1:
        return ["the paraphrase does not give the value as it is printed"]
    found = []
    around = answer.replace(fields[there], "")
    if re.search(r"\d", around):
        found.append("the paraphrase puts a number into an answer")
    if not re.search(r"[^\W\d_]{2}", around):
        found.append("the paraphrase makes no sentence of a value")
    if _strangers(around, (*asked.names, there)):
        found.append("the paraphrase names another field in an answer")
    if asked.task == "extraction":
        return found
    verdict = "Não" if asked.task == "rejection" else "Sim"
    if not re.match(rf"{verdict}\b", answer) or not _in_order(around, [there]):
        found.append("the paraphrase has another verdict, or does not name the field that is there")
    return found


def _strangers(text: str, names: Sequence[str]) -> bool:
    """Tell whether a text names a field that is none of these."""
    rest = text.casefold()
    for name in names:
        rest = rest.replace(_bare(name), "")
    return any(_bare(name) in rest for name in NOUNS)


def _bare(name: str) -> str:
    """Give a field's noun without its article."""
    return NOUNS[name].split(" ", 1)[1].casefold()


def _in_order(text: str, names: Sequence[str]) -> bool:
    """Tell whether a text names fields one after the other, with whatever article."""
    place = 0
    for name in names:
        place = text.casefold().find(_bare(name), place) + 1
        if not place:
            return False
    return True


def _parse(text: str, count: int) -> list[Exchange]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RejectedError("the paraphrase is no JSON", text[:80]) from error
    if not isinstance(given, list) or len(given) != count:
        raise RejectedError("the paraphrase is not one exchange for each", text[:80])
    return [_exchange(turn) for turn in given]


def _exchange(turn: Any) -> Exchange:
    if not isinstance(turn, dict) or set(turn) != {QUESTION, ANSWER}:
        raise RejectedError("the paraphrase has other keys", str(turn)[:80])
    texts = turn[QUESTION], turn[ANSWER]
    if not all(isinstance(part, str) and part == part.strip() and 0 < len(part) <= LONGEST for part in texts):
        raise RejectedError("the paraphrase has an empty or endless turn", str(texts)[:80])
    return Exchange(*texts)
