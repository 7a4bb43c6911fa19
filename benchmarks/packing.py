"""Packed training against TRL with stock LLaVA-NeXT: useful tokens a second."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from amalia_vl_hf.processing.tiling_amalia_vl import (
    TileLayout,
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    select_grid,
)

PATCH, MAX_TILES = 16, 12  # px, tiles


class Conversation(NamedTuple):
    """One made conversation: its image, if any, and its words."""

    size: tuple[int, int] | None  # height and width, px
    layout: TileLayout | None
    words: int  # text tokens
    length: int  # tokens, visual ones included


def length_mix(count: int, side: int = 24, seed: int = 0) -> list[Conversation]:
    """Make conversations as long as Table 1's mixture: 3,800 tokens and 6.8 tiles on average at the real geometry.

    A padded batch of four is 70 % useful.

    Args:
        count: How many.
        side: Patches along a side of a tile; images and texts shrink with it.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    scale = np.exp(generator.normal(np.log(1.82), 0.3, count))  # tiles along a side of the image
    aspect = np.exp(generator.normal(0, 0.3, count))
    words = (np.exp(generator.normal(5.5, 0.7, count)).clip(max=3500) + 40) * (side / 24) ** 2
    has_image = generator.random(count) > 0.02
    made = []
    for index in range(count):
        text = max(int(words[index]), 4)
        if not has_image[index]:
            made.append(Conversation(None, None, text, text))
            continue
        size = tuple(
            max(round(edge * side), 2) * PATCH for edge in (scale[index] * aspect[index], scale[index] / aspect[index])
        )
        layout = _layout(*size, side)
        made.append(Conversation(size, layout, text, text + num_visual_tokens(layout, side)))
    return made


@lru_cache(maxsize=4096)
def _layout(height: int, width: int, side: int) -> TileLayout:
    pinpoints = generate_pinpoints(MAX_TILES, side * PATCH)
    return layout_for(height, width, select_grid(height, width, pinpoints, side * PATCH), side)
