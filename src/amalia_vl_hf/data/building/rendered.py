"""The steps of a rendered dataset, as the engine runs those of any: one question a sample, one answer kept."""

from __future__ import annotations

from collections.abc import Sequence

from ..dataset import ModelStep
from ..prompts import read_prompt
from ..steps import Item, Step, StepAnswer, StepRequest
from .materials import materials_of
from .recipe import WRITER, BuildRecipe


def as_steps(recipe: BuildRecipe) -> tuple[Step, ...]:
    """Give the steps that ask a model; an item's data are the answers so far, by the step's name."""
    return tuple(_as_step(recipe, step) for step in recipe.steps)


def _as_step(recipe: BuildRecipe, step: ModelStep) -> Step:
    def ask(item: Item) -> list[StepRequest]:
        template = read_prompt(recipe.name, step.name)
        materials = materials_of(recipe)._replace(answers=item.data)
        slots = step.ask(recipe.rng(item.root), item.root, materials)
        return [StepRequest(template.substitute(slots))]

    def read(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
        return [item.having(**{step.name: answers[0].text})]

    return Step(step.name, role=WRITER, ask=ask, read=read)
