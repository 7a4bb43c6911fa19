"""Texts: agreement, one right answer a question, and rejected answers that are worse in the way they say."""

import random

import pytest

from amalia_vl_hf.demo.scene_texts import (
    KINDS,
    REJECTIONS,
    ask,
    ask_all,
    brazilian,
    caption,
    described,
    numeral,
    place_name,
    reject,
)
from amalia_vl_hf.demo.scenes import (
    COLOURS,
    QUADRANTS,
    SHAPES,
    WORDS,
    Scene,
    SceneShape,
    Sign,
    draw_scene,
)

RED, YELLOW, BROWN, PINK = COLOURS[0], COLOURS[3], COLOURS[4], COLOURS[6]
CIRCLE, SQUARE, STAR, CROSS = SHAPES[0], SHAPES[1], SHAPES[3], SHAPES[5]
SCENE = Scene(
    256,
    256,
    (250, 248, 240),
    (
        SceneShape(CIRCLE, RED, QUADRANTS[0]),
        SceneShape(STAR, BROWN, QUADRANTS[1]),
        SceneShape(STAR, BROWN, QUADRANTS[2]),
    ),
    Sign("LUA", QUADRANTS[3]),
)


def asked(kind, scene=SCENE, seed=0):
    return ask(scene, kind, random.Random(seed))


@pytest.mark.parametrize(
    ("name", "colour", "text"),
    [
        (CIRCLE, RED, "um círculo vermelho"),
        (STAR, YELLOW, "uma estrela amarela"),
        (CROSS, BROWN, "uma cruz castanha"),
        (SQUARE, PINK, "um quadrado cor-de-rosa"),
    ],
)
def test_article_noun_and_colour_agree(name, colour, text):
    assert described(name, colour) == text


def test_numbers_agree_up_to_two():
    assert [numeral(number, CIRCLE) for number in (1, 2, 3)] == ["um", "dois", "três"]
    assert [numeral(number, STAR) for number in (1, 2, 3)] == ["uma", "duas", "três"]


def test_caption_tells_everything_in_reading_order():
    assert caption(SCENE) == (
        "Em cima à esquerda há um círculo vermelho, em cima à direita há uma estrela castanha, "
        "em baixo à esquerda há uma estrela castanha. Na placa lê-se LUA."
    )


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        ("where", "Onde está o círculo?", "O círculo está em cima à esquerda."),
        ("reading", "Que palavra se lê na placa?", "Lê-se LUA."),
    ],
)
def test_questions_with_one_choice(kind, text, answer):
    question = asked(kind)
    assert (question.text, question.answer) == (text, answer)


def test_colours_agree_in_number_as_well():
    questions = {(question.text, question.answer) for question in (asked("colour", seed=seed) for seed in range(9))}
    assert questions == {
        ("De que cor é o círculo?", "O círculo é vermelho."),
        ("De que cor são as estrelas?", "As estrelas são castanhas."),
    }


@pytest.mark.parametrize("seed", range(8))
def test_count_and_shape_say_what_the_scene_shows(seed):
    count, shape = asked("count", seed=seed), asked("shape", seed=seed)
    told = {"Quantos círculos há na imagem?": "Há um círculo.", "Quantas estrelas há na imagem?": "Há duas estrelas."}
    assert count.answer == told[count.text]
    place = shape.text.removeprefix("Que forma está ").removesuffix("?")
    form = "um círculo" if place == "em cima à esquerda" else "uma estrela"
    assert shape.answer == f"{place.capitalize()} está {form}."


def test_nothing_ambiguous_is_asked():
    twins = Scene(256, 256, (0, 0, 0), SCENE.shapes[1:], SCENE.sign)
    assert asked("where", twins) is None
    assert {question.kind for question in ask_all(twins, random.Random(0), 1)} == {
        "colour",
        "shape",
        "count",
        "reading",
    }


def test_rounds_of_questions_never_ask_the_same_twice():
    questions = ask_all(SCENE, random.Random(0), 20)
    facts = [(question.kind, question.text if question.kind != "reading" else "") for question in questions]
    assert len(set(facts)) == len(facts) == 2 + 3 + 2 + 1 + 1  # colour, shape, count, where, reading


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_answers_are_of_the_same_kind_and_wrong(kind):
    rng = random.Random(1)
    for _ in range(200):
        question = ask(draw_scene(rng, "train"), kind, rng)
        if question:
            worse = reject(question, "wrong", rng).rejected
            assert worse != question.answer
            assert worse.split()[0] == question.answer.split()[0]
            assert question.value not in question.others


@pytest.mark.parametrize("rejection", REJECTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_rejected_answers_say_why_and_never_equal_the_right_one(kind, rejection):
    rng = random.Random(2)
    questions = filter(None, (ask(draw_scene(rng, "train"), kind, rng) for _ in range(200)))
    for question in questions:
        pair = reject(question, rejection, rng)
        assert pair.rejection == rejection
        assert pair.rejected != question.answer


@pytest.mark.parametrize("index", range(3))
def test_wrong_format_gives_the_right_fact(index):
    question = asked("reading", seed=index)
    assert "LUA" in reject(question, "format", random.Random(index)).rejected


def test_brazilian_wording():
    where_low = asked("where", Scene(256, 256, (0, 0, 0), (SceneShape(STAR, RED, QUADRANTS[2]),), SCENE.sign))
    brown = asked("colour", Scene(256, 256, (0, 0, 0), (SceneShape(STAR, BROWN, QUADRANTS[2]),), SCENE.sign))
    assert brazilian(where_low) == "A estrela está embaixo à esquerda."
    assert brazilian(brown) == "A estrela é marrom."
    assert brazilian(asked("where")) == "Você encontra em cima à esquerda."
    assert {brazilian(asked("colour", seed=seed)) for seed in range(9)} == {
        "Você pode ver que o círculo é vermelho.",
        "As estrelas são marrons.",
    }
    assert brazilian(asked("reading")) == "Se lê LUA."
    assert brazilian(asked("count")).startswith("Tem ")
    assert brazilian(asked("shape")).startswith("Se trata de ")


def test_chosen_answers_hold_no_brazilian_word():
    rng = random.Random(4)
    texts = [caption(draw_scene(rng, "train")) for _ in range(200)]
    texts += [question.answer for _ in range(200) for question in ask_all(draw_scene(rng, "train"), rng, 1)]
    foreign = {"marrom", "cinza", "embaixo", "você", "tem", "rosa", "laranja"}
    words = {word.strip(".,").lower() for text in texts for word in text.replace("cor de laranja", "").split()}
    assert not words & foreign


def test_places_and_words():
    assert [place_name(quadrant) for quadrant in QUADRANTS] == [
        "em cima à esquerda",
        "em cima à direita",
        "em baixo à esquerda",
        "em baixo à direita",
    ]
    assert len(set(WORDS)) == len(WORDS)
