"""Verified questions become dialogues, one an image: multiple choice, short answers and reasoning, in exact shares."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..choices import CHOICE_LETTERS, LETTER_ALONE, STEP_BY_STEP, Choices, list_choices, reasoned
from ..dataset import Exchange
from .questions import same_answer

AnswerForm = Literal["choices", "short", "reasoned"]
SHARES: dict[AnswerForm, float] = {"choices": 0.15, "short": 0.15, "reasoned": 0.70}  # paper, section 5.1
DISTRACTORS = 3
RESERVE = 1.5  # times as many as are needed are asked for options: some have none that is surely wrong
SHORT_ALONE = "Responde só com a resposta, sem explicações."


@dataclass(frozen=True)
class VerifiedQuestion:
    """A question whose answer two models agree on, and a weak one does not know.

    Args:
        id: Of its own; forms are drawn by it.
        image: Id of the image that it is about.
        question: As a persona asked it.
        answer: In few words.
        steps: What leads to it.
        distractors: Wrong options, each checked; none where it is not to be multiple choice.
    """

    id: str
    image: str
    question: str
    answer: str
    steps: str
    distractors: tuple[str, ...] = ()


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


def asked_for_options(questions: Sequence[VerifiedQuestion]) -> list[str]:
    """Name the questions that wrong options are asked for: more than will be multiple choice."""
    wanted = min(len(questions), int(RESERVE * form_counts(len(questions)).choices + 0.999))
    return sorted((question.id for question in questions), key=_drawn)[:wanted]


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


def write_dialogues(questions: Sequence[VerifiedQuestion]) -> dict[str, list[tuple[AnswerForm, Exchange]]]:
    """Give each question its form, in exact shares of all, and gather them by image.

    Which question gets which form is drawn by its id; multiple choice only where there are enough distractors. The
    right letters of all are as balanced as can be.

    Returns:
        Exchanges with their form, by the image's id; each image's in an order drawn by their ids.

    Raises:
        ValueError: Fewer questions than multiple choice needs have distractors, or two have one id.
    """
    if len({question.id for question in questions}) < len(questions):
        raise ValueError("two questions have one id")
    counts = form_counts(len(questions))
    drawn = sorted(questions, key=lambda question: _drawn(question.id))
    able = [question for question in drawn if len(question.distractors) >= DISTRACTORS]
    if len(able) < counts.choices:
        raise ValueError(
            f"{len(able)} of {len(questions)} questions have {DISTRACTORS} sound distractors, and {counts.choices} "
            "are to be multiple choice: the model that writes options gives too few that are wrong"
        )
    choices = able[: counts.choices]
    rest = [question for question in drawn if question not in set(choices)]
    forms: dict[str, AnswerForm] = {question.id: "choices" for question in choices}
    forms |= {question.id: "short" for question in rest[: counts.short]}
    letters = {question.id: place % (DISTRACTORS + 1) for place, question in enumerate(choices)}
    dialogues: dict[str, list[tuple[AnswerForm, Exchange]]] = defaultdict(list)
    for question in drawn:
        form = forms.get(question.id, "reasoned")
        dialogues[question.image].append((form, _exchange(question, form, letters.get(question.id, 0))))
    return dict(dialogues)


def _exchange(question: VerifiedQuestion, form: AnswerForm, letter: int) -> Exchange:
    if form == "choices":
        options = list(question.distractors[:DISTRACTORS])
        random.Random(_drawn(question.id)).shuffle(options)  # noqa: S311
        options.insert(letter, question.answer)
        choices = Choices(tuple(options), CHOICE_LETTERS[letter])
        return Exchange(f"{question.question}\n{list_choices(choices)}\n{LETTER_ALONE['pt']}", choices.letter)
    if form == "short":
        return Exchange(f"{question.question} {SHORT_ALONE}", question.answer)
    asked = f"{question.question} {STEP_BY_STEP['pt']}" if int(_drawn(question.id)[-1], 16) % 2 else question.question
    return Exchange(asked, reasoned(question.steps, question.answer, "pt"))


def _drawn(name: str) -> str:
    return hashlib.sha256(f"form {name}".encode()).hexdigest()
