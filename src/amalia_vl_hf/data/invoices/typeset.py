"""Invoices in European Portuguese: facts from a seed, set by typst, with the box of every field's value."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import typst
from PIL import Image

from ..rows import png
from ..text.passages import fill
from ..typefaces import OWN

TEMPLATE = Path(__file__).with_name("fatura.typ")
POINTS = 72  # in an inch
BOX_DIGITS = 3
# x0, y0, x1, y1 as shares of the picture's width and height, from its top left.
FieldBox = tuple[float, float, float, float]

FONTS = ("Cabin", "Caladea", "Comic Neue", "Courier Prime")
LAYOUTS = ("letter", "banner", "centred")
RULES = ("grid", "lines", "bands")
ACCENTS = ("#1f3a5f", "#7a1f2b", "#1d5c3a", "#3d3d3d", "#5b2a86", "#8a4b08")
PAPERS = ("#ffffff", "#fbf8ef", "#f3f6fa")
RATES = (6, 13, 23)  # per cent: the three rates of VAT on the mainland
LABELS = {
    "buyer": ("Cliente", "Exmo. Sr. / Exma. Sra.", "Faturado a"),
    "seller_nif": ("NIF", "Contribuinte n.º"),
    "buyer_nif": ("NIF", "Contribuinte n.º"),
    "number": ("Fatura n.º", "Número", "Documento"),
    "date": ("Data", "Data de emissão", "Emitida em"),
    "due": ("Vencimento", "Data de vencimento", "Pagar até"),
    "subtotal": ("Subtotal", "Total sem IVA", "Valor líquido"),
    "tax": ("IVA", "Valor do IVA"),
    "total": ("Total", "Total a pagar", "Total com IVA"),
    "iban": ("IBAN", "Pagamento para o IBAN"),
}
_KINDS = ("Padaria", "Livraria", "Oficina", "Papelaria", "Florista", "Carpintaria", "Ótica", "Tipografia")
_NAMES = ("Araújo", "São João", "Conceição", "do Açor", "Magalhães", "da Ribeira", "Três Irmãos", "Estrela")
_ENDS = ("Lda.", "S. A.", "Unipessoal, Lda.")
_ITEMS = (
    "Resma de papel", "Caixa de lápis", "Almofada", "Mão de obra", "Deslocação", "Ramo de flores", "Encadernação",
    "Pão de ló", "Óculos de leitura", "Tábua de pinho", "Cartões de visita", "Parafusos (caixa)", "Revisão anual",
)  # fmt: skip


class InvoicePage(NamedTuple):
    """The picture of an invoice, and what stands on it.

    Args:
        picture: Encoded, PNG or JPEG.
        fields: The value of each field, as it is printed; `NOUNS` of `invoice_qa` says what their names mean.
        boxes: Where fields stand; a field that is part of a block has no box of its own.
        name: Of the page in the user's corpus; empty for one of ours.
    """

    picture: bytes
    fields: dict[str, str]
    boxes: dict[str, FieldBox]
    name: str = ""


# Gives the page of a number; the generator decides where the number does not.
InvoiceSource = Callable[[random.Random, int], InvoicePage]


@dataclass(frozen=True)
class Invoice:
    """What an invoice says, and how it is set.

    Args:
        fields: The value of each field, as it is printed.
        items: Description, quantity, price and value of each line, as they are printed.
        cents: Subtotal, tax and total.
        setting: What else the template reads: layout, labels, font, colours, sizes in points.
        ppi: Pixels an inch.
    """

    fields: Mapping[str, str]
    items: tuple[tuple[str, str, str, str], ...]
    cents: tuple[int, int, int]
    setting: Mapping[str, Any]
    ppi: int


def write_invoice(rng: random.Random, index: int) -> InvoicePage:
    """Draw an invoice and set it."""
    invoice = draw_invoice(rng)
    picture, boxes = set_invoice(invoice)
    return InvoicePage(png(picture), dict(invoice.fields), boxes)


def draw_invoice(rng: random.Random) -> Invoice:
    """Draw an invoice whose sums are right."""
    lines = [(item, rng.randint(1, 12), rng.randint(80, 9_000)) for item in rng.sample(_ITEMS, rng.randint(1, 7))]
    subtotal = sum(count * price for _, count, price in lines)
    tax = round(subtotal * rng.choice(RATES) / 100)
    day, month, year = rng.randint(1, 28), rng.randint(1, 11), rng.randint(2018, 2026)
    seller, buyer = rng.sample([f"{kind} {name}" for kind in _KINDS for name in _NAMES], 2)
    fields = {
        "seller": f"{seller}, {rng.choice(_ENDS)}",
        "seller_address": fill("{street}, {number}, {place}", rng),
        "seller_nif": _digits(rng, "5", 9),
        "buyer": fill("{person}", rng) if rng.random() < 0.5 else f"{buyer}, {rng.choice(_ENDS)}",
        "buyer_address": fill("{street}, {number}, {place}", rng),
        "buyer_nif": _digits(rng, "2", 9),
        "number": f"FT {year}/{rng.randint(1, 9_999)}",
        "date": f"{day:02}/{month:02}/{year}",
        "due": f"{day:02}/{month + 1:02}/{year}",
        "subtotal": money(subtotal),
        "tax": money(tax),
        "total": money(subtotal + tax),
        "iban": f"PT50 {_digits(rng, '0', 21)}",
    }
    items = tuple((item, str(count), money(price), money(count * price)) for item, count, price in lines)
    return Invoice(fields, items, (subtotal, tax, subtotal + tax), _draw_setting(rng), rng.randint(90, 130))


def set_invoice(invoice: Invoice) -> tuple[Image.Image, dict[str, FieldBox]]:
    """Set an invoice; gives the picture and each field's box."""
    data = {**invoice.setting, "fields": invoice.fields, "items": invoice.items}
    source = {"data": json.dumps(data, ensure_ascii=False)}
    compiler = typst.Compiler(str(TEMPLATE), root=str(TEMPLATE.parent), font_paths=_fonts(), sys_inputs=source)
    page = cast(bytes, compiler.compile(format="png", ppi=invoice.ppi))  # one page, as tall as it needs
    picture = Image.open(io.BytesIO(page)).convert("RGB")
    placed = json.loads(compiler.query("<field>", field="value"))
    scale = invoice.ppi / POINTS
    return picture, {place["name"]: _box(place, picture, scale) for place in placed}


