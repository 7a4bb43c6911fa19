"""A training recipe: one stage with its data, batch and duration, read strictly from YAML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..fields import RecipeError, override, read_fields, read_yaml, unknown
from .stages import MODULES, STAGES, Stage

__all__ = ["TRAINING_LOG", "Lora", "Recipe", "RecipeError", "load_recipe", "recipe_from"]

TRAINING_LOG = "training.json"  # beside a trained model: its origin, and what was logged
_SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")
_PRECISIONS = ("fp32", "bf16")
_RESAMPLERS = ("pil", "torch")
_PIXELS = ("float", "uint8")
_REPORTS = ("tensorboard", "trackio", "wandb")
_LOSSES = ("sigmoid", "hinge", "ipo", "bco_pair", "sft")  # of TRL's, those without further settings
_QUANTISED = ("nf4",)
_POSITIVE = (
    *("batch_size", "accumulation", "global_batch", "processes", "max_length", "log_steps", "save_steps"),
    *("steps", "epochs", "save_epochs", "beta", "max_grad_norm", "adam_eps"),
)
_NOT_NEGATIVE = ("max_tiles", "workers", "weight_decay")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters in the place of whole weights: `W + alpha / rank * B A`.

    Args:
        rank: Rows of `A` and columns of `B`.
        alpha: Scale of the product, before it is divided by the rank.
        dropout: Share of the adapters' inputs that is zeroed.
        targets: Modules whose linear layers get adapters; all else is frozen. The output head never gets one: TRL
            multiplies by its weight alone.
        quantised: `nf4`: the decoder's frozen layers are kept in 4 bits (QLoRA, arXiv 2305.14314); needs the
            `quantise` extra. The merged model is in bf16 again: those weights, dequantised, and the adapters.
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ("connector", "decoder")
    quantised: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything one stage's training depends on.

    Args:
        stage: `align`, `instruct` or `prefer`; `text_instruct` or `text_prefer`, which train the decoder on text, of
            an AMALIA-VL or of a plain language model.
        model: Directory or Hub id of the model and processor to start from.
        data: JSONL file of samples; image paths in it are relative to its folder.
        images: Folder of the images that rows name by paths, where it is not that of the data.
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
        save_steps: Steps between checkpoints to resume from; either this or `save_epochs`.
        workers: Processes that prepare batches beside the training one.
        adam_betas: AdamW's decay rates of the first and second moment.
        adam_eps: AdamW's.
        precision: `fp32`, or `bf16` mixed precision.
        gradient_checkpointing: Whether activations are computed again in the backward pass instead of kept.
        resampler: `pil` or `torch`, how images are resized while training; what the model's processor says when left
            out. The saved processor is the model's, whatever it was trained with.
        pixels: `float`, or `uint8`: images go to the model as grey levels, a quarter of the bytes, and the model makes
            the same values of them.
        lora: Low-rank adapters instead of whole weights. The output is the model with the adapters merged in; they lie
            in its `adapter` folder as well.
        processes: Ranks that train together, over all machines; those of the accelerate config when left out.
        accelerate: Config file of `accelerate launch` (DDP, ZeRO-3, FSDP2, several machines).
        global_batch: Samples a step; checked against batch_size x accumulation x processes.
        report_to: Where the log goes as well: `tensorboard`, `trackio`, `wandb`.
        max_bad_share: Largest share of samples that may turn out bad (truncated image, too long) and be replaced; with
            0 the first one ends the run.
        packing: Whether conversations share rows of `max_length` tokens, without padding; not in `prefer`. A step
            takes as many conversations as without.
        shared_prompt: Whether the prompt and its images are computed once for both answers; `prefer` only.
        precompute_reference: Whether the reference's log-probabilities are computed in a pass before training instead
            of beside it; `prefer` with `shared_prompt` only.
        loss: Weights of the preference losses that are added up, by TRL's names; DPO's `sigmoid` alone when left out.
            MPO (arXiv 2411.10442) is `{sigmoid: 0.8, bco_pair: 0.2, sft: 1.0}`.
        save_epochs: Share of an epoch between checkpoints, and between validations.
        liger: Whether the decoder's norms, rotary embeddings and gated MLPs are Liger's kernels; needs a GPU and the
            package liger-kernel.
        validation: YAML file of a task, as `amalia-vl eval run --task` takes it, that the model is put to before each
            checkpoint; one process only.
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
    workers: int
    save_steps: int | None = None
    save_epochs: float | None = None
    epochs: float | None = None
    steps: int | None = None
    images: str | None = None
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    schedule: str | None = None
    max_tiles: int | None = None
    beta: float | None = None
    adam_betas: tuple[float, ...] = (0.9, 0.999)
    adam_eps: float = 1e-8
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    resampler: str | None = None
    pixels: str = "float"
    lora: Lora | None = None
    processes: int | None = None
    accelerate: str | None = None
    global_batch: int | None = None
    report_to: tuple[str, ...] = ()
    max_bad_share: float = 0.0
    packing: bool = False
    shared_prompt: bool = False
    precompute_reference: bool = False
    loss: Mapping[str, float] = field(default_factory=dict)
    liger: bool = False
    validation: str | None = None

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise RecipeError("; ".join(faults))

    @property
    def training_stage(self) -> Stage:
        """The stage with this recipe's values in the place of the paper's."""
        paper = STAGES[self.stage]
        rates = {**paper.learning_rates, **self.learning_rates}
        return Stage(
            name=paper.name,
            method=paper.method,
            learning_rates={module: rate for module, rate in rates.items() if module in _trainable(self)},
            schedule=paper.schedule if self.schedule is None else self.schedule,
            max_tiles=paper.max_tiles if self.max_tiles is None else self.max_tiles,
        )


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` overrides; keys of nested values are dotted.

    Paths in a recipe are relative to the directory the command runs in. Where there is no such file, one of the
    package's recipes has that name.

    An example: `load_recipe("tiny/1_align", ["seed=1", "learning_rates.connector=1e-3"])`.

    Raises:
        RecipeError: Unknown key, wrong type, missing value or values that contradict each other; all faults at once.
        FileNotFoundError: There is no such file.
    """
    values = read_yaml(path)
    try:
        for word in overrides:
            override(values, word)
        return recipe_from(values)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values, as YAML gives them.

    Raises:
        RecipeError: Unknown key, wrong type, missing value or values that contradict each other.
    """
    recipe: Recipe = read_fields(Recipe, values)
    return recipe


def require_trackers(recipe: Recipe) -> None:
    """Miss a tracker before anything slow is loaded.

    Raises:
        RecipeError: The recipe reports to one that is not installed.
    """
    missing = [name for name in recipe.report_to if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise RecipeError(f"report_to names {names}, which is not installed: pip install {names}, or leave it out")


def _trainable(recipe: Recipe) -> tuple[str, ...]:
    """Modules the recipe trains: the stage's, and with LoRA only those that get adapters."""
    stage = STAGES[recipe.stage]
    return stage.trainable if recipe.lora is None else tuple(m for m in stage.trainable if m in recipe.lora.targets)


