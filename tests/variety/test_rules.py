import re

import pytest

from amalia_vl_hf.variety import words
from amalia_vl_hf.variety.rules import (
    MOST_COUNTED,
    RULES,
    evidence,
    findings,
)

FINDS = {
    "estar + gerund": ["está chovendo", "estavam todos olhando", "estou ainda lendo"],
    "ê, ô before m, n": ["um polêmico", "o gênero", "cem quilômetros", "econômica"],
    "em um": ["sentado em um banco", "em uma mesa"],
    "Brazilian words": ["o trem azul", "dois ônibus", "o usuário", "café da manhã", "papai noel", "de fato é assim"],
    "Brazilian spelling": ["registrávamos tudo", "um matrimônio", "planejamentos"],
    "você": ["você vê"],
    "pronoun before the verb": ["me disse que sim", "foi assim. te levaram"],
    "por que in a question": ["por que o céu é azul?", "sim. por que chove?"],
    "possessive without an article": ["está em sua casa", "gosto de seus livros", "sim. sua casa é azul"],
    "verb + pronoun + verb": ["vai se levantar", "pode me dizer", "estão se vestindo", "tem se mostrado"],
    "subject + pronoun + verb": ["o gato se levantou", "sim. ela me disse que não"],
    "até + article": ["até o fim", "até os anos noventa"],
    "nesta + day": ["nesta segunda-feira", "neste último sábado", "na terça-feira (14)"],
    "going on + gerund": ["continua chovendo", "ficou olhando"],
    "gerund alone": ["Carregando...", "O que faz o cão?\nCorrendo", "- Abrindo a janela do quarto."],
    "words more of Brazil": ["na tela", "o celular", "um suco"],
    "estar a + infinitive": ["está a chover", "estavam todos a olhar", "estou ainda a ler"],
    "é, ó before m, n": ["um polémico", "o género", "cem quilómetros", "económica"],
    "European words": ["o comboio azul", "dois autocarros", "no ecrã", "o utilizador", "pai natal", "casa de banho"],
    "European spelling": ["os bónus", "uma receção"],
    "article + possessive": ["o meu gato", "da sua casa", "aos nossos pais"],
    "month with a capital": ["a 25 de Abril", "em Março de 1990"],
    "esta + day": ["esta segunda-feira", "no passado dia 3", "na passada quinta"],
    "ordinal with a point": ["o 14.º dia", "a 2.ª porta", "n.º 7"],
    "-ámos": ["ontem falámos disso"],
    "pronoun inside the verb": ["far-se-á", "dar-lhes-ia"],
    "second person": ["o que tens na mão?", "podes ver"],
    "a + infinitive alone": ["A carregar…", "O que faz o cão?\nA correr.", "A abrir a janela do quarto"],
    "é que": ["onde é que fica"],
    "ter de": ["tem de sair", "tinham de ver"],
    "going on + a + infinitive": ["continua a chover", "ficou a olhar"],
    "pronoun after the verb": ["levantou-se", "deu-lhe", "vê-lo"],
    "words more of Portugal": ["o separador", "cor de castanha"],
    "consonants of before 1990": ["uma acção", "a direcção", "um projecto óptimo"],
}
PASSES = {
    "estar + gerund": [
        "está quando chove",
        "está no fundo",
        "estava em segundo",
        "está a chover",
        "gosta de ir andando",
    ],
    "ê, ô before m, n": ["a fêmea", "têm fome", "ciência", "ênfase", "escreveu Antônio Cândido"],
    "em um": ["num banco", "em umbral", "bem um pouco", "em um terço dos casos"],
    "Brazilian words": [
        "óleo sobre tela",
        "um homem de fato e gravata",
        "o fato de banho",
        "extremo",
        "contrato",
        "a respiração celular",
        "o suco gástrico",
        "o trem de aterragem",
        "um arquivo histórico",
        "o cadastro",
    ],
    "Brazilian spelling": ["registávamos", "detectar", "um aspecto", "a perspectiva"],
    "você": ["vocação", "vocês podem"],
    "pronoun before the verb": ["lembra-te disto", "que me disse", "nos anos vinte"],
    "por que in a question": ["por que razão chove?", "o motivo por que chove", "por que é que chove?"],
    "possessive without an article": [
        "na sua casa",
        "gosto dos seus livros",
        "por sua vez",
        "a casa de seu pai",
        "de seu nome Rui",
    ],
    "verb + pronoun + verb": ["vai levantar-se", "que se pode dizer", "pode seguir"],
    "subject + pronoun + verb": ["o gato que se levantou", "quando ele se levanta", "o gato levantou-se"],
    "até + article": ["até ao fim", "até o próprio rei", "até às dez"],
    "nesta + day": ["esta segunda-feira", "nesta casa"],
    "going on + gerund": ["continua a chover", "fica quando quer"],
    "gerund alone": [
        "Quando quiser",
        "Resumindo",
        "Fernando Simões",
        "Chovendo muito, o rio sobe",
        "Correndo pela rua que vai dar à praia velha",
        "o texto da imagem, em linhas curtas,\nusando uma fonte",
    ],
    "words more of Brazil": ["a célula", "um sumo"],
    "estar a + infinitive": ["está a par", "estava a melhor", "esta a sair", "está chovendo"],
    "é, ó before m, n": ["também", "alguém à porta", "além disso", "armazéns"],
    "European words": ["o fato azul", "o controle", "reequipar", "um sumo pontífice"],
    "European spelling": ["recepção", "o registo"],
    "article + possessive": ["meu gato", "a minhota"],
    "month with a capital": ["a 25 de abril", "Rio de Janeiro", "o Abril de ontem"],
    "esta + day": ["nesta segunda-feira", "esta segunda vez", "o ano passado"],
    "ordinal with a point": ["o 14º dia", "a 2ª porta", "nº 7"],
    "-ámos": ["nós estávamos", "falamos"],
    "pronoun inside the verb": ["faz-se", "guarda-chuva"],
    "second person": ["atens", "pode ver"],
    "a + infinitive alone": [
        "A mulher",
        "A partir de hoje",
        "A maior de todas",
        "A sair, chega-se",
        "começa\na chover",
    ],
    "é que": ["é o que vi"],
    "ter de": ["tem de tudo", "tem que sair"],
    "going on + a + infinitive": ["continua a par", "ficou olhando"],
    "pronoun after the verb": ["se levantou", "guarda-chuva", "terça-feira", "o dia-a-dia"],
    "words more of Portugal": ["a separação"],
    "consonants of before 1990": ["o pacto", "a recepção", "o aspecto", "respectivo", "ficção", "actual"],
}


