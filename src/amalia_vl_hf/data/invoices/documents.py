"""What an invoice, a simplified invoice, a receipt or a credit note says: facts from a seed, with sums to the cent."""

from __future__ import annotations

import datetime
import random
import string
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .identifiers import NIF_STARTS, NO_NIF, Holder, draw_iban, draw_nif, draw_series, write_qr
from .labels import (
    CODES,
    CONSUMER,
    DATES,
    METHODS,
    METHODS_ON_ACCOUNT,
    MONEY,
    MONTHS,
    REASONS,
    TITLES,
    UNITS,
    DocumentKind,
    money,
)  # fmt: skip
from .people import FIRST_NAMES, SURNAMES, draw_address, draw_person, draw_phone, draw_town
from .trades import (
    EUROPEAN_UNION,
    EXEMPTIONS,
    SERVICES,
    DocumentLanguage,
    ForeignBuyer,
    Rate,
    SoldItem,
    Trade,
    draw_tax_number,
    exporters,
    foreign_buyers,
    trades,
)  # fmt: skip

Format = Literal["a4", "roll"]

ROLLS = 0.35  # share of documents that are printed on a till roll
ABROAD = 0.22  # of the others, share to a buyer abroad
SEVERAL = 0.1  # of the other invoices, share with the delivery notes of a month: several pages
FIRST, LAST = datetime.date(2024, 1, 8), datetime.date(2026, 10, 30)  # after the months in which staples had no VAT
KINDS: tuple[DocumentKind, ...] = ("invoice", "invoice", "invoice", "invoice-receipt", "receipt", "credit note")
CUTS = (5, 5, 10, 10, 10, 15, 20, 25, 30, 50)  # per cent, discounts
CUT = 0.3  # share of documents with discounts
HALVES = ("h", "m", "m²", "l")  # units sold by halves
LEGAL_FORMS = ("Lda.", "Lda.", "Unipessoal Lda.", "S.A.")
SIMPLIFIED = 1_000_00  # cents: most that a simplified invoice may come to (Código do IVA, article 40)
# Per cent, by fiscal space (Código do IVA, article 18); Madeira's reduced rate fell on 1 October 2024.
RATES: dict[str, dict[Rate, int]] = {
    "mainland": {"exempt": 0, "reduced": 6, "intermediate": 13, "normal": 23},
    "Azores": {"exempt": 0, "reduced": 4, "intermediate": 9, "normal": 16},
    "Madeira": {"exempt": 0, "reduced": 4, "intermediate": 12, "normal": 22},
}
MADEIRA_LOWER = datetime.date(2024, 10, 1)
TAXED: tuple[Rate, ...] = ("reduced", "intermediate", "normal")


class DocumentLine(NamedTuple):
    """A line of goods or services.

    Args:
        group: The delivery note it belongs to, or nothing.
        code: The seller's, of the article.
        description: Of what is sold.
        quantity: In thousandths.
        unit: It is counted in.
        price: Of one, in cents.
        cut: Discount, per cent.
        rate: Of VAT.
        value: Quantity times price, less the discount, in cents.
    """

    group: str
    code: str
    description: str
    quantity: int
    unit: str
    price: int
    cut: int
    rate: Rate
    value: int


class Document(NamedTuple):
    """What a document says.

    Args:
        kind: Which document.
        format: What it is printed on.
        language: Of its words.
        space: Fiscal space of its seller.
        date: Of issue.
        trade: Of its seller, a key of the tables.
        lines: What is sold; none on a receipt.
        rates: Per cent, base and VAT in cents, by rate; none on a receipt.
        sums: Before discounts, discounts, net, VAT, total, in cents.
        fields: What is printed and can be asked for, by field; a value of several lines has a line break.
        qr: Text of its QR code.
        style: How amounts are written.
    """

    kind: DocumentKind
    format: Format
    language: DocumentLanguage
    space: str
    date: datetime.date
    trade: str
    lines: tuple[DocumentLine, ...]
    rates: Mapping[Rate, tuple[int, int, int]]
    sums: Mapping[str, int]
    fields: Mapping[str, str]
    qr: str
    style: tuple[str, str, str]

    def record(self) -> dict[str, Any]:
        """Give JSON values, for the validator."""
        return {
            **self._asdict(),
            "date": self.date.isoformat(),
            "lines": [list(line) for line in self.lines],
            "fields": dict(self.fields),
        }


