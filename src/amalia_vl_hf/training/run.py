"""Run a recipe: load, train with TRL, resume where a killed run stopped, and publish the result in one rename."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from peft import PeftModel
from transformers.integrations import unset_hf_deepspeed_config

from ..disk import put_in_place, sole_writer, write_json
from .building import build_trainer
from .checkpoints import COMPLETE, complete_checkpoint, newest_sound, not_finite, whole_checkpoints
from .estimate import describe_training
from .models import load_to_merge
from .origin import Record, read_record, record_of, require_same, require_same_model
from .ranks import check_batch, check_ranks, world_size
from .recipe import TRAINING_LOG, Recipe, RecipeError, require_trackers
from .report import write_training_report
from .trainers import StageDPOTrainer, StageSFTTrainer, StoppedError
from .validation import ShownAnswer, ValidationTask

__all__ = ["TRAINING_LOG", "WRITTEN", "build_trainer", "describe_training", "train"]

logger = logging.getLogger(__name__)

REPORT = "report.html"
ADAPTER = "adapter"  # folder of the trained adapters, beside the model they are merged into
WRITTEN = {"adapter": ADAPTER, "report": REPORT}  # what an output may hold beside the model, for who looks for it
_ORIGIN = "recipe.json"  # beside the checkpoints: what they were trained by
_LOCK = ".lock"  # there as well: of the run that is writing them
# What a run leaves beside its checkpoints that the next one makes again, whatever its recipe.
_MADE_AGAIN = (
    _ORIGIN,
    _LOCK,
    "final",
    "reference",
    "runs",
    "lengths-*.npz",
    "answers_before.json",
    ".*.partial",
    "README.md",
)


def train(recipe: Recipe) -> Path:
    """Train one stage and write model, processor and training log to `recipe.output`.

    Checkpoints lie in `<output>.partial` while training runs. Calling again after a kill continues from the last
    whole one, with the same weights in the end as a run that was never interrupted; a damaged one is left aside, as
    `<output>.damaged-checkpoint-N`. Calling again after the end does nothing.

    Returns:
        The output directory.

    Raises:
        RecipeError: The output, or the checkpoints to resume from, were made by another recipe or from other data, or
            from another model; the output cannot become a directory; or the ranks are not those that were asked for.
        BlockingIOError: Another process trains into the same output; it is named.
        StoppedError: Weights, a loss or a gradient are not finite.
    """
    check_batch(recipe, world_size())
    require_trackers(recipe)
    output = Path(recipe.output)
    partial = output.with_name(f"{output.name}.partial")
    if (output / TRAINING_LOG).is_file():
        return _finished(recipe, output, partial)
    if os.environ.get("RANK", "0") != "0":
        return _train(recipe, output, partial, None)
    _require_place(output)
    with _alone(partial, output):
        if (output / TRAINING_LOG).is_file():  # by a run that has just ended
            return _finished(recipe, output, partial)
        earlier = _earlier(partial)
        record = record_of(recipe, earlier)
        if earlier:
            require_same(record, earlier, partial)
        return _train(recipe, output, partial, record)


def _finished(recipe: Recipe, output: Path, partial: Path) -> Path:
    """Return an output that is there, once it is known to be the recipe's."""
    if os.environ.get("RANK", "0") == "0":
        earlier = read_record(output / TRAINING_LOG, output)
        require_same(record_of(recipe, earlier), earlier, output)
        shutil.rmtree(partial, ignore_errors=True)  # left by a kill after the rename
    return output


def _require_place(output: Path) -> None:
    """Refuse before training what could not be written after it.

    Raises:
        RecipeError: Something that is no empty directory has the output's name, or that of its folder.
    """
    if output.is_symlink() and not output.exists():
        raise RecipeError(f"output {output} is a link to what is not there; remove it or choose another output")
    if output.exists() and not output.is_dir():
        raise RecipeError(f"output {output} is there and no directory; choose another output")
    if output.is_dir() and any(output.iterdir()):
        raise RecipeError(f"{output} exists but was not written by this command; move it away")


@contextmanager
def _alone(partial: Path, output: Path) -> Iterator[None]:
    """Hold the folder of the checkpoints; where nothing came to lie in it, it is not left behind."""
    partial.mkdir(parents=True, exist_ok=True)
    with sole_writer(partial / _LOCK, f"training into {output}"):
        try:
            yield
        finally:
            with suppress(OSError):
                if [path.name for path in partial.iterdir()] == [_LOCK]:
                    shutil.rmtree(partial)


