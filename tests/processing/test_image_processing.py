import json
import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints

GREY_LEVEL = 1 / 127.5  # one of 255 steps, after normalisation to -1..1
EXTREMES = [(10, 4044), (4044, 10), (1, 1), (1, 5000), (5000, 1), (1, 4608), (2, 3)]
PINPOINT_SETS = {
    "generated": generate_pinpoints(12, 32),
    "few": [(32, 64), (64, 32), (64, 64), (96, 32), (32, 96)],
    "unsorted": [(96, 96), (32, 128), (64, 64), (32, 32), (128, 32), (64, 96)],
}


def stock_processor(tile_size: int, pinpoints, **options) -> LlavaNextImageProcessorPil:
    side = {"height": tile_size, "width": tile_size}
    defaults = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    pinpoints = [list(pinpoint) for pinpoint in pinpoints]
    return LlavaNextImageProcessorPil(size=side, crop_size=side, image_grid_pinpoints=pinpoints, **defaults | options)


def picture(height: int, width: int, seed: int = 0, noise: bool = False) -> Image.Image:
    """A photograph's kind of picture, soft shapes and edges, or plain noise."""
    values = np.random.default_rng(seed).integers(
        0, 256, (height if noise else 13, width if noise else 17, 3), np.uint8
    )
    return Image.fromarray(values).resize((width, height), Image.Resampling.LANCZOS)


def assert_equal_to_stock(ours, stock, images) -> None:
    """Compare a batch bit by bit; stock pads every image to the batch's largest number of tiles, with zeros."""
    actual, expected = ours(images), stock(images, return_tensors="pt")["pixel_values"]
    start = 0
    for index, image in enumerate(images):
        rows, cols = actual["tile_layouts"][start][:2].tolist()
        end = start + 1 + rows * cols
        assert torch.equal(actual["pixel_values"][start:end], expected[index, : end - start]), image.size
        assert not expected[index, end - start :].any()
        start = end
    assert start == len(actual["pixel_values"]) == len(actual["tile_layouts"])


@pytest.mark.parametrize("pinpoints", PINPOINT_SETS)
def test_pixels_are_those_of_llava_next(pinpoints):
    stock = stock_processor(32, PINPOINT_SETS[pinpoints])
    ours = AmaliaVLImageProcessor(size=32, patch_size=8, image_grid_pinpoints=PINPOINT_SETS[pinpoints])
    generator = random.Random(pinpoints)
    sizes = EXTREMES + [tuple(int(2 ** generator.uniform(0, 8.5)) for _ in range(2)) for _ in range(700)]
    pictures = [picture(*size, seed=index, noise=index % 2 == 0) for index, size in enumerate(sizes)]
    for start in range(0, len(pictures), 20):
        assert_equal_to_stock(ours, stock, pictures[start : start + 20])


def test_pixels_are_those_of_llava_next_at_full_size():
    stock, ours = stock_processor(384, generate_pinpoints(12, 384)), AmaliaVLImageProcessor()
    generator = random.Random(0)
    sizes = EXTREMES + [tuple(generator.randrange(50, 1600) for _ in range(2)) for _ in range(16)]
    for index, size in enumerate(sizes):
        assert_equal_to_stock(ours, stock, [picture(*size, seed=index)])


@pytest.mark.parametrize(
    "options",
    [
        {"resample": Image.Resampling.BILINEAR},
        {"resample": Image.Resampling.LANCZOS},
        {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]},
    ],
)
def test_pixels_are_those_of_llava_next_with_other_options(options):
    stock = stock_processor(32, PINPOINT_SETS["generated"], **options)
    ours = AmaliaVLImageProcessor(size=32, patch_size=8, **options)
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
    assert_equal_to_stock(ours, stock, [levels, *(picture(50 + 9 * seed, 300, seed) for seed in range(20))])


@pytest.mark.parametrize(("mean", "std"), [(0.3, 0.7), (0.3, 0.25), (0.481, 0.5), (0.5, 1.0), (0.1, 4.0), (0.0, 1e-3)])
def test_every_grey_level_is_normalised_as_llava_next_does(mean, std):
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
    ours = AmaliaVLImageProcessor(size=16, patch_size=8, image_mean=mean, image_std=std, max_tiles=1)
    stock = stock_processor(16, [(16, 16)], image_mean=[mean] * 3, image_std=[std] * 3)
    assert_equal_to_stock(ours, stock, [levels])
    assert len(ours(levels)["pixel_values"].unique()) == 256


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("size", [*EXTREMES, (480, 640), (1080, 1920), (1920, 1080), (3024, 4032), (383, 385)])
def test_torch_resampler_is_within_two_grey_levels_and_mostly_equal(size, noise):
    image = picture(*size, noise=noise)
    pil, fast = (AmaliaVLImageProcessor(resampler=name)(image)["pixel_values"] for name in ("pil", "torch"))
    levels = ((pil - fast).abs() / GREY_LEVEL).round()
    assert levels.max() <= 2
    assert (levels > 0).float().mean() <= 0.01


