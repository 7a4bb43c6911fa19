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
from ..choices import YES_NO
from ..dataset import Exchange, RejectedError
from .questions import BOX, NOUNS, DocumentWord, FieldBox, InvoiceQuery, noun, write_box

QUESTION, ANSWER, FREE = "pergunta", "resposta", "reescrever_resposta"
LONGEST = 500  # letters of a question or an answer: the longest of ours have some 250


def is_free(query: InvoiceQuery) -> bool:
    """Tell whether the answer may be put in other words: it is neither a value alone, nor a box, nor in a format."""
    return query.task in ("confirmation", "rejection") or (query.task == "extraction" and not query.alone)


def write_request(turns: Sequence[tuple[InvoiceQuery, Exchange]], fields: Mapping[str, str]) -> str:
    """Write what the model gets: questions without their endings; the bare value where it is to become a sentence."""
    records = [
        {
            QUESTION: exchange.question,
            ANSWER: fields[query.field] if query.task == "extraction" else exchange.answer,
            FREE: is_free(query),
        }
        for query, exchange in turns
    ]
    return json.dumps(records, ensure_ascii=False, indent=1)


def read_paraphrase(
    text: str,
    turns: Sequence[tuple[InvoiceQuery, Exchange]],
    fields: Mapping[str, str],
    boxes: Mapping[str, FieldBox],
) -> list[Exchange]:
    """Read what the model gave back.

    Raises:
        RejectedError: It is not the same conversation in European Portuguese, or not in the form asked for.
    """
    conversation = _parse(text, len(turns))
    for (query, before), after in zip(turns, conversation, strict=True):
        if not is_free(query) and after.answer != before.answer:
            raise RejectedError("the paraphrase changes an answer that must stay", after.answer[:80])
        if faults := paraphrase_faults(query, after, fields, boxes):
            raise RejectedError(faults[0], f"{after.question} {after.answer}"[:160])
    if judge("\n".join(turn for exchange in conversation for turn in exchange)).refused:
        raise RejectedError("the paraphrase is not European Portuguese", conversation[0].question[:80])
    return conversation


def paraphrase_faults(
    query: InvoiceQuery, exchange: Exchange, fields: Mapping[str, str], boxes: Mapping[str, FieldBox]
) -> list[str]:
    """Say what a question without its ending and a free answer have lost, or have too much."""
    shown = [boxes[query.there or query.field]] if query.task in ("confirmation", "rejection") else []
    free = exchange.answer if is_free(query) else ""
    if re.search("[<>]", exchange.question + free) or not (exchange.question + free).isprintable():
        return ["the paraphrase has marks that are no text"]
    faults = []
    if [match[0] for match in BOX.finditer(exchange.question)] != [write_box(box) for box in shown]:
        faults.append("the paraphrase changes the box of a question")
    if re.search(r"\d", BOX.sub("", exchange.question)):
        faults.append("the paraphrase puts a number into a question")
    values = [fields[name] for name in (*query.names, *([query.there] if query.there else []))]
    if any(value.casefold() in exchange.question.casefold() for value in values):
        faults.append("the paraphrase gives the answer in the question")
    lost = query.task != "extraction" and not _in_order(exchange.question, query.names, query.document)
    if lost or _strangers(exchange.question, query.names, query.document):
        faults.append("the paraphrase asks for another field")
    return faults + (_answer_faults(query, exchange.answer, fields) if is_free(query) else [])


def _answer_faults(query: InvoiceQuery, answer: str, fields: Mapping[str, str]) -> list[str]:
    there = query.there or query.field
    if answer.count(fields[there]) != 1:
        return ["the paraphrase does not give the value as it is printed"]
    faults = []
    around = answer.replace(fields[there], "")
    if re.search(r"\d", around):
        faults.append("the paraphrase puts a number into an answer")
    if not re.search(r"[^\W\d_]{2}", around):
        faults.append("the paraphrase makes no sentence of a value")
    if _strangers(around, (*query.names, there), query.document):
        faults.append("the paraphrase names another field in an answer")
    if query.task == "extraction":
        return faults
    verdict = YES_NO["pt"][query.task == "rejection"]
    if not re.match(rf"{verdict}\b", answer) or not _in_order(around, [there], query.document):
        faults.append("the paraphrase has another verdict, or does not name the field that is there")
    return faults


def _strangers(text: str, names: Sequence[str], document: DocumentWord) -> bool:
    """Tell whether a text names a field that is none of these."""
    rest = text.casefold()
    for name in names:
        rest = rest.replace(_bare(name, document), "")
    return any(_bare(name, document) in rest for name in NOUNS)


def _bare(name: str, document: DocumentWord) -> str:
    """Give a field's noun without its article."""
    return noun(name, document).split(" ", 1)[1].casefold()


def _in_order(text: str, names: Sequence[str], document: DocumentWord) -> bool:
    """Tell whether a text names fields one after the other, with whatever article."""
    place = 0
    for name in names:
        place = text.casefold().find(_bare(name, document), place) + 1
        if not place:
            return False
    return True


def _parse(text: str, count: int) -> list[Exchange]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RejectedError("the paraphrase is no JSON", text[:80]) from error
    if not isinstance(records, list) or len(records) != count:
        raise RejectedError("the paraphrase is not one exchange for each", text[:80])
    return [_exchange(turn) for turn in records]


def _exchange(turn: Any) -> Exchange:
    if not isinstance(turn, dict) or set(turn) != {QUESTION, ANSWER}:
        raise RejectedError("the paraphrase has other keys", str(turn)[:80])
    texts = turn[QUESTION], turn[ANSWER]
    if not all(isinstance(part, str) and part == part.strip() and 0 < len(part) <= LONGEST for part in texts):
        raise RejectedError("the paraphrase has an empty or endless turn", str(texts)[:80])
    return Exchange(*texts)
