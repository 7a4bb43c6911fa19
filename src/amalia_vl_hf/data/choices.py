"""Styles of questions and answers that datasets share: multiple choice, yes or no, and reasoning step by step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from .languages import Language

CHOICE_LETTERS = "ABCDE"  # of options, which are at least two
LETTER_ALONE: dict[Language, str] = {
    "pt": "Responde apenas com a letra da opção correta.",
    "en": "Answer with the letter of the right option only.",
}
YES_NO: dict[Language, tuple[str, str]] = {"pt": ("Sim", "Não"), "en": ("Yes", "No")}
YES_NO_ALONE: dict[Language, str] = {
    "pt": "Responde apenas com «Sim» ou «Não».",
    "en": "Answer with “Yes” or “No” only.",
}
_FINAL: dict[Language, str] = {"pt": "Resposta: ", "en": "Answer: "}
STEP_BY_STEP: dict[Language, str] = {
    "pt": "Explica o raciocínio passo a passo e termina com uma linha «Resposta: …».",
    "en": "Explain your reasoning step by step and end with a line “Answer: …”.",
}


class Choices(NamedTuple):
    """Options of a question, and the letter of the right one."""

    texts: tuple[str, ...]
    letter: str


def shuffle_choices(right: str, wrong: Sequence[str], rng: random.Random) -> Choices:
    """Put the right option among the wrong ones.

    Raises:
        ValueError: Two options are equal, or they are fewer than 2 or more than 5.
    """
    texts = [right, *wrong]
    if not 2 <= len(texts) <= len(CHOICE_LETTERS) or len(set(texts)) < len(texts):
        raise ValueError(f"options must be 2 to {len(CHOICE_LETTERS)}, no two equal, not {texts}")
    rng.shuffle(texts)
    return Choices(tuple(texts), CHOICE_LETTERS[texts.index(right)])


def list_choices(choices: Choices) -> str:
    r"""Write options below one another.

    >>> list_choices(Choices(("4", "5"), "B"))
    'A) 4\nB) 5'
    """
    return "\n".join(f"{letter}) {text}" for letter, text in zip(CHOICE_LETTERS, choices.texts, strict=False))


def reasoned(steps: str, answer: str, language: Language) -> str:
    r"""Write an answer with what leads to it.

    >>> reasoned("2 + 2 são 4.", "4", "pt")
    '2 + 2 são 4.\nResposta: 4'
    """
    return f"{steps}\n{_FINAL[language]}{answer}"


def final_answer(text: str, language: Language) -> str | None:
    r"""Read the answer after the reasoning; None where there is no reasoning, or no last line that answers.

    >>> final_answer("2 + 2 são 4.\nResposta: 4", "pt")
    '4'
    """
    steps, _, last = text.rpartition("\n")
    if not steps.strip() or not last.startswith(_FINAL[language]):
        return None
    return last.removeprefix(_FINAL[language])
