"""Numbers of two languages: the same however they are written, or named."""

import pytest

from amalia_vl_hf.translation.numbers import number_faults

SAME = [
    *(("It costs 1,234.50.", "Custa 1.234,50."), ("1,234,567", "1 234 567"), ("12,500", "12500"), ("0.12", "0,12")),
    *(("3 dogs", "três cães"), ("two", "2"), ("19th century", "século XIX"), ("the 1990s", "os anos 90")),
    *(("at 5:30 PM", "às 17h30"), ("at 6 pm", "às 18h"), ("3/4/2020", "03/04/2020"), ("2010-2015", "2010 a 2015")),
    *(("5%", "5 %"), ("1.500", "1,500"), ("-5", "−5"), ("", "")),
]
OTHER = {
    ("1.5", "15"): (["1.5"], ["15"]),
    ("-5", "5"): (["-5"], ["5"]),
    ("2 and 2", "2 e 3"): (["2"], ["3"]),
    ("in 2020", "no ano"): (["2020"], []),
    ("no year", "em 2020"): ([], ["2020"]),
    ("0.5", "5"): (["0.5"], ["5"]),
    ("1,000", "1,00"): (["1,000"], ["1,00"]),
}


@pytest.mark.parametrize(("source", "translation"), SAME)
def test_the_same(source, translation):
    assert number_faults(source, translation) == ([], [])


@pytest.mark.parametrize(("source", "translation"), OTHER)
def test_another(source, translation):
    assert number_faults(source, translation) == OTHER[source, translation]
