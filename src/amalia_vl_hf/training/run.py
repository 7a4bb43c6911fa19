"""Run a recipe: load, train with TRL, resume where a killed run stopped, and publish the result in one rename."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from peft import PeftModel
from transformers.integrations import unset_hf_deepspeed_config
from transformers.trainer_utils import sort_checkpoints

from ..disk import put_in_place, write_json
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from .building import build_trainer
from .estimate import describe_training
from .origin import origin_of, recipe_defaults
from .ranks import check_batch, check_ranks, world_size
from .recipe import TRAINING_LOG, Recipe, RecipeError
from .report import write_training_report
from .trainers import COMPLETE, StageDPOTrainer, StageSFTTrainer

__all__ = ["TRAINING_LOG", "build_trainer", "describe_training", "train"]

REPORT = "report.html"
ADAPTER = "adapter"  # folder of the trained adapters, beside the model they are merged into
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
            from a model that has been trained anew since; or the ranks are not those that were asked for.
    """
    check_batch(recipe, world_size())
    output = Path(recipe.output)
    partial = output.with_name(f"{output.name}.partial")
    origin = origin_of(recipe)
    if output.exists():
        _require_same_origin(origin, output / TRAINING_LOG, output)
        shutil.rmtree(partial, ignore_errors=True)  # left by a kill after the rename
        return output
    if (partial / _ORIGIN).exists() or sort_checkpoints(str(partial)):  # a kill before both leaves an empty directory
        _require_same_origin(origin, partial / _ORIGIN, partial)
    trainer = build_trainer(recipe, partial)
    check_ranks(trainer.accelerator)
    last = _last_complete_checkpoint(partial) if trainer.accelerator.is_main_process else None
    [last] = broadcast_object_list([last])  # one rank reads and clears the folder, all go by what it found
    if trainer.accelerator.is_main_process:
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / _ORIGIN, {"origin": origin})
    trainer.train(resume_from_checkpoint=last)
    _publish(trainer, recipe, origin, partial)
    return output


def _last_complete_checkpoint(partial: Path) -> str | None:
    """Return the newest checkpoint that every rank finished, and remove what a kill left half-written."""
    for checkpoint in reversed(sort_checkpoints(str(partial))):
        if (Path(checkpoint) / COMPLETE).exists():
            return str(checkpoint)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def _publish(
    trainer: StageSFTTrainer | StageDPOTrainer, recipe: Recipe, origin: Mapping[str, Any], partial: Path
) -> None:
    """Save the model beside its checkpoints, move it to its place in one rename, and drop the checkpoints."""
    finished = partial / "final"
    trainer.save_model(str(finished / ADAPTER if recipe.lora else finished))
    if trainer.accelerator.is_main_process:
        if recipe.lora:
            _merge(trainer, recipe, finished)
        for pickle in finished.rglob("training_args.bin"):  # which nothing of ours reads
            pickle.unlink()
        history = [_finite(entry) for entry in trainer.state.log_history]
        seconds = history[-1]["seconds"]
        write_json(finished / TRAINING_LOG, {"origin": origin, "seconds": seconds, "log_history": history})
        write_training_report(finished / REPORT, history, json.loads(json.dumps(origin)))
        put_in_place(finished, Path(recipe.output))
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()


def _finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a log entry what is no number, such as the mean of nothing: JSON has no word for it."""
    return {name: value for name, value in entry.items() if not isinstance(value, float) or math.isfinite(value)}


def _merge(trainer: StageSFTTrainer | StageDPOTrainer, recipe: Recipe, finished: Path) -> None:
    """Write the model with the saved adapters added to its weights, so that it loads like any other."""
    unset_hf_deepspeed_config()  # else ZeRO-3 would spread the weights over ranks that are not here
    base = AmaliaVLForConditionalGeneration.from_pretrained(recipe.model, dtype="auto", trust_remote_code=False)
    adapted = PeftModel.from_pretrained(base, finished / ADAPTER)
    adapted.merge_and_unload().save_pretrained(finished)
    trainer.processing_class.save_pretrained(finished)


def _require_same_origin(origin: Mapping[str, Any], record: Path, where: Path) -> None:
    try:
        earlier = json.loads(record.read_text(encoding="utf-8"))["origin"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        raise RecipeError(f"{where} exists but was not written by this command; move it away") from None
    now = json.loads(json.dumps(origin))
    earlier = {**recipe_defaults(), **earlier}  # a key that has come since says what was done before it was there
    different = [key for key in now if earlier.get(key) != now[key]]
    if different:
        listed = "; ".join(f"{key} was {earlier.get(key)!r}, now {now[key]!r}" for key in different)
        raise RecipeError(
            f"{where} comes from another recipe, data or model ({listed}); delete it or choose another output"
        )