def draw_document(rng: random.Random) -> Document:
    """Draw a document whose numbers check and whose sums are right."""
    paper: Format = "roll" if rng.random() < ROLLS else "a4"
    foreign = rng.choice(foreign_buyers()) if paper == "a4" and rng.random() < ABROAD else None
    kind = _draw_kind(rng, paper, foreign)
    trade = rng.choice(exporters() if foreign else [one for one in trades() if one.prints in (paper, "both")])
    town = draw_town(rng)
    date = FIRST + datetime.timedelta(days=rng.randrange((LAST - FIRST).days))
    language: DocumentLanguage = foreign.language if foreign else "pt"
    style, day = rng.choice(MONEY[language]), rng.choice(DATES[language])
    number = _draw_number(rng, kind, date)
    series = f"{draw_series(rng)}-{number.rpartition('/')[2]}"
    address = draw_address(rng, town)
    fields: dict[str, str] = {
        "title": TITLES[language][kind],
        "seller": _draw_name(rng, trade),
        "seller_address": "\n".join(address),
        "seller_nif": draw_nif(rng, trade.seller),
    }
    if rng.random() < 0.6:
        fields["phone"] = draw_phone(rng, town)
    fields |= {"number": number, "date": _write_date(date, day, language)}
    if paper == "roll" or rng.random() < 0.2:
        fields["time"] = f"{rng.randint(8, 20):02}:{rng.randrange(60):02}"
    fields |= _draw_buyer(rng, kind, paper, foreign)
    fields |= _draw_references(rng, kind, date, day, language)
    lines = () if kind == "receipt" else _draw_lines(rng, trade, kind, paper, language, date)
    rates = _tax(lines, _rates_of(town.space, date), included=paper == "roll")
    sums = _sum(lines, rates) if lines else {"total": rng.randint(15_00, 2_500_00)}
    fields |= _write_sums(lines, rates, sums, style)
    exemption = _exemption(trade, foreign)
    if "exempt" in rates:
        fields["exemption"] = f"{exemption} – {EXEMPTIONS[exemption]}"
    if kind in ("simplified invoice", "invoice-receipt", "receipt"):
        fields["method"] = rng.choice(METHODS if paper == "roll" else METHODS_ON_ACCOUNT[language])
    if kind == "invoice" and rng.random() < 0.85:
        fields["iban"] = draw_iban(rng)
    certificate = str(rng.randint(11, 3_120))
    fields |= {"atcud": series, "certificate": f"{certificate}/AT"}
    signature = "0" if kind == "receipt" else "".join(rng.choice(string.ascii_letters + "0123456789") for _ in "four")
    coded = {
        "A": fields["seller_nif"], "B": fields.get("buyer_nif", NO_NIF), "C": foreign.code if foreign else "PT",
        "D": CODES[kind], "E": "N", "F": f"{date:%Y%m%d}", "G": number, "H": series, "Q": signature, "R": certificate,
    }  # fmt: skip
    amounts: dict[str, tuple[int, int]] = {rate: (base, tax) for rate, (_, base, tax) in rates.items()}
    qr = write_qr(coded, town.space, amounts, (sums.get("tax", 0), sums["total"]))
    return Document(kind, paper, language, town.space, date, trade.key, lines, rates, sums, fields, qr, style)


def _draw_kind(rng: random.Random, paper: Format, foreign: ForeignBuyer | None) -> DocumentKind:
    if paper == "roll":
        return rng.choice(("simplified invoice", "simplified invoice", "simplified invoice", "invoice-receipt"))
    return rng.choice([kind for kind in KINDS if not foreign or kind in TITLES["en"]])


def _draw_name(rng: random.Random, trade: Trade) -> str:
    """Draw the name of a seller: a company's has its legal form."""
    name = _fill(rng, rng.choice(trade.names))
    return f"{name}, {rng.choice(LEGAL_FORMS)}" if trade.seller == "company" else name


def _fill(rng: random.Random, name: str) -> str:
    while "{surname}" in name:
        name = name.replace("{surname}", rng.choice(SURNAMES), 1)
    return name.replace("{first}", rng.choice(FIRST_NAMES)).replace("{town}", draw_town(rng).name)


