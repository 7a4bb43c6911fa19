"""InvoiceQA: fields of invoices, where they stand, and regions that hold another field (paper, section 5.1).

The paper draws on FATURA, has a model rewrite questions and answers, and mixes two formats in each invoice: extraction
of fields and prediction of boxes. Three conversations in ten have a negative: the name of one field with the box of
another, whose answer rejects the one and names the other. Without a copy of FATURA documents are set here, as
Portuguese law and shops print them, and half of them are scanned, stamped, folded or photographed; without a model
wording is from lists.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..answer_formats import FORMATS, read, write
from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..rows import exchanges, open_pictures, truth_of
from .checks import check_document
from .documents import draw_document
from .handling import handle, move
from .paraphrase import is_free, paraphrase_faults, read_paraphrase, write_request
from .questions import (
    BLOCKS,
    BOX,
    NOUNS,
    WORDS,
    DocumentWord,
    FieldBox,
    InvoiceQuery,
    InvoiceTask,
    answers,
    bodies,
    endings,
    key,
    write_box,
)  # fmt: skip
from .typeset import CODE, InvoicePage, draw_setting, set_document

NAME = "invoice-qa"
TITLE = "InvoiceQA"
VERSION = 5
USES: tuple[str, ...] = ("invoices",)
SUMMARY = "Field extraction, boxes of fields, and rejection of wrong boxes, in conversations about an invoice."

NEGATIVE = 0.3  # paper, section 5.1: p = 0.3
EXCHANGES = (2, 4)
OTHERS: tuple[InvoiceTask, ...] = ("extraction", "fields", "box", "confirmation")  # beside an extraction and a box
BOXED = ("box", "confirmation", "rejection")  # they show or ask for a box, of one page
FORMATTED = 0.25  # of the extractions: several fields in one answer
ALONE = 0.5  # of the values are answered without a sentence
FIELDS = (2, 4)  # of one answer
MIN_INK_STEP = 40  # of 255, between the letters of a value and the paper
END = 0.25  # share of a box's width: both ends must have ink, or the box is too wide
FLAT_DIGITS = 5  # of boxes on the flat page
MOVED = 0.002  # share of a side by which a box may be off from where its page's projection puts it
INK = 0.005  # share of either end of a box
DOCUMENTS: dict[str, DocumentWord] = {"receipt": "receipt", "credit note": "credit note"}


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
        "sheets": page.sheets,
        "asked": [query._asdict() for query, _ in turns],
        "paraphrased": paraphrase is not None,
        "facts": page.facts,
    }
    tasks = sorted({query.task for query, _ in turns})
    return DrawnSample(page.picture, tuple(ended), " + ".join(tasks), truth, more=page.more)


def write_invoice(rng: random.Random, index: int) -> InvoicePage:
    """Draw a document, set it, and handle its pages."""
    document = draw_document(rng)
    setting = draw_setting(rng, document)
    pages, places = set_document(document, setting)
    flat = [[place.box for place in places.values() if place.page == number] for number in range(len(pages))]
    del places[CODE]
    way, handled = handle(pages, flat, rng)
    boxes = {name: _rounded(move(place.box, handled[place.page].corners)) for name, place in places.items()}
    facts = {
        **document.record(),
        "layout": f"{document.format}, {setting.data['layout']}, {setting.data['place']}",
        "font": setting.data["font"],
        "handling": way,
        "corners": [page.corners for page in handled],
        "flat": {name: [round(share, FLAT_DIGITS) for share in place.box] for name, place in places.items()},
    }
    return InvoicePage(
        picture=handled[0].picture,
        fields={name: value.replace("\n", ", ") for name, value in document.fields.items()},
        boxes=boxes,
        document=DOCUMENTS.get(document.kind, "invoice"),
        more=tuple(page.picture for page in handled[1:]),
        sheets={name: place.page for name, place in places.items()} if len(pages) > 1 else {},
        facts=facts,
    )


def _rounded(box: FieldBox) -> FieldBox:
    x0, y0, x1, y1 = (round(share, 3) for share in box)
    return x0, y0, x1, y1


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: values are printed in their boxes, sums are right, answers are the fields'."""
    truth, conversation = truth_of(row), exchanges(row)
    greys = [np.asarray(picture.convert("L")).astype(np.int16) for picture in open_pictures(row)]
    own, sheets = not truth["page"], truth["sheets"]
    problems = [
        f"{name} is not printed in {box}"
        for name, box in truth["boxes"].items()
        if not _printed(greys[sheets.get(name, 0)], box, own)
    ]
    if own:
        problems += _check_own(truth, len(greys))
    queries = [InvoiceQuery.of(record) for record in truth["asked"]]
    if len(queries) != len(conversation) or not EXCHANGES[0] <= len(conversation) <= EXCHANGES[1]:
        return [*problems, f"{len(conversation)} exchanges, and {len(queries)} things were asked"]
    for query, exchange in zip(queries, conversation, strict=True):
        problems += _exchange_faults(query, exchange, truth)
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """List where each field stands, with its value."""
    truth, sizes = truth_of(row), [picture.size for picture in open_pictures(row)]
    placed = []
    for name, (x0, y0, x1, y1) in truth["boxes"].items():
        page = truth["sheets"].get(name, 0)
        width, height = sizes[page]
        text = f"{name}: {truth['fields'].get(name, '')}"
        placed.append(Box(text, y0 * height, x0 * width, y1 * height, x1 * width, page))
    return placed


