"""InvoiceQA: fields of invoices, where they stand, and regions that hold another field (paper, section 5.1).

The paper draws on FATURA, has a model rewrite questions and answers, and mixes two formats in each invoice: extraction
of fields and prediction of boxes. Three conversations in ten have a negative: the name of one field with the box of
another, whose answer rejects the one and names the other. Without a copy of FATURA typst sets the invoices, and
without a model wording is from lists.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..answer_formats import FORMATS, read, write
from ..dataset import DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..rows import exchanges, open_picture, truth_of
from .paraphrase import is_free, paraphrase_faults, read_paraphrase, write_request
from .questions import BLOCKS, BOX, NOUNS, InvoiceQuery, InvoiceTask, answers, bodies, endings, key, write_box
from .typeset import InvoicePage, write_invoice

NAME = "invoice-qa"
TITLE = "InvoiceQA"
VERSION = 2
USES: tuple[str, ...] = ("invoices",)
SUMMARY = "Field extraction, boxes of fields, and rejection of wrong boxes, in conversations about an invoice."

NEGATIVE = 0.3  # paper, section 5.1: p = 0.3
EXCHANGES = (2, 4)
OTHERS: tuple[InvoiceTask, ...] = ("extraction", "fields", "box", "confirmation")  # beside an extraction and a box
FORMATTED = 0.25  # of the extractions: several fields in one answer
ALONE = 0.5  # of the values are answered without a sentence
FIELDS = (2, 4)  # of one answer
MIN_INK_STEP = 40  # of 255, between the letters of a value and the paper
END = 0.25  # share of a box's width: both ends must have ink, or the box is too wide
# What an invoice of ours has; a page of FATURA has what it has.
OWN_FIELDS = frozenset({
    "seller", "seller_address", "seller_nif", "buyer", "buyer_address", "buyer_nif", "number", "date", "due",
    "subtotal", "tax", "total", "iban",
})  # fmt: skip


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Take an invoice, and ask for fields, for boxes, and whether a box holds a field."""
    page, turns = _subject(rng, index, materials)
    paraphrase = materials.answers.get("paraphrase")
    if paraphrase is None:
        conversation = [exchange for _, exchange in turns]
    else:
        conversation = read_paraphrase(paraphrase, turns, page.fields, page.boxes)
    ended = [
        Exchange(f"{exchange.question} {rng.choice(endings(query))}".strip(), exchange.answer)
        for (query, _), exchange in zip(turns, conversation, strict=True)
    ]
    truth = {
        "page": page.name,
        "fields": page.fields,
        "boxes": page.boxes,
        "asked": [query._asdict() for query, _ in turns],
        "paraphrased": paraphrase is not None,
    }
    tasks = sorted({query.task for query, _ in turns})
    return DrawnSample(page.picture, tuple(ended), " + ".join(tasks), truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: values are printed in their boxes, sums are right, answers are the fields'."""
    truth, conversation = truth_of(row), exchanges(row)
    grey = np.asarray(open_picture(row).convert("L")).astype(np.int16)
    own = not truth["page"]
    problems = [
        f"{name} is not printed in {box}" for name, box in truth["boxes"].items() if not _printed(grey, box, own)
    ]
    if own and (set(truth["fields"]) != OWN_FIELDS or set(truth["boxes"]) != OWN_FIELDS):
        return [*problems, f"an invoice of ours has {sorted(OWN_FIELDS)}, this one {sorted(truth['fields'])}"]
    if own:
        subtotal, tax, total = (int(re.sub(r"\D", "", truth["fields"][name])) for name in ("subtotal", "tax", "total"))
        if subtotal + tax != total:
            problems.append(f"{subtotal}, {tax} and {total} cents are not a subtotal, its tax and their total")
    queries = [InvoiceQuery.of(record) for record in truth["asked"]]
    if len(queries) != len(conversation) or not EXCHANGES[0] <= len(conversation) <= EXCHANGES[1]:
        return [*problems, f"{len(conversation)} exchanges, and {len(queries)} things were asked"]
    for query, exchange in zip(queries, conversation, strict=True):
        problems += _exchange_faults(query, exchange, truth)
    return problems


def _ask_paraphrase(rng: random.Random, index: int, materials: Materials) -> Mapping[str, str]:
    page, turns = _subject(rng, index, materials)
    return {"exchanges": write_request(turns, page.fields), "count": str(len(turns))}


STEPS = (ModelStep("paraphrase", _ask_paraphrase),)


def _subject(
    rng: random.Random, index: int, materials: Materials
) -> tuple[InvoicePage, list[tuple[InvoiceQuery, Exchange]]]:
    """Take an invoice, and the questions about it, without what they say of the answer's form."""
    page: InvoicePage = (materials.invoices or write_invoice)(rng, index)
    turns = []
    for query in _choose(page, rng):
        question = rng.choice(bodies(query, page.boxes))
        turns.append((query, Exchange(question, rng.choice(answers(query, page.fields, page.boxes)))))
    return page, turns


def _choose(page: InvoicePage, rng: random.Random) -> list[InvoiceQuery]:
    """Choose two to four things to ask: an extraction, a box, three times in ten a negative, and others.

    Raises:
        RejectedError: The page has too few fields.
    """
    tasks: list[InvoiceTask] = ["fields" if rng.random() < FORMATTED else "extraction", "box"]
    if rng.random() < NEGATIVE:
        tasks.append("rejection")
    tasks += rng.choices(OTHERS, k=max(0, rng.randint(*EXCHANGES) - len(tasks)))
    rng.shuffle(tasks)
    named = [name for name in page.fields if name in NOUNS and name not in BLOCKS]
    written = [write_box(box) for box in page.boxes.values()]
    placed = [name for name, box in page.boxes.items() if written.count(write_box(box)) == 1]
    if min(len(named), len(placed)) < FIELDS[1]:
        raise RejectedError("the page has too few fields to ask about", page.name)
    rng.shuffle(named)
    rng.shuffle(placed)
    chosen: list[InvoiceQuery] = []
    for task in tasks:
        query = _ask(task, page, named, placed, rng)
        if not any((query.task, query.names) == (other.task, other.names) for other in chosen):
            chosen.append(query)
    return chosen


def _ask(
    task: InvoiceTask, page: InvoicePage, named: list[str], placed: list[str], rng: random.Random
) -> InvoiceQuery:
    """Choose fields for a task; those that were chosen go to the end of their list, so that others come first.

    Raises:
        RejectedError: No two fields of the page are apart, for a rejection.
    """
    if task == "rejection":
        pairs = [(name, there) for name in placed for there in placed if _apart(page, name, there)]
        if not pairs:
            raise RejectedError("no two fields of the page are apart", page.name)
        name, there = rng.choice(pairs)
        return InvoiceQuery(task, (name,), there)
    names = placed if task in ("box", "confirmation") else named
    count = rng.randint(*FIELDS) if task == "fields" else 1
    taken = [names.pop(0) for _ in range(count)]
    names += taken
    if task == "fields":
        values = {key(name): page.fields[name] for name in taken}
        kinds = [kind for kind in FORMATS if read(write(values, kind), kind, values) == values]
        return InvoiceQuery(task, tuple(taken), kind=rng.choice(kinds))
    if task == "confirmation":
        return InvoiceQuery(task, (taken[0],), taken[0])
    return InvoiceQuery(task, (taken[0],), alone=task == "extraction" and rng.random() < ALONE)


def _apart(page: InvoicePage, name: str, there: str) -> bool:
    """Tell whether a field is surely not in another's box: neither their boxes nor their values overlap."""
    x0, y0, x1, y1 = page.boxes[name]
    left, top, right, bottom = page.boxes[there]
    value, other = page.fields[name], page.fields[there]
    return (x1 <= left or right <= x0 or y1 <= top or bottom <= y0) and value not in other and other not in value


def _printed(grey: np.ndarray, box: list[float], own: bool) -> bool:
    """Tell whether a box of a grey picture has letters; at both ends, if it is a box of ours, which are tight."""
    height, width = grey.shape
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        return False
    inside = grey[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
    if not inside.size:
        return False
    end = max(round(inside.shape[1] * END), 1) if own else inside.shape[1]
    paper = np.median(inside) if own else inside.max()
    return all(np.abs(part - paper).max() >= MIN_INK_STEP for part in (inside[:, :end], inside[:, -end:]))


def _exchange_faults(query: InvoiceQuery, exchange: Exchange, truth: Mapping[str, Any]) -> list[str]:
    fields, boxes = truth["fields"], truth["boxes"]
    ending = next((ending for ending in endings(query) if exchange.question.endswith(ending)), None)
    if ending is None:
        return [f"{exchange.question!r} lacks {' or '.join(endings(query))!r}"]
    body = exchange.question.removesuffix(ending).rstrip()
    problems = []
    if truth["paraphrased"]:
        problems += paraphrase_faults(query, Exchange(body, exchange.answer), fields, boxes)
    elif body not in bodies(query, boxes):
        problems.append(f"{exchange.question!r} does not ask for {', '.join(query.names)} as {query.task}")
    if truth["paraphrased"] and is_free(query):
        return problems
    if exchange.answer not in (right := _right_answers(query, body, truth)):
        problems.append(f"the answer {exchange.answer!r} is none of {right}")
    return problems


def _right_answers(query: InvoiceQuery, body: str, truth: Mapping[str, Any]) -> list[str]:
    """Work out what may be answered; for a region, from the box in the question and the field that stands there."""
    fields, boxes = truth["fields"], truth["boxes"]
    if query.task not in ("confirmation", "rejection"):
        return answers(query, fields, boxes)
    shown = [list(map(float, numbers)) for numbers in BOX.findall(body)]
    there = [name for name, box in boxes.items() if [list(box)] == shown]
    if len(there) != 1 or (there != [query.field]) != (query.task == "rejection"):
        return []
    return answers(query._replace(there=there[0]), fields, boxes)
