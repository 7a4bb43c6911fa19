"""Persona instructions: what people of a list of personas ask an assistant, and its answers (AMALIA, section 4.2).

As PersonaHub does it: a model writes an instruction in the place of a persona, with things to hold to that can be
checked, and another answers. Table 1's 4,500 rows are Persona Nemotron's: personas of Nemotron-Personas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ...disk import fingerprint
from ...fields import RecipeError
from ...samples.sources import Source, files_of, open_rows
from ...variety import judge
from ...variety.text import is_portuguese
from ..brazilian import BRAZILIAN
from ..dataset import DatasetRow, RejectedError
from ..prompts import read_prompt
from ..rows import FEATURES as ROW_FEATURES
from ..rows import exchange
from ..steps import AskAgainError, Item, ItemSource, Outcome, Step, StepAnswer, StepRequest

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "persona-instructions"
TITLE = "Persona Nemotron"
VERSION = 1
SUMMARY = "What personas ask an assistant, with things to hold to, and its answers."
FEATURES = ROW_FEATURES

INSTRUCTION_LENGTH, ANSWER_LENGTH = (20, 1_500), (2, 8_000)  # letters, from and to
CONSTRAINTS = ("uma condição", "duas condições", "três condições")


@dataclass(frozen=True)
class PersonaSettings:
    """Where personas are.

    Args:
        column: Of the rows of `samples`, that describes a person.
    """

    column: str = "persona"


Settings = PersonaSettings


class PersonaSource:
    """Personas of a file's column; a row without one is an entry without a persona.

    Args:
        path: JSONL, JSON or parquet.
        column: Of the persona.
    """

    def __init__(self, path: str, column: str) -> None:
        self.source = Source("personas", path=path)
        self.rows, self.column = open_rows(self.source), column

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Give `persona`, which is empty where the row has none."""
        for place in range(start, min(stop, len(self.rows))):
            try:
                persona = self.rows[place].get(self.column)
            except (ValueError, AttributeError):
                persona = None
            yield {"persona": " ".join(persona.split()) if isinstance(persona, str) else ""}

    def fingerprint(self) -> str:
        """Tell the personas from others."""
        return repr([self.column, *(fingerprint(file) for file in files_of(self.source))])


def source(recipe: BuildRecipe) -> ItemSource:
    """Open the personas.

    Raises:
        RecipeError: The recipe names none.
    """
    if recipe.samples is None:
        raise RecipeError(f"{NAME} needs samples, a file of personas: Nemotron-Personas, PersonaHub, or your own")
    return _opened(recipe.samples, recipe.settings.column)


@lru_cache(maxsize=1)
def _opened(path: str, column: str) -> PersonaSource:
    return PersonaSource(path, column)


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Write an instruction for each persona; one of each; answer."""
    return (
        Step("instruction", role="questioner", ask=partial(_ask_instruction, recipe), read=_read_instruction),
        Step("distinct", work=_distinct, scope="all"),
        Step("answer", role="answerer", ask=_ask_answer, read=_read_answer),
    )


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write an instruction and its answer."""
    said = {"user": item.data["instruction"], "assistant": item.data["answer"]}
    return {
        "images": [],
        "messages": [{"role": role, "content": text} for role, text in said.items()],
        "language": "pt",
        "task": "instruction",
        "truth": json.dumps({"persona": item.data["persona"]}, ensure_ascii=False),
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its lengths, its language and its variety."""
    instruction, answer = exchange(row)
    fault = _fault(instruction, INSTRUCTION_LENGTH) or _fault(answer, ANSWER_LENGTH)
    return [str(fault)] if fault else []


def _ask_instruction(recipe: BuildRecipe, item: Item) -> list[StepRequest]:
    if not item.data["persona"]:
        raise RejectedError("a row without a persona")
    constraints = recipe.rng("constraints", item.id).choice(CONSTRAINTS)
    slots = {"persona": item.data["persona"], "constraints": constraints}
    return [StepRequest(read_prompt(NAME, "instruction").substitute(slots))]


def _read_instruction(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    return [item.having(instruction=_sound(answers[0].text.strip(), INSTRUCTION_LENGTH))]


def _distinct(items: Iterable[Item]) -> Iterator[Outcome]:
    seen: set[str] = set()
    for item in items:
        key = " ".join(item.data["instruction"].lower().split())
        yield item.rejected("an instruction that is there") if key in seen else item
        seen.add(key)


def _ask_answer(item: Item) -> list[StepRequest]:
    return [StepRequest(read_prompt(NAME, "answer").substitute(instruction=item.data["instruction"]))]


def _read_answer(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    return [item.having(answer=_sound(answers[0].text.strip(), ANSWER_LENGTH))]


def _sound(text: str, length: tuple[int, int]) -> str:
    if fault := _fault(text, length):
        raise AskAgainError(fault.reason, fault.detail)
    return text


def _fault(text: str, length: tuple[int, int]) -> RejectedError | None:
    if not length[0] <= len(text) <= length[1]:
        return RejectedError("a text too short or too long", f"{len(text)} letters")
    if is_portuguese(text) is False:
        return RejectedError("a text in another language", text[:80])
    if (verdict := judge(text)).refused:
        return RejectedError(BRAZILIAN, "; ".join(verdict.reasons))
    return None