def test_every_rule_has_cases():
    assert FINDS.keys() == PASSES.keys() == RULES.keys()


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in FINDS.items() for text in texts])
def test_a_rule_finds(rule, text):
    assert rule in findings(text)
    assert rule == "month with a capital" or rule in findings(text.upper())


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in PASSES.items() for text in texts])
def test_a_rule_passes_over(rule, text):
    assert rule not in findings(text)


def test_evidence_has_the_sign_of_the_variety():
    for name, rule in RULES.items():
        assert (evidence({name: ["x"]}) > 0) == (rule.variety == "pt-PT")


def test_a_rule_counts_only_so_often():
    trains = ["trem"] * 50
    assert evidence({"Brazilian words": trains}) == evidence({"Brazilian words": trains[:MOST_COUNTED]})
    assert evidence({"Brazilian words": trains}) < evidence({"Brazilian words": trains[:1]})


def test_no_word_is_on_both_sides():
    european = f"{words.EUROPEAN_WORDS} {words.OLD_EUROPEAN_SPELLING}".split()
    for word in european:
        assert "Brazilian words" not in findings(word.rstrip("*"))
    for word in words.BRAZILIAN_WORDS.split():
        assert not {"European words", "consonants of before 1990"} & findings(word.rstrip("*")).keys()


def test_countries_keep_the_accents_that_people_lose():
    assert "ê, ô before m, n" in findings("viveu na Polônia e no Quênia")
    assert "ê, ô before m, n" not in findings("escreveu a Antônio, de nome Ênio")


def test_every_phrase_is_found():
    for name, phrases in (("Brazilian words", words.BRAZILIAN_PHRASES), ("European words", words.EUROPEAN_PHRASES)):
        for phrase in phrases.strip().splitlines():
            plain = re.sub(r"\(\?!.*\)$|\\b|\?$", "", phrase)  # a noun alone, nothing of what may not follow
            plain = re.sub(r"\(\?:([^|)]*)[^)]*\)\??", r"\1", plain)
            plain = re.sub(r"\[(.)[^\]]*\]|.\?", lambda part: part[1] or part[0][0], plain)
            assert name in findings(f"e {plain} ali"), phrase
