"""What documents say: law and arithmetic, as the validator works them out; and what it sees when they are spoilt."""

import json
import random
from collections import Counter

import pytest

from amalia_vl_hf.data.invoices.checks import check_document
from amalia_vl_hf.data.invoices.documents import draw_document
from amalia_vl_hf.data.invoices.labels import LABELS, REASONS, TITLES
from amalia_vl_hf.data.invoices.people import town_of, towns
from amalia_vl_hf.data.invoices.trades import exporters, foreign_buyers, trades

DOCUMENTS = [draw_document(random.Random(seed)) for seed in range(600)]


def printed(document):
    facts = json.loads(json.dumps(document.record()))
    return facts, {name: value.replace("\n", ", ") for name, value in facts["fields"].items()}


def first(**wanted):
    """Find a document with these properties; gives its record and what is printed."""
    return next(
        printed(one) for one in DOCUMENTS if all(getattr(one, name) == value for name, value in wanted.items())
    )


def test_documents_hold():
    assert [check_document(*printed(document)) for document in DOCUMENTS] == [[]] * len(DOCUMENTS)


def test_the_same_seed_gives_the_same_document():
    assert draw_document(random.Random(7)) == DOCUMENTS[7]


def test_kinds_formats_languages_and_spaces_are_all_there():
    for name, least in (("kind", 5), ("format", 2), ("language", 4), ("space", 3), ("trade", 35)):
        assert len({getattr(document, name) for document in DOCUMENTS}) >= least
    rates = Counter(rate for document in DOCUMENTS for rate in document.rates)
    assert set(rates) == {"exempt", "reduced", "intermediate", "normal"}
    assert any(line.cut for document in DOCUMENTS for line in document.lines)
    assert any(line.group for document in DOCUMENTS for line in document.lines)


def test_simplified_invoices_stay_below_their_limit():
    totals = [document.sums["total"] for document in DOCUMENTS if document.kind == "simplified invoice"]
    assert len(totals) > 50
    assert max(totals) <= 1_000_00


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("seller_nif", "501442601", "is no tax number of"),
        ("seller_address", "Rua do Sol, n.º 2, 1000-001 Faro", "has no postal code of its town"),
        ("buyer_nif", "123456780", "is no tax number"),
        ("buyer_address", "Rua do Sol, n.º 2, 9000-001 Braga", "has no postal code of its town"),
        ("iban", "PT50 0002 0123 1234 5678 9015 5", "is no IBAN"),
        ("number", "NC 2025/7", "is no number of a document of kind invoice"),
        ("atcud", "CSDF7T5-7", "is no ATCUD of"),
        ("total", "0,01 €", "the total is printed as '0,01 €'"),
        ("first_value", "0,01", "the first_value is printed as '0,01'"),
    ],
)
def test_the_validator_sees_what_is_printed_wrongly(name, value, fault):
    facts, fields = next(
        printed(one) for one in DOCUMENTS if one.kind == "invoice" and one.language == "pt" and "iban" in one.fields
    )
    assert any(fault in found for found in check_document(facts, {**fields, name: value}))


def test_the_validator_sees_wrong_sums_rates_goods_and_codes():
    facts, fields = first(kind="invoice", language="pt", format="a4", space="mainland", trade="oficina")
    line = facts["lines"][0]
    for changed, fault in (
        ({"lines": [[*line[:-1], line[-1] + 1], *facts["lines"][1:]]}, "are not"),
        ({"lines": [[*line[:2], "Pão de Mafra", *line[3:]], *facts["lines"][1:]]}, "is nothing that oficina sells"),
        ({"rates": {"normal": [22, *facts["rates"]["normal"][1:]]}}, "is not the rate normal in mainland"),
        ({"rates": {}}, "and taxes of []"),
        ({"sums": {**facts["sums"], "tax": facts["sums"]["tax"] + 1}}, "the tax is"),
        ({"qr": facts["qr"].replace("D:FT", "D:FS")}, "field D of the QR code is FS, not FT"),
        ({"qr": facts["qr"].replace("*N:", "*I3:1.00*N:")}, "bases and taxes of the QR code are"),
        ({"qr": facts["qr"].replace("A:", "S:x*A:")}, "fields of the QR code stand as S, A"),
        ({"space": "Madeira"}, "has no postal code of its town in Madeira"),
    ):
        assert any(fault in found for found in check_document({**facts, **changed}, fields)), fault


def test_the_validator_sees_an_exemption_without_a_reason():
    facts, fields = first(trade="clinica", kind="invoice")
    del fields["exemption"]
    assert "an exemption and its reason do not go together" in check_document(facts, fields)
    assert check_document(facts, {}) == [
        "a document must have ['atcud', 'certificate', 'date', 'number', 'seller', 'seller_address', 'seller_nif', "
        "'title', 'total']"
    ]


def test_madeira_s_reduced_rate_fell_in_october_2024():
    reduced = {
        (document.date.isoformat() < "2024-10-01", document.rates["reduced"][0])
        for seed in range(1_500)
        if (document := draw_document(random.Random(seed))).space == "Madeira" and "reduced" in document.rates
    }
    assert reduced == {(True, 5), (False, 4)}


def test_tables_are_whole():
    assert len({trade.key for trade in (*trades(), *exporters())}) == len(trades()) + len(exporters())
    for trade in (*trades(), *exporters()):
        assert len(trade.items) >= 4
        assert all(item.prices[0] <= item.prices[1] for item in trade.items)
        assert (trade.exempt != "") == all(item.rate == "exempt" for item in trade.items) or trade in exporters()
    assert all(set(item.names) == {"pt", "en", "es", "fr"} for trade in exporters() for item in trade.items)
    assert {buyer.language for buyer in foreign_buyers()} == {"en", "es", "fr"}
    assert all(set(labels) == set(LABELS["pt"]) for labels in LABELS.values())
    assert set(REASONS) == set(TITLES) == set(LABELS)


def test_a_postal_code_belongs_to_its_town():
    for town in towns():
        assert all(town_of(f"Rua do Sol, n.º 1, {code}-001 {town.name}") == town for code in town.codes)
        assert all(code % 5 == 0 for code in town.codes)  # the others are of post boxes and firms
        assert town_of(f"Rua do Sol, n.º 1, {town.codes[0] + 1}-001 {town.name}") is None
    assert town_of("Rua do Sol") is None
    assert town_of("Rua do Sol, 8800101 Tavira") is None