def _draw_number(rng: random.Random, kind: DocumentKind, date: datetime.date) -> str:
    series = rng.choice(("{year}", "A{year}", "{year}{letter}", "{letter}", "LJ{digit}", "{letter}{digit}{year}"))
    letter, digit = rng.choice("ABCDEFGM"), rng.randint(1, 9)
    return f"{CODES[kind]} {series.format(year=date.year, letter=letter, digit=digit)}/{rng.randint(1, 9_999)}"


def _write_date(date: datetime.date, form: str, language: DocumentLanguage) -> str:
    return form.format(day=date.day, month=date.month, year=date.year, name=MONTHS[language][date.month - 1])


def _draw_buyer(rng: random.Random, kind: DocumentKind, paper: Format, foreign: ForeignBuyer | None) -> dict[str, str]:
    if foreign:
        return {
            "buyer": foreign.name,
            "buyer_address": f"{foreign.street}\n{foreign.town}\n{foreign.country}",
            "buyer_nif": draw_tax_number(rng, foreign),
        }
    if paper == "roll":
        return _draw_walk_in(rng, kind)
    holder: Holder = rng.choice(("company", "company", "company", "person", "person", *NIF_STARTS))
    town = draw_town(rng)
    return {
        "buyer": _draw_holder(rng, holder),
        "buyer_address": "\n".join(draw_address(rng, town)),
        "buyer_nif": draw_nif(rng, holder),
    }


def _draw_walk_in(rng: random.Random, kind: DocumentKind) -> dict[str, str]:
    """Draw who buys at a till: nobody knows, or a tax number, and the name on an invoice-receipt."""
    if kind == "invoice-receipt":
        return {"buyer": draw_person(rng), "buyer_nif": draw_nif(rng, "person")}
    if rng.random() < 0.45:
        return {"buyer": CONSUMER}
    return {"buyer_nif": draw_nif(rng, rng.choice(("person", "person", "company")))}


def _draw_holder(rng: random.Random, holder: Holder) -> str:
    if holder == "person":
        return draw_person(rng)
    if holder == "company":
        return _draw_name(rng, rng.choice([trade for trade in trades() if trade.seller == "company"]))
    names = {
        "association": ("Associação Recreativa {surname}", "Clube Desportivo {surname}", "Grupo Coral {surname}"),
        "public body": ("Agrupamento de Escolas {surname}", "Junta de Freguesia de São {first}", "Museu {surname}"),
        "condominium": ("Condomínio Edifício {surname}", "Condomínio Quinta {surname}"),
    }
    name = rng.choice(names[holder])
    return _fill(rng, name.replace("São {first}", rng.choice(("São Pedro", "São Vicente", "São Martinho"))))


def _draw_references(
    rng: random.Random, kind: DocumentKind, date: datetime.date, form: str, language: DocumentLanguage
) -> dict[str, str]:
    """Draw the other dates and documents that a document names."""
    before = date - datetime.timedelta(days=rng.randint(2, 60))
    if kind == "receipt":
        return {"settled": _draw_number(rng, "invoice", before)}
    if kind == "credit note":
        return {"corrected": _draw_number(rng, "invoice", before), "reason": rng.choice(REASONS[language])}
    if kind != "invoice":
        return {}
    due = date + datetime.timedelta(days=rng.choice((8, 15, 30, 30, 45, 60)))
    order = {"order": f"{rng.choice(('NE', 'PO', 'ENC'))} {rng.randint(100, 99_999)}"} if rng.random() < 0.25 else {}
    return {"due": _write_date(due, form, language), **order}


def _draw_lines(
    rng: random.Random, trade: Trade, kind: DocumentKind, paper: Format, language: DocumentLanguage,
    date: datetime.date,
) -> tuple[DocumentLine, ...]:  # fmt: skip
    cuts = CUTS if rng.random() < CUT else ()
    if paper == "a4" and kind == "invoice" and len(trade.items) >= 10 and rng.random() < SEVERAL * 3:
        groups = [_draw_note(rng, date) for _ in range(rng.randint(7, 14))]
        drawn = [(group, item) for group in groups for item in rng.sample(trade.items, rng.randint(2, 4))]
    else:
        most = 2 if kind == "credit note" else min(9, len(trade.items))
        drawn = [("", item) for item in rng.sample(trade.items, rng.randint(1, most))]
    codes = {item.names["pt"]: f"{rng.choice('ABCDEFGHJKLM')}{rng.randint(100, 9_999):04}" for item in trade.items}
    lines: list[DocumentLine] = []
    for group, item in drawn:
        line = _draw_line(rng, item, group, codes[item.names["pt"]], cuts, language)
        if paper == "roll" and lines and sum(one.value for one in lines) + line.value > SIMPLIFIED:
            break
        lines.append(line)
    return tuple(lines)