def test_torch_resampler_keeps_its_bounds_over_many_sizes():
    generator = random.Random(1)
    for seed in range(150):
        image = picture(generator.randrange(1, 900), generator.randrange(1, 900), seed, noise=True)
        options = {"size": generator.choice([32, 64, 96]), "patch_size": 8, "max_tiles": 4}
        pil, fast = (
            AmaliaVLImageProcessor(resampler=name, **options)(image)["pixel_values"] for name in ("pil", "torch")
        )
        levels = ((pil - fast).abs() / GREY_LEVEL).round()
        assert levels.max() <= 2, image.size
        assert (levels > 0).float().mean() <= 0.01, image.size


def test_a_batch_is_its_images_one_after_the_other():
    processor = AmaliaVLImageProcessor(size=32, patch_size=8)
    images = [picture(40, 100), picture(300, 20), picture(32, 32)]
    alone = [processor(image) for image in images]
    for batch in (images, [[images[0]], [], [images[1], images[2]]], [images[:1], None, tuple(images[1:])]):
        together = processor(batch)
        for name in ("pixel_values", "tile_layouts"):
            assert torch.equal(together[name], torch.cat([one[name] for one in alone]))


@pytest.mark.parametrize("held", [lambda pixels: pixels, lambda pixels: pixels[1:, 0], lambda pixels: pixels.numpy()])
@pytest.mark.parametrize("options", [{}, {"pixels": "uint8"}])
def test_memory_of_pixels_is_used_again_only_when_nobody_holds_them(options, held):
    processor = AmaliaVLImageProcessor(size=32, patch_size=8)
    first = torch.as_tensor(held(processor(picture(60, 40), **options)["pixel_values"]))
    before = first.clone()
    for seed in range(3):
        processor(picture(60, 40, seed + 1), **options)
    assert torch.equal(first, before)
    place = processor(picture(60, 40), **options)["pixel_values"].data_ptr()
    assert processor(picture(40, 60), **options)["pixel_values"].data_ptr() == place


def test_shapes_and_types():
    batch = AmaliaVLImageProcessor(size=32, patch_size=8)(picture(60, 40))
    assert batch["pixel_values"].shape == (5, 3, 32, 32)
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["tile_layouts"].tolist() == [[2, 2, 0, 1]] * 5
    assert batch["tile_layouts"].dtype == torch.int64


@pytest.mark.parametrize("images", [[], [[], []], [None], ()])
def test_no_image_gives_empty_tensors(images):
    batch = AmaliaVLImageProcessor(size=32, patch_size=8)(images)
    assert batch["pixel_values"].shape == (0, 3, 32, 32)
    assert batch["tile_layouts"].shape == (0, 4)


def test_arrays_on_request():
    batch = AmaliaVLImageProcessor(size=32, patch_size=8)(picture(60, 40), return_tensors="np")
    assert all(isinstance(value, np.ndarray) for value in batch.values())


def test_without_tiling_only_the_thumbnail_is_left():
    processor = AmaliaVLImageProcessor(size=32, patch_size=8)
    tiled, untiled = processor(picture(60, 40)), processor(picture(60, 40), max_tiles=0)
    assert torch.equal(untiled["pixel_values"], tiled["pixel_values"][:1])
    assert untiled["tile_layouts"].tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    "options",
    [
        {"size": 48},
        {"size": {"shortest_edge": 16}},
        {"patch_size": 4},
        {"max_tiles": 2},
        {"image_grid_pinpoints": [(32, 64)]},
        {"resampler": "torch"},
        {"resample": Image.Resampling.BILINEAR},
        {"image_mean": 0.1},
        {"image_std": [0.1, 0.2, 0.3]},
    ],
)
def test_each_option_of_a_call_equals_the_same_option_of_the_class(options):
    image = picture(60, 40)
    base = {"size": 32, "patch_size": 8}
    called = AmaliaVLImageProcessor(**base)(image, **options)
    made = AmaliaVLImageProcessor(**base | options)(image)
    default = AmaliaVLImageProcessor(**base)(image)
    for name, value in called.items():
        assert torch.equal(value, made[name])
    assert any(
        called[name].shape != default[name].shape or not torch.equal(called[name], default[name]) for name in called
    )


