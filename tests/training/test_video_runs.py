"""Recipes over videos: packed or not, shared prompts, going on where they were stopped."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.training.origin import record_of
from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.training.run import train
from tests.training.conftest import RECIPES
from tests.training.test_checkpoints import stop_in_step
from tests.training.tiny_run import assistant, user, write_pictures

CLIPS = [["0.png", "1.png", "3.png"], ["2.png"], ["3.png", "0.png"], ["1.png", "2.png", "0.png", "3.png"]]


@pytest.fixture(scope="module")
def video_base(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "base"
    model, processor = compose(*parts, max_tiles=4, seed=0, videos=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_rows(folder):
    """Conversations and pairs about videos, images, both and neither; a video is a list of its frames."""
    shown = [
        {"videos": [CLIPS[0]]},
        {"images": ["1.png"]},
        {},
        {"videos": [CLIPS[1], CLIPS[2]]},
        {"videos": [CLIPS[3]]},
        {"videos": [CLIPS[0]]},
    ]
    question = [user("O que acontece?")]
    rows = {
        "sft": [{**each, "messages": [*question, assistant(f"nada {n}.")]} for n, each in enumerate(shown)],
        "dpo": [
            {**each, "prompt": question, "chosen": [assistant(f"sim {n}.")], "rejected": [assistant("não sei.")]}
            for n, each in enumerate(shown)
        ],
    }
    for method, lines in rows.items():
        (folder / f"{method}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return write_rows(write_pictures(tmp_path / "data"))


@pytest.fixture
def recipe_at(video_base, data, tmp_path):
    def make(name, stage="2_instruct", *overrides):
        method = "dpo" if stage == "3_prefer" else "sft"
        here = [f"model={video_base}", f"data={data / method}.jsonl", f"output={tmp_path / name}", "batch_size=2"]
        fixed = ["epochs=null", "steps=4", "save_steps=2", "log_steps=1", "workers=0", "max_length=512"]
        return load_recipe(RECIPES / f"{stage}.yaml", [*here, *fixed, *overrides])

    return make


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [
        pytest.param("2_instruct", ["packing=true", "pixels=uint8"], id="packed, raw pixels"),
        pytest.param("3_prefer", ["shared_prompt=true"], id="shared prompts", marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_with_the_same_weights(recipe_at, stage, overrides):
    whole = weights(train(recipe_at("whole", stage, *overrides)))
    cut = recipe_at("cut", stage, *overrides)
    stop_in_step(cut, 3)
    resumed = weights(train(cut))
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.slow
def test_raw_pixels_train_the_same(recipe_at):
    one, other = (weights(train(recipe_at(pixels, "2_instruct", f"pixels={pixels}"))) for pixels in ("float", "uint8"))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_a_frame_that_changed_is_another_run(recipe_at, data):
    recipe = recipe_at("run")
    before = record_of(recipe)["origin"]
    assert record_of(recipe)["origin"] == before
    Image.new("RGB", (30, 40)).save(data / "2.png")  # shown by videos alone
    after = record_of(recipe)["origin"]
    assert {name for name in before if before[name] != after[name]} == {"images_sha256"}
