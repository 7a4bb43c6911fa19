"""Formats of answers: read back as they were written, and nothing else is."""

import pytest

from amalia_vl_hf.data.answer_formats import ACCEPTED, FORMATS, REFUTED, VERDICT, read, request, write

CASES = [
    {"texto": "Olá, «mundo»!"},
    {"texto": 'Aspas "e" \\ barras\nem duas linhas'},
    {"frase": "1"},
    {"total": 3},
    {"texto_1": "Um.", "texto_2": "Dois."},
    {VERDICT: True},
    {VERDICT: False, "texto": "Chove."},
]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fields", CASES)
def test_formats_are_read_back_as_they_were_written(kind, fields):
    assert read(write(fields, kind), kind, fields) == fields


@pytest.mark.parametrize("kind", FORMATS[1:])
@pytest.mark.parametrize("answer", ["", "Chove.", "null", "{", "<texto>", "**texto:** ", '{"outro": 1}', "[]"])
def test_other_formats_are_not_read(kind, answer):
    assert read(answer, kind, {"frase": ""}) is None


def test_a_verdict_in_plain_words_is_one_of_two():
    assert read("Talvez.", "plain", {VERDICT: True}) is None
    assert read(ACCEPTED, "plain", {VERDICT: False, "texto": ""}) is None
    assert read(REFUTED + "Chove.", "plain", {VERDICT: True}) is None


def test_two_texts_do_not_pass_for_one():
    assert read("um", "plain", {"texto_1": "", "texto_2": ""}) is None


def test_requests_name_every_field():
    for kind in FORMATS[1:]:
        assert "texto_1" in request(["texto_1", "texto_2"], kind)
        assert "texto_2" in request(["texto_1", "texto_2"], kind)
    assert request(["texto"], "plain") == ""
