"""What a run says of itself while it trains: tokens a second, visual share, loss by group, samples it dropped.

A group is a category of the mixture (paper, Table 1), or a source where the data names no categories.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm  # type: ignore[import-untyped]
from transformers import ProgressCallback

from .batches.bad_samples import BadSamples
from .batches.segments import Segment

GROUPS = "groups"  # key of a batch: `(samples,)`, which group each of its samples is of


def groups_of(dataset: Dataset) -> tuple[str, ...]:
    """Name the groups of a dataset's samples, in alphabetical order; one row of each source is read."""
    _, firsts = np.unique(dataset.with_format("numpy")[:]["source"], return_index=True)
    return tuple(sorted({_group(dataset[index]) for index in firsts.tolist()}))


def _group(sample: Mapping[str, Any]) -> str:
    return str(sample["category"] or sample["source"])


@dataclass(frozen=True)
class GroupedCollator:
    """Make a collator's batches say which group each sample is of.

    Args:
        collator: Makes the batch.
        groups: Every group's name.
    """

    collator: Callable[[Sequence[Any]], dict[str, Any]]
    groups: tuple[str, ...]

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch, with `groups` `(samples,)`."""
        members = [self.groups.index(_group(sample)) for sample in samples]
        return {**self.collator(samples), GROUPS: torch.tensor(members)}


class Meter:
    """Adds up what happens between two log entries, on the device; only `take` waits for it.

    Args:
        groups: Every group's name.
        slot_ids: Mark visual tokens, of images and of videos.
        bad_samples: Counts what was replaced; None where nothing is.
    """

    def __init__(self, groups: Sequence[str], slot_ids: Sequence[int], bad_samples: BadSamples | None) -> None:
        self.groups = tuple(groups)
        self._slot_ids = tuple(slot_ids)
        self._bad_samples = bad_samples
        self._since = time.monotonic()
        self._tokens: torch.Tensor | float = 0  # of which visual: the second of two numbers
        self._losses: torch.Tensor | float = 0  # (groups, 2): sum, and what it is a sum over

    def count(self, batch: Mapping[str, Any]) -> None:
        """Count a batch's tokens and those that come from images and videos; padding is none."""
        ids = batch.get("row_ids", batch["input_ids"])
        tokens = (
            batch["attention_mask"].sum() if "attention_mask" in batch else torch.tensor(ids.numel()).to(ids.device)
        )
        visual = sum((ids == slot).sum() for slot in self._slot_ids)
        self._tokens = self._tokens + torch.stack((tokens, torch.as_tensor(visual, device=ids.device)))

    def add_losses(self, groups: torch.Tensor, losses: torch.Tensor, weights: torch.Tensor) -> None:
        """Add losses to their groups.

        Args:
            groups: `(samples,)`.
            losses: `(samples,)`, sums.
            weights: `(samples,)`, of what they are sums: tokens, or ones.
        """
        widest = torch.float32 if losses.device.type == "mps" else torch.float64  # which Apple's GPUs have not
        rows = torch.stack((losses.to(widest), weights.to(widest)), dim=1)  # (samples, 2)
        zeros = rows.new_zeros(len(self.groups), 2)
        self._losses = self._losses + zeros.index_add(0, groups, rows)

    def take(self, accelerator: Any) -> dict[str, float]:
        """Return what was added up on all ranks since the last time, and begin anew. Every rank has to call it."""
        now, values = time.monotonic(), {}
        if isinstance(self._tokens, torch.Tensor):
            tokens, visual = accelerator.reduce(self._tokens, reduction="sum").tolist()
            values["tokens_per_second"] = round(tokens / (now - self._since), 1)
            values["visual_share"] = round(visual / tokens, 4)
        if isinstance(self._losses, torch.Tensor) and len(self.groups) > 1:
            for name, (total, weight) in zip(
                self.groups, accelerator.reduce(self._losses, reduction="sum").tolist(), strict=True
            ):
                if weight:
                    values[f"loss/{name}"] = total / weight
        values |= self._dropped(accelerator)
        self._since, self._tokens, self._losses = now, 0, 0
        return values

    def _dropped(self, accelerator: Any) -> dict[str, float]:
        """Count the samples that were replaced, in the whole run, by source."""
        if self._bad_samples is None:
            return {}
        counts = self._bad_samples.counts()
        total = torch.tensor(sum(counts.values()), device=accelerator.device)
        every = int(accelerator.reduce(total, reduction="sum"))
        # Sources by name are this rank's: names are not summed over ranks, their number is.
        return {"dropped": every, **{f"dropped/{source}": count for source, count in counts.items()}}


# What of a log entry is said while training; `training.json` and the report have the rest.
_SAID = ("loss", "validation/", "rewards/accuracies", "rewards/margins", "grad_norm", "learning_rate")
_SAID_LAST = ("tokens_per_second", "dropped", "epoch", "seconds")


def log_line(entry: Mapping[str, Any], step: int, steps: int) -> str:
    """Put a log entry into one line for people; empty where it says nothing of training.

    Args:
        entry: Of the trainer's log.
        step: It was logged after.
        steps: Of the whole run.
    """
    if "loss" not in entry and not any(name.startswith("validation/") for name in entry):
        return ""
    said = [
        name for start in _SAID for name in entry if name == start or (start[-1] == "/" and name.startswith(start))
    ]
    numbers = [f"{name} {entry[name]:.4g}" for name in (*said, *_SAID_LAST) if name in entry]
    return "  ".join((f"step {step}/{steps}", *numbers))


class BarFromHere(ProgressCallback):
    """A progress bar that a resumed run begins where it goes on, so that its speed is the run's own.

    Log entries are lines above it; where nobody looks at a terminal there are the lines alone.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw the bar up to the step that is done."""
        if state.is_world_process_zero:
            self.training_bar = tqdm(
                total=state.max_steps, initial=state.global_step, dynamic_ncols=True, disable=None, unit="step"
            )
        self.current_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Say what was logged, in one line."""
        line = log_line(logs or {}, state.global_step, state.max_steps)
        if state.is_world_process_zero and line:
            tqdm.write(line)


def scored_of_each(batch: Mapping[str, Any], log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum the log-probabilities of each sample of a batch of conversations, padded or packed.

    Args:
        batch: With `labels`, or of packed conversations with `segments` and `scored`.
        log_probs: `(rows, tokens - 1)`, or `(1, scored tokens)` of packed ones; 0 where nothing is to be learned.

    Returns:
        `(samples,)`: the sums, and the numbers of tokens they are over.
    """
    segments: Sequence[Segment] | None = batch.get("segments")
    if segments is None:
        return log_probs.sum(dim=1), (batch["labels"][:, 1:] != -100).sum(dim=1)
    stops = torch.tensor([segment.stop for segment in segments], device=log_probs.device)
    samples = torch.searchsorted(stops, batch["scored"], right=True)  # (scored tokens,)
    zeros = log_probs.new_zeros(len(segments))
    return zeros.index_add(0, samples, log_probs[0]), zeros.index_add(0, samples, torch.ones_like(log_probs[0]))
