"""What each patch of a scene shows: labels for the tower, words for the decoder."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...processing.tiling_amalia_vl import (
    TileGrid,
    generate_pinpoints,
    layout_for,
    place_on_canvas,
    select_grid,
)
from ..scenes import (
    COLOURS,
    SHAPES,
    SIGN_INDEX,
    WORDS,
    Scene,
    object_map,
)
from .sizes import BackboneSizes

Labels = npt.NDArray[np.int64]

# Values of a patch's five labels, "none" first: shape, colour, word, half of the picture by height and by width.
# A tile shows a part of the picture: only the thumbnail's patches, whose objects are smaller, have halves.
LABEL_VALUES = (
    ("", *(name.singular for name in SHAPES)),
    ("", *(colour.masculine.split()[-1] for colour in COLOURS)),
    ("", *WORDS),
    ("", "cima", "baixo"),
    ("", "esquerda", "direita"),
)
LEAST_COVER = 0.04  # share of a patch that an object must cover to be its label
END_OF_ROW = ("\n",)


def patch_labels(scene: Scene, sizes: BackboneSizes) -> Labels:
    """Label the patches of a scene's tiles, thumbnail first.

    Returns:
        `(tiles, side**2, 5)`: places in `LABEL_VALUES`.
    """
    tiles = _tiles(object_map(scene), _grid(scene, sizes), sizes.tile_size)  # (tiles, S, S)
    patches = tiles.reshape(len(tiles), sizes.side, sizes.patch_size, sizes.side, sizes.patch_size).swapaxes(2, 3)
    patches = patches.reshape(len(tiles), sizes.side**2, sizes.patch_size**2)
    cover = np.stack([(patches == index).mean(axis=-1) for index in range(SIGN_INDEX + 1)], axis=-1)
    cover = np.where(cover < LEAST_COVER, 0, cover)[..., 1:]  # (tiles, side**2, objects)
    shown = np.where(cover[..., :-1].any(axis=-1), cover[..., :-1].argmax(axis=-1) + 1, 0)  # (tiles, side**2)
    words = np.where(cover[..., -1:] > 0, WORDS.index(scene.sign.word) + 1, 0)  # (tiles, side**2, 1)
    halves = np.zeros((*shown.shape, 2), dtype=np.int64)
    rows, cols = np.divmod(np.arange(sizes.side**2), sizes.side)
    halves[0] = np.stack((1 + 2 * rows // sizes.side, 1 + 2 * cols // sizes.side), axis=-1)
    shapes = [(SHAPES.index(shape.name) + 1, COLOURS.index(shape.colour) + 1) for shape in scene.shapes]
    shape_labels = np.array([(0, 0), *shapes], dtype=np.int64)  # (shapes + 1, 2), by the indices of `object_map`
    return np.concatenate((shape_labels[shown], words, halves), axis=-1)


def spelled_patches(scene: Scene, sizes: BackboneSizes, *, tiled: bool) -> list[tuple[str, ...]]:
    """Spell out a scene in words, patch by patch, where AMALIA-VL has visual tokens.

    Args:
        scene: What is spelled out.
        sizes: Of tiles and patches.
        tiled: Whether the tiles follow the thumbnail, as in stages 2 and 3, or a single newline, as in stage 1.

    Returns:
        For each visual token the words of its patch's labels, `END_OF_ROW` for newlines.
    """
    labels = patch_labels(scene, sizes)
    spelled = [_words(patch) for patch in labels[0]]
    if not tiled:
        return [*spelled, END_OF_ROW]
    grid, side = _grid(scene, sizes), sizes.side
    layout = layout_for(scene.height, scene.width, grid, side)
    rows = labels[1:].reshape(grid.rows, grid.cols, side, side, len(LABEL_VALUES)).swapaxes(1, 2)
    rows = rows.reshape(grid.rows * side, grid.cols * side, len(LABEL_VALUES))
    rows = rows[layout.pad_rows : len(rows) - layout.pad_rows, layout.pad_cols : rows.shape[1] - layout.pad_cols]
    for row in rows:
        spelled += [*(_words(patch) for patch in row), END_OF_ROW]
    return spelled


def _words(patch: Labels) -> tuple[str, ...]:
    words = (values[label] for values, label in zip(LABEL_VALUES, patch, strict=True))
    return tuple(word for word in words if word)


def _grid(scene: Scene, sizes: BackboneSizes) -> TileGrid:
    pinpoints = generate_pinpoints(sizes.max_tiles, sizes.tile_size)
    return select_grid(scene.height, scene.width, pinpoints, sizes.tile_size)


def _tiles(picture: Image.Image, grid: TileGrid, size: int) -> npt.NDArray[np.uint8]:
    """Cut a picture of indices as the processor cuts a photograph, without mixing neighbours: `(tiles, S, S)`."""
    top, left, height, width = place_on_canvas(picture.height, picture.width, grid, size)
    canvas = Image.new("L", (grid.cols * size, grid.rows * size), 0)
    canvas.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, top))
    thumbnail = picture.resize((size, size), Image.Resampling.NEAREST)
    cut = np.asarray(canvas).reshape(grid.rows, size, grid.cols, size).swapaxes(1, 2).reshape(-1, size, size)
    return np.concatenate((np.asarray(thumbnail)[None], cut))
