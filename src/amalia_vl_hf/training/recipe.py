"""A training recipe: one stage with its data, batch and duration, read strictly from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from .stages import STAGES, Stage

_SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message says every fault found."""


@dataclass(frozen=True)
class Recipe:
    """Everything one stage's training depends on.

    Args:
        stage: `align`, `instruct` or `prefer`.
        model: Directory or Hub id of the model and processor to start from.
        data: JSONL file of samples; image paths in it are relative to its folder.
        output: Directory for the trained model; it appears only when training has finished.
        batch_size: Samples a device takes at once.
        accumulation: Batches whose gradients are summed before a step.
        epochs: Passes over the data; either this or `steps`.
        steps: Optimiser steps; either this or `epochs`.
        learning_rates: Peak rate by module; those left out are the stage's own (paper, Table 2).
        schedule: Learning-rate schedule; the stage's own (paper, Table 2) when left out.
        warmup: Share of all steps over which the learning rate rises linearly from 0.
        weight_decay: AdamW's, of matrices.
        max_grad_norm: Gradients are scaled down to this norm.
        max_tiles: Most tiles an image is cut into; the stage's own when left out.
        max_length: Most tokens a sample may have, visual ones included; longer ones are an error.
        beta: How strongly DPO holds the policy to the reference; `prefer` only, where it is required.
        seed: Of the data order and everything else drawn.
        log_steps: Steps between log entries.
        save_steps: Steps between checkpoints to resume from.
        workers: Processes that prepare batches beside the training one.
    """

    stage: str
    model: str
    data: str
    output: str
    batch_size: int
    accumulation: int
    warmup: float
    weight_decay: float
    max_grad_norm: float
    max_length: int
    seed: int
    log_steps: int
    save_steps: int
    workers: int
    epochs: float | None = None
    steps: int | None = None
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    schedule: str | None = None
    max_tiles: int | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise RecipeError("; ".join(faults))

    @property
    def training_stage(self) -> Stage:
        """The stage with this recipe's values in the place of the paper's."""
        paper = STAGES[self.stage]
        return Stage(
            name=paper.name,
            method=paper.method,
            learning_rates={**paper.learning_rates, **self.learning_rates},
            schedule=paper.schedule if self.schedule is None else self.schedule,
            max_tiles=paper.max_tiles if self.max_tiles is None else self.max_tiles,
        )


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` overrides; keys of nested values are dotted.

    Paths in a recipe are relative to the directory the command runs in.

    An example: `load_recipe("recipes/tiny/1_align.yaml", ["seed=1", "learning_rates.connector=1e-3"])`.

    Raises:
        RecipeError: Unknown key, wrong type, missing value or values that contradict each other; all faults at once.
        FileNotFoundError: There is no such file.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise RecipeError(f"a recipe consists of `key: value` lines, not of one {type(values).__name__}")
        for override in overrides:
            _apply_override(values, override)
        return recipe_from(values)
    except (RecipeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: {error}") from error


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values, as YAML gives them.

    Raises:
        RecipeError: Unknown key, wrong type, missing value or values that contradict each other.
    """
    known = {entry.name: entry for entry in fields(Recipe)}
    faults = [_unknown("key", key, known) for key in values if key not in known]
    faults += [
        f"{name} is missing"
        for name, entry in known.items()
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING
    ]
    typed: dict[str, Any] = {}
    for name, value in values.items():
        if name in known:
            try:
                typed[name] = _typed(name, value, str(known[name].type))
            except ValueError as error:
                faults.append(str(error))
    if faults:
        raise RecipeError("; ".join(faults))
    return Recipe(**typed)


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {override!r} is not of the form key=value")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise RecipeError(f"override {override!r}: {parent} holds one value, not several")
    values[last] = yaml.safe_load(text)


def _typed(name: str, value: Any, annotation: str) -> Any:
    """Return `value` as its field's type; YAML reads `1e-3` as text, so numbers may come as text."""
    if value is None and annotation.endswith("| None"):
        return None
    if annotation.startswith("Mapping"):
        if not isinstance(value, dict):
            raise ValueError(f"{name} must hold `module: rate` lines, not {value!r}")
        return {str(key): _number(f"{name}.{key}", entry, float) for key, entry in value.items()}
    if annotation.startswith("str"):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be text, not {value!r}")
        return value
    return _number(name, value, int if annotation.startswith("int") else float)


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    wanted = "a whole number" if kind is int else "a number"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (kind is int and isinstance(value, float))
    ):
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name} must be {wanted}, not {value!r}") from None


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {name!r}{hint}; known: {', '.join(known)}"


def _faults(recipe: Recipe) -> Iterable[str]:
    """Yield what contradicts itself or cannot be, each in a few words."""
    if recipe.stage not in STAGES:
        yield _unknown("stage", recipe.stage, STAGES)
        return
    stage = STAGES[recipe.stage]
    for module in recipe.learning_rates:
        if module not in stage.trainable:
            yield f"stage {stage.name}: " + _unknown("module in learning_rates", module, stage.trainable)
    for module, rate in recipe.learning_rates.items():
        if rate <= 0:
            yield f"learning_rates.{module} must be positive, not {rate}; a stage freezes what it does not train"
    if recipe.schedule is not None and recipe.schedule not in _SCHEDULES:
        yield _unknown("schedule", recipe.schedule, _SCHEDULES)
    if (recipe.epochs is None) == (recipe.steps is None):
        yield f"give either epochs or steps, not epochs={recipe.epochs} and steps={recipe.steps}"
    if (recipe.beta is None) == (stage.method == "dpo"):
        needs = "needs" if stage.method == "dpo" else "does not read"
        yield f"stage {stage.name} {needs} beta, but beta={recipe.beta}"
    if not 0 <= recipe.warmup < 1:
        yield f"warmup is a share of all steps, 0 <= warmup < 1, not {recipe.warmup}"
    schedule = recipe.schedule or stage.schedule
    if schedule == "constant" and recipe.warmup:
        yield f"schedule constant does not read warmup={recipe.warmup}; use constant_with_warmup, or warmup: 0"
    for name in (
        "batch_size",
        "accumulation",
        "max_length",
        "log_steps",
        "save_steps",
        "steps",
        "epochs",
        "beta",
        "max_grad_norm",
    ):
        value = getattr(recipe, name)
        if value is not None and value <= 0:
            yield f"{name} must be positive, not {value}"
    for name in ("max_tiles", "workers", "weight_decay"):
        value = getattr(recipe, name)
        if value is not None and value < 0:
            yield f"{name} must not be negative, not {value}"
