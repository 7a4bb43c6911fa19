"""Batches for training: samples rendered by the chat template, images tiled, videos' frames taken, answers marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from ...samples.loading import conversation, require_readable

Sample = Mapping[str, Any]
Clips = dict[str, torch.Tensor]  # frames of a conversation's videos, and how many each has; empty without videos

PIXELS = ("pixel_values", "tile_layouts", "pixel_values_videos", "video_frames")  # what is not text in a batch


@dataclass(frozen=True)
class Encoder:
    """What conversations are made into tensors by, whatever batch they end in.

    Images and videos are decoded here, so that a dataset holds paths and workers share the decoding.

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

    def __call__(
        self, conversations: Sequence[list[dict[str, Any]]], names: Sequence[str], answers: int = 1
    ) -> dict[str, torch.Tensor]:
        """Render, tokenise and tile conversations.

        Args:
            conversations: Turns with typed contents, their images and videos, as `samples.conversation` gives them.
            names: Where each comes from, for errors.
            answers: In how many rounds they come, one answer each: those of a later one show what the first one's do,
                which is decoded and tiled once.

        Returns:
            `input_ids`, `attention_mask` and `assistant_masks` `(conversations, length)`, padded on the right; the
            last marks the answers and their `<|im_end|>`. With images, `pixel_values` and `tile_layouts` of all their
            tiles; with videos, `pixel_values_videos` and `video_frames` of all their frames. Special tokens that stand
            literally in a text are tokenised as text.

        Raises:
            ValueError: A conversation is too long, has no answer, or an image or video that cannot be used; names it.
        """
        processor = self.processor
        chats = processor.encode_answers(conversations, names)
        first = slice(len(conversations) // answers)
        showing = list(zip(conversations[first], names[first], strict=True))
        pictures = [self._pictures(turns, name) for turns, name in showing]
        clips = [self._clips(turns, name) for turns, name in showing]
        rows = [self._widened(*parts) for parts in zip(chats, pictures * answers, clips * answers, names, strict=True)]
        batch = _padded(rows, processor.tokenizer.pad_token_id)
        shown = joined_pixels(clips)
        if any(pictures):
            shown |= processor.image_processor(pictures, max_tiles=self.max_tiles, pixels=self.pixels)
        return batch | joined_pixels([shown] * answers)

    def _pictures(self, turns: list[dict[str, Any]], name: str) -> list[Image.Image]:
        """Decode the images of a conversation."""
        try:
            pictures: list[Image.Image] = self.processor.image_processor.fetch_images(_shown(turns, "image"))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return pictures

    def _clips(self, turns: list[dict[str, Any]], name: str) -> Clips:
        """Decode the frames that are taken of a conversation's videos."""
        cells = _shown(turns, "video")
        if not cells:
            return {}
        try:
            return dict(self.processor.videos(cells, pixels=self.pixels))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _widened(self, chat: Any, pictures: Sequence[Image.Image], clips: Clips, name: str) -> Any:
        """Give a conversation its visual tokens, before its images are cut; hold it to answers and `max_length`."""
        processor = self.processor
        sizes = [picture.size[::-1] for picture in pictures]
        images = processor.image_processor.image_tokens(sizes, max_tiles=self.max_tiles)
        videos = [processor.num_video_tokens(frames) for frames in clips["video_frames"].tolist()] if clips else []
        row = chat
        for kind, counts in (("image", images), ("video", videos)):
            slot = getattr(processor, f"{kind}_token_id")
            try:
                row = row if slot is None else row.widened(slot, counts, kind)
            except ValueError as error:
                article = "an" if kind == "image" else "a"
                raise ValueError(f"{name}: {error}; does the chat template leave {article} {kind} out?") from error
        if len(row.ids) > self.max_length:
            raise ValueError(
                f"{name}: {len(row.ids)} tokens, {sum(images) + sum(videos)} of them visual, exceed "
                f"max_length={self.max_length}; cutting would tear what is shown or the answer: raise max_length, "
                f"lower {'the frames of a video' if videos else 'max_tiles'}, or leave the sample out"
            )
        if not row.answers.any():
            raise ValueError(f"{name}: no assistant turn, so there is nothing to learn from")
        return row


@dataclass(frozen=True)
class ConversationCollator:
    """Make a batch of conversations whose labels are the assistant's tokens alone."""

    encoder: Encoder

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask` and `labels` `(batch, length)`, and the tensors of what is shown."""
        for row in samples:
            require_readable(row)
        turns = [conversation(row["messages"], row["images"], row["sample"], videos_of(row)) for row in samples]
        batch = self.encoder(turns, [row["sample"] for row in samples])
        answers = batch.pop("assistant_masks").bool()
        batch["labels"] = batch["input_ids"].masked_fill(~answers, -100)
        return batch


@dataclass(frozen=True)
class PreferenceCollator:
    """Make a batch of preference pairs: all chosen conversations, then all rejected ones, each with what it shows."""

    encoder: Encoder

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `attention_mask`, `completion_mask` `(2 * pairs, length)`, and what they show."""
        for row in samples:
            require_readable(row)
        pairs = [(row, answer) for answer in ("chosen", "rejected") for row in samples]
        turns = [
            conversation(row["prompt"] + row[answer], row["images"], row["sample"], videos_of(row))
            for row, answer in pairs
        ]
        batch = self.encoder(turns, [f"{row['sample']}, {answer}" for row, answer in pairs], answers=2)
        earlier = torch.tensor([sum(turn["role"] == "assistant" for turn in row["prompt"]) for row, _ in pairs])
        batch["completion_mask"] = _answers_after(batch.pop("assistant_masks"), earlier)
        return batch


def videos_of(sample: Sample) -> list[Any]:
    """Give the videos of a sample, of which rows made by hand may say nothing."""
    return list(sample.get("videos") or ())


def joined_pixels(parts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Join what several conversations show; what none of them shows is not there."""
    found = {name: [part[name] for part in parts if name in part] for name in PIXELS}
    # One alone is not copied: a video's frames may be a hundred megabytes.
    return {name: torch.cat(some) if len(some) > 1 else some[0] for name, some in found.items() if some}


def _shown(turns: list[dict[str, Any]], kind: str) -> list[Any]:
    return [part[kind] for turn in turns for part in turn["content"] if part["type"] == kind]


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
