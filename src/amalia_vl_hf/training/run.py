"""Run a recipe: load, train with TRL, resume where a killed run stopped, and publish the result in one rename."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import sort_checkpoints
from trl import DPOConfig, SFTConfig

from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from .collation import ConversationCollator, PreferenceCollator
from .recipe import Recipe, RecipeError
from .samples import load_samples
from .stages import count_parameters
from .trainers import StageDPOTrainer, StageSFTTrainer

TRAINING_LOG = "training.json"
_ORIGIN = "recipe.json"  # beside the checkpoints: what they were trained by


def train(recipe: Recipe) -> Path:
    """Train one stage and write model, processor and training log to `recipe.output`.

    Checkpoints lie in `<output>.partial` while training runs. Calling again after a kill continues from the last
    complete one, with the same weights in the end as a run that was never interrupted; calling again after the end
    does nothing.

    Returns:
        The output directory.

    Raises:
        RecipeError: The output, or the checkpoints to resume from, were made by another recipe or from other data, or
            from a model that has been trained anew since.
    """
    output = Path(recipe.output)
    partial = output.with_name(f"{output.name}.partial")
    origin = _origin(recipe)
    if output.exists():
        _require_same_origin(origin, output / TRAINING_LOG, output)
        shutil.rmtree(partial, ignore_errors=True)  # left by a kill after the rename
        return output
    if (partial / _ORIGIN).exists() or sort_checkpoints(str(partial)):  # a kill before both leaves an empty directory
        _require_same_origin(origin, partial / _ORIGIN, partial)
    trainer = build_trainer(recipe, partial)
    if trainer.accelerator.is_main_process:
        partial.mkdir(parents=True, exist_ok=True)
        _write_json(partial / _ORIGIN, {"origin": origin})
    trainer.train(resume_from_checkpoint=_last_complete_checkpoint(partial))
    _publish(trainer, origin, partial, output)
    return output


def build_trainer(recipe: Recipe, checkpoints: Path) -> StageSFTTrainer | StageDPOTrainer:
    """Build the TRL trainer of a recipe.

    Args:
        recipe: The stage, its data and its values.
        checkpoints: Directory for checkpoints to resume from.
    """
    stage = recipe.training_stage
    model = AmaliaVLForConditionalGeneration.from_pretrained(recipe.model, dtype=torch.float32)
    processor = AmaliaVLProcessor.from_pretrained(recipe.model)
    shared = {"stage": stage, "processing_class": processor, "train_dataset": load_samples(recipe.data, stage.method)}
    options = _training_options(recipe, checkpoints)
    if stage.method == "sft":
        collator = ConversationCollator(processor, stage.max_tiles, recipe.max_length)
        return StageSFTTrainer(model, args=SFTConfig(**options), data_collator=collator, **shared)
    # Left to itself TRL reads the reference again from the model's path, which a changed model no longer equals.
    reference = copy.deepcopy(model).requires_grad_(False).eval()
    pairs = PreferenceCollator(processor, stage.max_tiles, recipe.max_length)
    args = DPOConfig(**options, beta=recipe.beta)
    return StageDPOTrainer(model, ref_model=reference, args=args, data_collator=pairs, **shared)


def describe(recipe: Recipe) -> str:
    """Say in a few lines what training a recipe would do, without loading a weight."""
    stage = recipe.training_stage
    with torch.device("meta"):
        model = AmaliaVLForConditionalGeneration(AmaliaVLConfig.from_pretrained(recipe.model))
    samples = len(load_samples(recipe.data, stage.method))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batch = recipe.batch_size * recipe.accumulation * world
    steps = recipe.steps or math.ceil(math.ceil(samples / batch) * (recipe.epochs or 0))
    lines = [f"stage      {stage.name} ({stage.method}), at most {stage.max_tiles} tiles an image"]
    for module, parameters in count_parameters(model).items():
        rate = stage.learning_rates.get(module)
        lines.append(f"{module:<10} {parameters:>14,} parameters, {f'learning rate {rate:g}' if rate else 'frozen'}")
    lines += [
        f"batch      {batch} = {recipe.batch_size} a device x {recipe.accumulation} accumulated x {world} devices",
        f"steps      {steps} over {samples} samples, schedule {stage.schedule}, warm-up {recipe.warmup:g}",
        f"output     {recipe.output}",
    ]
    return "\n".join(lines)


def _training_options(recipe: Recipe, checkpoints: Path) -> dict[str, Any]:
    stage = recipe.training_stage
    duration = {"max_steps": recipe.steps} if recipe.steps else {"num_train_epochs": recipe.epochs}
    return {
        **duration,
        "output_dir": str(checkpoints),
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulation,
        "learning_rate": max(stage.learning_rates.values()),  # for display; the groups carry their own
        "lr_scheduler_type": stage.schedule,
        "warmup_steps": recipe.warmup,  # below 1: a share of all steps
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "max_length": None,  # the collator refuses what is too long; TRL would cut it
        "seed": recipe.seed,
        "logging_steps": recipe.log_steps,
        "logging_first_step": True,
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "dataloader_num_workers": recipe.workers,
        "dataloader_pin_memory": torch.accelerator.is_available(),
        "use_cpu": not torch.accelerator.is_available(),  # else several processes on CPUs train apart, not together
        "remove_unused_columns": False,  # the collator reads the dataset's own columns
        "accelerator_config": {"dispatch_batches": False},  # tiles and texts of a batch differ in their first size
        "ddp_find_unused_parameters": False,  # text-only batches touch every module as well
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
    }


def _last_complete_checkpoint(partial: Path) -> str | None:
    """Return the newest checkpoint whose last-written file is whole, and remove what a kill left half-written."""
    for checkpoint in reversed(sort_checkpoints(str(partial))):
        try:
            json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            shutil.rmtree(checkpoint, ignore_errors=True)
        else:
            return str(checkpoint)
    return None


def _publish(
    trainer: StageSFTTrainer | StageDPOTrainer, origin: Mapping[str, Any], partial: Path, output: Path
) -> None:
    """Save the model beside its checkpoints, move it to its place in one rename, and drop the checkpoints."""
    finished = partial / "final"
    trainer.save_model(str(finished))
    if trainer.accelerator.is_main_process:
        (finished / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nothing of ours reads
        history = trainer.state.log_history
        seconds = history[-1]["seconds"]
        _write_json(finished / TRAINING_LOG, {"origin": origin, "seconds": seconds, "log_history": history})
        finished.rename(output)
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _origin(recipe: Recipe) -> dict[str, Any]:
    """Everything the weights follow from: what the paths hold may change while the recipe stays."""
    log = Path(recipe.model) / TRAINING_LOG  # differs each time a model is trained; a composed one has none
    model = _sha256(log) if log.exists() else None
    return {**asdict(recipe), "data_sha256": _sha256(Path(recipe.data)), "model_log_sha256": model}


def _require_same_origin(origin: Mapping[str, Any], record: Path, where: Path) -> None:
    try:
        earlier = json.loads(record.read_text(encoding="utf-8"))["origin"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        raise RecipeError(f"{where} exists but was not written by this command; move it away") from None
    now = json.loads(json.dumps(origin))
    different = [key for key in now if earlier.get(key) != now[key]]
    if different:
        listed = "; ".join(f"{key} was {earlier.get(key)!r}, now {now[key]!r}" for key in different)
        raise RecipeError(
            f"{where} comes from another recipe, data or model ({listed}); delete it or choose another output"
        )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(json.dumps(value, indent=1), encoding="utf-8")
    scratch.rename(path)
