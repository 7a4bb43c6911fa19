"""Self Identification: what a model says of itself, from a file of facts about it (Table 1, Text IF: 156 rows).

Each fact has questions of ours, and where the recipe has a role `writer`, others that a model writes with answers; an
answer must have the names that the fact has, and be in its language and variety.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...variety import judge
from ...variety.text import is_portuguese
from ..brazilian import BRAZILIAN
from ..dataset import DatasetRow, RejectedError
from ..languages import LANGUAGE_NAMES
from ..prompts import read_prompt
from ..rows import FEATURES as ROW_FEATURES
from ..rows import exchange, truth_of
from ..steps import AskAgainError, Item, ItemSource, Outcome, Step, StepAnswer, StepRequest
from .facts import OWN_FACTS, FactSource

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "self-identification"
TITLE = "Self Identification"
VERSION = 1
SUMMARY = "What a model says of itself, from a file of facts about it."
FEATURES = ROW_FEATURES


@dataclass(frozen=True)
class IdentitySettings:
    """Numbers of the dataset.

    Args:
        questions: A fact and language, those of the file among them; 13 facts in two languages at 6 are 156 rows.
    """

    questions: int = 6


Settings = IdentitySettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Read the facts: those of `samples`, or AMALIA-VL's."""
    return FactSource(recipe.samples or OWN_FACTS)


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Take the file's questions, and those that a model adds."""
    writing = Step(
        "questions", role="writer", ask=partial(_ask, recipe.settings), read=partial(_read, recipe.settings)
    )
    return (*([writing] if "writer" in recipe.roles else []), Step("each", work=_each))


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a question and its answer."""
    turns = ({"role": "user", "content": item.data["question"]}, {"role": "assistant", "content": item.data["said"]})
    return {
        "images": [],
        "messages": list(turns),
        "language": item.data["language"],
        "task": item.data["fact"],
        "truth": json.dumps({"says": item.data["says"]}, ensure_ascii=False),
    }


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to what its fact must say, its language and its variety."""
    question, answer = exchange(row)
    fault = _fault(question, answer, row["language"], truth_of(row)["says"])
    return [str(fault)] if fault else []


def _ask(settings: IdentitySettings, item: Item) -> list[StepRequest]:
    count = settings.questions - len(item.data["questions"])
    if count < 1:
        return []
    names = f"; cada resposta tem de ter {' e '.join(item.data['says'])}" if item.data["says"] else ""
    slots = {"fact": item.data["answer"], "count": count, "names": names, "known": "\n".join(item.data["questions"])}
    language = LANGUAGE_NAMES[item.data["language"]]
    return [StepRequest(read_prompt(NAME, "questions").substitute(**slots, language=language))]


def _read(settings: IdentitySettings, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    """Keep the pairs that are sound; fewer than wanted are asked for again."""
    known = {question.lower() for question in item.data["questions"]}
    pairs = []
    for answer in answers:
        for question, said in _pairs(answer.text):
            if question.lower() not in known and not _fault(question, said, item.data["language"], item.data["says"]):
                known.add(question.lower())
                pairs.append([question, said])
    wanted = settings.questions - len(item.data["questions"])
    if len(pairs) < wanted:
        raise AskAgainError("too few questions about a fact", f"{len(pairs)} of {wanted} about {item.data['fact']}")
    return [item.having(written=pairs[: max(0, wanted)])]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Read a JSON list of questions with answers; what has another form is left out."""
    try:
        listed = json.loads(text.strip().removeprefix("```json").removeprefix("```").removesuffix("```"))
    except (ValueError, RecursionError):
        return
    for pair in listed if isinstance(listed, list) else []:
        if isinstance(pair, dict) and set(pair) == {"pergunta", "resposta"}:
            texts = [" ".join(text.split()) for text in pair.values() if isinstance(text, str)]
            if len(texts) == 2:
                yield texts[0], texts[1]


def _each(items: Iterable[Item]) -> Iterator[Outcome]:
    """Make an item of each question; those of the file first."""
    for item in items:
        pairs = [[question, item.data["answer"]] for question in item.data["questions"]] + item.data.get("written", [])
        for number, (question, said) in enumerate(pairs):
            child = item.child(f"q{number}", question=question, said=said)
            fault = _fault(question, said, item.data["language"], item.data["says"])
            yield child.rejected(fault.reason, fault.detail) if fault else child


def _fault(question: str, answer: str, language: str, says: Sequence[str]) -> RejectedError | None:
    """Say what is wrong with a question and its answer, if anything is."""
    if lost := [text for text in says if text not in answer]:
        return RejectedError("an answer that does not say what it must", lost[0])
    both = f"{question}\n{answer}"
    if is_portuguese(both) is (language != "pt"):
        return RejectedError("a text in another language", question[:80])
    if language == "pt" and (verdict := judge(both)).refused:
        return RejectedError(BRAZILIAN, "; ".join(verdict.reasons))
    return None
