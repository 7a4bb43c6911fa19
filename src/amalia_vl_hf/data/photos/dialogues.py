"""Verified questions become dialogues, one an image: multiple choice, short answers and reasoning, in exact shares."""

from __future__ import annotations

import hashlib
import logging
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..choices import CHOICE_LETTERS, LETTER_ALONE, STEP_BY_STEP, Choices, list_choices, reasoned
from ..dataset import Exchange
from .questions import same_answer

logger = logging.getLogger(__name__)

AnswerForm = Literal["choices", "short", "reasoned"]
SHARES: dict[AnswerForm, float] = {"choices": 0.15, "short": 0.15, "reasoned": 0.70}  # paper, section 5.1
DISTRACTORS = 3
RESERVE = 1.5  # times as many as are needed are asked for options: some have none that is surely wrong
SPARE = 10  # questions beside those: of few, a share is none
SHORT_ALONE = "Responde só com a resposta, sem explicações."


@dataclass(frozen=True)
class VerifiedQuestion:
    """A question whose answer two models agree on, and a weak one does not know.

    Args:
        id: Of its own; its form is drawn by it.
        question: As a persona asked it.
        answer: In few words.
        steps: What leads to it.
        distractors: Wrong options, each checked; none where it is not to be multiple choice.
    """

    id: str
    question: str
    answer: str
    steps: str
    distractors: tuple[str, ...] = ()


class FormChoice(NamedTuple):
    """The form of a question.

    Args:
        form: Its name.
        letter: Place of the right option, where it is multiple choice.
    """

    form: AnswerForm
    letter: int = 0


class FormCounts(NamedTuple):
    """How many questions have which form."""

    choices: int
    short: int
    reasoned: int


def form_counts(total: int) -> FormCounts:
    """Share questions out over the forms, exactly: what does not divide goes to the largest remainder.

    >>> form_counts(100), form_counts(7)
    (FormCounts(choices=15, short=15, reasoned=70), FormCounts(choices=1, short=1, reasoned=5))
    """
    exact = [share * total for share in SHARES.values()]
    counts = [int(count + 1e-9) for count in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (counts[place] - exact[place], -place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return FormCounts(*counts)


def asked_for_options(ids: Sequence[str]) -> set[str]:
    """Name the questions that wrong options are asked for: more than will be multiple choice."""
    wanted = min(len(ids), math.ceil(RESERVE * form_counts(len(ids)).choices) + SPARE)
    return set(sorted(ids, key=_drawn)[:wanted])


def sound_distractors(answer: str, options: Sequence[str], equivalent: Sequence[bool]) -> tuple[str, ...]:
    """Give the wrong options that are not the answer, neither in words nor to the model that compared them.

    Args:
        answer: The right one.
        options: As a model wrote them.
        equivalent: What another model says of each.
    """
    sound: list[str] = []
    for option, same in zip(options, equivalent, strict=True):
        if not same and option.strip() and not any(same_answer(option, other) for other in (answer, *sound)):
            sound.append(option.strip())
    return tuple(sound[:DISTRACTORS])


def choose_forms(able: Mapping[str, bool]) -> dict[str, FormChoice]:
    """Give each question its form, in exact shares of all; the right letters are as balanced as can be.

    Which question gets which form is drawn by its id. Where too few can be multiple choice, the others reason, and it
    is said: no question is lost for it.

    Args:
        able: Whether a question can be multiple choice, having enough sound distractors; by its id.
    """
    counts = form_counts(len(able))
    drawn = sorted(able, key=_drawn)
    choices = [name for name in drawn if able[name]][: counts.choices]
    if len(choices) < counts.choices:
        logger.warning(
            "%d of %d questions have %d sound distractors, and %d were to be multiple choice: the shares are not "
            "exact; does the model that writes options know what is wrong?",
            len(choices),
            len(able),
            DISTRACTORS,
            counts.choices,
        )
    forms = {name: FormChoice("choices", place % (DISTRACTORS + 1)) for place, name in enumerate(choices)}
    rest = [name for name in drawn if name not in forms]
    short = {name: FormChoice("short") for name in rest[: counts.short]}
    return {**forms, **short, **{name: FormChoice("reasoned") for name in rest[counts.short :]}}


def write_exchange(question: VerifiedQuestion, choice: FormChoice) -> Exchange:
    """Write a question and its answer in a form.

    Raises:
        ValueError: It is to be multiple choice and has too few distractors.
    """
    if choice.form == "choices":
        if len(question.distractors) < DISTRACTORS:
            raise ValueError(f"{question.id}: {len(question.distractors)} distractors, needed are {DISTRACTORS}")
        options = list(question.distractors[:DISTRACTORS])
        random.Random(_drawn(question.id)).shuffle(options)  # noqa: S311
        options.insert(choice.letter, question.answer)
        listed = Choices(tuple(options), CHOICE_LETTERS[choice.letter])
        return Exchange(f"{question.question}\n{list_choices(listed)}\n{LETTER_ALONE['pt']}", listed.letter)
    if choice.form == "short":
        return Exchange(f"{question.question} {SHORT_ALONE}", question.answer)
    asked = f"{question.question} {STEP_BY_STEP['pt']}" if int(_drawn(question.id)[-1], 16) % 2 else question.question
    return Exchange(asked, reasoned(question.steps, question.answer, "pt"))


def _drawn(name: str) -> str:
    return hashlib.sha256(f"form {name}".encode()).hexdigest()
