"""Holds what an invoice of ours says to law and arithmetic, from the JSON record alone and with sums of its own.

Amounts are fractions of a euro here, printed ones are read back, and the QR code's text is taken apart.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from .identifiers import NIF_STARTS, NO_NIF, SPACES, iban_is_valid, nif_is_valid
from .labels import CODES, CONSUMER
from .people import town_of
from .trades import EXEMPTIONS, Trade, exporters, trades

Record = Mapping[str, Any]

PERCENT = {
    "mainland": {"reduced": 6, "intermediate": 13, "normal": 23},
    "Azores": {"reduced": 4, "intermediate": 9, "normal": 16},
    "Madeira": {"reduced": 4, "intermediate": 12, "normal": 22},
}
QR_PLACES = {"reduced": (3, 4), "intermediate": (5, 6), "normal": (7, 8)}  # numbers of a rate's base and tax
ALWAYS = {"title", "seller", "seller_address", "seller_nif", "number", "date", "total", "atcud", "certificate"}


def check_document(facts: Record, fields: Mapping[str, str]) -> list[str]:
    """Say what of a document is not as it must be.

    Args:
        facts: The document's record.
        fields: What is printed.
    """
    if lacking := ALWAYS - set(fields):
        return [f"a document must have {sorted(lacking)}"]
    problems = [*_check_holders(facts, fields), *_check_numbers(facts, fields)]
    problems += _check_lines(facts) if facts["lines"] else []
    problems += _check_printed(facts, fields)
    return problems + list(_check_qr(facts, fields))


def _check_holders(facts: Record, fields: Mapping[str, str]) -> Iterator[str]:
    """Hold tax numbers to their holders, and postal codes to their towns."""
    company = re.search(r"(Lda|S\.A)\.$", fields["seller"])
    starts = NIF_STARTS["company" if company else "person"]
    if not nif_is_valid(fields["seller_nif"]) or not fields["seller_nif"].startswith(starts):
        yield f"{fields['seller_nif']} is no tax number of {fields['seller']!r}"
    town = town_of(fields["seller_address"])
    if town is None or town.space != facts["space"]:
        yield f"{fields['seller_address']!r} has no postal code of its town in {facts['space']}"
    if facts["language"] != "pt":
        return
    if "buyer_nif" in fields and not nif_is_valid(fields["buyer_nif"]):
        yield f"{fields['buyer_nif']} is no tax number"
    if "buyer_address" in fields and town_of(fields["buyer_address"]) is None:
        yield f"{fields['buyer_address']!r} has no postal code of its town"
    buyer = fields.get("buyer", CONSUMER)
    if re.search(r"(Lda|S\.A)\.$", buyer) and not fields["buyer_nif"].startswith(NIF_STARTS["company"]):
        yield f"{fields['buyer_nif']} is no tax number of {buyer!r}"


def _check_numbers(facts: Record, fields: Mapping[str, str]) -> Iterator[str]:
    code, _, number = fields["number"].rpartition("/")
    if not code.startswith(f"{CODES[facts['kind']]} "):
        yield f"{fields['number']} is no number of a document of kind {facts['kind']}"
    if not re.fullmatch(rf"[A-Z0-9]{{8,}}-{number}", fields["atcud"]):
        yield f"{fields['atcud']} is no ATCUD of {fields['number']}"
    if "iban" in fields and not iban_is_valid(fields["iban"]):
        yield f"{fields['iban']} is no IBAN"


def _check_lines(facts: Record) -> Iterator[str]:
    """Add the lines up, by rate and together."""
    trade = next(one for one in (*trades(), *exporters()) if one.key == facts["trade"])
    known = {(item.names.get(facts["language"], item.names["pt"]), item.rate) for item in trade.items}
    sums: dict[str, Fraction] = {}
    gross = Fraction(0)
    for _, _, description, quantity, _, price, cut, rate, value in facts["lines"]:
        before = _cents(Fraction(quantity, 1_000) * Fraction(price, 100))
        gross += before
        if before - _cents(before * Fraction(cut, 100)) != Fraction(value, 100):
            yield f"{quantity} thousandths at {price} cents less {cut} % are not {value} cents"
        if (description, rate) not in known:
            yield f"{description!r} at the rate {rate} is nothing that {facts['trade']} sells"
        sums[rate] = sums.get(rate, Fraction(0)) + Fraction(value, 100)
    if set(sums) != set(facts["rates"]):
        yield f"lines of {sorted(sums)} and taxes of {sorted(facts['rates'])}"
        return
    for rate, summed in sums.items():
        yield from _check_rate(facts, rate, summed)
    after = sum(sums.values(), Fraction(0))
    expected = {"gross": gross, "discount": gross - after}
    expected |= {name: sum((_euros(row[at]) for row in facts["rates"].values()), Fraction(0))
                 for name, at in (("subtotal", 1), ("tax", 2))}  # fmt: skip
    expected["total"] = expected["subtotal"] + expected["tax"]
    for name, amount in expected.items():
        if amount != _euros(facts["sums"][name]):
            yield f"the {name} is {amount}, not {facts['sums'][name]} cents"
    yield from _check_exemption(trade, facts)


def _check_rate(facts: Record, rate: str, summed: Fraction) -> Iterator[str]:
    percent, base, tax = facts["rates"][rate]
    date = datetime.date.fromisoformat(facts["date"])
    right = 0 if rate == "exempt" else PERCENT[facts["space"]][rate]
    if facts["space"] == "Madeira" and rate == "reduced" and date < datetime.date(2024, 10, 1):
        right = 5
    if percent != right:
        yield f"{percent} % is not the rate {rate} in {facts['space']} on {date}"
    included = facts["format"] == "roll"  # a till prints prices with VAT
    net = _cents(summed * 100 / (100 + percent)) if included else summed
    vat = summed - net if included else _cents(net * percent / 100)
    if (net, vat) != (_euros(base), _euros(tax)):
        yield f"{base} and {tax} cents are not what {rate} comes to"


def _check_exemption(trade: Trade, facts: Record) -> Iterator[str]:
    abroad = facts["language"] != "pt"
    for rate in facts["rates"]:
        if rate == "exempt" and not abroad and trade.exempt not in EXEMPTIONS:
            yield f"{trade.key} sells nothing that is exempt"


def _check_printed(facts: Record, fields: Mapping[str, str]) -> Iterator[str]:
    """Read printed amounts back."""
    amounts = {name: facts["sums"][name] for name in facts["sums"] if name in fields}
    for rate, (_, base, tax) in facts["rates"].items():
        amounts |= {f"net_{rate}": base, f"vat_{rate}": tax} if rate != "exempt" else {}
    if facts["lines"]:
        amounts["first_value"] = facts["lines"][0][-1]
        if len(facts["lines"]) > 1:
            amounts["last_value"] = facts["lines"][-1][-1]
    for name, cents in amounts.items():
        if int(re.sub(r"\D", "", fields.get(name, "")) or -1) != cents:
            yield f"the {name} is printed as {fields.get(name)!r}, not {cents} cents"
    if ("exempt" in facts["rates"]) != ("exemption" in fields):
        yield "an exemption and its reason do not go together"


def _check_qr(facts: Record, fields: Mapping[str, str]) -> Iterator[str]:
    """Take the QR code apart: every field is the printed one, and bases and taxes come to the total."""
    parts = dict(part.split(":", 1) for part in facts["qr"].split("*"))
    letter = {"mainland": "I", "Azores": "J", "Madeira": "K"}[facts["space"]]
    right = {
        "A": fields["seller_nif"], "B": fields.get("buyer_nif", NO_NIF), "D": CODES[facts["kind"]], "E": "N",
        "F": facts["date"].replace("-", ""), "G": fields["number"], "H": fields["atcud"],
        "O": _point(facts["sums"]["total"]), "N": _point(facts["sums"].get("tax", 0)),
        "R": fields["certificate"].removesuffix("/AT"),
    }  # fmt: skip
    if facts["rates"]:
        right[f"{letter}1"] = SPACES[facts["space"]]
        for rate, (_, base, tax) in facts["rates"].items():
            if rate == "exempt":
                right[f"{letter}2"] = _point(base)
            else:
                right |= {
                    f"{letter}{at}": _point(cents) for at, cents in zip(QR_PLACES[rate], (base, tax), strict=True)
                }
    else:
        right["I1"] = "0"
    for name in sorted(set(right) | (set(parts) - {"C", "Q"})):
        if parts.get(name) != right.get(name):
            yield f"field {name} of the QR code is {parts.get(name)}, not {right.get(name)}"
    summed = sum(Fraction(value) for name, value in parts.items() if re.fullmatch("[IJK][2-8]", name))
    if facts["rates"] and summed != Fraction(parts.get("O", "0")):
        yield f"bases and taxes of the QR code are {summed}, not its total {parts.get('O')}"
    if list(parts) != sorted(parts):
        yield f"fields of the QR code stand as {', '.join(parts)}"


def _cents(amount: Fraction) -> Fraction:
    """Round to the cent, halves up."""
    return Fraction((amount * 100 + Fraction(1, 2)).__floor__(), 100)


def _euros(cents: int) -> Fraction:
    return Fraction(cents, 100)


def _point(cents: int) -> str:
    return f"{cents / 100:.2f}"
