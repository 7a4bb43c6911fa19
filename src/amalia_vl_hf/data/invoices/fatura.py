"""FATURA: 10,000 synthetic invoices in English, of 50 templates, with the text and the place of every field.

Limam, Dhiaf, Kessentini 2023 (arXiv:2311.11856), Zenodo record 8261508. Its folder `invoices_dataset_final` has
`images/NAME.jpg` and three kinds of annotations; `Annotations/Original_Format/NAME.json` alone tells all fields apart:

    {"TOTAL": {"text": "TOTAL : 734.33 EUR", "bbox": [[x, y], [x, y]]}, "TABLE": [[{"bbox": ...}]], ...}

Corners are in pixels of the picture, in any order, and their y is counted from the **bottom** edge, as in PDF. A text
holds its printed label, and a buyer's holds a block of name, address and contacts. Pictures and annotations belong
together by name; no name is read from a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from .questions import BOX_DIGITS, FieldBox
from .typeset import InvoicePage, InvoiceSource

logger = logging.getLogger(__name__)

ANNOTATIONS = Path("Annotations", "Original_Format")
PICTURES = Path("images")
LEAST_FIELDS = 4  # with a box, of a page that is asked about
OVERHANG = 2  # pixels that a box may lie outside its page; it is cut there
LONGEST = 300  # letters of a field: a block of name, address and contacts has about 120
LARGEST_FILE = 2**20  # bytes of an annotation: the release's have some 5 KB
LARGEST_SIDE = 5_000  # pixels of a page: the release's have 842
LEAST_INK = 40  # of 255, between the darkest and the lightest of a box

FieldValues = Mapping[str, str]  # fields and what is printed, of one annotated text


class PassedOverError(Exception):
    """A field or a page that is not used; the message says why."""


class FieldLabel(NamedTuple):
    """What a label of FATURA gives.

    Args:
        box: The field that has the label's box.
        read: Gives the fields of its text.
    """

    box: str
    read: Callable[[str], FieldValues]


def read_invoices(path: Path) -> InvoiceSource:
    """Open a folder of FATURA. Pages take turns by number, in an order that mixes the templates.

    A field without a text or with a wrong box is passed over, and so is a page with no picture or too few fields; the
    log says why.

    Raises:
        ValueError: The folder is no FATURA; when one is drawn: no page is usable.
    """
    folder = path / ANNOTATIONS
    if not folder.is_dir() or not (path / PICTURES).is_dir():
        there = ", ".join(sorted(entry.name for entry in path.iterdir())) if path.is_dir() else "no such folder"
        raise ValueError(
            f"{path}: no FATURA, whose folder (invoices_dataset_final) has {ANNOTATIONS} and {PICTURES}; "
            f"here: {there or 'nothing'}"
        )
    names = [file.stem for file in folder.glob("*.json")]
    names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())  # templates mixed, and the same everywhere
    if not names:
        raise ValueError(f"{folder} has no NAME.json; was the archive unpacked whole?")
    return lambda rng, index: _usable(path, names, index)


def _usable(path: Path, names: list[str], index: int) -> InvoicePage:
    for step in range(len(names)):
        name = names[(index + step) % len(names)]
        try:
            return read_page(path, name)
        except PassedOverError as reason:
            logger.warning("%s: the page is passed over: %s", name, reason)
    raise ValueError(f"{path}: none of its {len(names)} pages can be used; the log says why")


def read_page(path: Path, name: str) -> InvoicePage:
    """Read a page and its annotation.

    Raises:
        PassedOverError: The page cannot be used.
    """
    annotation = _read_annotation(_inside(path, path / ANNOTATIONS / f"{name}.json"))
    picture, grey = _read_picture(_inside(path, path / PICTURES / f"{name}.jpg"))
    fields: dict[str, str] = {}
    boxes: dict[str, FieldBox] = {}
    for label in _unambiguous(annotation):
        try:
            values = _read_values(LABELS[label], annotation[label])
            box = _read_box(annotation[label], grey)
        except PassedOverError as reason:
            logger.info("%s: %s is passed over: %s", name, label, reason)
            continue
        fields.update(values)
        boxes[LABELS[label].box] = box
    if len(boxes) < LEAST_FIELDS:
        raise PassedOverError(f"{len(boxes)} usable fields, at least {LEAST_FIELDS} are needed")
    return InvoicePage(picture, fields, boxes, name)


def _inside(root: Path, path: Path) -> Path:
    if not path.is_file():
        raise PassedOverError(f"there is no {path.relative_to(root)}")
    if not path.resolve().is_relative_to(root.resolve()):
        raise PassedOverError(f"{path.relative_to(root)} is a link that leaves the folder")
    return path


def _read_annotation(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_FILE:
        raise PassedOverError(f"its annotation has over {LARGEST_FILE} bytes")
    try:
        annotation = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PassedOverError(f"its annotation is no JSON: {error}") from error
    if not isinstance(annotation, dict):
        raise PassedOverError("its annotation is no object of labels")
    return annotation


def _read_picture(path: Path) -> tuple[bytes, np.ndarray]:
    encoded = path.read_bytes()
    try:
        picture = Image.open(io.BytesIO(encoded))
        if picture.format not in ("JPEG", "PNG"):
            raise PassedOverError(f"its picture is {picture.format}, neither JPEG nor PNG")
        if max(picture.size) > LARGEST_SIDE:
            raise PassedOverError(f"its picture has {picture.height} x {picture.width} pixels")
        return encoded, np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise PassedOverError(f"its picture cannot be read: {error}") from error


def _unambiguous(annotation: Mapping[str, Any]) -> list[str]:
    """List the labels that are asked about, without those that leave a doubt which field they are."""
    labels = [label for label in LABELS if label in annotation]
    doubtful = set()
    if {"BUYER", "BILL_TO"} <= set(labels):  # 200 pages
        doubtful |= {"BUYER", "BILL_TO"}
    if {"TOTAL", "AMOUNT_DUE"} <= set(labels):  # the same amount under two labels
        doubtful |= {"TOTAL", "AMOUNT_DUE"}
    if any(label.startswith("GST(") for label in annotation):  # another tax, or one line a rate
        doubtful.add("TAX")
    return [label for label in labels if label not in doubtful]


def _read_values(label: FieldLabel, entry: Any) -> FieldValues:
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise PassedOverError("it has no text")
    if len(text) > LONGEST:
        raise PassedOverError(f"its text has {len(text)} letters")
    lines = "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
    if not lines.replace("\n", "").isprintable() or re.search("[<>]", lines):
        raise PassedOverError(f"{text!r} has marks that are no text")
    return label.read(lines)


def _read_box(entry: Mapping[str, Any], grey: np.ndarray) -> FieldBox:
    """Turn corners counted from the bottom left into shares counted from the top left."""
    height, width = grey.shape
    corners = _read_corners(entry.get("bbox"))
    left, right = sorted(corner[0] for corner in corners)
    top, bottom = sorted(height - corner[1] for corner in corners)
    if min(left, top) < -OVERHANG or right > width + OVERHANG or bottom > height + OVERHANG:
        raise PassedOverError(f"{entry['bbox']} lies outside its page of {height} x {width} pixels")
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    x0, y0, x1, y1 = (
        round(share, BOX_DIGITS) for share in (left / width, top / height, right / width, bottom / height)
    )
    inside = grey[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
    if not inside.size or int(inside.max()) - int(inside.min()) < LEAST_INK:
        raise PassedOverError(f"nothing is printed in {entry['bbox']}")
    return x0, y0, x1, y1


def _read_corners(corners: Any) -> list[list[float]]:
    pairs = isinstance(corners, list) and [isinstance(corner, list) and len(corner) == 2 for corner in corners]
    if pairs != [True, True]:
        raise PassedOverError(f"its box is {corners!r}, not two corners")
    numbers = [number for corner in corners for number in corner]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise PassedOverError(f"its box has corners {corners}")
    return corners


def _matched(field: str, pattern: str) -> Callable[[str], FieldValues]:
    """Make a reader of one field: the group of a pattern that fits the whole text."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def read(text: str) -> FieldValues:
        line = text.replace("\n", ", ")
        if (match := compiled.fullmatch(line)) is None:
            raise PassedOverError(f"{line!r} is not how its value is written")
        return {field: match[1].strip()}

    return read


