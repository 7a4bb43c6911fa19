"""Documents set by typst, on A4 paper or a till roll, with the box of every field's value and the QR code."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import segno
import typst
from PIL import Image

from ..typefaces import OWN
from .documents import Document, Format
from .labels import LABELS, money
from .questions import DocumentWord, FieldBox

TEMPLATES: dict[Format, Path] = {
    "a4": Path(__file__).with_name("a4.typ"),
    "roll": Path(__file__).with_name("roll.typ"),
}
CODE = "qr code"  # where the QR code stands, among the places of fields
POINTS = 72  # in an inch
A4, ROLL = 595, 227  # points, how wide the paper is
QUIET = 4  # light modules around a QR code (ISO/IEC 18004)

FONTS: dict[Format, tuple[str, ...]] = {
    "a4": ("Cabin", "Cabin", "Caladea", "Caladea", "Courier Prime", "Courier Prime Sans", "Comic Neue"),
    "roll": ("Courier Prime", "Courier Prime Sans", "League Mono Narrow", "Cabin"),
}
LAYOUTS = ("letter", "banner", "centred", "split")
RULES = ("grid", "lines", "bands")
PLACES = ("below", "right", "above")
MARKS = ("circle", "square", "bars", "none")
ACCENTS = (
    "#1f3a5f", "#7a1f2b", "#1d5c3a", "#3d3d3d", "#5b2a86", "#8a4b08", "#0f5b66", "#111111", "#6b1d5c", "#2a4d8f",
)  # fmt: skip
PAPERS = ("#ffffff", "#ffffff", "#ffffff", "#fdfcf7", "#fbf8ef")
RESOLUTIONS: dict[Format, tuple[int, int]] = {"a4": (90, 112), "roll": (136, 164)}  # pixels an inch
MODULES: dict[Format, tuple[int, ...]] = {"a4": (2, 3), "roll": (3, 3, 4)}  # pixels, a side of a QR code's module
NOTES = {
    "pt": ("Obrigado pela preferência.", "Obrigado pela sua visita.", "Volte sempre!", "",
           "Os bens foram colocados à disposição do adquirente nesta data.",
           "Não se aceitam devoluções sem este documento."),
    "en": ("Thank you for your business.", ""), "es": ("Gracias por su confianza.", ""),
    "fr": ("Merci de votre confiance.", ""),
}  # fmt: skip


class InvoicePage(NamedTuple):
    """The picture of an invoice, and what stands on it.

    Args:
        picture: Encoded, PNG or JPEG.
        fields: The value of each field, as it is printed; `NOUNS` of `questions` says what their names mean.
        boxes: Where fields stand; a field that is part of a block has no box of its own.
        name: Of the page in the user's corpus; empty for one of ours.
        document: What it is called in questions.
        more: Its further pages.
        sheets: Of each box, the number of its page, from 0; nothing where there is one page.
        facts: What a document of ours says and how it was handled, for the validator.
    """

    picture: bytes
    fields: dict[str, str]
    boxes: dict[str, FieldBox]
    name: str = ""
    document: DocumentWord = "invoice"
    more: tuple[bytes, ...] = ()
    sheets: Mapping[str, int] = {}
    facts: Mapping[str, Any] = {}


# Gives the page of a number; the generator decides where the number does not.
InvoiceSource = Callable[[random.Random, int], InvoicePage]


class Placed(NamedTuple):
    """Where a value stands: the number of its page, from 0, and its box there."""

    page: int
    box: FieldBox


class Setting(NamedTuple):
    """How a document is set.

    Args:
        data: What the template reads beside the values: layout, labels, font, colours, sizes in points.
        ppi: Pixels an inch.
        module: Pixels a side of a module of the QR code.
    """

    data: Mapping[str, Any]
    ppi: int
    module: int


def draw_setting(rng: random.Random, document: Document) -> Setting:
    """Draw how a document looks."""
    wordings = {name: rng.choice(texts) for name, texts in LABELS[document.language].items()}
    if document.kind in ("receipt", "credit note"):
        wordings["total"] = wordings["total of receipt" if document.kind == "receipt" else "total of credit"]
    if wordings["seller_nif"] == "NIPC" and not document.fields["seller_nif"].startswith("5"):
        wordings["seller_nif"] = "NIF"  # NIPC is said of companies only
    small = document.format == "roll"
    if small:  # labels that share a line
        wordings |= {"buyer_nif": "NIF", "date": "Data", "time": "Hora"}
    margin = rng.randint(36, 56)
    data = {
        "room": ROLL - 24 if small else (A4 - 2 * margin) / 2 - 16,
        "layout": rng.choice(LAYOUTS),
        "rules": rng.choice(RULES),
        "place": rng.choice(PLACES),
        "mark": rng.choice(MARKS),
        "labels": wordings,
        "font": rng.choice(FONTS[document.format]),
        "accent": "#111111" if small else rng.choice(ACCENTS),
        "paper": rng.choice(PAPERS),
        "size": rng.choice((8.5, 9) if small else (9, 9.5, 10)),
        "margin": margin,
        "coded": rng.random() < 0.5,
        "note": rng.choice(NOTES[document.language]),
    }
    return Setting(data, rng.randint(*RESOLUTIONS[document.format]), rng.choice(MODULES[document.format]))


def set_document(document: Document, setting: Setting) -> tuple[list[bytes], dict[str, Placed]]:
    """Set a document; gives its pages as PNG files, and where each field and the QR code (`CODE`) stand."""
    code = _draw_code(document.qr)
    scale = setting.ppi / POINTS
    data = {
        **setting.data,
        **_contents(document, setting),
        "code": code.width * setting.module / scale,
        "qr": list(_encode(code)),
    }
    template = TEMPLATES[document.format]
    source = {"data": json.dumps(data, ensure_ascii=False)}
    compiler = typst.Compiler(str(template), root=str(template.parent), font_paths=_fonts(), sys_inputs=source)
    encoded = cast("bytes | list[bytes]", compiler.compile(format="png", ppi=setting.ppi))
    pages = encoded if isinstance(encoded, list) else [encoded]
    sizes = [Image.open(io.BytesIO(page)).size for page in pages]
    places = json.loads(compiler.query("<field>", field="value"))
    return pages, {place["name"]: _place(place, sizes, scale) for place in places}


def _draw_code(text: str) -> Image.Image:
    """Draw a QR code with its quiet zone, a pixel a module; correction level M, as the tax authority asks."""
    code = segno.make(text, error="m", mode="byte", boost_error=False, mask=len(text) % 8, micro=False)
    light = np.pad(1 - np.array(code.matrix, np.uint8), QUIET, constant_values=1)  # (side, side)
    picture = Image.frombytes("P", light.shape, light.tobytes())
    picture.putpalette([0, 0, 0, 255, 255, 255])
    return picture


def _encode(code: Image.Image) -> bytes:
    """Encode a QR code whose light modules let the paper through."""
    buffer = io.BytesIO()
    code.save(buffer, "PNG", transparency=1, bits=1)
    return buffer.getvalue()


def _contents(document: Document, setting: Setting) -> dict[str, Any]:
    """Give what the template prints."""
    cut = any(line.cut for line in document.lines)
    columns = ["item", "quantity", "unit", "price", *(["cut"] if cut else []), "rate", "value"]
    if setting.data["coded"]:
        columns.insert(0, "code")
    signature = document.qr.split("*Q:")[1].split("*")[0]
    return {
        "language": document.language,
        "fields": {name: value.split("\n") for name, value in document.fields.items()},
        "items": _rows(document),
        "columns": columns,
        "rates": _rates(document, setting.data["labels"]),
        "signature": f"{signature}-" if document.kind != "receipt" else "",
        "logo": "".join(word[0] for word in document.fields["seller"].split()[:2]).upper(),
    }


def _rows(document: Document) -> list[dict[str, Any]]:
    """Write the lines; the first and the last hold fields."""
    bare = (document.style[0], document.style[1], "{}")
    rows: list[dict[str, Any]] = []
    group = ""
    for number, line in enumerate(document.lines):
        if line.group != group:
            group = line.group
            rows.append({"group": group})
        percent = document.rates[line.rate][0]
        row: dict[str, Any] = {
            "code": line.code,
            "item": line.description,
            "quantity": write_quantity(line.quantity, document.style[1]),
            "unit": line.unit,
            "price": money(line.price, bare),
            "cut": f"{line.cut}%" if line.cut else "",
            "rate": f"{percent}%",
            "mark": f"{percent}%" if document.format == "roll" else "",
            "value": money(line.value, bare),
        }
        if number == 0:
            row |= {"item": {"field": "first_item"}, "value": {"field": "first_value"}}
        elif number == len(document.lines) - 1:
            row |= {"item": {"field": "last_item"}, "value": {"field": "last_value"}}
        rows.append(row)
    return rows


def write_quantity(thousandths: int, point: str) -> str:
    """Write a quantity, with as many places as it has.

    >>> write_quantity(1500, ","), write_quantity(350, "."), write_quantity(2000, ",")
    ('1,5', '0.35', '2')
    """
    whole, rest = divmod(thousandths, 1_000)
    return f"{whole}{point}{rest:03}".rstrip("0") if rest else str(whole)


def _rates(document: Document, wording: Mapping[str, str]) -> list[dict[str, Any]]:
    bare = (document.style[0], document.style[1], "{}")
    return [
        {
            "percent": f"{percent}%" if percent else wording["exempt"],
            "base": f"net_{rate}" if percent else None,
            "vat": f"vat_{rate}" if percent else None,
            "net": money(base, bare),
            "tax": money(tax, bare),
        }
        for rate, (percent, base, tax) in document.rates.items()
    ]


def _place(place: Mapping[str, Any], sizes: Sequence[tuple[int, int]], scale: float) -> Placed:
    page = int(place["page"]) - 1
    width, height = sizes[page]
    left, top = place["left"] * scale, place["top"] * scale
    right, bottom = left + place["width"] * scale, top + place["height"] * scale
    return Placed(page, (left / width, top / height, right / width, bottom / height))


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    """Open the package's fonts, and no others: the same pictures on every machine."""
    return typst.Fonts(font_paths=[str(OWN)], include_system_fonts=False, include_embedded_fonts=False)
