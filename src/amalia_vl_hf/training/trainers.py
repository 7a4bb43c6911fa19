"""TRL's trainers with parameter groups by module: one learning rate each for tower, connector and decoder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer
from trl import DPOTrainer, SFTTrainer

from .stages import Stage, freeze, parameter_groups

COMPLETE = "complete"  # the file that is written last into a checkpoint, once every rank has written its own


class StoppedError(RuntimeError):
    """Training cannot go on; what is on disk is whole."""


class _ByModule(Trainer):
    """What both trainers share.

    Freezing, parameter groups, a log with their rates and the seconds so far, whole checkpoints, and no step on a loss
    or gradient that is not finite.
    """

    optimizer: torch.optim.Optimizer | None

    def __init__(self, model: Any, *, stage: Stage, **kwargs: Any) -> None:
        self.stage = stage
        self._seconds_at_start: float | None = None
        self._started = time.monotonic()
        if kwargs.get("peft_config") is None:  # else all but the adapters is frozen when they are put in
            freeze(model, stage.trainable)
        super().__init__(model, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build the optimiser over the stage's parameter groups."""
        if self.optimizer is None:
            optimised = self.model if model is None else model
            groups = parameter_groups(optimised, self.stage.learning_rates, self.args.weight_decay)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, optimised)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def _send_telemetry(self) -> None:
        """Send nothing: TRL would report each run to the Hub."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute loss and gradients of one batch.

        Raises:
            StoppedError: The loss is not finite.
        """
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise StoppedError(self._not_finite("loss", loss.item()))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise StoppedError(self._not_finite("gradient norm", float(norm)))
        return norm

    def _not_finite(self, what: str, value: float) -> str:
        return (
            f"the {what} is {value} in step {self.state.global_step + 1}; the weights of the last checkpoint are "
            "sound: lower the learning rates, or look at that step's samples"
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, and last the file that says that all of it is there."""
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            for path in checkpoint.rglob("*"):
                if path.is_file():
                    _to_disk(path)
            (checkpoint / COMPLETE).touch()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each module's learning rate, and the seconds trained in all runs up to here."""
        if "learning_rate" in logs:
            # Every group follows the same schedule, and the logged rate is the first group's.
            first = next(iter(self.stage.learning_rates.values()))
            for module, peak in self.stage.learning_rates.items():
                logs[f"learning_rate/{module}"] = logs["learning_rate"] * peak / first
        if self._seconds_at_start is None:
            earlier = self.state.log_history  # of the run this one resumes
            self._seconds_at_start = earlier[-1]["seconds"] if earlier else 0.0
        logs["seconds"] = round(self._seconds_at_start + time.monotonic() - self._started, 2)
        super().log(logs, start_time)


class StageSFTTrainer(_ByModule, SFTTrainer):
    """Supervised fine-tuning of the modules a stage trains."""


class StageDPOTrainer(_ByModule, DPOTrainer):
    """Direct preference optimisation of the modules a stage trains."""


def _to_disk(path: Path) -> None:
    """Wait until a file's contents would survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
