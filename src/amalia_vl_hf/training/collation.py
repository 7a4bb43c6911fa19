"""Batches for training: samples rendered by the chat template, images tiled, answers marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .samples import conversation

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class ConversationCollator:
    """Make a batch of conversations whose labels are the assistant's tokens alone.

    Images are decoded and tiled here, so that a dataset holds paths and workers share the decoding.

    Args:
        processor: The model's processor.
        max_tiles: Most tiles an image is cut into; 0 leaves only the thumbnail.
        max_length: Most tokens a sample may have, visual ones included.
    """

    processor: Any
    max_tiles: int
    max_length: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` and `labels` `(batch, length)`, and the images' tensors."""
        turns = [conversation(row["messages"], row["images"], row["sample"]) for row in samples]
        batch = _encode(self, turns, [row["sample"] for row in samples])
        answers = batch.pop("assistant_masks").bool()
        batch["labels"] = batch["input_ids"].masked_fill(~answers, -100)
        return batch


@dataclass(frozen=True)
class PreferenceCollator:
    """Make a batch of preference pairs: all chosen conversations, then all rejected ones, images once for each.

    Args:
        processor: The model's processor.
        max_tiles: Most tiles an image is cut into; 0 leaves only the thumbnail.
        max_length: Most tokens of a prompt with its answer, visual ones included.
    """

    processor: Any
    max_tiles: int
    max_length: int

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask`, `completion_mask` `(2 * pairs, length)`, and the images' tensors."""
        pairs = [(row, answer) for answer in ("chosen", "rejected") for row in samples]
        turns = [conversation(row["prompt"] + row[answer], row["images"], row["sample"]) for row, answer in pairs]
        batch = _encode(self, turns, [f"{row['sample']}, {answer}" for row, answer in pairs])
        earlier = torch.tensor([sum(turn["role"] == "assistant" for turn in row["prompt"]) for row, _ in pairs])
        batch["completion_mask"] = _answers_after(batch.pop("assistant_masks"), earlier)
        return batch


def _encode(
    collator: ConversationCollator | PreferenceCollator,
    conversations: list[list[dict[str, Any]]],
    names: Sequence[str],
) -> dict[str, torch.Tensor]:
    """Tokenise conversations, right-padded, with `assistant_masks` over the answers and their `<|im_end|>`."""
    processor = collator.processor
    for name, turns in zip(names, conversations, strict=True):
        if any(processor.image_token in part.get("text", "") for turn in turns for part in turn["content"]):
            raise ValueError(f'{name}: literal {processor.image_token} in the text; write {{"type": "image"}} parts')
    batch = dict(
        processor.apply_chat_template(
            conversations,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            return_assistant_tokens_mask=True,
            processor_kwargs={"padding": True, "padding_side": "right", "max_tiles": collator.max_tiles},
        )
    )
    batch["assistant_masks"] = torch.as_tensor(batch["assistant_masks"])
    _check(batch, names, collator.max_length, processor.image_token_id)
    return batch


def _check(batch: Mapping[str, torch.Tensor], names: Sequence[str], max_length: int, image_token_id: int) -> None:
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    visual = (batch["input_ids"] == image_token_id).sum(dim=1).tolist()
    answers = batch["assistant_masks"].sum(dim=1).tolist()
    for name, length, images, answer in zip(names, lengths, visual, answers, strict=True):
        if length > max_length:
            raise ValueError(
                f"{name}: {length} tokens, {images} of them visual, exceed max_length={max_length}; cutting would "
                "tear the image or the answer: raise max_length, lower max_tiles, or leave the sample out"
            )
        if not answer:
            raise ValueError(f"{name}: no assistant turn, so there is nothing to learn from")


def _answers_after(assistant: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    """Keep of each row's runs of assistant tokens those after the first `earlier` ones, which the prompt holds."""
    before = torch.nn.functional.pad(assistant, (1, 0))[:, :-1]
    run = ((assistant == 1) & (before == 0)).cumsum(dim=1)  # (rows, length), 1 for the first run
    return assistant * (run > earlier[:, None])
