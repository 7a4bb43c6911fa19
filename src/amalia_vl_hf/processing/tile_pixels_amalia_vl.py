"""Pixels of tiles and frames: resized by Pillow or torch, cut, and normalised."""

from collections.abc import Callable

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

from .decoding_amalia_vl import require_size
from .tile_settings_amalia_vl import TORCH_MODES, TileSettings
from .tiling_amalia_vl import UNTILED, TileLayout, place_on_canvas

PILLOW = tuple(int(number) for number in PIL.__version__.split(".")[:2])

Resize = Callable[[int, int], torch.Tensor]  # (height, width) -> (3, height, width), grey levels


def write_tiles(picture: Image.Image, layout: TileLayout, settings: TileSettings, out: torch.Tensor) -> None:
    """Write the grey levels of one picture's thumbnail and tiles into `out`, `(1 + rows * cols, 3, S, S)` uint8."""
    size = settings.tile_size
    resize = (_torch_resize if settings.resampler == "torch" else _pil_resize)(picture, settings.resample)
    out[0] = resize(size, size)
    if layout == UNTILED:
        return
    top, left, height, width = place_on_canvas(picture.height, picture.width, layout.grid, size)
    canvas = torch.zeros((3, layout.rows * size, layout.cols * size), dtype=torch.uint8)  # bars are black
    canvas[:, top : top + height, left : left + width] = resize(height, width)
    grid = canvas.view(3, layout.rows, size, layout.cols, size).permute(1, 3, 0, 2, 4)  # (rows, cols, 3, S, S)
    out[1:].view(layout.rows, layout.cols, 3, size, size).copy_(grid)


def normalised(levels: torch.Tensor, settings: TileSettings) -> torch.Tensor:
    """Turn grey levels `(tiles, 3, S, S)` into the tower's values.

    In float32, `level / 255` is what LLaVA-NeXT's processor computes in float64, `level * (1 / 255)`, for all 256.
    """
    return levels.float().div_(255).sub_(settings.mean).div_(settings.std)


def on_square(picture: Image.Image, mean: torch.Tensor) -> Image.Image:
    """Pad a picture to a square with the mean's colour, as LLaVA-OneVision does with several images of a sample.

    Raises:
        RefusedImageError: The square would be too large.
    """
    side = max(picture.size)
    require_size(side, side)
    square = Image.new("RGB", (side, side), tuple(int(value * 255) for value in mean.flatten().tolist()))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _pil_resize(picture: Image.Image, resample: Image.Resampling) -> Resize:
    return lambda height, width: torch.from_numpy(np.array(picture.resize((width, height), resample))).permute(2, 0, 1)


def _torch_resize(picture: Image.Image, resample: Image.Resampling) -> Resize:
    pixels = torch.from_numpy(_to_array(picture)).permute(2, 0, 1)[None]  # (1, 3, H, W), channels last in memory
    mode = TORCH_MODES[resample]

    def resize(height: int, width: int) -> torch.Tensor:
        source = pixels
        if _columns_first(picture, height, width):
            source = torch.nn.functional.interpolate(pixels, (height, picture.width), mode=mode, antialias=True)
        return torch.nn.functional.interpolate(source, (height, width), mode=mode, antialias=True)[0]

    return resize


def _columns_first(picture: Image.Image, height: int, width: int) -> bool:
    """Tell whether Pillow would resize columns before rows, which torch does never; the roundings between matter."""
    if PILLOW < (12, 2) or height >= picture.height:
        return False
    if PILLOW < (13,):
        return picture.height > 100 * picture.width
    return picture.height - height > 2 * (picture.width - width)


def _to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """Copy a picture into `(H, W, 3)`; a large one by stripes, as buffers above 32 MiB are mapped anew each time."""
    height, width = picture.height, picture.width
    rows = height if height * width < 2**23 else max(1, 2**17 // width)
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        whole = rows == height  # spares the crop's copy
        array[top : top + rows] = np.asarray(
            picture if whole else picture.crop((0, top, width, min(top + rows, height)))
        )
    return array