def test_max_tiles_leaves_larger_pinpoints_out():
    processor = AmaliaVLImageProcessor(image_grid_pinpoints=[(384, 384), (384, 768), (1152, 1152)])
    assert processor.tile_layout(1000, 1000).grid == (3, 3)
    assert processor.tile_layout(1000, 1000, max_tiles=2).grid == (1, 1)
    assert processor.tile_layout(1000, 1000, max_tiles=0).grid == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_resize": False}, "no option do_resize"),
        ({"size": {"height": 32, "width": 64}}, "tiles are square"),
        ({"size": 0}, "not one positive side"),
        ({"patch_size": 33}, "patch_size 33 must be within 1 and the tile's 32"),
        ({"max_tiles": -1}, "max_tiles is -1"),
        ({"image_grid_pinpoints": [[32, 48]]}, r"\(32, 48\).*multiples of the tile's 32"),
        ({"image_grid_pinpoints": [[32]]}, r"a canvas is \(height, width\)"),
        ({"resampler": "torch", "resample": Image.Resampling.LANCZOS}, "not lanczos"),
        ({"image_mean": [0.5, 0.5]}, "image_mean has 2 values"),
        ({"image_std": [0.5, 0.0, 0.5]}, "divided by 0"),
    ],
)
def test_impossible_options_are_refused_when_made_and_when_called(options, message):
    base = {"size": 32, "patch_size": 8}
    with pytest.raises(ValueError, match=message):
        AmaliaVLImageProcessor(**base | options)
    with pytest.raises(ValueError, match=message):
        AmaliaVLImageProcessor(**base)(picture(8, 8), **options)


def test_unknown_resampler_is_refused():
    with pytest.raises(Exception, match="expected one of \\('pil', 'torch'\\), got gpu"):
        AmaliaVLImageProcessor(resampler="gpu")


@pytest.mark.parametrize("pinpoints", [None, [(32, 64), (64, 32)]])
def test_save_and_load(tmp_path, pinpoints):
    processor = AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4, image_grid_pinpoints=pinpoints)
    processor.save_pretrained(tmp_path / "first")
    for options in ({}, {"use_fast": True}, {"use_fast": False}, {"backend": "pil"}):
        loaded = AutoImageProcessor.from_pretrained(tmp_path / "first", **options)
        assert type(loaded) is AmaliaVLImageProcessor
        assert loaded.to_dict() == processor.to_dict()
    loaded.save_pretrained(tmp_path / "second")
    first, second = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("first", "second")
    )
    assert first == second
    code = {"image_loading_amalia_vl.py", "image_processing_amalia_vl.py", "tiling_amalia_vl.py"}
    code |= {"addresses_amalia_vl.py", "decoding_amalia_vl.py", "foreign_options_amalia_vl.py"}
    code |= {"tile_pixels_amalia_vl.py"}
    assert set(first) == {"preprocessor_config.json"} | code
    assert AmaliaVLImageProcessor.from_pretrained(tmp_path / "first", max_tiles=1).max_tiles == 1


def save_llava_next(directory, tile_size=32, patch_size=8, **changes) -> None:
    """A `llava_next` directory of 4.x: the patch size is in the processor's own file."""
    options = json.loads(stock_processor(tile_size, PINPOINT_SETS["few"]).to_json_string()) | changes
    options = {name: value for name, value in options.items() if value != "missing"}
    (directory / "preprocessor_config.json").write_text(json.dumps(options))
    (directory / "processor_config.json").write_text(json.dumps({"patch_size": patch_size}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_processor_type": "LlavaNextImageProcessorFast", "do_convert_rgb": None, "image_seq_length": 576},
        {"image_processor_type": "missing", "feature_extractor_type": "LlavaNextFeatureExtractor"},
        {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
        {"size": 32, "crop_size": "missing"},
    ],
)
def test_llava_next_directories_load(tmp_path, changes):
    save_llava_next(tmp_path, **changes)
    for source in (tmp_path, tmp_path / "preprocessor_config.json"):
        ours = AmaliaVLImageProcessor.from_pretrained(source)
        assert ours.patch_size == 8
        assert ours.max_tiles == 4
        assert_equal_to_stock(ours, stock_processor(32, PINPOINT_SETS["few"]), [picture(60, 40), picture(30, 200)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_processor_type": "CLIPImageProcessor", "image_grid_pinpoints": "missing"}, "options of CLIPImage"),
        ({"image_processor_type": "missing", "image_grid_pinpoints": "missing"}, "without a type"),
        ({"image_mean": "missing", "size": "missing"}, "lack size, image_mean"),
        ({"do_rescale": False}, "do_rescale turned off"),
        ({"crop_size": {"height": 16, "width": 16}}, "crops tiles to 16 pixels after resizing them to 32"),
        ({"rescale_factor": 1 / 127.5}, "AMALIA-VL's is 1/255"),
    ],
)
def test_llava_next_options_that_mean_other_pixels_are_refused(tmp_path, changes, message):
    save_llava_next(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        AmaliaVLImageProcessor.from_pretrained(tmp_path)
