"""Numbers with check digits, and the text of QR codes."""

import random

import pytest

from amalia_vl_hf.data.invoices.identifiers import (
    NIF_STARTS,
    NO_NIF,
    draw_iban,
    draw_nif,
    iban_is_valid,
    nif_is_valid,
    write_qr,
)

CODED = {
    "A": "123456789", "B": "999999990", "C": "PT", "D": "FT", "E": "N", "F": "20191231", "G": "FT AB2019/0035",
    "H": "CSDF7T5H-0035", "Q": "kLp0", "R": "9999",
}  # fmt: skip


@pytest.mark.parametrize("holder", NIF_STARTS)
def test_tax_numbers_are_of_their_holder_and_one_digit_spoils_them(holder):
    rng = random.Random(0)
    for _ in range(50):
        nif = draw_nif(rng, holder)
        assert nif_is_valid(nif)
        assert nif.startswith(NIF_STARTS[holder])
        place = rng.randrange(9)
        other = str((int(nif[place]) + rng.choice((1, 3, 7))) % 10)
        assert not nif_is_valid(nif[:place] + other + nif[place + 1 :]) or nif[8] == "0"  # 0 stands for two remainders


def test_known_tax_numbers():
    assert nif_is_valid(NO_NIF)
    assert nif_is_valid("503504564")  # of the examples of the tax authority
    assert not nif_is_valid("503504565")
    assert not nif_is_valid("50350456")
    assert not nif_is_valid("50350456A")


def test_ibans_check_and_so_do_the_digits_of_the_bank_number_in_them():
    rng = random.Random(0)
    for _ in range(50):
        iban = draw_iban(rng)
        assert iban_is_valid(iban)
        assert [len(group) for group in iban.split()] == [4, 4, 4, 4, 4, 4, 1]
        assert iban.startswith("PT50 00")
    assert iban_is_valid("PT50 0002 0123 1234 5678 9015 4")
    for wrong in ("PT50 0002 0123 1234 5678 9015 5", "PT51 0002 0123 1234 5678 9015 4", "ES50 0002", "PT50 000X"):
        assert not iban_is_valid(wrong)


def test_the_code_of_the_specification_s_first_space():
    amounts = {
        "exempt": (12_000_00, 0), "reduced": (15_000_00, 900_00), "intermediate": (50_000_00, 6_500_00),
        "normal": (80_000_00, 18_400_00),
    }  # fmt: skip
    assert write_qr(CODED, "mainland", amounts, (25_800_00, 182_800_00)) == (
        "A:123456789*B:999999990*C:PT*D:FT*E:N*F:20191231*G:FT AB2019/0035*H:CSDF7T5H-0035*I1:PT*I2:12000.00"
        "*I3:15000.00*I4:900.00*I5:50000.00*I6:6500.00*I7:80000.00*I8:18400.00*N:25800.00*O:182800.00*Q:kLp0*R:9999"
    )


def test_islands_have_fields_of_their_own_and_receipts_name_no_rate():
    assert "*J1:PT-AC*J3:10.00*J4:0.40*N:0.40" in write_qr(CODED, "Azores", {"reduced": (10_00, 40)}, (40, 10_40))
    assert "*K1:PT-MA*K7:10.00*K8:2.20*N" in write_qr(CODED, "Madeira", {"normal": (10_00, 2_20)}, (2_20, 12_20))
    assert "*I1:0*N:0.00*O:9.05*" in write_qr(CODED, "mainland", {}, (0, 9_05))
