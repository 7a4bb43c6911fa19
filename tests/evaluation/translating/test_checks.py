"""Each check of a translated benchmark has a row that fails it, and the same row done well, which passes all."""

import pytest

from amalia_vl_hf.evaluation.translating.checks import broken_pairs, group_faults, row_faults
from amalia_vl_hf.evaluation.translating.rows import RowTexts

COLOURS = RowTexts("What colour is the car?", ("Red", "Blue", "Green"))
ROWS = {
    "option count": (
        COLOURS,
        RowTexts("De que cor é o carro?", ("Vermelho", "Azul")),
        RowTexts("De que cor é o carro?", ("Vermelho", "Azul", "Verde")),
    ),
    "option order": (
        RowTexts("Where is it?", ("in Paris", "in Madrid")),
        RowTexts("Onde fica?", ("em Madrid", "em Paris")),
        RowTexts("Onde fica?", ("em Paris", "em Madrid")),
    ),
    "options distinct": (
        RowTexts("What is it?", ("boat", "ship")),
        RowTexts("O que é?", ("barco", "barco")),
        RowTexts("O que é?", ("barco", "navio")),
    ),
    "opposites": (
        COLOURS,
        RowTexts("De que cor é o carro?", ("Azul", "Vermelho", "Verde")),
        RowTexts("De que cor é o carro?", ("Vermelho", "Azul", "Verde")),
    ),
    "numbers": (
        RowTexts("Is it 1.5 m high?"),
        RowTexts("Tem 15 m de altura?"),
        RowTexts("Tem 1,5 m de altura?"),
    ),
    "tokens": (
        RowTexts("Solve $x^2=4$ with `f(x)` for {name}.", ("$2$", "$-2$")),
        RowTexts("Resolve $x^2=4$ com `g(x)` para {name}.", ("$2$", "$-2$")),
        RowTexts("Resolve $x^2=4$ com `f(x)` para {name}.", ("$2$", "$-2$")),
    ),
    "yes and no": (
        RowTexts("Is it red? Please answer yes or no.", (), ("Yes",)),
        RowTexts("É vermelho? Responde, por favor.", (), ("Certo",)),
        RowTexts("É vermelho? Responde sim ou não.", (), ("Sim",)),
    ),
    "length": (
        RowTexts("Which of these two men stands nearer to the window of the house?"),
        RowTexts("Qual dos dois?"),
        RowTexts("Qual destes dois homens está mais perto da janela da casa?"),
    ),
    "Brazilian": (
        RowTexts("What is the boy on the bus doing?"),
        RowTexts("O que o menino no ônibus está fazendo?"),
        RowTexts("O que está o rapaz do autocarro a fazer?"),
    ),
    "names": (
        RowTexts("Which book did Jane Austen write in England?", ("Emma Woodhouse", "Moby Dick")),
        RowTexts("Que livro escreveu Joana Austen em Inglaterra?", ("Ema Casalenha", "Moby Dick")),
        RowTexts("Que livro escreveu Jane Austen em Inglaterra?", ("Emma Woodhouse", "Moby Dick")),
    ),
    "leftover English": (
        RowTexts("What is the name of the tower on the left?"),
        RowTexts("Qual é the name of the torre da esquerda?"),
        RowTexts("Qual é o nome da torre da esquerda?"),
    ),
    "blank": (
        RowTexts("The animal is a ____.", ("cat", "cow")),
        RowTexts("O animal é uma ____.", ("gato", "vaca")),
        RowTexts("O animal é ____.", ("um gato", "uma vaca")),
    ),
}
GIVEN_AWAY = [
    ("A imagem mostra os ____.", ("cães", "gatos"), False),
    ("A imagem mostra o ____.", ("cão", "gatos"), True),
    ("Na imagem vê-se uma:", ("casa", "estação"), False),
    ("Na imagem vê-se uma:", ("casa", "cão"), True),
    ("Ela vive na [blank].", ("a cidade", "o campo"), True),
    ("Quanto custa o ____?", ("5", "6"), False),
    ("O que é isto?", ("casa", "cão"), False),
]


@pytest.mark.parametrize("rule", ROWS)
def test_each_check_has_a_failing_and_a_passing_row(rule):
    source, wrong, right = ROWS[rule]
    assert rule in [fault.rule for fault in row_faults(source, wrong)]
    assert row_faults(source, right) == []


@pytest.mark.parametrize(("question", "options", "given_away"), GIVEN_AWAY)
def test_an_article_before_a_blank(question, options, given_away):
    source = RowTexts("What is it? ____", options)
    rules = [fault.rule for fault in row_faults(source, RowTexts(question, options))]
    assert ("blank" in rules) is given_away


def test_one_source_string_has_one_translation_in_a_group():
    sources = [RowTexts("Is it red?", ("red car",)), RowTexts("Is it big?", ("red car",))]
    same = [RowTexts("É vermelho?", ("carro vermelho",)), RowTexts("É grande?", ("Carro vermelho",))]
    other = [RowTexts("É vermelho?", ("carro vermelho",)), RowTexts("É grande?", ("automóvel vermelho",))]
    assert group_faults(sources, same) == {}
    assert group_faults(sources, other)[1].rule == "one translation"


def test_other_languages_have_their_own_yes_and_no():
    source = RowTexts("Is the car red?", (), ("Yes",))
    assert row_faults(source, RowTexts("Das Auto ist rot?", (), ("Ja",)), "de") == []
    assert [fault.rule for fault in row_faults(source, RowTexts("Das Auto ist rot?", (), ("Sim",)), "de")] == [
        "yes and no"
    ]


def test_pairs_are_whole_or_nothing():
    assert broken_pairs(["a", "a", "b", "b", "c"], [True, False, True, True, True]) == [0]
    assert broken_pairs(["a", "a"], [True, True]) == []
