"""Forms that a question about a chart and its answer take, as in PT-VQA-Gen (paper, section 5.1).

Fifteen answers in a hundred are the letter of an option and as many are short; the others reason first, but for some
that are yes or no. What is only read, such as a title, is never reasoned about.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..choices import (
    CHOICE_LETTERS,
    LETTER_ALONE,
    STEP_BY_STEP,
    YES_NO_ALONE,
    Choices,
    final_answer,
    list_choices,
    reasoned,
    shuffle_choices,
)
from ..dataset import Exchange
from ..languages import Language
from .questions import ChartAnswer

Form = Literal["reasoned", "choices", "short", "verdict"]

CHOICES, SHORT = 0.15, 0.15  # shares; paper, section 5.1
READ_OUT = 0.075  # share of questions for texts that are only read, which are short unless they have options; measured
VERDICT = 0.3  # share of the other answers of yes or no that are that alone; ours
SHORT_ALONE: dict[Language, str] = {
    "pt": "Responde só com o resultado, sem explicações.",
    "en": "Give the result only, without explanation.",
}


class ChartExchange(NamedTuple):
    """A question and its answer in a form, with the options it has as multiple choice."""

    exchange: Exchange
    form: Form
    options: tuple[str, ...] = ()


def choose_form(answer: ChartAnswer, options: bool, rng: random.Random) -> Form:
    """Draw the form of an answer, one that has options or not."""
    share = rng.random()
    if options and share < CHOICES:
        return "choices"
    if answer.kind == "text":
        return "short"
    if CHOICES <= share < CHOICES + SHORT - READ_OUT:
        return "verdict" if answer.kind == "verdict" else "short"
    return "verdict" if answer.kind == "verdict" and rng.random() < VERDICT else "reasoned"


def write_exchange(
    question: str, steps: str, answer: ChartAnswer, wrong: Sequence[str], language: Language, rng: random.Random
) -> ChartExchange:
    """Put a question and its answer into a form."""
    form = choose_form(answer, bool(wrong), rng)
    if form == "choices":
        choices = shuffle_choices(answer.text, wrong, rng)
        (request,) = requests(question, form, choices.texts, language)
        return ChartExchange(Exchange(request, choices.letter), form, choices.texts)
    request = rng.choice(requests(question, form, (), language))
    text = reasoned(steps, answer.text, language) if form == "reasoned" else answer.text
    return ChartExchange(Exchange(request, text), form)


def requests(question: str, form: Form, options: Sequence[str], language: Language) -> list[str]:
    """Give the ways to ask a question in a form."""
    if form == "choices":
        listed = list_choices(Choices(tuple(options), ""))
        return [f"{question}\n{listed}\n{LETTER_ALONE[language]}"]
    if form == "reasoned":
        return [question, f"{question} {STEP_BY_STEP[language]}"]
    return [f"{question} {(YES_NO_ALONE if form == 'verdict' else SHORT_ALONE)[language]}"]


def read_answer(text: str, form: Form, options: Sequence[str], language: Language) -> str | None:
    """Read what an answer in a form says; None if it is not in the form."""
    if form == "reasoned":
        return final_answer(text, language)
    if form != "choices":
        return text
    return dict(zip(CHOICE_LETTERS, options, strict=False)).get(text)
