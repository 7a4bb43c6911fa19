"""Packing: several conversations a row without padding, the same number of conversations in every step.

The plan is made before training from the lengths alone, so it is the same on every rank, for every number of workers
and after a resume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import PreTrainedModel

from ...disk import whole_file
from ...samples.lengths import Size, measure_all
from ...samples.workers import in_chunks
from .balance import Indices
from .collation import ConversationCollator, Encoder, Sample
from .row_plan import RowPlan
from .segments import segment_lengths, use_segmented_attention


def take_packed_rows(model: PreTrainedModel) -> None:
    """Make a model train on the rows of [`PackedConversationCollator`].

    Its decoder attends within segments, and it hands TRL's head the tokens alone that predict a word of an answer. On
    a GPU that head picks them by itself; on a CPU it would score all tokens.
    """
    use_segmented_attention(model)
    model.base_model.register_forward_hook(_keep_scored, with_kwargs=True)


def _keep_scored(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    scored = kwargs.get("scored")  # (scored tokens,)
    if scored is not None:
        output.last_hidden_state = output.last_hidden_state[:, scored]  # (1, scored tokens, d_text)
    return output


@dataclass(frozen=True)
class PackedConversationCollator:
    """Make one row of the conversations it gets, without padding; `segments` tells the decoder where they lie."""

    encoder: Encoder

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Join conversations.

        Returns:
            `input_ids`, `labels` and `position_ids` `(1, tokens)`; `segments`; `scored`, the positions of the tokens
            before a word of an answer, and `shift_labels` `(1, scored tokens)`, those words; the tensors of what the
            conversations show.
        """
        batch = ConversationCollator(self.encoder)(samples)
        real = batch.pop("attention_mask").bool()
        lengths = real.sum(dim=1).tolist()
        positions = torch.arange(real.shape[1]).expand(real.shape)
        # A conversation's first token is learned from nothing; in a row, its neighbour stands before it.
        labels = batch["labels"].masked_fill(positions == 0, -100)
        row = {"input_ids": batch["input_ids"], "labels": labels, "position_ids": positions}
        joined = {name: values[real][None] for name, values in row.items()}  # (1, tokens)
        scored = (joined["labels"][0, 1:] != -100).nonzero()[:, 0]
        return {
            **batch,
            **joined,
            "segments": segment_lengths(lengths),
            "scored": scored,
            "shift_labels": joined["labels"][:, scored + 1],
        }


class PackedBatchSampler(Sampler[list[int]]):
    """The rows of a whole run, as [`plan_rows`] lays them out; what a `DataLoader` takes as its `batch_sampler`.

    Rows come step after step, in a step one micro-batch after the other, in a micro-batch rank after rank, as
    `accelerate` deals the batches of a global sampler out. Epochs follow one another without a break, so resuming only
    means skipping rows.

    Args:
        plan: The rows of each step.
        ranks: How many processes train.
    """

    drop_last = True  # read by accelerate: the ranks' shares are equal as they are

    def __init__(self, plan: RowPlan, ranks: int) -> None:
        self.rows = plan.rows // ranks
        """Rows a rank takes in a step: the trainer's `gradient_accumulation_steps`, at one row a batch."""
        self._plan = plan

    def __iter__(self) -> Iterator[list[int]]:
        """Give the conversations of each row, as positions in the dataset."""
        return self._plan.each_row()

    def __len__(self) -> int:
        """Rows of the run, over all ranks."""
        return len(self._plan) * self._plan.rows


def conversation_sizes(
    dataset: Dataset, processor: Any, max_tiles: int, cache: Path, stand_in: int | None = None, workers: int = 0
) -> tuple[Indices, Indices]:
    """Tokens and tiles of each conversation: the dataset's `length` and `tiles` columns, or else measured.

    Measuring reads every text and every image's header, with a progress bar; its result is kept in `cache`.

    Args:
        dataset: What `load_samples` returns.
        processor: The model's processor.
        max_tiles: Most tiles an image is cut into.
        cache: A `.npz` file beside the run's checkpoints.
        stand_in: Most tokens of a conversation that may take the place of one that cannot be used, which counts as
            long; None: none may, and the first one that cannot be used is an error.
        workers: Processes that measure; 0: this one alone.

    Returns:
        Tokens, visual ones included, and tiles.

    Raises:
        ValueError: A conversation cannot be measured, and nothing may take its place.
    """
    if {"length", "tiles"} <= set(dataset.column_names):
        columns = dataset.with_format("numpy")
        lengths, tiles = columns["length"][:], columns["tiles"][:]
    else:
        lengths, tiles = _measured(dataset, processor, max_tiles, cache, stand_in, workers)
    return (lengths if stand_in is None else lengths.clip(max=stand_in)), tiles


def _measured(
    dataset: Dataset, processor: Any, max_tiles: int, cache: Path, stand_in: int | None, workers: int
) -> tuple[Indices, Indices]:
    # Readers of damaged archives fail in a dozen ways; whatever it is, the sizes are measured again.
    with suppress(Exception), np.load(cache, allow_pickle=False) as kept:
        if len(kept["sizes"]) == len(dataset) and kept["max_tiles"] == max_tiles:
            return kept["sizes"][:, 0], kept["sizes"][:, 1]
    measuring = in_chunks(partial(_sizes_at, dataset, processor, max_tiles), range(len(dataset)), workers)
    counted = tqdm(measuring, desc="measuring lengths", total=len(dataset))
    sizes = np.array([_usable(size, stand_in) for size in counted])
    cache.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(cache) as scratch, scratch.open("wb") as file:
        np.savez(file, sizes=sizes, max_tiles=max_tiles)
    return sizes[:, 0], sizes[:, 1]


def _sizes_at(dataset: Dataset, processor: Any, max_tiles: int, places: Sequence[int]) -> list[Size | ValueError]:
    return measure_all([_row(dataset, place) for place in places], processor, max_tiles)


def _row(dataset: Dataset, place: int) -> Sample:
    """Read a sample; a faulty row is an error in the main process, not in one of those that measure."""
    try:
        sample: Sample = dataset[place]
    except ValueError as error:
        return {"fault": str(error)}
    return sample


def _usable(size: Size | ValueError, stand_in: int | None) -> Size:
    if not isinstance(size, ValueError):
        return size
    if stand_in is None:
        raise size
    return stand_in, 0
