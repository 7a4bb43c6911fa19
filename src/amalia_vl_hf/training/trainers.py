"""TRL's trainers with parameter groups by module: one learning rate each for tower, connector and decoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from torch.utils.data import DataLoader
from transformers import ProgressCallback, Trainer
from trl import SFTTrainer

from .batches.packing import PackedBatchSampler
from .batches.reference_log_probs import KnownReferenceTrainer
from .checkpoints import begin_checkpoint, complete_checkpoint, not_finite, trained_tensors
from .progress import GROUPS, BarFromHere, Meter, scored_of_each
from .stages import Stage, freeze, parameter_groups


class StoppedError(RuntimeError):
    """Training cannot go on; what is on disk is whole."""


class _ByModule(Trainer):
    """What both trainers share.

    Freezing, parameter groups, a log with their rates and what was metered, whole checkpoints, and no step on a loss
    or gradient that is not finite.

    Args:
        model: The model; frozen here, or where adapters are put in.
        stage: What it trains, and how fast.
        meter: Adds up what the log says of batches; collators name each sample's group for it.
        kwargs: The TRL trainer's.
    """

    optimizer: torch.optim.Optimizer | None

    def __init__(self, model: Any, *, stage: Stage, meter: Meter, **kwargs: Any) -> None:
        self.stage = stage
        self.meter = meter
        self._seconds_at_start: float | None = None
        self._started = time.monotonic()
        if kwargs.get("peft_config") is None:  # else all but the adapters is frozen when they are put in
            freeze(model, stage.trainable)
        super().__init__(model, **kwargs)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(BarFromHere())

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
        """Write a checkpoint, and last the file that says that all of it is there, and what it holds.

        Raises:
            StoppedError: A weight is not finite; nothing is written.
        """
        self.require_finite()
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            begin_checkpoint(checkpoint)
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            complete_checkpoint(checkpoint)

    def require_finite(self) -> None:
        """Hold weights and the optimiser's states to finite numbers, on all ranks.

        Raises:
            StoppedError: One of them is not, on this rank or another.
        """
        name = not_finite(trained_tensors(self.model, self.optimizer))
        faults = self.accelerator.reduce(torch.tensor(float(name is not None), device=self.accelerator.device))
        if faults:
            where = name or "a weight of another rank"
            raise StoppedError(
                f"{where} is not finite after step {self.state.global_step}, and is not saved; the weights of the "
                "last checkpoint are sound: lower the learning rates, or look at the samples since"
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each module's learning rate, what was metered, and the seconds trained in all runs up to here."""
        if "loss" in logs:
            logs |= self.meter.take(self.accelerator)
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
    """Supervised fine-tuning of the modules a stage trains.

    Args:
        model: The model.
        rows: Which conversations share a row, of the whole run; None: each has its own.
        kwargs: Of `_ByModule` and `SFTTrainer`.
    """

    def __init__(self, model: Any, *, rows: PackedBatchSampler | None = None, **kwargs: Any) -> None:
        self._rows = rows
        self._log_probs = torch.empty(0)
        super().__init__(model, **kwargs)
        model.register_forward_hook(self._note)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Load packed rows where conversations share them; accelerate deals them to the ranks in turn."""
        if self._rows is None:
            return super().get_train_dataloader()
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=self._rows,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Compute TRL's loss, and meter the batch."""
        groups = inputs.pop(GROUPS)
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        with torch.no_grad():
            sums, tokens = scored_of_each(inputs, self._log_probs)
            self.meter.count(inputs)
            self.meter.add_losses(groups, -sums, tokens)
        return loss

    def _note(self, module: Any, args: Any, output: Any) -> None:
        if getattr(output, "log_probs", None) is not None:
            self._log_probs = output.log_probs.detach()  # (rows, tokens - 1), or (1, scored tokens) of packed rows


class StageDPOTrainer(_ByModule, KnownReferenceTrainer):
    """Preference optimisation of the modules a stage trains; by group it logs DPO's own loss, whatever is added."""

    def __init__(self, model: Any, ref_model: Any = None, **kwargs: Any) -> None:
        self._answers: dict[str, torch.Tensor] = {}  # log-probabilities: (2 * pairs,), all chosen ones first
        super().__init__(model, ref_model=ref_model, **kwargs)
        for one in (model, ref_model):
            if one is not None:
                one.register_forward_hook(self._note)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Compute TRL's loss, and meter the batch."""
        groups = inputs.pop(GROUPS)
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        with torch.no_grad():
            if "ref_chosen_logps" in inputs:
                self._answers["reference"] = torch.cat((inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]))
            chosen, rejected = (self._answers["policy"] - self._answers["reference"]).chunk(2)
            losses = -logsigmoid(self.beta * (chosen - rejected))  # (pairs,)
            self.meter.count(inputs)
            self.meter.add_losses(groups, losses, torch.ones_like(losses))
        return loss

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Compute the reference's log-probabilities, of which the groups are no part."""
        return super().compute_ref_log_probs(model, {name: inputs[name] for name in inputs if name != GROUPS})

    def _note(self, module: Any, args: Any, output: Any) -> None:
        if getattr(output, "log_probs", None) is not None:
            # With adapters one model is both; only the policy's pass keeps a graph.
            who = "policy" if torch.is_grad_enabled() else "reference"
            self._answers[who] = output.log_probs.detach().sum(dim=1)
