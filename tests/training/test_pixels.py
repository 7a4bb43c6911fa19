"""Training on raw grey levels, which the model normalises, against training on normalised pixels."""

import json

import pytest
import torch
from safetensors.torch import load_file

from amalia_vl_hf.training.run import build_trainer, train


@pytest.mark.parametrize("name", ["2_instruct", "3_prefer"])
def test_a_run_on_raw_pixels_is_that_on_normalised_ones(name, recipe_for, tmp_path):
    shared = ["shared_prompt=true", "precompute_reference=true"] if name == "3_prefer" else []
    runs = {
        pixels: train(recipe_for(name, *shared, f"pixels={pixels}", f"output={tmp_path / pixels}"))
        for pixels in ("float", "uint8")
    }
    weights = [load_file(folder / "model.safetensors") for folder in runs.values()]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_batches_hold_what_the_recipe_asks_for_and_the_model_can_take_it(recipe_for, base, tmp_path):
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    for pixels, dtype in (("float", torch.float32), ("uint8", torch.uint8)):
        trainer = build_trainer(recipe_for("2_instruct", f"pixels={pixels}"), tmp_path / pixels)
        assert next(iter(trainer.get_train_dataloader()))["pixel_values"].dtype == dtype
        assert trainer.model.config.image_mean == config["image_mean"]


def test_a_model_of_older_code_learns_to_normalise(recipe_for, base, tmp_path):
    older = tmp_path / "older"
    older.mkdir()
    for file in base.iterdir():
        (older / file.name).write_bytes(file.read_bytes())
    config = json.loads((older / "config.json").read_text(encoding="utf-8"))
    (older / "config.json").write_text(
        json.dumps({key: value for key, value in config.items() if key not in ("image_mean", "image_std")})
    )
    output = train(recipe_for("2_instruct", f"model={older}", "pixels=uint8", "steps=1"))
    saved = json.loads((output / "config.json").read_text(encoding="utf-8"))
    assert (saved["image_mean"], saved["image_std"]) == ([0.5] * 3, [0.5] * 3)