def _check_own(truth: Mapping[str, Any], pages: int) -> list[str]:
    """Hold a document of ours to its facts, and its boxes to where their pages went."""
    facts, fields, boxes = truth["facts"], truth["fields"], truth["boxes"]
    printed = {name: value.replace("\n", ", ") for name, value in facts["fields"].items()}
    if fields != printed or set(boxes) != set(fields) or set(facts["flat"]) != set(fields):
        return [f"fields {sorted(fields)}, boxes of {sorted(boxes)}, printed {sorted(printed)}"]
    if len(facts["corners"]) != pages or bool(truth["sheets"]) != (pages > 1):
        return [f"{pages} pages, and corners of {len(facts['corners'])}"]
    problems, ways = check_document(facts, fields), [_find_projection(corners) for corners in facts["corners"]]
    for name, box in boxes.items():
        moved = _project(facts["flat"][name], ways[truth["sheets"].get(name, 0)])
        if max(abs(one - other) for one, other in zip(box, moved, strict=True)) > MOVED:
            problems.append(f"{name} went to {[round(share, 3) for share in moved]}, not {box}")
    return problems


def _find_projection(corners: list[list[float]]) -> list[float]:
    """Work out the eight numbers of the projection that takes a page to its picture, by where its corners went."""
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    system, sides = [], []
    for (x, y), (u, v) in zip(square, corners, strict=True):
        system += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        sides += [u, v]
    return list(map(float, np.linalg.solve(np.array(system, float), np.array(sides, float))))


def _project(box: list[float], way: list[float]) -> list[float]:
    """Work out where a box of a page is in its picture."""
    a, b, c, d, e, f, g, h = way
    left, top, right, bottom = box
    points = [
        ((a * x + b * y + c) / (g * x + h * y + 1), (d * x + e * y + f) / (g * x + h * y + 1))
        for x in (left, right) for y in (top, bottom)
    ]  # fmt: skip
    across, down = zip(*points, strict=True)
    return [min(across), min(down), max(across), max(down)]


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
    named = [name for name in page.fields if name in NOUNS and name not in BLOCKS and not _given_away(page, name)]
    written = [write_box(box) for box in page.boxes.values()]
    placed = [
        name for name, box in page.boxes.items() if written.count(write_box(box)) == 1 and not _given_away(page, name)
    ]
    if min(len(named), len(placed)) < FIELDS[1]:
        raise RejectedError("the page has too few fields to ask about", page.name)
    rng.shuffle(named)
    rng.shuffle(placed)
    chosen: list[InvoiceQuery] = []
    for task in tasks:
        query = _ask(task, page, named, placed, rng)
        sheet = page.sheets.get(query.there or query.field) if query.task in BOXED else None
        query = query._replace(document=page.document, page=sheet)
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
        values = {key(name, page.document): page.fields[name] for name in taken}
        kinds = [kind for kind in FORMATS if read(write(values, kind), kind, values) == values]
        return InvoiceQuery(task, tuple(taken), kind=rng.choice(kinds))
    if task == "confirmation":
        return InvoiceQuery(task, (taken[0],), taken[0])
    return InvoiceQuery(task, (taken[0],), alone=task == "extraction" and rng.random() < ALONE)


def _given_away(page: InvoicePage, name: str) -> bool:
    """Tell whether every question gives a value away, as «nota de crédito» does a title."""
    return WORDS[page.document][1] in page.fields.get(name, "").casefold()


def _apart(page: InvoicePage, name: str, there: str) -> bool:
    """Tell whether a field is surely not in another's box: neither their boxes nor their values overlap."""
    if page.sheets.get(name) != page.sheets.get(there):
        return False
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
    if not own:
        return bool(int(inside.max()) - int(inside.min()) >= MIN_INK_STEP)
    ink = np.abs(inside - np.median(inside)) >= MIN_INK_STEP
    end = max(round(inside.shape[1] * END), 1)
    return bool(ink[:, :end].mean() >= INK and ink[:, -end:].mean() >= INK)


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
    sheet = [name for name in boxes if query.page is None or truth["sheets"][name] == query.page]
    there = [name for name in sheet if [list(boxes[name])] == shown]
    if len(there) != 1 or (there != [query.field]) != (query.task == "rejection"):
        return []
    return answers(query._replace(there=there[0]), fields, boxes)
