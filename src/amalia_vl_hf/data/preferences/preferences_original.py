"""AMALIA's pairs of personas: the original answer is chosen, the policy's own is rejected (its paper, section 4.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...variety import judge
from ..brazilian import BRAZILIAN
from ..dataset import DatasetRow, RejectedError
from ..steps import Item, ItemSource, Step, StepAnswer, StepRequest
from .candidates import edit_share
from .pair_rows import PAIR_FEATURES, pair_faults, pair_row
from .preferences import prompts_of
from .prompts import request_of
from .rules import rule_for

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "preferences-original"
TITLE = "AMALIA preferences, original against own"
VERSION = 1
SUMMARY = "Preference pairs: the original answer against the policy's own."
FEATURES = PAIR_FEATURES

LEAST_DIFFERENT = 0.05  # edit distance of the two answers, as a share of the longer; ours


@dataclass(frozen=True)
class OriginalSettings:
    """Numbers of the pairs.

    Args:
        prompts: How many prompts are drawn from the samples; all when left out.
    """

    prompts: int | None = None


Settings = OriginalSettings


def source(recipe: BuildRecipe) -> ItemSource:
    """Draw the prompts of the samples, or open those that were drawn."""
    return prompts_of(recipe, recipe.settings.prompts)


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Let the policy answer."""
    return (Step("answer", role="policy", ask=_ask, read=_read, prompts=()),)


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a pair."""
    truth = {"origin": item.data["origin"]}
    return pair_row(item, item.data["reference"], item.data["own"], "original over policy", truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a pair to two answers, of which a rule does not call the rejected right."""
    problems = pair_faults(row)
    chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
    rule = rule_for(row["prompt"][-1]["content"], chosen)
    if rule is not None and rule.check(rejected):
        problems.append("the rejected is right")
    if "origin" not in json.loads(row["truth"]):
        problems.append("an origin that is not known")
    return problems


def _ask(item: Item) -> list[StepRequest]:
    original = item.data["reference"]
    if item.data["language"] == "pt" and (verdict := judge(original)).refused:
        raise RejectedError(BRAZILIAN, "; ".join(verdict.reasons))
    return [request_of(item.data["prompt"], item.data["images"])]


def _read(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    own, original = answers[0].text.strip(), item.data["reference"]
    rule = rule_for(item.data["prompt"][-1]["content"], original)
    if rule is not None and rule.check(own):
        raise RejectedError("the policy's own answer is right", own[:80])
    if edit_share(original, own) < LEAST_DIFFERENT:
        raise RejectedError("the policy's own answer is the original", own[:80])
    return [item.having(own=own)]