def money(cents: int) -> str:
    """Write an amount as Portugal does.

    >>> money(123456789)
    '1 234 567,89 €'
    """
    euros = f"{cents // 100:,}".replace(",", " ")
    return f"{euros},{cents % 100:02} €"


def _draw_setting(rng: random.Random) -> dict[str, Any]:
    own = {name: rng.choice(texts) for name, texts in LABELS.items()}
    size = rng.choice((9, 10, 11))
    return {
        "layout": rng.choice(LAYOUTS),
        "rules": rng.choice(RULES),
        "labels": own,
        "font": rng.choice(FONTS),
        "accent": rng.choice(ACCENTS),
        "paper": rng.choice(PAPERS),
        "size": size,
        "width": round(size * rng.uniform(71, 76)),  # the longest name fits half of it, in the widest font
        "margin": rng.randint(20, 40),
    }


def _box(place: Mapping[str, float], picture: Image.Image, scale: float) -> FieldBox:
    left, top = place["left"] * scale, place["top"] * scale
    right, bottom = left + place["width"] * scale, top + place["height"] * scale
    height, width = picture.height, picture.width
    x0, y0, x1, y1 = left / width, top / height, right / width, bottom / height
    return round(x0, BOX_DIGITS), round(y0, BOX_DIGITS), round(x1, BOX_DIGITS), round(y1, BOX_DIGITS)


def _digits(rng: random.Random, first: str, count: int) -> str:
    return first + "".join(rng.choice("0123456789") for _ in range(count - 1))


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    """Open the package's fonts, and no others: the same pictures on every machine."""
    return typst.Fonts(font_paths=[str(OWN)], include_system_fonts=False, include_embedded_fonts=False)
