"""AMALIA's pairs of two models: a strong one's answer is chosen, a weak one's rejected (its paper, section 4.3).

The paper has Qwen 3-32B and Qwen 3-0.6B for mathematics. With `settings.original`, as for its Portuguese personas, the
original answer is chosen, and no strong model is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...variety import judge
from ..brazilian import BRAZILIAN
from ..dataset import DatasetRow, RejectedError
from ..steps import Item, ItemSource, Step, StepAnswer, StepRequest
from .candidates import edit_share
from .pair_rows import PAIR_FEATURES, pair_faults, pair_row
from .preferences import prompts_of
from .preferences_original import LEAST_DIFFERENT
from .prompts import request_of
from .rules import rule_for

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "preferences-contrast"
TITLE = "AMALIA preferences, strong against weak"
VERSION = 1
SUMMARY = "Preference pairs: a strong model's answer against a weak one's."
FEATURES = PAIR_FEATURES


@dataclass(frozen=True)
class ContrastSettings:
    """Numbers of the pairs.

    Args:
        prompts: How many prompts are drawn from the samples; all when left out.
        original: Whether the original answer is chosen, and not a strong model's.
    """

    prompts: int | None = None
    original: bool = False


Settings = ContrastSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Draw the prompts of the samples, or open those that were drawn."""
    return prompts_of(recipe, recipe.settings.prompts)


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Let the strong and the weak model answer; the first must not be wrong by rule, nor the second right."""
    strong = Step("strong", role="strong", ask=_ask, read=partial(_read, "strong", True), prompts=())
    weak = Step("weak", role="weak", ask=_ask, read=partial(_read, "weak", False), prompts=())
    return (weak,) if recipe.settings.original else (strong, weak)


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a pair."""
    better = item.data.get("strong", item.data["reference"])
    if edit_share(better, item.data["weak"]) < LEAST_DIFFERENT:
        raise RejectedError("two answers that are the same", better[:80])
    if item.data["language"] == "pt" and (verdict := judge(better)).refused:
        raise RejectedError(BRAZILIAN, "; ".join(verdict.reasons))
    task = "strong over weak" if "strong" in item.data else "original over weak"
    truth = {"origin": item.data["origin"], "reference": item.data["reference"]}
    return pair_row(item, better, item.data["weak"], task, truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a pair to its rule: the chosen is not wrong, the rejected not right."""
    problems = pair_faults(row)
    rule = rule_for(row["prompt"][-1]["content"], json.loads(row["truth"])["reference"])
    verdicts = [rule.check(row[name][0]["content"]) for name in ("chosen", "rejected")] if rule else [True, False]
    if verdicts[0] is not True or verdicts[1] is True:
        problems.append("by its rule, the chosen is wrong or the rejected right")
    return problems


def _ask(item: Item) -> list[StepRequest]:
    return [request_of(item.data["prompt"], item.data["images"])]


def _read(role: str, wanted: bool, item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    text = answers[0].text.strip()
    rule = rule_for(item.data["prompt"][-1]["content"], item.data["reference"])
    right = rule.check(text) if rule else None
    if rule is not None and (right is not True if wanted else right is True):
        raise RejectedError(f"the {role} model is {'not ' if wanted else ''}right", text[:80])
    return [item.having(**{role: text})]
