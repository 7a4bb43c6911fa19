"""Rows of a batch joined to the one row that segmented attention takes, for tests that compare the two."""

from typing import Any

import torch

from amalia_vl_hf.training.batches.collation import PIXELS
from amalia_vl_hf.training.batches.segments import segment_lengths
from tests.modeling.batches import Batch
from tests.modeling.video_batches import VideoBatch


def labelled(batch: Batch | VideoBatch) -> dict[str, torch.Tensor]:
    """Inputs with labels on the text of each row, as an answer's."""
    inputs = dict(batch.ours)
    text = (inputs["input_ids"] > 6) & (inputs["input_ids"] < 90) & inputs["attention_mask"].bool()
    return {**inputs, "labels": inputs["input_ids"].masked_fill(~text, -100)}


def pack(inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Join right-padded rows to one without padding, positions restarting."""
    real = inputs["attention_mask"].bool()
    lengths = real.sum(dim=1).tolist()
    joined = {name: inputs[name][real][None] for name in ("input_ids", "labels")}
    shown = {name: inputs[name] for name in PIXELS if name in inputs}
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    return {**joined, **shown, "position_ids": positions, "segments": segment_lengths(lengths)}
