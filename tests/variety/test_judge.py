import doctest
import unicodedata

import pytest

from amalia_vl_hf import variety
from amalia_vl_hf.variety import (
    NOT_PORTUGUESE,
    REFUSED_WITH_HINT,
    REFUSED_WITH_SIGN,
    REFUSED_WITHOUT,
    TOO_LITTLE,
    judge,
)
from amalia_vl_hf.variety.classifier import load_classifier
from amalia_vl_hf.variety.features import fold
from amalia_vl_hf.variety.rules import RULES, findings
from amalia_vl_hf.variety.vocabulary import weighed
from tests.variety.test_features import SPELLINGS

EUROPEAN = [
    "O que se vê na imagem?\nUm autocarro amarelo está a chegar à paragem e três pessoas estão a entrar.",
    "Quantas pessoas estão no comboio?\nEstão duas raparigas sentadas junto à janela, a olhar para o telemóvel.",
    "Qual é a cor do ecrã?\nO ecrã é azul; o utilizador tem de guardar o ficheiro antes de sair.",
    "Descreve a imagem.\nNum relvado, um miúdo de camisola vermelha chuta a bola para o guarda-redes.",
    "A fotografia mostra um pequeno-almoço com uma chávena de café e uma sandes de fiambre.",
]
BRAZILIAN = [
    "O que se vê na imagem?\nUm ônibus amarelo está chegando ao ponto e três pessoas estão entrando.",
    "Quantas pessoas estão no trem?\nDuas garotas estão sentadas perto da janela, olhando para o celular.",
    "Qual é a cor da tela?\nA tela é azul; o usuário precisa salvar o arquivo antes de sair.",
    "Descreva a imagem.\nEm um gramado, um garoto de camiseta vermelha chuta a bola para o goleiro.",
    "A foto mostra um café da manhã com uma xícara de café e um suco de laranja em uma bandeja.",
]
OTHERS = [
    "What can be seen in the picture?\nA yellow bus is arriving at the stop and three people are getting on.",
    "¿Qué se ve en la imagen?\nUn autobús amarillo está llegando a la parada y tres personas están subiendo.",
    "Que voit-on sur cette image ?\nUn bus jaune arrive à l'arrêt et trois personnes sont en train de monter.",
    "Cosa si vede nella foto?\nUn autobus giallo sta arrivando alla fermata e le persone sono pronte.",
    "Was ist auf dem Bild zu sehen?\nEin gelber Bus kommt an der Haltestelle an und drei Personen steigen ein.",
]
NOTHING = ["", " \n\t", "\0\x01\x1b[31m", "42", "Lisboa", "図の中", "\ud800", "```python\nfor a in b: print(com)\n```"]


def test_the_examples_of_the_documentation_hold():
    results = doctest.testmod(variety)
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("text", EUROPEAN)
def test_european_dialogues_are_recognised(text):
    verdict = judge(text)
    assert verdict.is_pt_pt is True
    assert verdict.score > 0.5


@pytest.mark.parametrize("text", BRAZILIAN)
def test_brazilian_dialogues_are_recognised(text):
    verdict = judge(text)
    assert verdict.is_pt_pt is False
    assert verdict.score < 0.5
    assert any(reason.startswith("pt-BR, ") for reason in verdict.reasons)


@pytest.mark.parametrize("text", OTHERS)
def test_other_languages_are_not_judged(text):
    verdict = judge(text)
    assert (verdict.is_pt_pt, verdict.score, verdict.reasons) == (None, 0.5, (NOT_PORTUGUESE,))


@pytest.mark.parametrize("text", NOTHING)
def test_too_little_is_not_judged(text):
    verdict = judge(text)
    assert (verdict.is_pt_pt, verdict.score, verdict.reasons) == (None, 0.5, (TOO_LITTLE,))


def test_reasons_name_the_rule_and_what_it_found():
    reasons = judge("O trem e o banheiro. Outro trem, uma geladeira, um usuário.").reasons
    assert reasons[0] == "pt-BR, Brazilian words: banheiro, geladeira, usuário and 1 more"
    assert reasons[-2].startswith("classifier: ")
    assert reasons[-1].startswith("frequencies of words: -")
    assert "banheiro" in reasons[-1]


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_spelling_of_before_1990_never_counts_as_brazilian(old, new):
    sentences = [f"Isto é o que se diz de {word} quando se fala com alguém." for word in (old, new)]
    assert len({load_classifier()(sentence) for sentence in sentences}) == 1
    assert len({sum(weighed(fold(sentence)).values()) for sentence in sentences}) == 1
    signs = [findings(sentence) for sentence in sentences]
    assert not [name for name in signs[0] if RULES[name].variety == "pt-BR"]
    if not signs[1]:  # receção is written so in Portugal alone, recepção in both countries
        assert judge(sentences[0]).score >= judge(sentences[1]).score