def _earlier(partial: Path) -> Record | None:
    """Read what an earlier run trained by; None where it left nothing to lose.

    Raises:
        RecipeError: There is something, but not what it was trained by.
    """
    rest = [path for path in partial.iterdir() if not any(path.match(name) for name in _MADE_AGAIN)]
    if not [path for path in rest if path in whole_checkpoints(partial) or not path.match("checkpoint-*")]:
        return None
    return read_record(partial / _ORIGIN, partial)


def _train(recipe: Recipe, output: Path, partial: Path, record: Record | None) -> Path:
    """Train on this rank.

    Args:
        recipe: What is trained.
        output: Where the model goes.
        partial: Where the checkpoints lie.
        record: What the weights follow from; the main process's alone.
    """
    trainer = build_trainer(recipe, partial, record and record["origin"])
    check_ranks(trainer.accelerator)
    last = None
    if record is not None:
        last = _checkpoint_to_go_on_from(partial, output)
        write_json(partial / _ORIGIN, record)
    [last] = broadcast_object_list([last])  # one rank reads and clears the folder, all go by what it found
    trainer.train(resume_from_checkpoint=last)
    _publish(trainer, recipe, record, partial)
    return output


def _checkpoint_to_go_on_from(partial: Path, output: Path) -> str | None:
    if (partial / _ORIGIN).is_file() and "stamps" not in read_record(partial / _ORIGIN, partial):
        for checkpoint in whole_checkpoints(partial):  # of a version that wrote no digests
            if (checkpoint / COMPLETE).is_file() and not (checkpoint / COMPLETE).stat().st_size:
                complete_checkpoint(checkpoint)
    last = newest_sound(partial, output.with_name(f"{output.name}.damaged"))
    if last is not None:
        logger.warning("going on from %s", last)
    elif list(output.parent.glob(f"{output.name}.damaged-*")):
        logger.warning("no checkpoint is whole; training begins anew")
    return None if last is None else str(last)


def _publish(trainer: StageSFTTrainer | StageDPOTrainer, recipe: Recipe, record: Record | None, partial: Path) -> None:
    """Save the model beside its checkpoints, move it to its place in one rename, and drop the checkpoints."""
    finished = partial / "final"
    trainer.require_finite()
    if record is not None:
        shutil.rmtree(finished, ignore_errors=True)  # left by a kill, perhaps of another recipe
    trainer.accelerator.wait_for_everyone()
    if trainer.is_fsdp_enabled:  # checkpoints may be sharded, the model that is published is whole
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(finished / ADAPTER if recipe.lora else finished))
    if record is not None:
        if recipe.lora:
            require_same_model(recipe, record)
            _merge(trainer, recipe, finished)
        for pickle in finished.rglob("training_args.bin"):  # which nothing of ours reads
            pickle.unlink()
        history = [_finite(entry) for entry in trainer.state.log_history]
        seconds = history[-1]["seconds"]
        write_json(finished / TRAINING_LOG, {**record, "seconds": seconds, "log_history": history})
        write_training_report(finished / REPORT, history, record["origin"], _answers(trainer))
        with suppress(OSError):
            Path(recipe.output).rmdir()  # an empty one, which holds nothing to lose
        put_in_place(finished, Path(recipe.output))
        shutil.rmtree(partial, ignore_errors=True)  # a rerun that finds the output may be removing it as well
    trainer.accelerator.wait_for_everyone()


def _answers(trainer: StageSFTTrainer | StageDPOTrainer) -> list[ShownAnswer]:
    """Give what the validation task's questions were answered, where the recipe has one."""
    callbacks = trainer.callback_handler.callbacks
    return [shown for callback in callbacks if isinstance(callback, ValidationTask) for shown in callback.shown()]


def _merge(trainer: StageSFTTrainer | StageDPOTrainer, recipe: Recipe, finished: Path) -> None:
    """Write the model with the saved adapters added to its weights, so that it loads like any other."""
    unset_hf_deepspeed_config()  # else ZeRO-3 would spread the weights over ranks that are not here
    merged = PeftModel.from_pretrained(load_to_merge(recipe), finished / ADAPTER).merge_and_unload()
    if name := not_finite(merged.named_parameters()):
        raise StoppedError(f"{name} is not finite once the adapters are merged into {recipe.model}")
    merged.save_pretrained(finished)
    trainer.processing_class.save_pretrained(finished)


def _finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a log entry what is no number, such as the mean of nothing: JSON has no word for it."""
    return {name: value for name, value in entry.items() if not isinstance(value, float) or math.isfinite(value)}
