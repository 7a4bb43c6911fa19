"""Texts about a scene in European Portuguese: a caption, questions of five kinds, and worse answers."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from .scenes import (
    COLOURS,
    MAX_SHAPES,
    QUADRANTS,
    SHAPES,
    WORDS,
    ColourName,
    Quadrant,
    Scene,
    ShapeName,
)

Kind = Literal["colour", "shape", "count", "where", "reading"]
Rejection = Literal["wrong", "brazilian", "format"]

KINDS: tuple[Kind, ...] = ("colour", "shape", "count", "where", "reading")
REJECTIONS: tuple[Rejection, ...] = ("wrong", "brazilian", "format")
CAPTION_REQUEST = "Descreve a imagem."

_NUMERALS = {"m": ("um", "dois", "três"), "f": ("uma", "duas", "três")}


class Question(NamedTuple):
    """A question about a scene: `sentence` says its right `value`, and would say the `others`, which are wrong."""

    kind: Kind
    text: str
    sentence: str
    value: str
    others: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.sentence.format(self.value)


class Preference(NamedTuple):
    """A right answer in European Portuguese and one that is worse, with the reason why."""

    question: Question
    rejected: str
    rejection: Rejection


def caption(scene: Scene) -> str:
    """Describe the whole scene: the shapes in reading order, then the sign."""
    shapes = (f"{place_name(shape.quadrant)} há {described(shape.name, shape.colour)}" for shape in scene.shapes)
    sentence = ", ".join(shapes)
    return f"{sentence[0].upper()}{sentence[1:]}. Na placa lê-se {scene.sign.word}."


def described(name: ShapeName, colour: ColourName) -> str:
    """Name a coloured shape with its article, all in the gender of the noun.

    >>> described(SHAPES[3], COLOURS[3])
    'uma estrela amarela'
    """
    return f"{numeral(1, name)} {name.singular} {colour_of(name, colour, 1)}"


def colour_of(name: ShapeName, colour: ColourName, count: int) -> str:
    """Give the colour in the gender and number of so many shapes."""
    if count == 1:
        return colour.masculine if name.gender == "m" else colour.feminine
    return colour.masculine_plural if name.gender == "m" else colour.feminine_plural


def numeral(number: int, name: ShapeName) -> str:
    """Give the number, 1 to 3, in the gender of the shape."""
    return _NUMERALS[name.gender][number - 1]


def place_name(quadrant: Quadrant) -> str:
    """Name the quadrant.

    >>> place_name(QUADRANTS[2])
    'em baixo à esquerda'
    """
    return f"em {('cima', 'baixo')[quadrant.row]} à {('esquerda', 'direita')[quadrant.col]}"


def ask(scene: Scene, kind: Kind, rng: random.Random) -> Question | None:
    """Draw a question of that kind about the scene; None when nothing in the scene allows one without ambiguity."""
    return _ASK[kind](scene, rng)


def ask_all(scene: Scene, rng: random.Random, rounds: int) -> list[Question]:
    """Draw questions about the scene, in any order: one of each kind it allows in each round, none of them twice."""
    drawn = (ask(scene, kind, rng) for _ in range(rounds) for kind in KINDS)
    # A sign has one word, however one asks for it.
    questions = {question.text if question.kind != "reading" else "": question for question in drawn if question}
    return rng.sample(list(questions.values()), len(questions))


def _ask_colour(scene: Scene, rng: random.Random) -> Question:
    shape = rng.choice(scene.shapes)
    count = scene.count(shape.name)
    values = [colour_of(shape.name, colour, count) for colour in COLOURS]
    verb = "é" if count == 1 else "são"
    shapes = _the(shape.name, count)
    text, sentence = f"De que cor {verb} {shapes}?", f"{shapes.capitalize()} {verb} {{}}."
    return _question("colour", text, sentence, colour_of(shape.name, shape.colour, count), values)


def _ask_shape(scene: Scene, rng: random.Random) -> Question:
    shape = rng.choice(scene.shapes)
    place = place_name(shape.quadrant)
    text, sentence = f"Que forma está {place}?", f"{place.capitalize()} está {{}}."
    return _question("shape", text, sentence, _one(shape.name), [_one(name) for name in SHAPES])


def _ask_count(scene: Scene, rng: random.Random) -> Question:
    name = rng.choice(sorted({shape.name for shape in scene.shapes}))
    text = f"{'Quantos' if name.gender == 'm' else 'Quantas'} {name.plural} há na imagem?"
    counts = [f"{numeral(n, name)} {name.singular if n == 1 else name.plural}" for n in range(1, MAX_SHAPES + 1)]
    return _question("count", text, "Há {}.", counts[scene.count(name) - 1], counts)


def _ask_where(scene: Scene, rng: random.Random) -> Question | None:
    single = [shape for shape in scene.shapes if scene.only(shape.name)]
    if not single:
        return None
    shape = rng.choice(single)
    places = [place_name(quadrant) for quadrant in QUADRANTS]
    text, sentence = f"Onde está {_the(shape.name, 1)}?", f"{_the(shape.name, 1).capitalize()} está {{}}."
    return _question("where", text, sentence, place_name(shape.quadrant), places)


def _ask_reading(scene: Scene, rng: random.Random) -> Question:
    text = rng.choice(("O que está escrito na placa?", "Que palavra se lê na placa?"))
    return _question("reading", text, "Lê-se {}.", scene.sign.word, WORDS)


_ASK: dict[Kind, Callable[[Scene, random.Random], Question | None]] = {
    "colour": _ask_colour,
    "shape": _ask_shape,
    "count": _ask_count,
    "where": _ask_where,
    "reading": _ask_reading,
}


def _question(kind: Kind, text: str, sentence: str, value: str, values: Sequence[str]) -> Question:
    return Question(kind, text, sentence, value, tuple(other for other in values if other != value))


def _the(name: ShapeName, count: int) -> str:
    article = {"m": "o", "f": "a"}[name.gender]
    return f"{article} {name.singular}" if count == 1 else f"{article}s {name.plural}"


def _one(name: ShapeName) -> str:
    return f"{numeral(1, name)} {name.singular}"


def reject(question: Question, rejection: Rejection, rng: random.Random) -> Preference:
    """Make a worse answer: false, worded as in Brazil, or not in a plain sentence."""
    if rejection == "wrong":
        worse = question.sentence.format(rng.choice(question.others))
    elif rejection == "brazilian":
        worse = brazilian(question)
    else:
        worse = rng.choice(
            (question.value, f"- {question.value}", json.dumps({"resposta": question.value}, ensure_ascii=False))
        )
    return Preference(question, worse, rejection)


def brazilian(question: Question) -> str:
    """Say the right answer as one would in Brazil.

    Other words for some colours ("marrom" for "castanho"), "tem" where Portugal has "há", "embaixo" in one word,
    "você" where the assistant says "tu", and the pronoun before the verb at the start of a sentence ("se lê").
    """
    if question.kind == "colour":
        other = _brazilian_colour(question.value)
        return question.sentence.format(other) if other else f"Você pode ver que {question.answer.lower()}"
    if question.kind == "where":
        if question.value.startswith("em baixo"):
            return question.sentence.format(question.value.replace("em baixo", "embaixo"))
        return f"Você encontra {question.value}."
    return {"shape": "Se trata de {}.", "count": "Tem {}.", "reading": "Se lê {}."}[question.kind].format(
        question.value
    )


def _brazilian_colour(adjective: str) -> str | None:
    for colour in COLOURS:
        if colour.brazilian and adjective in colour[:2]:
            return colour.brazilian[0]
        if colour.brazilian and adjective in colour[2:4]:
            return colour.brazilian[1]
    return None
