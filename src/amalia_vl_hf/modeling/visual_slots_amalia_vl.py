"""Which `<image>` and `<video>` ids take visual tokens: counted in a forward, and marked on their way in `generate`.

Only ids of the prompt are slots: one that the model, a draft model or a bias produces is any other token.
`generate` marks the slots once, when it starts; each forward gets the features whose slots are among its own ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import torch_compilable_check

# Of each kind that has slots: its pixels, and how they lie. Both come from the processor, neither without the other.
PIXELS = {"image": ("pixel_values", "tile_layouts"), "video": ("pixel_values_videos", "video_frames")}
PIXEL_INPUTS = tuple(name for names in PIXELS.values() for name in names)

Pair = tuple[torch.Tensor, torch.Tensor]


def pixels_given(inputs: Mapping[str, Any], config: Any) -> dict[str, Pair]:
    """Give the pixels that there are by kind, each with how they lie.

    Args:
        inputs: Named as in `PIXELS`; what is missing is None. No row is no image, or no video.
        config: The model's.

    Raises:
        ValueError: One of a kind's two is there alone, or the model takes no videos.
    """
    given = {}
    for kind, names in PIXELS.items():
        pixels, layout = (inputs.get(name) for name in names)
        if kind == "video" and any(value is not None and len(value) for value in (pixels, layout)):
            require_videos(config)
        if (pixels is None) != (layout is None):
            missing = names[0] if pixels is None else names[1]
            raise ValueError(f"{missing} is missing: {names[0]} and {names[1]} come together from the processor")
        if pixels is not None and layout is not None and len(pixels) + len(layout) > 0:
            given[kind] = (pixels, layout)
    return given


def require_videos(config: Any) -> None:
    """Refuse videos to a model without `<video>`.

    Raises:
        ValueError: It has none.
    """
    if config.video_token_id is None:
        raise ValueError(
            "this model takes no videos: its config has no video_token_id, as that of a llava_next checkpoint; load a "
            "llava_onevision one (TowerVideo), or give it a <video> token with `amalia-vl convert import --videos`"
        )


def slot_positions(slots: torch.Tensor, count: int, kind: str) -> torch.Tensor:
    """Give where the slots are, `(count,)`, when they are as many as the visual tokens.

    Args:
        slots: `(batch * tokens,)`, true at the slots.
        count: Visual tokens that are there to fill them.
        kind: "image" or "video".

    Raises:
        ValueError: The two are not as many.
    """
    number = int(slots.sum())
    if number != count:
        raise ValueError(_miscount(number, count, kind))
    # The size is known: no wait for the device.
    return torch.nonzero_static(slots, size=count).squeeze(1)


def _miscount(slots: int, count: int, kind: str) -> str:
    if count == 0:
        pixels, layout = PIXELS[kind]
        return f"{slots} <{kind}> tokens in the batch but no {kind}s: pass {pixels} and {layout}"
    return (
        f"{slots} <{kind}> tokens in the batch but {count} visual tokens from its {kind}s; was the prompt truncated, "
        "or another processor's layout used?"
    )


# Compilers drop a check whose outcome nothing uses: these give what the forward goes on with.
@torch.library.custom_op("amalia_vl::slot_positions", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def _compiled_positions(slots: torch.Tensor, count: int, kind: str) -> torch.Tensor:
    return slot_positions(slots, count, kind)


@_compiled_positions.register_fake
def _(slots: torch.Tensor, count: int, kind: str) -> torch.Tensor:
    return slots.new_empty(count, dtype=torch.int64)


@torch.library.custom_op("amalia_vl::ids_without_slots", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def _compiled_ids(input_ids: torch.Tensor, token_id: int, kind: str) -> torch.Tensor:
    slot_positions((input_ids == token_id).flatten(), 0, kind)
    return input_ids.clone()


@_compiled_ids.register_fake
def _(input_ids: torch.Tensor, token_id: int, kind: str) -> torch.Tensor:
    return torch.empty_like(input_ids)


def ids_without_slots(input_ids: torch.Tensor, token_id: int, kind: str) -> torch.Tensor:
    """Give the ids of a batch without images or videos, `(batch, tokens)`, when none of them is their token.

    Raises:
        ValueError: There are some; their images or videos got lost.
    """
    # One token is a decode step: an image has more of them, and waiting for the device at each step would cost.
    if input_ids.shape[1] == 1:
        return input_ids
    if torch.compiler.is_exporting():
        torch_compilable_check((input_ids != token_id).all(), f"<{kind}> tokens in the batch but no {kind}s")
    elif torch.compiler.is_compiling():
        return torch.ops.amalia_vl.ids_without_slots(input_ids, token_id, kind)
    else:
        slot_positions((input_ids == token_id).flatten(), 0, kind)
    return input_ids


def put_visual_tokens(
    inputs_embeds: torch.Tensor, slots: torch.Tensor, visual: torch.Tensor, kind: str
) -> torch.Tensor:
    """Put visual tokens into their slots, in order.

    Args:
        inputs_embeds: `(batch, tokens, d_text)`.
        slots: `(batch, tokens)`, true at the slots.
        visual: `(visual tokens, d_text)`.
        kind: "image" or "video".

    Raises:
        ValueError: Slots and visual tokens are not as many.
    """
    flat = slots.flatten()
    if torch.compiler.is_exporting():
        torch_compilable_check(flat.sum() == len(visual), f"<{kind}> tokens and visual tokens are not as many")
        positions = torch.nonzero_static(flat, size=len(visual)).squeeze(1)
    elif torch.compiler.is_compiling():
        positions = torch.ops.amalia_vl.slot_positions(flat, len(visual), kind)
    else:
        positions = slot_positions(flat, len(visual), kind)
    return inputs_embeds.flatten(0, 1).index_copy(0, positions, visual).view_as(inputs_embeds)


@dataclass
class AmaliaVLPromptFeatures(BaseModelOutputWithPooling):
    """The images, or the videos, of a prompt on their way through `generate`, or those of one forward.

    Args:
        pooler_output: One tensor, `(visual tokens, d_text)`: a row for each slot, sample after sample.
        slots: `(batch, tokens)`, the mark: true where an id of the prompt, or of this forward, takes a visual token.
        offset: Tokens in the cache before the first of these ids: 0 when all ids were passed to `generate` again.
        pixels: What they were encoded from, for a draft model with a tower of its own.
        layout: How the pixels lie.
        encoder: Which model encoded them.
    """

    slots: torch.Tensor | None = None
    offset: int | None = None
    pixels: torch.Tensor | None = None
    layout: torch.Tensor | None = None
    encoder: int | None = None

    @classmethod
    def of(cls, slots: torch.Tensor, visual: torch.Tensor, past: int, kind: str, **origin: Any) -> Self:
        """Say which ids of a prompt take which visual tokens.

        Args:
            slots: `(batch, tokens)`, true at the `<image>` or `<video>` ids among those that `generate` got.
            visual: `(visual tokens, d_text)` of what it got to show: that of all these ids, or of the new ones.
            past: How many of these ids are in the cache already.
            kind: "image" or "video".
            origin: `offset` and where the features come from.

        Raises:
            ValueError: Visual tokens are as many neither as all slots, nor as those past the cache.
        """
        new = slots.clone()
        new[:, :past] = False
        if len(visual) == int(new.sum()):
            return cls(pooler_output=[visual], slots=new, **origin)
        if len(visual) != (number := int(slots.sum())):
            raise ValueError(_miscount(number, len(visual), kind))
        return cls(pooler_output=[visual[_rows(slots)[new]]], slots=new, **origin)

    def repeated(self, times: int) -> Self:
        """Give each sample's features to so many beams; what the caller passed in stays as it is."""
        rows = _rows(self.mark).repeat_interleave(times, dim=0)
        return self._with(rows, self.mark.repeat_interleave(times, dim=0))

    def within(self, start: int, width: int) -> Self:
        """Give the features of one forward: those whose slots are among ids `start` to `start + width`.

        Ids past the prompt are no slots.
        """
        window = slice(start, start + width)
        slots = self.mark[:, window]
        part = self._with(_rows(self.mark)[:, window], slots)
        part.slots = nn.functional.pad(slots, (0, width - slots.shape[1]))
        return part

    def uncached(self, tokens: int, cached: int) -> int | None:
        """Say how many of the ids are to run where all were passed again; None where `generate` has cut them itself.

        Decoding with a draft begins with all of them, whatever the cache holds already.
        """
        prompt = self.mark.shape[1]
        return tokens - cached if self.offset == 0 and 0 < cached < prompt <= tokens else None

    @property
    def mark(self) -> torch.Tensor:
        """`slots`, which every object that `generate` made has."""
        if self.slots is None:
            raise ValueError("features of a prompt without a mark of its slots; they are made by generate")
        return self.slots

    def _with(self, rows: torch.Tensor, slots: torch.Tensor) -> Self:
        visual = (self.pooler_output or [])[0]
        kept = {name: self[name] for name in ("offset", "pixels", "layout", "encoder") if name in self}
        return type(self)(pooler_output=[visual[rows[slots]]], slots=slots, **kept)


def _rows(slots: torch.Tensor) -> torch.Tensor:
    """Number the slots, sample after sample, `(batch, tokens)`; without meaning beside them."""
    return slots.flatten().cumsum(0).view_as(slots) - 1


__all__ = [
    "PIXELS",
    "AmaliaVLPromptFeatures",
    "ids_without_slots",
    "pixels_given",
    "put_visual_tokens",
    "require_videos",
]
