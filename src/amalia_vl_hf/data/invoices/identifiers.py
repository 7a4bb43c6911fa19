"""Numbers that Portuguese documents carry, with their check digits: NIF, NIB and IBAN, ATCUD, and the QR code's text.

Sources: tax numbers, Decreto-Lei 14/2013 and the table of first digits of the Portal das Finanças; NIB, Banco de
Portugal, modulo 97 10 (ISO 7064) over 19 digits, so that every PT IBAN begins with PT50; ATCUD and QR code, Portaria
195/2020 and the tax authority's "Especificações Técnicas do Código QR" 1.1.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

Holder = Literal["person", "company", "association", "public body", "condominium"]

# First digits of tax numbers, by who holds them.
NIF_STARTS: dict[Holder, tuple[str, ...]] = {
    "person": ("1", "2", "3"),
    "company": ("50", "51"),
    "association": ("50", "51"),
    "public body": ("600", "680"),
    "condominium": ("900", "901"),
}
NO_NIF = "999999990"  # of a consumer who gives none; its check digit is right
BANKS = ("0007", "0010", "0018", "0033", "0035", "0036", "0045")  # of Banco de Portugal's list of institutions
SERIES_LETTERS = "BCDFGHJKMNPQRSTVWXYZ23456789"  # of validation codes: what cannot be taken for another sign
SPACES = {"mainland": "PT", "Azores": "PT-AC", "Madeira": "PT-MA"}  # fiscal spaces, as QR codes name them
QR_RATES = ("exempt", "reduced", "intermediate", "normal")  # in the order of the QR code's fields


def draw_nif(rng: random.Random, holder: Holder) -> str:
    """Draw a tax number that somebody of the kind could have.

    >>> nif_is_valid(draw_nif(random.Random(0), "company"))
    True
    """
    start = rng.choice(NIF_STARTS[holder])
    body = start + "".join(rng.choice("0123456789") for _ in range(8 - len(start)))
    return body + str(_nif_check(body))


def nif_is_valid(nif: str) -> bool:
    """Tell whether a tax number has nine digits and the right last one.

    >>> nif_is_valid("999999990"), nif_is_valid("999999991")
    (True, False)
    """
    return len(nif) == 9 and nif.isdecimal() and int(nif[8]) == _nif_check(nif[:8])


def _nif_check(body: str) -> int:
    rest = sum(int(digit) * weight for digit, weight in zip(body, range(9, 1, -1), strict=True)) % 11
    return 0 if rest < 2 else 11 - rest


def draw_iban(rng: random.Random) -> str:
    """Draw an account in a Portuguese bank, in groups of four.

    >>> iban_is_valid(draw_iban(random.Random(0)))
    True
    """
    account = rng.choice(BANKS) + "".join(rng.choice("0123456789") for _ in range(15))
    digits = f"PT50{account}{98 - int(account) * 100 % 97:02}"
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def iban_is_valid(iban: str) -> bool:
    """Tell whether a Portuguese IBAN checks, and so does the NIB in it.

    >>> iban_is_valid("PT50 0002 0123 1234 5678 9015 4"), iban_is_valid("PT50 0002 0123 1234 5678 9015 5")
    (True, False)
    """
    bare = iban.replace(" ", "")
    if len(bare) != 25 or not bare.startswith("PT50") or not bare[2:].isdecimal():
        return False
    turned = int(bare[4:] + "2529" + bare[2:4])  # P is 25 and T is 29
    return turned % 97 == 1 and int(bare[4:]) % 97 == 1


def draw_series(rng: random.Random) -> str:
    """Draw the code by which the tax authority validates a series: at least eight signs."""
    return "".join(rng.choice(SERIES_LETTERS) for _ in range(8))


def write_qr(
    fields: Mapping[str, str],
    space: str,
    amounts: Mapping[str, tuple[int, int]],
    totals: Sequence[int],
) -> str:
    """Write the text of a document's QR code.

    Args:
        fields: A to H, and Q and R, by their letters: tax numbers, country, kind, state, date, number, ATCUD; four
            signs of the signature; the program's certificate.
        space: Of taxation, one of `SPACES`; fields of the Azores are J1 to J8, of Madeira K1 to K8.
        amounts: Base and tax in cents, by `QR_RATES`; nothing for a document that names no rate, such as a receipt.
        totals: Of taxes and of the document, in cents.

    Returns:
        Fields in the order of the specification, between asterisks; those without a value are left out.
    """
    parts = [f"{letter}:{fields[letter]}" for letter in "ABCDEFGH"]
    letter = {"mainland": "I", "Azores": "J", "Madeira": "K"}[space]
    if amounts:
        parts.append(f"{letter}1:{SPACES[space]}")
        for place, rate in enumerate(QR_RATES):
            base, tax = amounts.get(rate, (0, 0))
            if base and rate == "exempt":
                parts.append(f"{letter}2:{_decimal(base)}")
            elif base:
                parts += [f"{letter}{2 * place + 1}:{_decimal(base)}", f"{letter}{2 * place + 2}:{_decimal(tax)}"]
    else:
        parts.append("I1:0")
    taxes, total = totals
    parts += [f"N:{_decimal(taxes)}", f"O:{_decimal(total)}", f"Q:{fields['Q']}", f"R:{fields['R']}"]
    return "*".join(parts)


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