@pytest.mark.parametrize("text", EUROPEAN + BRAZILIAN)
def test_a_verdict_does_not_depend_on_how_a_text_is_stored(text):
    verdict = judge(text)
    assert judge(unicodedata.normalize("NFD", text)) == verdict
    assert judge("\u00ad".join(text)) == verdict
    assert judge(f"{text}\n```python\nprint('ônibus', 'comboio')\n```") == judge(f"{text}\n")
    assert judge(f"{text} https://exemplo.pt/autocarro/trem") == verdict


@pytest.mark.parametrize("more", EUROPEAN)
def test_more_european_turns_raise_the_score(more):
    for text in EUROPEAN[:3]:
        together = judge(f"{text}\n{more}").score
        assert together > 0.5
    for text in BRAZILIAN[:3]:
        assert judge(f"{text}\n{more}").score > judge(text).score


def test_the_threshold_decides():
    text = "A casa é azul e a porta é verde."
    verdicts = [judge(text, threshold, lambda text: 0.0) for threshold in (0.4, 0.5, 0.6)]
    assert [verdict.is_pt_pt for verdict in verdicts] == [True, True, False]
    assert {verdict.score for verdict in verdicts} == {0.5}


@pytest.mark.parametrize("log_odds", [-800.0, -1.0, 0.0, 1.0, 800.0])
def test_another_classifier_takes_the_place_of_the_ngrams(log_odds):
    verdict = judge("A casa é azul e a porta é verde.", classifier=lambda text: log_odds)
    assert 0 <= verdict.score <= 1
    assert verdict.is_pt_pt is (log_odds >= 0)
    assert verdict.reasons[0] == f"classifier: {log_odds:+.1f}"
    text = "A casa é azul e a porta é verde."
    ours = load_classifier()(text) + sum(weighed(fold(text)).values())
    assert verdict.reasons[1] == f"shipped weights: {ours:+.1f}, which make it {'pt-PT' if ours >= 0 else 'pt-BR'}"


def test_a_huge_text_is_judged_as_a_small_one():
    assert judge(EUROPEAN[0] * 1_000).is_pt_pt is True
    assert judge(BRAZILIAN[0] * 1_000).is_pt_pt is False
    assert judge("está " + "a" * 200_000).is_pt_pt is not None
    assert judge("estáêm" * 20_000 + " mente" * 20_000).score == pytest.approx(0.5, abs=0.5)


def test_only_text_is_judged():
    with pytest.raises(TypeError, match="one text, a whole dialogue joined by line breaks, not list"):
        judge(["O comboio"])


@pytest.mark.parametrize("threshold", [0, 1, -0.5, float("nan")])
def test_a_threshold_is_a_share(threshold):
    with pytest.raises(ValueError, match="between 0 and 1"):
        judge("O comboio chegou.", threshold=threshold)


SHORT = [
    "Qual é a localidade?\nPortimão",
    "Qual é o total?\n123,45 €",
    "Quantos quadrados há?\nTrês.",
    "Na mesa da sala.",
]


@pytest.mark.parametrize("text", SHORT)
def test_short_texts_are_undecided_and_never_refused(text):
    verdict = judge(text)
    assert verdict.undecided
    assert not verdict.refused
    assert verdict.is_pt_pt is not None


@pytest.mark.parametrize("text", EUROPEAN)
def test_evidence_decides_for_portugal(text):
    assert (judge(text).refused, judge(text).undecided) == (False, False)


@pytest.mark.parametrize("text", BRAZILIAN)
def test_a_sign_of_brazil_is_refused(text):
    assert (judge(text).refused, judge(text).undecided) == (True, False)


@pytest.mark.parametrize("text", [*OTHERS, *NOTHING])
def test_nothing_to_judge_is_neither_refused_nor_undecided(text):
    assert (judge(text).refused, judge(text).undecided) == (False, False)


