"""Batches for training: samples rendered by the chat template, images tiled, answers marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

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
        pixels: `float`, normalised, or `uint8`, grey levels that the model normalises.
    """

    processor: Any
    max_tiles: int
    max_length: int
    pixels: str = "float"

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
        chats = processor.encode_answers(conversations, names)
        pictures = [self._pictures(turns, name) for turns, name in zip(conversations, names, strict=True)]
        rows = [self._widened(*parts) for parts in zip(chats, pictures, names, strict=True)]
        batch = _padded(rows, processor.tokenizer.pad_token_id)
        if images := [picture for some in pictures for picture in some]:
            batch |= processor.image_processor(images, max_tiles=self.max_tiles, pixels=self.pixels)
        return batch

    def _pictures(self, turns: list[dict[str, Any]], name: str) -> list[Image.Image]:
        """Decode the images of a conversation."""
        images = [part["image"] for turn in turns for part in turn["content"] if part["type"] == "image"]
        try:
            pictures: list[Image.Image] = self.processor.image_processor.fetch_images(images)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return pictures

    def _widened(self, chat: Any, pictures: Sequence[Image.Image], name: str) -> Any:
        """Give a conversation its visual tokens, before its images are cut; hold it to answers and `max_length`."""
        visual = [self.processor.num_visual_tokens(*picture.size[::-1], self.max_tiles) for picture in pictures]
        try:
            row = chat.widened(self.processor.image_token_id, visual)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; does the chat template leave an image out?") from error
        if len(row.ids) > self.max_length:
            raise ValueError(
                f"{name}: {len(row.ids)} tokens, {sum(visual)} of them visual, exceed "
                f"max_length={self.max_length}; cutting would tear the image or the answer: raise max_length, lower "
                "max_tiles, or leave the sample out"
            )
        if not row.answers.any():
            raise ValueError(f"{name}: no assistant turn, so there is nothing to learn from")
        return row


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


def _padded(rows: Sequence[Any], pad: int | None) -> dict[str, torch.Tensor]:
    """Stack conversations, padded on the right."""
    if pad is None:
        raise ValueError("the tokenizer has no padding token, so conversations of other lengths cannot be stacked")
    ids = [torch.from_numpy(row.ids) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "assistant_masks": pad_sequence([torch.from_numpy(row.answers) for row in rows], batch_first=True),
    }


def _answers_after(assistant: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    """Keep of each row's runs of assistant tokens those after the first `earlier` ones, which the prompt holds."""
    before = torch.nn.functional.pad(assistant, (1, 0))[:, :-1]
    run = ((assistant == 1) & (before == 0)).cumsum(dim=1)  # (rows, length), 1 for the first run
    return assistant * (run > earlier[:, None])
