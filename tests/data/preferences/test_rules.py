"""Answers that rules check: wrong ones are known before any judge, and what a rule cannot read is not called wrong."""

import pytest

from amalia_vl_hf.data.preferences.rules import names_boxes, rule_for

OPTIONS = "De que cor é o elétrico?\nA) azul\nB) amarelo\nC) verde\nD) preto\n"
LETTER = f"{OPTIONS}Responde apenas com a letra da opção correta."


@pytest.mark.parametrize(
    ("question", "reference", "kind", "bare", "alone", "right", "wrong", "unread"),
    [
        (LETTER, "B", "letter", True, True, ["B", "B)", "amarelo", "A resposta é B."], ["C", "azul"], ["não sei"]),
        (OPTIONS, "B) amarelo", "letter", True, False, ["É a B.", "b"], ["A", "D) preto"], ["Talvez."]),
        (
            OPTIONS,
            "O elétrico é amarelo.\nResposta: B",
            "letter",
            False,
            False,
            ["x\nResposta: B", "Resposta: amarelo"],
            ["x\nResposta: A"],
            [],
        ),
        (
            "Há gatos? Responde apenas com «Sim» ou «Não».",
            "Sim",
            "yes or no",
            True,
            True,
            ["sim", "Sim."],
            ["Não"],
            ["Talvez"],
        ),
        ("Is there a cat?", "No.", "yes or no", True, False, ["No", "não"], ["Yes, there is"], ["Hard to tell"]),
        (
            "Quantos são?",
            "3",
            "number",
            True,
            False,
            ["3", "três", "São três.", "Há 3 gatos"],
            ["4", "São dois"],
            ["Há 3 gatos e 2 cães", "vários"],
        ),
        (
            "Quanto custa?",
            "São 2 a 1,50.\nResposta: 3,00",
            "number",
            False,
            False,
            ["x\nResposta: 3", "a\nb\nResposta: 3.0"],
            ["x\nResposta: 30"],
            [],
        ),
    ],
)
def test_rules(question, reference, kind, bare, alone, right, wrong, unread):
    rule = rule_for(question, reference)
    assert (rule.kind, rule.bare, rule.alone) == (kind, bare, alone)
    assert [rule.check(text) for text in right] == [True] * len(right)
    assert [rule.check(text) for text in wrong] == [False] * len(wrong)
    assert [rule.check(text) for text in unread] == [None] * len(unread)


@pytest.mark.parametrize(
    ("question", "reference"),
    [
        ("Descreve a imagem.", "Um elétrico amarelo sobe uma rua."),
        ("O que se vê?", "Sim, vê-se um gato a dormir."),
        ("Qual? Responde apenas com a letra da opção correta.", "B"),  # its options are not to be found
        (OPTIONS, "O elétrico amarelo sobe a rua da Graça."),
        ("Onde está?", "Rua 25 de Abril"),
        ("B) sem A)\nC) nada", "B"),
    ],
)
def test_nothing_that_only_a_judge_can_tell_has_a_rule(question, reference):
    assert rule_for(question, reference) is None


@pytest.mark.parametrize(
    "texts",
    [
        ("Onde está o gato?", "[0.12, 0.4, 0.5, 0.91]"),
        ("Onde está o gato?", "(12, 40, 50, 91)"),
        ("Where?", "<box>1 2 3 4</box>"),
        ("Where?", '{"bbox_2d": [1, 2, 3, 4]}'),
        ("Where?", "<|box_start|>"),
        ("Dá a caixa delimitadora do gato.", "ok"),
        ("Give the bounding boxes.", "ok"),
        ("What is in [0,1; 0,2; 0,5; 0,9]?", "A cat"),
        ("Where?", "{x1: 10, y1: 20, x2: 30, y2: 40}"),
        ("Where?", "<loc_12><loc_40>"),
    ],
)
def test_boxes_are_known(texts):
    assert names_boxes(*texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("Quantas caixas há?", "Há 4 caixas."),
        ("What is in the box on the left?", "Shoes"),
        ("Lista", "1, 2, 3, 4"),
        ("f([1, 2, 3])", "[1, 2, 3]"),
        ("Que horas são?", "10:25 (12 h)"),
    ],
)
def test_what_is_no_box(texts):
    assert not names_boxes(*texts)