def _draw_note(rng: random.Random, date: datetime.date) -> str:
    return f"GT {date.year}/{rng.randint(100, 9_999)}"


def _draw_line(
    rng: random.Random, item: SoldItem, group: str, code: str, cuts: Sequence[int], language: DocumentLanguage
) -> DocumentLine:
    price = _round_price(rng.randint(*item.prices), rng)
    quantity = 1_000 * rng.randint(1, rng.randint(1, item.most))
    if item.unit == "kg" and item.most < 10:
        quantity = rng.randint(150, 1_000 * item.most)
    elif item.unit in HALVES:
        quantity += rng.choice((0, 0, 500))
    cut = rng.choice(cuts) if cuts and rng.random() < 0.6 else 0
    before = half_up(quantity * price, 1_000)
    unit = UNITS[language].get(item.unit, item.unit)
    name = item.names.get(language, item.names["pt"])
    return DocumentLine(group, code, name, quantity, unit, price, cut, item.rate, before - half_up(before * cut, 100))


def _round_price(cents: int, rng: random.Random) -> int:
    """Round a price as shops do: to five cents or one less than ten, to euros less a few cents, high ones to euros."""
    if cents < 50:
        return cents
    if cents < 1_000:
        return cents - cents % 10 + rng.choice((0, 5, 9, 9))
    return cents - cents % 100 + (rng.choice((0, 0, 50, 90, 95, 99)) if cents < 20_000 else 0)


def half_up(number: int, divisor: int) -> int:
    """Divide and round, halves up.

    >>> half_up(5, 2), half_up(4, 3)
    (3, 1)
    """
    return (2 * number + divisor) // (2 * divisor)


def _rates_of(space: str, date: datetime.date) -> dict[Rate, int]:
    rates = dict(RATES[space])
    if space == "Madeira" and date < MADEIRA_LOWER:
        rates["reduced"] = 5
    return rates


def _tax(lines: Sequence[DocumentLine], rates: Mapping[Rate, int], included: bool) -> dict[Rate, tuple[int, int, int]]:
    """Add up by rate; where prices include VAT, it is taken out of the sum."""
    taxed = {}
    for rate, percent in rates.items():
        values = [line.value for line in lines if line.rate == rate]
        if values and included:
            base = half_up(100 * sum(values), 100 + percent)
            taxed[rate] = percent, base, sum(values) - base
        elif values:
            taxed[rate] = percent, sum(values), half_up(sum(values) * percent, 100)
    return taxed


def _sum(lines: Sequence[DocumentLine], rates: Mapping[Rate, tuple[int, int, int]]) -> dict[str, int]:
    gross = sum(half_up(line.quantity * line.price, 1_000) for line in lines)
    net, tax = sum(base for _, base, _ in rates.values()), sum(vat for _, _, vat in rates.values())
    cut = gross - sum(line.value for line in lines)
    return {"gross": gross, "discount": cut, "subtotal": net, "tax": tax, "total": net + tax}


def _write_sums(
    lines: Sequence[DocumentLine],
    rates: Mapping[Rate, tuple[int, int, int]],
    sums: Mapping[str, int],
    style: tuple[str, str, str],
) -> dict[str, str]:
    """Write the amounts that can be asked for; first and last lines, too. In tables no currency is printed."""
    bare = (style[0], style[1], "{}")
    names = [name for name in sums if name not in ("gross", "discount") or sums["discount"]]
    fields = {name: money(sums[name], style) for name in names}
    for rate in TAXED:
        if rate in rates:
            fields |= {f"net_{rate}": money(rates[rate][1], bare), f"vat_{rate}": money(rates[rate][2], bare)}
    if lines:
        fields |= {"first_item": lines[0].description, "first_value": money(lines[0].value, bare)}
    if len(lines) > 1:
        fields |= {"last_item": lines[-1].description, "last_value": money(lines[-1].value, bare)}
    return fields


def _exemption(trade: Trade, foreign: ForeignBuyer | None) -> str:
    if foreign is None:
        return trade.exempt
    if trade.key in SERVICES:
        return "M40"
    return "M16" if foreign.code in EUROPEAN_UNION else "M05"
