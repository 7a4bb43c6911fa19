"""Batches for training: samples rendered by the chat template, images tiled, answers marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...samples.loading import conversation, require_readable

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Encoder:
    """What conversations are made into tensors by, whatever batch they end in.

    Images are decoded and tiled here, so that a dataset holds paths and workers share the decoding.

    Args:
        processor: The model's processor.
        max_tiles: Most tiles an image is cut into; 0 leaves only the thumbnail.
        max_length: Most tokens a conversation may have (of a pair: the prompt with one answer), visual ones included.
    """

    processor: Any
    max_tiles: int
    max_length: int

    def __call__(self, conversations: Sequence[list[dict[str, Any]]], names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Render, tokenise and tile conversations.

        Args:
            conversations: Turns with typed contents and their images, as `samples.conversation` gives them.
            names: Where each comes from, for errors.

        Returns:
            `input_ids`, `attention_mask` and `assistant_masks` `(conversations, length)`, padded on the right; the
            last marks the answers and their `<|im_end|>`. With images, `pixel_values` and `tile_layouts` of all their
            tiles. Special tokens that stand literally in a text are tokenised as text.

        Raises:
            ValueError: A conversation is too long, has no answer or an image that cannot be used; names it.
        """
        processor = self.processor
        for turns, name in zip(conversations, names, strict=True):
            processor.literal_tokens(turns, name)  # refuses by the sample's name what cannot be rendered
        batch = dict(
            processor.apply_chat_template(
                list(conversations),
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                return_assistant_tokens_mask=True,
                processor_kwargs={"padding": True, "padding_side": "right", "max_tiles": self.max_tiles},
            )
        )
        batch["assistant_masks"] = torch.as_tensor(batch["assistant_masks"])
        _check(batch, names, self.max_length, processor.image_token_id)
        return batch


@dataclass(frozen=True)
class ConversationCollator:
    """Make a batch of conversations whose labels are the assistant's tokens alone."""

    encoder: Encoder

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` and `labels` `(batch, length)`, and the images' tensors."""
        for row in samples:
            require_readable(row)
        turns = [conversation(row["messages"], row["images"], row["sample"]) for row in samples]
        batch = self.encoder(turns, [row["sample"] for row in samples])
        answers = batch.pop("assistant_masks").bool()
        batch["labels"] = batch["input_ids"].masked_fill(~answers, -100)
        return batch


@dataclass(frozen=True)
class PreferenceCollator:
    """Make a batch of preference pairs: all chosen conversations, then all rejected ones, images once for each."""

    encoder: Encoder

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask`, `completion_mask` `(2 * pairs, length)`, and the images' tensors."""
        for row in samples:
            require_readable(row)
        pairs = [(row, answer) for answer in ("chosen", "rejected") for row in samples]
        turns = [conversation(row["prompt"] + row[answer], row["images"], row["sample"]) for row, answer in pairs]
        batch = self.encoder(turns, [f"{row['sample']}, {answer}" for row, answer in pairs])
        earlier = torch.tensor([sum(turn["role"] == "assistant" for turn in row["prompt"]) for row, _ in pairs])
        batch["completion_mask"] = _answers_after(batch.pop("assistant_masks"), earlier)
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
