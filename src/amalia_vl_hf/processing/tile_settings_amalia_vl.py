"""Options of one call of the image processor, checked: what tiles are, and what becomes of pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from .tiling_amalia_vl import TileLayout, generate_pinpoints, layout_for, num_visual_tokens, select_grid

TORCH_MODES = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}
# Far above any model's: options may be a stranger's, and each image is held against every canvas.
MOST_SIDE, MOST_TILES, MOST_CANVASES = 4096, 1000, 10_000  # pixels, tiles, canvases


@dataclass(frozen=True)
class TileSettings:
    """Checked options of one call."""

    tile_size: int
    patch_size: int
    max_tiles: int
    pinpoints: Sequence[Sequence[int]] | None
    resampler: str
    resample: Image.Resampling
    mean: torch.Tensor  # (3, 1, 1)
    std: torch.Tensor  # (3, 1, 1)
    pixels: str
    pool_above_tiles: int | None
    tile_several: bool

    def __post_init__(self) -> None:
        if self.tile_size > MOST_SIDE:
            raise ValueError(f"size is {self.tile_size} pixels; no tower's tiles are larger than {MOST_SIDE}")
        if not 0 < self.patch_size <= self.tile_size:
            raise ValueError(f"patch_size {self.patch_size} must be within 1 and the tile's {self.tile_size} pixels")
        if self.max_tiles < 0:
            raise ValueError(f"max_tiles is {self.max_tiles}; it must be 0 (no tiling) or more")
        if self.max_tiles > MOST_TILES:
            raise ValueError(f"max_tiles is {self.max_tiles:.6g}; more than {MOST_TILES} fit into no decoder")
        for pinpoint in self.pinpoints or ():
            if len(pinpoint) != 2 or any(length < self.tile_size or length % self.tile_size for length in pinpoint):
                raise ValueError(
                    f"image_grid_pinpoints has {tuple(pinpoint)}; a canvas is (height, width), both multiples of the "
                    f"tile's {self.tile_size} pixels"
                )
        if self.pool_above_tiles is not None and self.pool_above_tiles < 1:
            raise ValueError(f"pool_above_tiles is {self.pool_above_tiles}; it must be 1 or more, or None")
        if (self.std == 0).any():
            raise ValueError(f"image_std is {self.std.flatten().tolist()}; no channel can be divided by 0")
        if self.resampler == "torch" and self.resample not in TORCH_MODES:
            raise ValueError(f"the torch resampler knows bicubic and bilinear, not {self.resample.name.lower()}")

    @property
    def side(self) -> int:
        """Patches on a side of a tile."""
        return self.tile_size // self.patch_size

    def layout(self, height: int, width: int) -> TileLayout:
        """Lay an image of this size, in pixels, out on the canvas that suits it best."""
        allowed = self.pinpoints if self.pinpoints is not None else generate_pinpoints(self.max_tiles, self.tile_size)
        most_pixels = self.max_tiles * self.tile_size**2
        canvases = [canvas for canvas in allowed if canvas[0] * canvas[1] <= most_pixels]
        return layout_for(height, width, select_grid(height, width, canvases, self.tile_size), self.side)

    def tokens(self, layout: TileLayout) -> int:
        """Count the positions that an image of this layout takes in the decoder."""
        return num_visual_tokens(layout, self.side, self.pool_above_tiles)


def tile_size_of(size: int | Mapping[str, int]) -> int:
    """Read the ways Hugging Face writes a square size."""
    sides = {size} if isinstance(size, int) else set(size.values())
    if len(sides) != 1 or (tile_size := sides.pop()) < 1:
        raise ValueError(f"size {size} is not one positive side: tiles are square")
    return tile_size


def floats(value: Any) -> Any:
    """Read numbers as `image_mean` and `image_std` have them, for one channel or for each: JSON may hold integers."""
    if isinstance(value, int | float):
        return float(value)
    return [float(entry) if isinstance(entry, int | float) else entry for entry in value]


def per_channel(options: Mapping[str, Any], name: str) -> torch.Tensor:
    """Read an option that has a finite number for each channel, or one for all: `(3, 1, 1)`.

    Raises:
        ValueError: It has another.
    """
    value = options[name]
    channels = torch.tensor([value] * 3 if isinstance(value, float | int) else value, dtype=torch.float32)
    if len(channels) != 3:
        raise ValueError(f"{name} has {len(channels)} values; give one, or one for each of the 3 channels")
    if not channels.isfinite().all():
        raise ValueError(f"{name} is {value}; every value must be a finite number")
    return channels.view(3, 1, 1)
