"""What patches show: labels lie where the processor puts the pixels, and words take as many places as the picture."""

import random

import pytest
import torch

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.demo.backbones.patches import (
    END_OF_ROW,
    LABEL_VALUES,
    patch_labels,
    spelled_patches,
)
from amalia_vl_hf.demo.backbones.sizes import BackboneSizes
from amalia_vl_hf.demo.scenes import COLOURS, draw_scene, render

SIZES = BackboneSizes()
PROCESSOR = AmaliaVLImageProcessor(size=SIZES.tile_size, patch_size=SIZES.patch_size, max_tiles=SIZES.max_tiles)
SCENES = [draw_scene(random.Random(seed), "train") for seed in range(24)]


@pytest.mark.parametrize("scene", SCENES)
def test_a_labelled_patch_shows_its_colour(scene):
    pixels = PROCESSOR(render(scene), return_tensors="pt")["pixel_values"]
    labels = torch.from_numpy(patch_labels(scene, SIZES))
    patches = pixels.unfold(2, SIZES.patch_size, SIZES.patch_size).unfold(3, SIZES.patch_size, SIZES.patch_size)
    patches = patches.flatten(2, 3).flatten(3)  # (tiles, 3, side**2, pixels of a patch)
    for tile, place in (labels[..., 1] > 0).nonzero().tolist():
        colour = torch.tensor(COLOURS[labels[tile, place, 1] - 1].rgb)[:, None] / 127.5 - 1
        nearest = (patches[tile, :, place] - colour).abs().amax(dim=0).min()
        assert nearest < 0.35  # the smallest shapes are blurred in thumbnails


@pytest.mark.parametrize("scene", SCENES)
def test_words_take_as_many_places_as_visual_tokens(scene):
    for tiled in (True, False):
        tokens = PROCESSOR.num_visual_tokens(scene.height, scene.width, max_tiles=None if tiled else 0)
        assert len(spelled_patches(scene, SIZES, tiled=tiled)) == tokens


@pytest.mark.parametrize("scene", SCENES)
def test_every_shape_and_the_sign_are_named(scene):
    spelled = spelled_patches(scene, SIZES, tiled=True)
    for shape in scene.shapes:
        assert any(shape.name.singular in words for words in spelled)
    assert any(scene.sign.word in words for words in spelled)


@pytest.mark.parametrize("scene", SCENES)
def test_rows_of_the_grid_end_alike(scene):
    grid = spelled_patches(scene, SIZES, tiled=True)[SIZES.side**2 :]
    ends = [place for place, words in enumerate(grid) if words == END_OF_ROW]
    assert {after - before for before, after in zip([-1, *ends], ends, strict=False)} == {ends[0] + 1}
    assert ends[-1] == len(grid) - 1


def test_only_the_thumbnail_says_in_which_half_its_patches_lie():
    labels = patch_labels(SCENES[0], SIZES)
    upper, left = LABEL_VALUES[3].index("cima"), LABEL_VALUES[4].index("esquerda")
    lower, right = LABEL_VALUES[3].index("baixo"), LABEL_VALUES[4].index("direita")
    assert labels[0, :, 3].reshape(4, 4).tolist() == [[upper] * 4] * 2 + [[lower] * 4] * 2
    assert labels[0, :, 4].reshape(4, 4).tolist() == [[left] * 2 + [right] * 2] * 4
    assert not labels[1:, :, 3:].any()
    assert labels.shape[1:] == (16, len(LABEL_VALUES))
