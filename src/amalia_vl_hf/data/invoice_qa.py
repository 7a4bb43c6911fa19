"""InvoiceQA: fields of invoices, where they stand, and regions that hold another field (paper, section 5.1).

The paper draws on FATURA, has a model rewrite questions and answers, and makes three samples in ten negative: the name
of one field with the box of another, whose answer rejects the one and names the other. Here typst sets the invoices,
and wording is from lists.
"""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np

from .dataset_rows import Drawn, Exchange, Materials, Row, Step, exchange, open_picture, png, truth_of
from .invoices import BOX_DIGITS, Box, draw_invoice, set_invoice

NAME = "invoice-qa"
TITLE = "InvoiceQA"
VERSION = 1
USES: tuple[str, ...] = ()  # the template has its own fonts, and facts
SUMMARY = "Field extraction, boxes of fields, and rejection of wrong boxes, on invoices."
STEPS: tuple[Step, ...] = ()

NEGATIVE = 0.3  # paper, section 5.1: p = 0.3
TASKS = ("extraction", "extraction", "box", "confirmation")  # of the others, as likely each
MIN_INK_STEP = 40  # of 255, between the letters of a value and the paper
END = 0.25  # share of a box's width: both ends must have ink, or the box is too wide

NOUNS = {
    "seller": "o nome do vendedor",
    "seller_address": "a morada do vendedor",
    "seller_nif": "o NIF do vendedor",
    "buyer": "o nome do comprador",
    "buyer_address": "a morada do comprador",
    "buyer_nif": "o NIF do comprador",
    "number": "o número da fatura",
    "date": "a data de emissão",
    "due": "a data de vencimento",
    "subtotal": "o subtotal sem IVA",
    "tax": "o valor do IVA",
    "total": "o total a pagar",
    "iban": "o IBAN para pagamento",
}
QUESTIONS = ("Qual é {noun}?", "Indica {noun}.", "Diz-me {noun} que está na fatura.")
OWN_QUESTIONS = {
    "seller": ("Quem emitiu esta fatura?", "Que empresa vendeu os artigos?"),
    "seller_address": ("Onde fica quem emitiu a fatura?",),
    "buyer": ("A quem foi passada a fatura?", "Quem é o cliente?"),
    "buyer_address": ("Qual é a morada do cliente?",),
    "date": ("Quando foi emitida a fatura?", "Em que dia foi passada a fatura?"),
    "due": ("Até quando se pode pagar a fatura?", "Em que dia vence a fatura?"),
    "tax": ("Quanto se paga de IVA?",),
    "total": ("Quanto há a pagar, ao todo?", "Qual é o valor total da fatura, com IVA?"),
    "subtotal": ("Quanto custam os artigos sem IVA?",),
    "iban": ("Para que IBAN se paga a fatura?",),
}
VALUE_ALONE = "Responde apenas com o valor."
BOX_QUESTIONS = (
    "Onde está {noun}? Responde com a caixa [x0, y0, x1, y1], em valores de 0 a 1.",
    "Dá a caixa delimitadora que contém {noun}, no formato [x0, y0, x1, y1], com coordenadas entre 0 e 1.",
)
REGION_QUESTIONS = ("A região {box} contém {noun}?", "Na região {box} da fatura está {noun}?")
_NUMBER = rf"\d\.\d{{{BOX_DIGITS}}}"
_BOX = re.compile(rf"\[({_NUMBER}), ({_NUMBER}), ({_NUMBER}), ({_NUMBER})\]")


def draw(rng: random.Random, index: int, materials: Materials) -> Drawn:
    """Set an invoice, and ask for a field, for its box, or whether a box holds it."""
    invoice = draw_invoice(rng)
    picture, boxes = set_invoice(invoice)
    task = "rejection" if rng.random() < NEGATIVE else rng.choice(TASKS)
    field = rng.choice(sorted(NOUNS))
    there = rng.choice(sorted(NOUNS.keys() - {field})) if task == "rejection" else field
    noun, value = NOUNS[field], invoice.fields[there]
    if task == "extraction":
        question, answer = _ask_value(field, value, rng)
    elif task == "box":
        question, answer = rng.choice(BOX_QUESTIONS).format(noun=noun), write_box(boxes[field])
    else:
        question = rng.choice(REGION_QUESTIONS).format(noun=noun, box=write_box(boxes[there]))
        if task == "rejection":
            answer = _stopped(f"Não. Essa região não contém {noun}, mas sim {NOUNS[there]}: {value}")
        else:
            answer = _stopped(f"Sim. Essa região contém {noun}: {value}")
    truth = {"task": task, "field": field, "fields": invoice.fields, "boxes": boxes, "cents": invoice.cents}
    return Drawn(png(picture), (Exchange(question, answer),), task, truth)