def test_without_a_sign_a_refusal_needs_enough_text():
    sure = {"classifier": lambda text: -9.0}
    assert not judge("A casa é azul e a porta é verde.", **sure).refused
    assert not judge("A casa é azul e a porta é verde. " * 9, **sure).refused  # says nothing new
    text = (
        "A casa azul fica ao fundo da rua, perto da escola velha, onde três crianças jogam à bola com um cão preto. "
    )
    assert judge(f"{text} Ontem choveu muito, mas hoje há sol e ninguém leva chapéu nem casaco.", **sure).refused
    assert judge("A casa é azul e a geladeira é verde.", **sure).refused


PLAIN = [
    "Abrir a imagem\nNenhuma categoria\nMover os nós selecionados para a grelha\nSelecione um retângulo\nTraço\n"
    "Ajusta o contorno usando o valor indicado na caixa\nEscalar pelo fator indicado\nNão é possível criar a camada",
    "Mostrar o título na barra, se existir\nUse a opção para criar um modelo\nFormato do texto\nItens por página\n"
    "Novo documento sem nome\nA versão anterior será removida\nNão alterar os valores mostrados\nEscala e rotação",
    "Fora da Finlândia\nNão se esqueça de definir a cor da fronteira como sendo igual a 0, 0, 0\nNorte do país\n"
    "Crie duas ou três divisões falsas e coloque uma marca em cada uma\nÁgua e costa\nRegiões\nSul\nCapital",
    "Descrição do servidor, mostrada quando alguém entra\nPressione a tecla para descer\nLimite de lagos no mapa\n"
    "Nível do terreno\nVelocidade do voo em blocos por segundo\nAtivar a luz\nQuantidade mínima de cavernas grandes",
]


@pytest.mark.parametrize("text", PLAIN)
def test_weak_evidence_alone_refuses_no_form(text):
    """Words that films of Brazil say oftener add up in any list of commands: that is no sign."""
    verdict = judge(text)
    assert not any(reason.startswith("pt-BR") for reason in verdict.reasons)
    assert not verdict.refused


def test_more_words_and_more_signs_refuse_more():
    kinds = (REFUSED_WITHOUT, REFUSED_WITH_HINT, REFUSED_WITH_SIGN)
    for limits in kinds:
        assert list(limits) == sorted(limits, reverse=True)
        assert list(limits.values()) == sorted(limits.values(), reverse=True)
    for words in range(200):
        limit = [next((limit for fewest, limit in kind.items() if words >= fewest), 0.0) for kind in kinds]
        assert limit == sorted(limit)


def test_months_written_small_tell_nothing():
    values = "«{}»: 17; «{}»: 5; «{}»: 9; «{}»: 44.".format
    months, places = values("junho", "julho", "agosto", "setembro"), values("Beja", "Faro", "Braga", "Leiria")
    verdicts = [judge(f"Procuram-se os valores: {named} Somam-se: 75 ao todo.") for named in (months, places)]
    assert abs(verdicts[0].score - verdicts[1].score) < 0.1


def test_words_of_biology_and_painting_refuse_nothing():
    text = "Explica a respiração celular e o papel do suco gástrico. Descreve a tela do pintor e o arquivo da família."
    assert not judge(text).refused


def test_a_form_of_letters_of_other_languages_too_is_portuguese():
    text = "Extrai a data de emissão desta fatura.\nUsa o formato [x0, y0], com valores entre 0 e 1."
    assert judge(text).is_pt_pt is not None


FORMS = [
    "A chamada `conta('a')` começa por aí.\n`for c in texto` passa a `c = 'a'`.\n`if not c` falha.\n`if c in b` sai.",
    "Dá a caixa do total. Usa o formato [x0, y0, x1, y1].\n[0.740, 0.537, 0.947, 0.552]\nSegundo a fatura, é o 75/AT.",
    "Transcreve o código da imagem.\ndef conta(lista):\n    if not lista or not len(lista):\n        return 1",
]


@pytest.mark.parametrize("text", FORMS)
def test_boxes_and_programs_make_no_other_language(text):
    assert NOT_PORTUGUESE not in judge(text).reasons


def test_a_program_with_another_language_is_of_that_language():
    text = "Write the code shown in the image.\ndef conta(lista):\n    return 'não há nada na lista'"
    assert judge(text).reasons == (NOT_PORTUGUESE,)
