"""Images as LLaVA-OneVision's own processor prepares them, from its own directory."""

import json

import pytest
import torch
from PIL import Image
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from amalia_vl_hf import AmaliaVLImageProcessor
from tests.processing.test_image_processing import picture

PINPOINTS = [[rows * 32, cols * 32] for rows in range(1, 7) for cols in range(1, 7)]
SIZES = [(40, 60), (200, 30), (96, 96), (150, 310), (31, 32)]


@pytest.fixture
def directory(tmp_path):
    """What the stock processor saves, with what else a directory has."""
    side = {"height": 32, "width": 32}
    stock = LlavaOnevisionImageProcessorPil(
        size=side, image_grid_pinpoints=PINPOINTS, image_mean=[0.5, 0.25, 0.75], image_std=[0.5, 0.4, 0.6]
    )
    stock.save_pretrained(tmp_path)
    options = {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16, "patch_size": 8}
    (tmp_path / "processor_config.json").write_text(json.dumps(options | {"vision_aspect_ratio": "anyres_max_4"}))
    return tmp_path


def stock_tiles(directory, images):
    """List each image's tiles: stock pads them to the most tiles of an image."""
    stock = LlavaOnevisionImageProcessorPil.from_pretrained(directory)
    batch = stock(images, return_tensors="pt")
    several = [count > 1 for count in batch["batch_num_images"].tolist() for _ in range(count)]
    return list(zip(batch["pixel_values"], several, strict=True))


def test_a_directory_says_how_its_images_are_cut(directory):
    ours = AmaliaVLImageProcessor.from_pretrained(directory)
    assert (ours.pool_above_tiles, ours.tile_several, ours.patch_size, ours.max_tiles) == (4, False, 8, 36)
    again = AmaliaVLImageProcessor(**ours.to_dict())
    assert (again.pool_above_tiles, again.tile_several) == (4, False)


@pytest.mark.parametrize("nested", [False, True])
def test_pixels_are_stock_s(directory, nested):
    """Several images of a sample are padded to squares with the mean's colour; in a flat list each is tiled."""
    pictures = [picture(*size, seed=number) for number, size in enumerate(SIZES)]
    images = [pictures[:1], pictures[1:4], pictures[4:]] if nested else pictures
    ours = AmaliaVLImageProcessor.from_pretrained(directory)
    batch, start = ours(images), 0
    for tiles, several in stock_tiles(directory, images):
        rows, cols = batch["tile_layouts"][start][:2].tolist()
        count = 1 + rows * cols
        assert (count == 1) == several
        assert (batch["pixel_values"][start : start + count] - tiles[:count]).abs().max() < 1e-6
        start += count
    assert start == len(batch["pixel_values"])


def test_tokens_are_counted_by_sample(directory):
    ours = AmaliaVLImageProcessor.from_pretrained(directory)
    alone, several = ours.image_tokens([(150, 310)]), ours.image_tokens([(150, 310), (40, 60)])
    assert alone == [ours.num_visual_tokens(150, 310)]
    assert alone[0] < AmaliaVLImageProcessor(32, 8, 36, PINPOINTS).num_visual_tokens(150, 310)
    assert several == [17, 17]


def test_a_square_is_bounded():
    ours = AmaliaVLImageProcessor(size=32, patch_size=8, tile_several=False)
    with pytest.raises(ValueError, match="decompression bomb"):
        ours([[Image.new("L", (1, 20_000)), Image.new("L", (4, 4))]])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vision_aspect_ratio": "square", "patch_size": 8}, "knows anyres_max_N"),
        ([1], "holds list, not options"),
    ],
)
def test_what_is_not_done_is_refused(directory, options, reason):
    (directory / "processor_config.json").write_text(json.dumps(options))
    with pytest.raises(ValueError, match=reason):
        AmaliaVLImageProcessor.from_pretrained(directory)


@pytest.mark.parametrize("tiles", [0, -1])
def test_pooling_needs_tiles(tiles):
    with pytest.raises(ValueError, match="pool_above_tiles"):
        AmaliaVLImageProcessor(pool_above_tiles=tiles)


def test_pixels_of_several_images_are_the_same_as_grey_levels(directory):
    ours = AmaliaVLImageProcessor.from_pretrained(directory)
    pictures = [picture(40, 60), picture(20, 20)]
    levels = ours([pictures], pixels="uint8")["pixel_values"].float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (ours.image_mean, ours.image_std))
    assert torch.allclose((levels - mean) / std, ours([pictures])["pixel_values"])