def faults(row: Row) -> list[str]:
    """Hold a row to its truth: every value is printed in its box, sums are right, and the answer is the field's."""
    truth, (question, answer) = truth_of(row), exchange(row)
    grey = np.asarray(open_picture(row).convert("L")).astype(np.int16)
    found = [f"{name} is not printed in {box}" for name, box in truth["boxes"].items() if not _printed(grey, box)]
    if set(truth["boxes"]) != set(NOUNS) or set(truth["fields"]) != set(NOUNS):
        found.append(f"fields {sorted(truth['fields'])} and boxes {sorted(truth['boxes'])} must be {sorted(NOUNS)}")
        return found
    printed = [int(re.sub(r"\D", "", truth["fields"][name])) for name in ("subtotal", "tax", "total")]
    if printed != truth["cents"] or printed[0] + printed[1] != printed[2]:
        found.append(f"{printed} cents are not a subtotal, its tax and their total")
    if not _asks(question, truth):
        found.append(f"{question!r} does not ask for {truth['field']} as {truth['task']}")
    if answer not in (right := _right_answers(question, truth)):
        found.append(f"the answer {answer!r} is none of {right}")
    return found


def write_box(box: Box) -> str:
    """Write a box as the paper does.

    >>> write_box((0, 0.25, 1, 0.3))
    '[0.000, 0.250, 1.000, 0.300]'
    """
    return "[" + ", ".join(f"{share:.{BOX_DIGITS}f}" for share in box) + "]"


def _ask_value(field: str, value: str, rng: random.Random) -> tuple[str, str]:
    wordings = QUESTIONS + OWN_QUESTIONS.get(field, ())
    question = rng.choice(wordings).format(noun=NOUNS[field])
    if rng.random() < 0.5:
        return f"{question} {VALUE_ALONE}", value
    return question, _sentence(field, value)


def _sentence(field: str, value: str) -> str:
    noun = NOUNS[field]
    return _stopped(f"{noun[0].upper()}{noun[1:]} é {value}")


def _stopped(sentence: str) -> str:
    """End a sentence with a full stop, one only."""
    return sentence if sentence.endswith(".") else f"{sentence}."


def _printed(grey: np.ndarray, box: list[float]) -> bool:
    """Tell whether a box of a grey picture has letters at both ends."""
    height, width = grey.shape
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        return False
    inside = grey[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
    end = max(round(inside.shape[1] * END), 1)
    paper = np.median(inside)
    return all(np.abs(part - paper).max() >= MIN_INK_STEP for part in (inside[:, :end], inside[:, -end:]))


def _asks(question: str, truth: dict[str, Any]) -> bool:
    """Tell whether a question is one of those for the field and the task."""
    field, task = truth["field"], truth["task"]
    wordings: tuple[str, ...] = BOX_QUESTIONS
    if task == "extraction":
        wordings = QUESTIONS + OWN_QUESTIONS.get(field, ())
        question = question.removesuffix(f" {VALUE_ALONE}")
    elif task in ("confirmation", "rejection"):
        wordings, question = REGION_QUESTIONS, _BOX.sub("{box}", question)
    return question in [wording.replace("{noun}", NOUNS[field]) for wording in wordings]


def _right_answers(question: str, truth: dict[str, Any]) -> list[str]:
    """Work out what may be answered, from the boxes and values of the invoice and the words of the question."""
    field, fields, boxes = truth["field"], truth["fields"], truth["boxes"]
    if truth["task"] == "extraction":
        alone = question.endswith(VALUE_ALONE)
        return [fields[field] if alone else _sentence(field, fields[field])]
    if truth["task"] == "box":
        return [write_box(boxes[field])]
    asked = [list(map(float, numbers)) for numbers in _BOX.findall(question)]
    there = [name for name, box in boxes.items() if [box] == asked]
    if len(there) != 1 or (there != [field]) != (truth["task"] == "rejection"):
        return []
    (name,) = there
    if name == field:
        return [_stopped(f"Sim. Essa região contém {NOUNS[field]}: {fields[field]}")]
    return [_stopped(f"Não. Essa região não contém {NOUNS[field]}, mas sim {NOUNS[name]}: {fields[name]}")]
