"""Questions of personas: read, folded, and judged together."""

import json

import pytest

from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.photos.questions import ImageQuestion, judge_together, read_questions, same_answer
from amalia_vl_hf.variety import judge

GOOD = {"pergunta": "De que cor é o autocarro que está à esquerda?", "resposta": "Amarelo."}


def answer(*items):
    return json.dumps(list(items), ensure_ascii=False)


def numbered(count):
    return [{"pergunta": f"O que está na {n}.ª janela do prédio?", "resposta": "Roupa"} for n in range(count)]


def test_at_most_five_are_read_and_none_twice():
    assert read_questions(answer(GOOD)) == [ImageQuestion(*GOOD.values())]
    assert len(read_questions(answer(*numbered(9)))) == 5
    repeated = {"pergunta": "de que cor é o autocarro que está à esquerda ?", "resposta": "azul"}
    assert read_questions(answer(GOOD, repeated)) == [ImageQuestion(*GOOD.values())]
    assert len(read_questions("```json\n" + answer(*numbered(2)) + "\n```")) == 2


@pytest.mark.parametrize(
    "item",
    [
        {"pergunta": "De que cor é?"},
        {**GOOD, "nota": "fácil"},
        {**GOOD, "pergunta": "Cor?"},
        {**GOOD, "pergunta": "Descreve a cor do autocarro."},
        {**GOOD, "pergunta": "What colour is the bus that is on the left?"},
        {**GOOD, "resposta": ""},
        {**GOOD, "resposta": "amarelo " * 50},
        {**GOOD, "resposta": 3},
        {**GOOD, "resposta": GOOD["pergunta"]},
        "De que cor é o autocarro?",
        None,
    ],
)
def test_one_of_another_form_costs_no_other(item):
    assert read_questions(answer(item, GOOD)) == [ImageQuestion(*GOOD.values())]
    with pytest.raises(RejectedError, match="no question of the form asked for"):
        read_questions(answer(item))


@pytest.mark.parametrize(("text", "reason"), [("Olá", "no JSON"), ("{}", "another form"), ("[]", "an empty list")])
def test_no_list_is_rejected(text, reason):
    with pytest.raises(RejectedError, match=reason):
        read_questions(text)


def test_a_persona_is_judged_by_all_its_questions_together():
    brazilian = [
        ImageQuestion("Qual a cor do ônibus que está chegando no ponto?", "Amarelo"),
        ImageQuestion("O que a garota está segurando na mão?", "Um celular"),
        ImageQuestion("Quantas pessoas estão esperando na calçada?", "Três"),
    ]
    european = [
        ImageQuestion("De que cor é o autocarro que está a chegar à paragem?", "Amarelo"),
        ImageQuestion("O que é que a rapariga tem na mão?", "Um telemóvel"),
        ImageQuestion("Quantas pessoas estão à espera no passeio?", "Três"),
    ]
    assert judge_together(brazilian).refused
    assert not judge_together(european).refused
    # What says too little by itself is refused with the others.
    assert not judge("Três").refused
    assert judge_together(brazilian).score < 0.1


@pytest.mark.parametrize(
    ("one", "other"),
    [("Três.", "3"), ("O gato", "um gato"), ("1,5", "1.5"), ("SIM", "sim!"), ("«Rossio»", "Rossio"), ("A", "a")],
)
def test_equal_in_words(one, other):
    assert same_answer(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("sim", "não"), ("avó", "avô"), ("13", "3"), ("", ""), ("...", "!"), ("1,5", "15")]
)
def test_not_equal_in_words(one, other):
    assert not same_answer(one, other)
