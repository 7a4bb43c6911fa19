"""The committed recipes of the datasets that models write about photographs are read by the real parser."""

import pytest

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.fields import RecipeError

from ..role_servers import draw_images

NAMES = ("multi_pixmo", "pt_caps", "pt_caps_fusion", "pt_vqa_gen")


@pytest.mark.parametrize("name", NAMES)
def test_recipes_are_read(name, tmp_path):
    draw_images(tmp_path / "images", 3)
    words = [f"images={tmp_path / 'images.parquet'}"]
    recipe = load_build(f"data/{name}", words)
    assert recipe.name == name.replace("_", "-")
    assert recipe.count == 3
    assert {step.role for step in recipe.written.steps(recipe)} - {None} == set(recipe.roles)
    with pytest.raises(RecipeError, match="has no step that asks stranger"):
        load_build(f"data/{name}", [*words, "roles.stranger.url=http://localhost:1", "roles.stranger.model=m"])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["roles.captioner_b.model=google/gemma-3-27b-it"], "the 5 captioners are 4 models"),
        (["settings.merged=5"], "takes 6 captioners or more"),
        (["settings.mergd=5"], "settings.mergd"),
    ],
)
def test_fusion_wants_captioners_of_several_models(words, fault, tmp_path):
    draw_images(tmp_path / "images", 1)
    with pytest.raises(RecipeError, match=fault):
        load_build("data/pt_caps_fusion", [f"images={tmp_path / 'images.parquet'}", *words])
