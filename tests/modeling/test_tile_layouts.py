"""The processor's layouts and the model's are one tuple, and both sides walk over `tile_layouts` alike."""

import torch

from amalia_vl_hf.modeling.tile_layouts_amalia_vl import ImageLayout, split_tile_layouts
from amalia_vl_hf.processing.processing_amalia_vl import _image_layouts
from amalia_vl_hf.processing.tiling_amalia_vl import TileLayout
from tests.modeling.batches import EXTREME, MIXED, Batch


def test_both_sides_have_one_tuple():
    assert ImageLayout._fields == TileLayout._fields
    for layout in ((0, 0, 0, 0), (2, 3, 1, 0)):
        assert ImageLayout(*layout).tiles == TileLayout(*layout).num_tiles


def test_both_sides_read_the_same_images():
    for samples in (MIXED, EXTREME):
        batch = Batch(samples, [6, 9, 3])
        rows = batch.ours["tile_layouts"]
        assert split_tile_layouts(rows, len(rows), batch.side) == _image_layouts({"tile_layouts": rows})
    assert (
        split_tile_layouts(torch.zeros(0, 4).long(), 0, 4) == _image_layouts({"tile_layouts": torch.zeros(0, 4)}) == []
    )
