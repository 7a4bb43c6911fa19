"""Pixels of tiles and frames, by the checked options of a call: resized by Pillow or torch, cut, and normalised."""

import itertools
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

from .decoding_amalia_vl import ArrayPicture, require_size
from .tiling_amalia_vl import (
    UNTILED,
    TileLayout,
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    place_on_canvas,
    select_grid,
)

TORCH_MODES = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}
# Far above any model's: options may be a stranger's, and each image is held against every canvas.
MOST_SIDE, MOST_TILES, MOST_CANVASES = 4096, 1000, 10_000  # pixels, tiles, canvases
LARGE_PAGE = 2**21  # bytes
MOST_KEPT = 2**26  # bytes of pixels that a thread keeps for its next call: 37 tiles of 384 pixels in float32
PILLOW = tuple(int(number) for number in PIL.__version__.split(".")[:2])

Resize = Callable[[int, int], NDArray[np.uint8]]  # (height, width) -> (3, height, width), grey levels


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

    def layouts(self, sizes: Sequence[tuple[int, int]]) -> list[TileLayout]:
        """Lay the images of one sample out; several are not tiled, unless `tile_several` says so.

        Args:
            sizes: Height and width of each, in pixels.
        """
        tiled = self.tile_several or len(sizes) == 1
        return [self.layout(*size) if tiled else UNTILED for size in sizes]

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


class _Memory(threading.local):
    """The last memory that a thread gave for pixels, to be given again once nobody holds them.

    Fresh memory costs as much as normalising does: the system clears it page by page, each with a fault. A few MB or
    more therefore lie on large pages from beginning to end, which NumPy asks the system for.
    """

    def __init__(self) -> None:
        self.kept = np.empty(0, np.uint8)
        self.holder: weakref.ref[NDArray[np.uint8]] | None = None  # dead once no tensor or array is left over it

    def take(self, size: int) -> NDArray[np.uint8]:
        """Give so many bytes, of any content."""
        if size > len(self.kept) or (self.holder and self.holder() is not None):
            large = size >= 2 * LARGE_PAGE
            memory = np.empty(size + 2 * LARGE_PAGE * large, np.uint8)
            start = -memory.ctypes.data % LARGE_PAGE * large
            self.kept = memory[start : start + size]
        taken = self.kept[:size]
        self.holder = weakref.ref(taken)
        if size > MOST_KEPT:
            self.kept = np.empty(0, np.uint8)
        return taken


_memory = _Memory()


def empty_pixels(tiles: int, settings: TileSettings) -> torch.Tensor:
    """Give memory for tiles or frames, `(tiles, 3, S, S)` of the dtype that was asked for."""
    dtype = torch.uint8 if settings.pixels == "uint8" else torch.float32
    shape = (tiles, 3, settings.tile_size, settings.tile_size)
    taken = torch.from_numpy(_memory.take(math.prod(shape) * dtype.itemsize))
    return taken.view(dtype).view(shape)


def write_tiles(picture: Image.Image, layout: TileLayout, settings: TileSettings, out: torch.Tensor) -> None:
    """Write one picture's thumbnail and tiles into `out`, `(1 + rows * cols, 3, S, S)`, as `empty_pixels` gives it."""
    resize = (_torch_resize if settings.resampler == "torch" else _pil_resize)(picture, settings.resample)
    for (part, top, left), tile in zip(_parts(picture, layout, settings.tile_size, resize), out.numpy(), strict=True):
        if part.shape != tile.shape:
            tile[...] = 0  # bars are black
        tile[:, top:, left:][:, : part.shape[1], : part.shape[2]] = part
        normalise(tile, settings)


def _parts(
    picture: Image.Image, layout: TileLayout, size: int, resize: Resize
) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
    """Give what each tile, the thumbnail first, shows of a picture, `(3, height, width)`, and where it begins."""
    yield resize(size, size), 0, 0
    if layout == UNTILED:
        return
    top, left, height, width = place_on_canvas(picture.height, picture.width, layout.grid, size)
    resized = resize(height, width)
    for row, col in itertools.product(range(layout.rows), range(layout.cols)):
        down, across = row * size - top, col * size - left  # of the tile's corner, from the picture's
        rows = slice(max(down, 0), max(min(down + size, height), 0))
        cols = slice(max(across, 0), max(min(across + size, width), 0))
        yield resized[:, rows, cols], rows.start - down, cols.start - across


def normalise(values: NDArray[Any], settings: TileSettings) -> None:
    """Turn the grey levels of a tile, `(3, S, S)` float32, into the tower's values, in place; uint8 stays as it is.

    In float32, `level / 255` is what LLaVA-NeXT's processor computes in float64, `level * (1 / 255)`, for all 256.
    """
    if values.dtype == np.uint8:
        return
    means, stds = settings.mean.flatten().tolist(), settings.std.flatten().tolist()
    for plane, mean, std in zip(values, means, stds, strict=True):
        # A power of two scales exactly, before as after: SigLIP's 0.5 then needs no division of its own.
        exact = std if math.frexp(std)[0] == 0.5 and 2**-8 <= std <= 2**8 else 1.0
        np.divide(plane, np.float32(255 * exact), out=plane)  # a plane stays in the core's cache
        np.subtract(plane, np.float32(mean / exact), out=plane)
        if std != exact:
            np.divide(plane, np.float32(std), out=plane)


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
    return lambda height, width: np.asarray(picture.resize((width, height), resample)).transpose(2, 0, 1)


def _torch_resize(picture: Image.Image, resample: Image.Resampling) -> Resize:
    # Channels last by all four strides, as torch knows them: it then writes them so, without a pass of its own.
    pixels = torch.from_numpy(_to_array(picture)[None]).permute(0, 3, 1, 2)  # (1, 3, H, W)
    return lambda height, width: torch_resized(pixels, height, width, resample)[0].numpy()


def torch_resized(pixels: torch.Tensor, height: int, width: int, resample: Image.Resampling) -> torch.Tensor:
    """Resize pictures of one size, `(pictures, 3, H, W)` uint8, with rounding and order of passes as Pillow's.

    Args:
        pixels: The pictures.
        height: To what, in pixels.
        width: To what, in pixels.
        resample: The filter, one of `TORCH_MODES`.
    """
    mode = TORCH_MODES[resample]
    rows, cols = pixels.shape[2:]
    if _columns_first(rows, cols, height, width):
        pixels = torch.nn.functional.interpolate(pixels, (height, cols), mode=mode, antialias=True)
    return torch.nn.functional.interpolate(pixels, (height, width), mode=mode, antialias=True)


def _columns_first(rows: int, cols: int, height: int, width: int) -> bool:
    """Tell whether Pillow would resize columns before rows, which torch does never; the roundings between matter."""
    if PILLOW < (12, 2) or height >= rows:
        return False
    if PILLOW < (13,):
        return rows > 100 * cols
    return rows - height > 2 * (cols - width)


def _to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """Give a picture as `(H, W, 3)`; a large one by stripes, as buffers above 32 MiB are mapped anew each time."""
    if isinstance(picture, ArrayPicture) and picture.levels is not None:
        return picture.levels if picture.levels.flags.writeable else picture.levels.copy()  # torch takes no others
    height, width = picture.height, picture.width
    rows = height if height * width < 2**23 else max(1, 2**17 // width)
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        whole = rows == height  # spares the crop's copy
        array[top : top + rows] = np.asarray(
            picture if whole else picture.crop((0, top, width, min(top + rows, height)))
        )
    return array
