"""TRL's trainers with parameter groups by module: one learning rate each for tower, connector and decoder."""

from __future__ import annotations

import time
from typing import Any

import torch
from transformers import Trainer
from trl import DPOTrainer, SFTTrainer

from .stages import Stage, freeze, parameter_groups


class _ByModule(Trainer):
    """What both trainers share: freezing, parameter groups, and a log with their rates and the seconds so far."""

    optimizer: torch.optim.Optimizer | None

    def __init__(self, model: Any, *, stage: Stage, **kwargs: Any) -> None:
        self.stage = stage
        self._seconds_at_start: float | None = None
        self._started = time.monotonic()
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