def _block(field: str, name: str, address: str) -> Callable[[str], FieldValues]:
    """Make a reader of a block: a name, an address, and contacts, which are left out."""

    def read(text: str) -> FieldValues:
        lines = re.sub(r"(?i)^(bill[ _]to|ship[ _]to|send[ _]to|buyer)\s*:?\s*", "", text).splitlines()
        kept = [line for line in lines if not re.match(r"(?i)(tel|email|site|gstin)\s*:", line)]
        if len(kept) < 2 or any(":" in line for line in kept):
            raise PassedOverError(f"{text!r} is no name with an address below")
        return {field: ", ".join(kept), name: kept[0], address: ", ".join(kept[1:])}

    return read


_AMOUNT = r".*?(\d[\d.,]*(?: ?(?:EUR|USD|[$€]))?)"
_DAY = r"(\d{1,2}-[a-z]{3}-\d{4})"

# Of the release's 35 labels, those with a value that a question can name. GST lines, notes, terms of payment and tax
# numbers without an owner are left.
LABELS = {
    "TITLE": FieldLabel("title", _matched("title", r"([^:]+)")),
    "NUMBER": FieldLabel("number", _matched("number", r"(?:.*[ :#])?([^ :#]*\d[^ :#]*)")),
    "PO_NUMBER": FieldLabel("order", _matched("order", r"(?:.*[ :#])?([^ :#]*\d[^ :#]*)")),
    "DATE": FieldLabel("date", _matched("date", rf"(?!due)(?:[a-z ]+:? ?)?{_DAY}")),  # two dates are labelled as due
    "DUE_DATE": FieldLabel("due", _matched("due", rf"due[a-z ]*:? ?{_DAY}")),
    "SELLER_NAME": FieldLabel("seller", _matched("seller", r"([^:]+)")),
    "SELLER_ADDRESS": FieldLabel("seller_address", _matched("seller_address", r"(?:address ?: ?)?([^:]+)")),
    "SELLER_EMAIL": FieldLabel("seller_email", _matched("seller_email", r"(?:email ?: ?)?([^ :]+@[^ :]+)")),
    "SELLER_SITE": FieldLabel("seller_site", _matched("seller_site", r"(?:site ?: ?)?((?:https?://)?[^ :]+\.[^ :]+)")),
    "BUYER": FieldLabel("buyer_block", _block("buyer_block", "buyer", "buyer_address")),
    "BILL_TO": FieldLabel("buyer_block", _block("buyer_block", "buyer", "buyer_address")),
    "SEND_TO": FieldLabel("delivery_block", _block("delivery_block", "recipient", "delivery_address")),
    "SUB_TOTAL": FieldLabel("subtotal", _matched("subtotal", _AMOUNT)),
    "DISCOUNT": FieldLabel("discount", _matched("discount", _AMOUNT)),
    "TAX": FieldLabel("levy", _matched("levy", _AMOUNT)),
    "TOTAL": FieldLabel("total", _matched("total", _AMOUNT)),
    "AMOUNT_DUE": FieldLabel("total", _matched("total", _AMOUNT)),
    "TOTAL_WORDS": FieldLabel("words", _matched("words", r"(?:total in words ?:? ?)?([^:]+)")),
}
