"""Joins what tower and connector give of tiles and frames into the visual tokens of images and videos."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from .tile_layouts_amalia_vl import ImageLayout

LEAST_REDUCTION = 1.1  # of a side: a grid that is hardly too large stays as it is, as in LLaVA-OneVision


def pack_image(
    tiles: torch.Tensor, layout: ImageLayout, newline: torch.Tensor, side: int, pool_above_tiles: int | None = None
) -> torch.Tensor:
    """Joins one image's tiles: the thumbnail, then the grid row by row, each row closed by the newline vector.

    The grid is cut to the picture, and pooled where it is too large. An image without tiles is its thumbnail and one
    newline.

    Args:
        tiles: `(tiles, side**2, d_text)`, the thumbnail first.
        layout: How they lie.
        newline: `(d_text,)`.
        side: Patches along a side of a tile.
        pool_above_tiles: See [`AmaliaVLConfig`].

    Returns:
        `(visual tokens, d_text)`.
    """
    thumbnail, grid = tiles[0], tiles[1:]
    if layout.rows == 0:
        return torch.cat((thumbnail, newline[None]))
    rows, cols, pad_rows, pad_cols = layout
    width = tiles.shape[-1]
    grid = grid.reshape(rows, cols, side, side, width).transpose(1, 2)  # (rows, side, cols, side, d_text)
    grid = grid.reshape(rows * side, cols * side, width)
    grid = grid[pad_rows : rows * side - pad_rows, pad_cols : cols * side - pad_cols]
    size = pooled_size(grid.shape[0], grid.shape[1], side, pool_above_tiles)
    if size != tuple(grid.shape[:2]):
        grid = _pooled(grid[None], size)[0]
    ends = newline.expand(grid.shape[0], 1, width)
    return torch.cat((thumbnail, torch.cat((grid, ends), dim=1).flatten(0, 1)))


def pack_videos(frames: torch.Tensor, lengths: Sequence[int], newline: torch.Tensor, side: int) -> list[torch.Tensor]:
    """Joins the frames of each video, each pooled to half its side, rounded up; one newline vector ends the video.

    Args:
        frames: `(frames, side**2, d_text)` of all videos, one after the other.
        lengths: Frames of each video.
        newline: `(d_text,)`.
        side: Patches along a side of a frame.

    Returns:
        `(visual tokens, d_text)` of each video: 196 a frame and 1 where a side has 27 patches.
    """
    half = math.ceil(side / 2)
    pooled = _pooled(frames.reshape(-1, side, side, frames.shape[-1]), (half, half)).flatten(
        1, 2
    )  # (frames, half**2, d_text)
    return [torch.cat((video.flatten(0, 1), newline[None])) for video in torch.split(pooled, list(lengths))]


def pooled_size(rows: int, cols: int, side: int, pool_above_tiles: int | None) -> tuple[int, int]:
    """Says how many patches are left of a grid, `(rows, cols)`, with LLaVA-OneVision's rounding.

    >>> pooled_size(162, 162, 27, 9)  # 6 x 6 tiles, pooled to the patches of 9
    (81, 81)
    """
    if pool_above_tiles is None:
        return rows, cols
    reduction = math.sqrt(rows * cols / (pool_above_tiles * side**2))
    return (rows, cols) if reduction <= LEAST_REDUCTION else (int(rows // reduction), int(cols // reduction))


def _pooled(grids: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolates `(grids, rows, cols, d_text)` bilinearly, as the stock class does, to other rows and cols."""
    if 0 in size:  # of a picture that is a line
        return grids.new_zeros(len(grids), *size, grids.shape[-1])
    planes = grids.permute(0, 3, 1, 2).contiguous()  # (grids, d_text, rows, cols)
    return nn.functional.interpolate(planes, size, mode="bilinear").permute(0, 2, 3, 1)


__all__ = ["pack_image", "pack_videos", "pooled_size"]