def _faults(recipe: Recipe) -> Iterable[str]:
    """Yield what contradicts itself or cannot be, each in a few words."""
    if recipe.stage not in STAGES:
        yield unknown("stage", recipe.stage, STAGES)
        return
    if endless := [f"{name} must be a number, not {value}" for name, value in _floats(asdict(recipe))]:
        yield from endless
        return
    yield from _stage_faults(recipe)
    yield from _choice_faults(recipe)
    if recipe.lora is not None:
        yield from _lora_faults(recipe.lora, STAGES[recipe.stage])
        if recipe.lora.quantised is not None and recipe.precision != "bf16":
            yield f"lora.quantised={recipe.lora.quantised} computes in bf16, but precision={recipe.precision}"
    if (recipe.epochs is None) == (recipe.steps is None):
        yield f"give either epochs or steps, not epochs={recipe.epochs} and steps={recipe.steps}"
    if (recipe.save_steps is None) == (recipe.save_epochs is None):
        saves = f"save_steps={recipe.save_steps} and save_epochs={recipe.save_epochs}"
        yield f"save_steps is missing; or give save_epochs, not {saves}"
    if not 0 <= recipe.max_bad_share < 1:
        yield f"max_bad_share is a share of the samples, 0 <= max_bad_share < 1, not {recipe.max_bad_share}"
    if not 0 <= recipe.warmup < 1:
        yield f"warmup is a share of all steps, 0 <= warmup < 1, not {recipe.warmup}"
    if len(recipe.adam_betas) != 2 or not all(0 <= beta < 1 for beta in recipe.adam_betas):
        yield f"adam_betas are two numbers, each 0 <= beta < 1, not {list(recipe.adam_betas)}"
    for name in _POSITIVE:
        value = getattr(recipe, name)
        if value is not None and value <= 0:
            yield f"{name} must be positive, not {value}"
    for name in _NOT_NEGATIVE:
        value = getattr(recipe, name)
        if value is not None and value < 0:
            yield f"{name} must not be negative, not {value}"


