import doctest
import random
from types import SimpleNamespace

import pytest
from transformers import LlavaNextProcessor, LlavaOnevisionProcessor
from transformers.image_processing_utils import select_best_resolution

from amalia_vl_hf.processing import image_processing_amalia_vl, tiling_amalia_vl
from amalia_vl_hf.processing.tiling_amalia_vl import (
    UNTILED,
    TileLayout,
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    place_on_canvas,
    resized_size,
    select_grid,
    video_tokens,
)

PINPOINTS = {
    (384, 24): generate_pinpoints(12, 384),  # AMALIA-VL
    (384, 27): generate_pinpoints(6, 384),  # TowerVision: 14 px patches
    (336, 24): [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)],  # LLaVA-NeXT
}
EXTREMES = [(10, 4044), (4044, 10), (1, 1), (1, 5000), (5000, 1), (1, 4608), (4608, 1), (2, 4000), (9999, 10000)]


def random_sizes(count: int, seed: int) -> list[tuple[int, int]]:
    """Sizes from 1 to 8000 px, as many small ones as large ones."""
    generator = random.Random(seed)
    return [tuple(int(2 ** generator.uniform(0, 13)) for _ in range(2)) for _ in range(count)]


def stock_tokens(height: int, width: int, side: int, tile_size: int, pinpoints: list[tuple[int, int]]) -> int:
    processor = LlavaNextProcessor.__new__(LlavaNextProcessor)
    processor.patch_size, processor.num_additional_image_tokens = tile_size // side, 0
    processor.image_processor = SimpleNamespace(image_grid_pinpoints=pinpoints)
    return processor._get_number_of_features(height, width, tile_size, tile_size)


@pytest.mark.parametrize(("tile_size", "side"), PINPOINTS)
def test_grid_and_token_count_equal_llava_next(tile_size, side):
    pinpoints = PINPOINTS[tile_size, side]
    for height, width in EXTREMES + random_sizes(5000, seed=side):
        grid = select_grid(height, width, pinpoints, tile_size)
        best = select_best_resolution((height, width), pinpoints)
        assert (grid.rows * tile_size, grid.cols * tile_size) == best
        tokens = num_visual_tokens(layout_for(height, width, grid, side), side)
        assert tokens == stock_tokens(height, width, side, tile_size, pinpoints), (height, width)


def test_an_image_without_canvases_is_not_tiled():
    assert layout_for(1000, 1000, select_grid(1000, 1000, [], 384), 24) == UNTILED


@pytest.mark.parametrize(
    ("size", "layout", "tokens"),
    [
        ((384, 384), (1, 1, 0, 0), 576 + 24 * 25),  # 1176
        ((10, 4044), (1, 11, 12, 0), 576),  # every row is padding
        ((4044, 10), (11, 1, 0, 12), 576 + 264),  # no column is left, its newlines are
        ((1152, 1152), (3, 3, 0, 0), 5832),
        ((4608, 384), (12, 1, 0, 0), 7776),
        ((1, 1), (1, 1, 0, 0), 1176),
        ((1, 5000), (1, 1, 12, 0), 576),  # no canvas keeps a pixel: the smallest
    ],
)
def test_layouts_worked_out_by_hand(size, layout, tokens):
    grid = select_grid(*size, generate_pinpoints(12, 384), 384)
    assert layout_for(*size, grid, 24) == TileLayout(*layout)
    assert num_visual_tokens(TileLayout(*layout), 24) == tokens


def test_resized_image_fills_one_side_of_its_canvas():
    for height, width in random_sizes(2000, seed=1):
        grid = select_grid(height, width, PINPOINTS[384, 24], 384)
        new_height, new_width = resized_size(height, width, grid, 384)
        assert new_height == grid.rows * 384 or new_width == grid.cols * 384
        assert 1 <= new_height <= grid.rows * 384
        assert 1 <= new_width <= grid.cols * 384


def test_images_are_centred_on_their_canvas():
    for height, width in random_sizes(2000, seed=3):
        grid = select_grid(height, width, PINPOINTS[384, 24], 384)
        place = place_on_canvas(height, width, grid, 384)
        assert (place.height, place.width) == resized_size(height, width, grid, 384)
        below = grid.rows * 384 - place.top - place.height
        right = grid.cols * 384 - place.left - place.width
        assert below - place.top in (0, 1)
        assert right - place.left in (0, 1)


def test_padding_never_exceeds_the_canvas_and_tokens_never_exceed_the_largest():
    for height, width in random_sizes(2000, seed=2):
        layout = layout_for(height, width, select_grid(height, width, PINPOINTS[384, 24], 384), 24)
        assert 0 <= 2 * layout.pad_rows <= layout.rows * 24
        assert 0 <= 2 * layout.pad_cols <= layout.cols * 24
        assert 576 <= num_visual_tokens(layout, 24) <= 7776
        assert layout.num_tiles <= 13


@pytest.mark.parametrize("max_tiles", [0, 1, 2, 6, 12])
def test_pinpoints_are_every_canvas_once_by_rows_then_columns(max_tiles):
    pinpoints = generate_pinpoints(max_tiles, 10)
    assert pinpoints == sorted(set(pinpoints))
    every = {(10 * rows, 10 * cols) for rows in range(1, 13) for cols in range(1, 13) if rows * cols <= max_tiles}
    assert set(pinpoints) == every


@pytest.mark.parametrize("module", [tiling_amalia_vl, image_processing_amalia_vl])
def test_examples_in_docstrings(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_large_images_are_pooled_as_in_llava_onevision():
    """`anyres_max_9` shrinks the features of a grid of many more than nine tiles."""
    stock = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    stock.num_image_tokens, stock.vision_aspect_ratio = 27**2, "anyres_max_9"
    pinpoints = [(rows * 384, cols * 384) for rows in range(1, 7) for cols in range(1, 7)]
    stock.image_processor = SimpleNamespace(image_grid_pinpoints=pinpoints)
    pooled = 0
    for height, width in EXTREMES + random_sizes(400, seed=19):
        layout = layout_for(height, width, select_grid(height, width, pinpoints, 384), 27)
        counted = num_visual_tokens(layout, 27, pool_above_tiles=9)
        assert counted == stock._get_number_of_features(height, width, 384, 384), (height, width)
        pooled += counted != num_visual_tokens(layout, 27)
    assert pooled > 10


@pytest.mark.parametrize("side", [1, 2, 23, 24, 27])
def test_videos_are_counted_as_in_llava_onevision(side):
    stock = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    stock.num_image_tokens = side**2
    for frames in (1, 2, 32):
        [counted] = stock._get_num_multimodal_tokens(video_sizes=[(frames, 384, 384)])["num_video_tokens"]
        assert video_tokens(frames, side) == counted
    assert video_tokens(32, 27) == 6273
