"""Geometry of AMALIA-VL's tiles: which grid an image gets, and how many visual tokens it becomes.

Pure arithmetic on sizes, heights and rows first; the only place that counts visual tokens. Sizes are in pixels unless
a name says patches. The method is LLaVA-NeXT's (Liu et al., 2024), with the same rounding, so that counts are equal.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class TileGrid(NamedTuple):
    """Tiles an image is cut into, thumbnail excluded. `rows = cols = 0`: the image is not tiled."""

    rows: int
    cols: int


class TileLayout(NamedTuple):
    """What the model needs to know of an image: its grid, and the padding to cut from the grid's features.

    Attributes:
        rows: Rows of tiles, 0 when the image is not tiled.
        cols: Columns of tiles, 0 when the image is not tiled.
        pad_rows: Rows of patches that are padding at the top, and as many at the bottom.
        pad_cols: Columns of patches that are padding at the left, and as many at the right.
    """

    rows: int
    cols: int
    pad_rows: int
    pad_cols: int

    @property
    def grid(self) -> TileGrid:
        """The grid alone."""
        return TileGrid(self.rows, self.cols)

    @property
    def num_tiles(self) -> int:
        """Tiles the tower sees, the thumbnail included."""
        return 1 + self.rows * self.cols


class Placement(NamedTuple):
    """Where an image lies on its canvas once it is resized, in pixels; what is around it is padding."""

    top: int
    left: int
    height: int
    width: int


UNTILED = TileLayout(rows=0, cols=0, pad_rows=0, pad_cols=0)


def generate_pinpoints(max_tiles: int, tile_size: int) -> list[tuple[int, int]]:
    """List every canvas of at most `max_tiles` square tiles.

    The order decides ties, the first wins: few rows before many, then few columns before many. A square image that
    fits 3x4 and 4x3 equally well is therefore cut into 3 rows of 4.

    Args:
        max_tiles: Most tiles of an image, the thumbnail excluded; 0 gives no canvas at all.
        tile_size: Side of a tile, in pixels.

    Returns:
        `(height, width)` of each canvas, in pixels.

    Examples:
        >>> generate_pinpoints(max_tiles=3, tile_size=384)
        [(384, 384), (384, 768), (384, 1152), (768, 384), (1152, 384)]
        >>> len(generate_pinpoints(max_tiles=12, tile_size=384))
        35
        >>> generate_pinpoints(max_tiles=0, tile_size=384)
        []
    """
    return [
        (rows * tile_size, cols * tile_size)
        for rows in range(1, max_tiles + 1)
        for cols in range(1, max_tiles // rows + 1)
    ]


def select_grid(height: int, width: int, pinpoints: Iterable[Sequence[int]], tile_size: int) -> TileGrid:
    """Choose the canvas that keeps most of the image's pixels, then wastes the fewest of its own; the first wins ties.

    An image so thin that every canvas shrinks it to nothing, such as 1x5000, keeps no pixel anywhere and so gets the
    smallest canvas, as in LLaVA-NeXT. Without canvases an image is not tiled.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        pinpoints: Allowed canvases as `(height, width)`, multiples of `tile_size`.
        tile_size: Side of a tile, in pixels.

    Examples:
        >>> select_grid(1080, 1920, generate_pinpoints(12, 384), 384)
        TileGrid(rows=3, cols=4)
        >>> select_grid(1, 5000, generate_pinpoints(12, 384), 384)
        TileGrid(rows=1, cols=1)
        >>> select_grid(1080, 1920, [], 384)
        TileGrid(rows=0, cols=0)
    """
    best = TileGrid(0, 0)
    most_kept, least_wasted = 0, math.inf
    for canvas_height, canvas_width in pinpoints:
        scale = min(canvas_width / width, canvas_height / height)
        kept = min(int(width * scale) * int(height * scale), width * height)  # pixels; enlarging adds none
        wasted = canvas_height * canvas_width - kept
        if kept > most_kept or (kept == most_kept and wasted < least_wasted):
            most_kept, least_wasted = kept, wasted
            best = TileGrid(canvas_height // tile_size, canvas_width // tile_size)
    return best


def resized_size(height: int, width: int, grid: TileGrid, tile_size: int) -> tuple[int, int]:
    """Size of the image once it fills one side of its canvas, before it is padded to the other.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        grid: Grid of the canvas, at least 1x1.
        tile_size: Side of a tile, in pixels.

    Returns:
        `(height, width)` in pixels.

    Examples:
        >>> resized_size(1080, 1920, TileGrid(3, 4), 384)
        (864, 1536)
    """
    canvas_height, canvas_width = grid.rows * tile_size, grid.cols * tile_size
    scale_height, scale_width = canvas_height / height, canvas_width / width
    if scale_width < scale_height:
        return min(math.ceil(height * scale_width), canvas_height), canvas_width
    return canvas_height, min(math.ceil(width * scale_height), canvas_width)


def place_on_canvas(height: int, width: int, grid: TileGrid, tile_size: int) -> Placement:
    """Centre an image on its canvas, as LLaVA-NeXT does: an odd row or column of padding is at the bottom or right.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        grid: Grid of the canvas, at least 1x1.
        tile_size: Side of a tile, in pixels.

    Examples:
        >>> place_on_canvas(1080, 1920, TileGrid(3, 4), 384)
        Placement(top=144, left=0, height=864, width=1536)
    """
    new_height, new_width = resized_size(height, width, grid, tile_size)
    top, left = (grid.rows * tile_size - new_height) // 2, (grid.cols * tile_size - new_width) // 2
    return Placement(top, left, new_height, new_width)


def layout_for(height: int, width: int, grid: TileGrid, side: int) -> TileLayout:
    """Count the padding of an image's canvas in patches, the same on both sides.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        grid: Grid that `select_grid` chose.
        side: Patches on a side of a tile: 24 for 384 px tiles of 16 px patches.

    Examples:
        >>> layout_for(1080, 1920, TileGrid(3, 4), side=24)
        TileLayout(rows=3, cols=4, pad_rows=9, pad_cols=0)
        >>> layout_for(10, 4044, TileGrid(1, 11), side=24)
        TileLayout(rows=1, cols=11, pad_rows=12, pad_cols=0)
    """
    if grid.rows == 0:
        return UNTILED
    canvas_rows, canvas_cols = grid.rows * side, grid.cols * side
    if width / height > canvas_cols / canvas_rows:
        image_rows = int(round(height * (canvas_cols / width), 7))  # LLaVA-NeXT's rounding
        return TileLayout(*grid, pad_rows=(canvas_rows - image_rows) // 2, pad_cols=0)
    image_cols = int(round(width * (canvas_rows / height), 7))
    return TileLayout(*grid, pad_rows=0, pad_cols=(canvas_cols - image_cols) // 2)


def num_visual_tokens(layout: TileLayout, side: int, pool_above_tiles: int | None = None) -> int:
    """Count the positions an image takes in the decoder.

    The thumbnail gives `side**2`; the grid, once its padding is cut, one for each patch and a newline after each row.
    An image that is not tiled gets a single newline after its thumbnail.

    Args:
        layout: The image's layout.
        side: Patches on a side of a tile.
        pool_above_tiles: Tiles whose patches a grid is shrunk to if it has many more, as LLaVA-OneVision does.

    Examples:
        Full grids of 3x3 and 12x1 tiles, and an image that is not tiled, at 24 patches a side:

        >>> num_visual_tokens(TileLayout(3, 3, 0, 0), side=24)
        5832
        >>> num_visual_tokens(TileLayout(12, 1, 0, 0), side=24)
        7776
        >>> num_visual_tokens(UNTILED, side=24)
        577
        >>> num_visual_tokens(TileLayout(6, 6, 0, 0), side=27, pool_above_tiles=9)
        7371
    """
    if layout.rows == 0:
        return side**2 + 1
    rows, cols = kept_patches(layout, side, pool_above_tiles)
    return side**2 + rows * (cols + 1)


def kept_patches(layout: TileLayout, side: int, pool_above_tiles: int | None = None) -> tuple[int, int]:
    """Count the rows and columns of patches of a grid that the decoder sees.

    Args:
        layout: The layout of an image that is tiled.
        side: Patches on a side of a tile.
        pool_above_tiles: As in `num_visual_tokens`.

    Examples:
        >>> kept_patches(TileLayout(3, 4, 9, 0), side=24)
        (54, 96)
        >>> kept_patches(TileLayout(6, 6, 0, 0), side=27, pool_above_tiles=9)
        (81, 81)
    """
    rows = layout.rows * side - 2 * layout.pad_rows
    cols = layout.cols * side - 2 * layout.pad_cols
    if pool_above_tiles is not None:
        ratio = math.sqrt(rows * cols / (pool_above_tiles * side**2))
        if ratio > 1.1:  # LLaVA-OneVision's, in its own arithmetic
            return int(rows // ratio), int(cols // ratio)
    return rows, cols


def video_tokens(frames: int, side: int) -> int:
    """Count the positions a video takes in the decoder: of each frame a quarter of its patches, and one newline.

    Args:
        frames: Frames that the model sees.
        side: Patches on a side of a frame.

    Examples:
        >>> video_tokens(32, side=27)
        6273
    """
    return frames * math.ceil(side / 2) ** 2 + 1