def _floats(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    """Yield the numbers that are not finite, with their keys: no comparison below would see a NaN."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _floats(value, f"{prefix}{key}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                yield f"{prefix}{key}", number


def _stage_faults(recipe: Recipe) -> Iterable[str]:
    """Yield what does not go with the stage."""
    stage, trainable = STAGES[recipe.stage], _trainable(recipe)
    where = f"stage {stage.name}" if recipe.lora is None else f"stage {stage.name} with LoRA"
    for module, rate in recipe.learning_rates.items():
        if module not in trainable:
            yield f"{where}: " + unknown("module in learning_rates", module, trainable)
        if rate <= 0:
            yield f"learning_rates.{module} must be positive, not {rate}; a stage freezes what it does not train"
    if (recipe.beta is None) == (stage.method == "dpo"):
        needs = "needs" if stage.method == "dpo" else "does not read"
        yield f"stage {stage.name} {needs} beta, but beta={recipe.beta}"
    unread = {"sft": ("shared_prompt", "precompute_reference", "loss"), "dpo": ("packing",)}[stage.method]
    for name in unread:
        if value := getattr(recipe, name):
            yield f"stage {stage.name} does not read {name}={value}"
    if recipe.precompute_reference and not recipe.shared_prompt:
        yield "precompute_reference needs shared_prompt: true"
    for name, weight in recipe.loss.items():
        if name not in _LOSSES:
            yield unknown("loss", name, _LOSSES)
        if weight <= 0:
            yield f"loss.{name} must be positive, not {weight}"
    if (recipe.schedule or stage.schedule) == "constant" and recipe.warmup:
        yield f"schedule constant does not read warmup={recipe.warmup}; use constant_with_warmup, or warmup: 0"


def _choice_faults(recipe: Recipe) -> Iterable[str]:
    """Yield names that are none of those there are."""
    choices = (("schedule", _SCHEDULES), ("precision", _PRECISIONS), ("resampler", _RESAMPLERS), ("pixels", _PIXELS))
    for name, known in choices:
        value = getattr(recipe, name)
        if value is not None and value not in known:
            yield unknown(name, value, known)
    for report in recipe.report_to:
        if report not in _REPORTS:
            yield unknown("name in report_to", report, _REPORTS)


def _lora_faults(lora: Lora, stage: Stage) -> Iterable[str]:
    for name in ("rank", "alpha"):
        if getattr(lora, name) <= 0:
            yield f"lora.{name} must be positive, not {getattr(lora, name)}"
    if not 0 <= lora.dropout < 1:
        yield f"lora.dropout is a share, 0 <= dropout < 1, not {lora.dropout}"
    if lora.quantised is not None and lora.quantised not in _QUANTISED:
        yield unknown("lora.quantised", lora.quantised, _QUANTISED)
    if not lora.targets:
        yield "lora.targets names no module, so there is nothing to train"
    for module in lora.targets:
        if module not in MODULES:
            yield unknown("module in lora.targets", module, MODULES)
        elif module not in stage.trainable:
            yield f"lora.targets: stage {stage.name} trains {', '.join(stage.trainable)}, not {module}"
