"""InternVL's pairs by the licences of their sources."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.image_manifest import index_images
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.samples.loading import load_samples

LICENCES = {"ai2d": "cc-by-sa-4.0", "scienceqa": "cc-by-nc-sa-4.0", "vqav2": "CC-BY-4.0"}


def pair(number, source, **changes):
    answers = {"chosen": f"It is {number}.", "rejected": "I do not know."}
    made = {"image": f"images/{source}/{number % 3}.png", "question": f"<image>\nWhat is {number}?", **answers}
    return json.dumps({**made, **changes})


def write_mmpr(folder):
    lines = {
        "ai2d_train_12k_en": [pair(number, "ai2d") for number in range(6)]
        + [
            pair(9, "ai2d", question="<image>\nwhat  is 0?", image="images/ai2d/0.png"),
            pair(7, "ai2d", rejected="It is 7."),
            pair(8, "ai2d", image="images/ai2d/lost.png"),
            pair(8, "ai2d", image="../../etc/passwd"),
            pair(8, "ai2d", chosen=None),
            "no JSON",
        ],
        "scienceqa_train": [pair(number, "scienceqa") for number in range(4)],
        "vqav2_en": [pair(number, "vqav2") for number in range(3)],
        "vqav2plus": [pair(number, "vqav2") for number in range(3)],
        "unheard_of": [pair(number, "vqav2") for number in range(3)],
    }
    (folder / "annotations").mkdir(parents=True)
    for source in ("ai2d", "scienceqa", "vqav2"):
        (folder / "images" / source).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (number * 50, len(source) * 20, 7)).save(folder / f"images/{source}/{number}.png")
    for name, rows in lines.items():
        (folder / "annotations" / f"{name}.jsonl").write_text("".join(f"{row}\n" for row in rows))
    index_images(folder / "images", folder / "images.parquet", "each its own", "MMPR")


def recipe_of(tmp_path, **settings):
    written = {
        "dataset": "preferences-mpo",
        "shard_size": 4,
        "samples": str(tmp_path / "mmpr/annotations"),
        "images": str(tmp_path / "mmpr/images.parquet"),
        "settings": {"allowed": ["cc-by-4.0", "cc-by-sa-4.0"], "licences": LICENCES, **settings},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(written))
    return load_build(path)


def test_only_allowed_sources_are_taken_each_prompt_once(tmp_path, caplog):
    write_mmpr(tmp_path / "mmpr")
    tally = build(recipe_of(tmp_path), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/data").to_pylist()
    assert Counter((row["task"], row["licence"]) for row in rows) == {
        ("ai2d_train_12k_en", "cc-by-sa-4.0"): 6,
        ("vqav2_en", "CC-BY-4.0"): 3,
    }
    assert tally.rejected == {"a pair that cannot be read": 5, "a prompt that is there": 1}
    assert (
        "scienceqa_train (cc-by-nc-sa-4.0), unheard_of (licence unknown), vqav2plus (licence unknown)" in caplog.text
    )
    samples = load_samples(tmp_path / "out/data", "dpo")
    assert len(samples) == 9
    assert samples[0]["prompt"][0]["content"] == "What is 0?"


@pytest.mark.parametrize("settings", [{"allowed": ["mit"]}, {"licences": {}}])
def test_nothing_is_taken_by_default(tmp_path, settings):
    write_mmpr(tmp_path / "mmpr")
    with pytest.raises(RecipeError, match="of a source whose licence is allowed"):
        recipe_of(tmp_path, **settings)
