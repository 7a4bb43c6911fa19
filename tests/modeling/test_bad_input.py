"""Every wrong input gets an error that names both sides and the likely cause."""

import pytest
import torch

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.modeling.batches import Batch
from tests.tiny import IMAGE_TOKEN_ID, tiny_model

INPUTS = Batch([[(60, 60)], [(70, 30)]], [6, 9]).ours
TILES = len(INPUTS["pixel_values"])


def with_layout(layout):
    changed = INPUTS["tile_layouts"].clone()
    changed[:5] = torch.tensor(layout)
    return {"tile_layouts": changed}


def with_ids(old, new, position):
    ids = INPUTS["input_ids"].clone()
    row, column = (ids == old).nonzero()[position]
    ids[row, column] = new
    return {"input_ids": ids}


CASES = {
    "a slot too few": (with_ids(IMAGE_TOKEN_ID, 9, -1), "<image> tokens in the batch but .* visual tokens.*truncated"),
    "a slot too many": (with_ids(6, IMAGE_TOKEN_ID, -1), "<image> tokens in the batch but .* visual tokens"),
    "slots without images": (
        {"pixel_values": None, "tile_layouts": None},
        "<image> tokens in the batch but no images",
    ),
    "tiles without layouts": ({"tile_layouts": None}, "tile_layouts is missing"),
    "layouts without tiles": ({"pixel_values": None}, "pixel_values is missing"),
    "fewer layouts than tiles": (
        {"tile_layouts": INPUTS["tile_layouts"][:-1]},
        f"{TILES} tiles in pixel_values but {TILES - 1} rows in tile_layouts",
    ),
    "cut inside an image": (
        {"tile_layouts": INPUTS["tile_layouts"][1:], "pixel_values": INPUTS["pixel_values"][1:]},
        "image 0 has 2 x 2 tiles and a thumbnail, 5 in all.*cut inside an image",
    ),
    "cut at the end": (
        {"tile_layouts": INPUTS["tile_layouts"][:-1], "pixel_values": INPUTS["pixel_values"][:-1]},
        "image 1 has .*cut inside an image",
    ),
    "layouts of another shape": ({"tile_layouts": INPUTS["tile_layouts"][0]}, r"shape \(4,\), expected \(tiles, 4\)"),
    "layouts cast with the pixels": (
        {"tile_layouts": INPUTS["tile_layouts"].bfloat16()},
        "tile_layouts is torch.bfloat16, expected integers.*cast with the pixels",
    ),
    "negative layout": (with_layout([2, 2, -1, 0]), r"image 0 has the impossible layout \(2, 2, -1, 0\)"),
    "rows without columns": (with_layout([2, 0, 0, 0]), "impossible layout"),
    "padding beyond the grid": (with_layout([2, 2, 5, 0]), "impossible layout.*4 x 4 patches"),
    "padding of an untiled image": (with_layout([0, 0, 1, 0]), "impossible layout"),
    "wrong tile size": (
        {"pixel_values": INPUTS["pixel_values"][:, :, :16, :16]},
        r"\(9, 3, 16, 16\).*takes \('tiles', 3, 32, 32\).*another model's processor",
    ),
    "stock's padded batch": ({"pixel_values": INPUTS["pixel_values"][None]}, r"\(1, 9, 3, 32, 32\).*another model"),
    "raw pixels": (
        {"pixel_values": torch.zeros(INPUTS["pixel_values"].shape, dtype=torch.uint8)},
        "torch.uint8, but the tower takes normalised torch.float32.*normalisation left out",
    ),
    "no text": ({"input_ids": None}, "either input_ids or inputs_embeds"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    changes, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        tiny_model()(**{**INPUTS, **changes})


def test_ids_and_embeddings_together():
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        tiny_model()(**INPUTS, inputs_embeds=torch.zeros(2, 3, 32))


def test_pixels_and_encoded_images_together():
    model = tiny_model()
    encoded = model.get_image_features(INPUTS["pixel_values"], INPUTS["tile_layouts"])
    with pytest.raises(ValueError, match="either pixel_values or mm_encoder_outputs"):
        model(**INPUTS, mm_encoder_outputs={"image": encoded})


@pytest.mark.parametrize(("dtype", "message"), [("float17", "`torch.dtype`"), ("int8", "torch.int8")])
def test_unknown_dtypes_are_refused_on_load(tmp_path, dtype, message):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        AmaliaVLForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)


def test_the_cases_start_from_a_good_batch():
    assert tiny_model()(**INPUTS).logits.isfinite().all()
