"""How the tiles of a batch's images lie: `tile_layouts` read, and held against the tiles.

The same tuple as the processor's `TileLayout`, and the same walk over it: two islands cannot import each other, so
each has its own definition, and `tests/modeling/test_tile_layouts.py` holds the two equal.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers.exporters.utils import register_export_input_preparer

Layouts = Sequence[Sequence[int]]


class ImageLayout(NamedTuple):
    """One row of `tile_layouts`: how the tiles of one image lie.

    `rows` and `cols` count tiles, thumbnail excluded (0, 0: the image is not tiled); pads count patches cut from each
    of the two opposite sides of the grid.
    """

    rows: int
    cols: int
    pad_rows: int
    pad_cols: int

    @property
    def tiles(self) -> int:
        """Tiles of the image, its thumbnail included."""
        return 1 + self.rows * self.cols


def split_tile_layouts(tile_layouts: torch.Tensor | Layouts, tiles: int, side: int) -> list[ImageLayout]:
    """Reads a batch's `tile_layouts` into one layout an image, in one copy to the host.

    Args:
        tile_layouts: `(tiles, 4)` integers: `rows, cols, pad_rows, pad_cols` of the image that each tile belongs to.
            A tuple of such rows where a graph is exported, which cannot read a tensor.
        tiles: Rows of `pixel_values`.
        side: Patches along a side of a tile.

    Returns:
        The layouts of the batch's images.

    Raises:
        ValueError: Layouts and tiles are not as many, the layouts do not cover whole images with equal rows, or one of
            them is impossible.
    """
    if isinstance(tile_layouts, torch.Tensor):
        tile_layouts = _on_host(tile_layouts)
    if len(tile_layouts) != tiles:
        raise ValueError(
            f"{tiles} tiles in pixel_values but {len(tile_layouts)} rows in tile_layouts; was only one of them sliced?"
        )
    rows = [ImageLayout(*row) for row in tile_layouts]
    layouts: list[ImageLayout] = []
    start = 0
    while start < tiles:
        layout = rows[start]
        _check_layout(layout, len(layouts), side)
        own = rows[start : start + layout.tiles]
        if len(own) < layout.tiles or any(row != layout for row in own):
            raise ValueError(
                f"image {len(layouts)} has {layout.rows} x {layout.cols} tiles and a thumbnail, {layout.tiles} in all "
                f"but its rows of tile_layouts are {[tuple(row) for row in own]}; was the batch cut inside an image?"
            )
        layouts.append(layout)
        start += layout.tiles
    return layouts


def _on_host(tile_layouts: torch.Tensor) -> Layouts:
    if tile_layouts.ndim != 2 or tile_layouts.shape[1] != 4:
        raise ValueError(f"tile_layouts has shape {tuple(tile_layouts.shape)}, expected (tiles, 4)")
    if tile_layouts.is_floating_point():
        raise ValueError(f"tile_layouts is {tile_layouts.dtype}, expected integers; was it cast with the pixels?")
    return tuple(map(tuple, tile_layouts.tolist()))


@register_export_input_preparer("tile_layouts")
def _read_before_export(model: torch.nn.Module, inputs: dict[str, Any]) -> None:
    """Reads the layouts outside the graph that transformers' exporters trace; they are constants of it."""
    if isinstance(inputs["tile_layouts"], torch.Tensor):
        inputs["tile_layouts"] = _on_host(inputs["tile_layouts"])


def _check_layout(layout: ImageLayout, image: int, side: int) -> None:
    rows, cols, pad_rows, pad_cols = layout
    possible = min(layout) >= 0 and (rows == 0) == (cols == 0)
    if not possible or 2 * pad_rows > rows * side or 2 * pad_cols > cols * side:
        raise ValueError(
            f"image {image} has the impossible layout {tuple(layout)}: rows, cols, pad_rows, pad_cols with tiles of "
            f"{side} x {side} patches"
        )


__all__ = ["ImageLayout", "split_tile_layouts"]
