"""Each hard rule finds its fault, and lets what only looks like it pass."""

import pytest

from amalia_vl_hf.translation.languages import TARGETS, is_in
from amalia_vl_hf.translation.structure import RULES, faults

OPTIONS = "Which?\nA. a cat\nB. a dog"
# By rule: source, a translation that it refuses, one that passes all rules.
ROWS = {
    "empty": ("A cat.", "  ", "Um gato."),
    "tokens": ("See `f(x)` now.", "Vê `f(y)` agora.", "Vê agora `f(x)`."),
    "numbers": ("It is 1.5 m tall.", "Tem 15 m de altura.", "Tem 1,5 m de altura."),
    "options": (OPTIONS, "Qual?\nA. um gato\nC. um cão", "Qual?\nA. um gato\nB. um cão"),
    "lines": ("Look here.\nSit down.", "Olha para aqui. Senta-te.", "Olha para aqui.\nSenta-te."),
    "preamble": ("A red train.", "Aqui está a tradução: Um comboio vermelho.", "Um comboio vermelho."),
    "copy": ("Red house", "Red house", "Casa vermelha"),
    "leftover English": (
        "The man is waiting for the bus in the rain.",
        "O homem is waiting for the autocarro à chuva.",
        "O homem espera o autocarro à chuva.",
    ),
    "length": (
        "A man stands in front of a house with a garden.",
        "Um homem.",
        "Um homem está em frente a uma casa com jardim.",
    ),
    "ending": ("The man is tall. He smiles.", "O homem é alto. Ele", "O homem é alto. Sorri."),
    "loops": ("The sea is calm.", "O mar está calmo calmo calmo calmo calmo.", "O mar está calmo."),
    "language": (
        "The cat is on the table and the dog is not.",
        "El gato está en la mesa y el perro no.",
        "O gato está em cima da mesa e o cão não.",
    ),
    "Brazilian": (
        "The boy is drinking juice on the bus.",
        "O menino está bebendo suco no ônibus.",
        "O rapaz está a beber sumo no autocarro.",
    ),
    "negation": ("He is not at home.", "Ele está em casa.", "Ele não está em casa."),
    "opposites": ("The door on the left.", "A porta da direita.", "A porta da esquerda."),
}
PASSING = [
    ("Paris", "Paris"),
    ("IBM 5150", "IBM 5150"),
    ("No.", "Não."),
    ("Sure: 5.", "Certo: 5."),
    ('The sign says "STOP".', 'O sinal diz "STOP".'),
    ("It reads: 'The end of the world is near'.", "Diz: 'The end of the world is near'."),
    ("The lighthouse above the sea.", "O farol sobre o mar."),
    ("The man is unable to walk.", "O homem não consegue andar."),
    ("ha ha ha ha ha", "ah ah ah ah ah"),
    ('"Yes", he said, "no"', '"Sim", disse ele, "não"'),
]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_refuses_its_fault_and_lets_a_good_translation_pass(rule):
    source, wrong, right = ROWS[rule]
    assert rule in [fault.rule for fault in faults(source, wrong)]
    assert faults(source, right) == []


@pytest.mark.parametrize(("source", "translation"), PASSING)
def test_what_only_looks_like_a_fault_passes(source, translation):
    assert faults(source, translation) == []


@pytest.mark.parametrize(
    ("source", "wrong", "rule"),
    [
        ("A cat.", '"Um gato."', "preamble"),
        ("A cat.", "Um gato. (Nota do tradutor: é um gato.)", "preamble"),
        ("A cat sleeps.", "Here is the translation: Um gato dorme.", "preamble"),
        ("A cat.", "Um gato.\n", None),
        (OPTIONS, "Qual?\nA. um gato\nB. um gato", "options"),
        ("- one\n- two", "- um\n* dois", "lines"),
        ("Save the file.", "Guarda o arquivo.", "Brazilian"),
        ("On Monday it rained in March.", "Na terça choveu em março.", "opposites"),
        ("A red ball and a blue box.", "Uma bola azul e uma caixa verde.", "opposites"),
        ("Nobody saw it.", "Toda a gente o viu.", "negation"),
        ("He sleeps.", "Ele não dorme.", "negation"),
        ("The price is 5 <b>euros</b>.", "O preço é 5 euros.", "tokens"),
        ("Fill in ____ here.", "Preenche aqui.", "tokens"),
    ],
)
def test_kinds_of_faults(source, wrong, rule):
    assert [fault.rule for fault in faults(source, wrong)][:1] == ([rule] if rule else [])


def test_other_languages_have_the_rules_that_know_no_portuguese():
    source = "The cat is on the table and the dog is not there, 3 times."
    assert faults(source, "El gato está en la mesa y el perro no está, 3 veces.", "es") == []
    assert faults(source, "Die Katze ist auf dem Tisch und der Hund ist nicht da, 3 mal.", "de") == []
    assert faults(source, "Le chat est sur la table et le chien n'est pas là, 3 fois.", "fr") == []
    assert faults(source, "Il gatto è sul tavolo e il cane non c'è, 3 volte.", "it") == []
    wrong = faults(source, "O gato está em cima da mesa e o cão não está, 4 vezes.", "es")
    assert [fault.rule for fault in wrong] == ["numbers", "language"]
    assert all(is_in("The cat is on the table and it is not there.", target) is False for target in TARGETS)
