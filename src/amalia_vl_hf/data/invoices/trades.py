"""Who sells what, at which price and rate of VAT: `trades.txt` for sales in Portugal, `exports.txt` abroad."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from .identifiers import Holder

Rate = Literal["exempt", "reduced", "intermediate", "normal"]
DocumentLanguage = Literal["pt", "en", "es", "fr"]

TRADES = Path(__file__).with_name("trades.txt")
EXPORTS = Path(__file__).with_name("exports.txt")
WRITTEN_IN: tuple[DocumentLanguage, ...] = ("pt", "en", "es", "fr")  # order of an export's descriptions
EUROPEAN_UNION = ("IE", "NL", "DK", "SE", "ES", "FR", "BE")  # countries of `exports.txt` that are in it
SERVICES = ("software",)  # of the exports: what is no good
# Reasons why no VAT is due: code and words of the tax authority's table (SAF-T PT, Portaria 302/2016 and updates).
EXEMPTIONS = {
    "M05": "Isento artigo 14.º do CIVA",
    "M07": "Isento artigo 9.º do CIVA",
    "M10": "IVA – regime de isenção, artigo 57.º do CIVA",
    "M16": "Isento artigo 14.º do RITI",
    "M40": "IVA – autoliquidação",
}


class SoldItem(NamedTuple):
    """Something sold.

    Args:
        names: Its description, by language; in Portuguese where there is no other.
        unit: It is counted in.
        prices: Lowest and highest, in cents.
        rate: Of VAT.
        most: Of it on a line.
    """

    names: dict[str, str]
    unit: str
    prices: tuple[int, int]
    rate: Rate
    most: int


class Trade(NamedTuple):
    """What one kind of seller sells.

    Args:
        key: Its name in the table.
        prints: "roll", "a4" or "both".
        seller: Who holds the seller's tax number.
        names: Of sellers, with gaps.
        exempt: Why nothing it sells is taxed, a key of `EXEMPTIONS`; else nothing.
        items: It sells.
    """

    key: str
    prints: str
    seller: Holder
    names: tuple[str, ...]
    exempt: str
    items: tuple[SoldItem, ...]


class ForeignBuyer(NamedTuple):
    """A buyer abroad, and the language that is used with it; marks of its tax number are drawn."""

    language: DocumentLanguage
    name: str
    street: str
    town: str
    country: str
    code: str
    tax_number: str


@lru_cache(maxsize=1)
def trades() -> tuple[Trade, ...]:
    """Read the trades of sales in Portugal."""
    return tuple(_trade(block) for block in _blocks(TRADES))


@lru_cache(maxsize=1)
def exporters() -> tuple[Trade, ...]:
    """Read the trades of sales abroad; nothing that they sell is taxed here."""
    return tuple(_trade(block) for block in _blocks(EXPORTS) if block[0] != "[buyers]")


@lru_cache(maxsize=1)
def foreign_buyers() -> tuple[ForeignBuyer, ...]:
    """Read the buyers abroad."""
    (block,) = (block for block in _blocks(EXPORTS) if block[0] == "[buyers]")
    return tuple(_buyer(line) for line in block[1:])


def draw_tax_number(rng: random.Random, buyer: ForeignBuyer) -> str:
    """Draw the tax number of a buyer abroad, in the form of its country."""
    signs = {"#": "0123456789", "@": "ABCDEFGHJKLMNPRSTUVW"}
    return "".join(rng.choice(signs[mark]) if mark in signs else mark for mark in buyer.tax_number)


def _blocks(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    starts = [place for place, line in enumerate(lines) if line.startswith("[")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _trade(block: list[str]) -> Trade:
    head, *lines = block
    key, _, prints = head[1:].partition("]")
    settings = dict(line.split(": ", 1) for line in lines if "|" not in line)
    names = tuple(name.strip() for name in settings["names"].split(";"))
    seller: Holder = "person" if settings.get("seller") == "person" else "company"
    items = tuple(_item(line) for line in lines if "|" in line)
    return Trade(key, prints.strip(), seller, names, settings.get("exempt", ""), items)


def _item(line: str) -> SoldItem:
    name, unit, prices, *rate, most = (part.strip() for part in line.split("|"))
    low, high = (round(100 * float(price)) for price in prices.split("-"))
    written = name.split(" / ")
    names = dict(zip(WRITTEN_IN, written, strict=False))
    return SoldItem(names, unit, (low, high), rate[0] if rate else "exempt", int(most))  # type: ignore[arg-type]


def _buyer(line: str) -> ForeignBuyer:
    language, rest = (part.strip() for part in line.split("|"))
    return ForeignBuyer(language, *(part.strip() for part in rest.split(";")))  # type: ignore[arg-type]
