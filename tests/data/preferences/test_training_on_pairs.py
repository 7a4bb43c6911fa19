"""Pairs that were built here train the tiny recipe of stage 3, by the mixture's road."""

import json

import pytest
import yaml

from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.samples.mixture import draw_mixture, load_mixture
from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.training.run import train
from tests.training.tiny_run import tiny_parts, write_base

from ..role_servers import serving
from .test_preferences import edit, judge, recipe_of, say, write_samples


@pytest.mark.slow
def test_pairs_train_stage_3(tmp_path):
    write_samples(tmp_path / "data")
    with serving(policy=say, editor=edit, judge=judge) as servers:
        tally = build(recipe_of(tmp_path, servers), tmp_path / "out")
    assert tally.made == 13
    mixture = {
        "seed": 0,
        "method": "dpo",
        "datasets": [{"name": "preferences", "samples": 12, "path": str(tmp_path / "out/data"), "licence": "CC0-1.0"}],
    }
    (tmp_path / "mixture.yaml").write_text(yaml.safe_dump(mixture))
    manifest = tmp_path / "prefer.parquet"
    assert draw_mixture(load_mixture(tmp_path / "mixture.yaml"), manifest) == {}
    base = write_base(tmp_path / "base", tiny_parts())
    words = [f"model={base}", f"data={manifest}", f"output={tmp_path / '3_prefer'}", "batch_size=2", "log_steps=1"]
    output = train(load_recipe("tiny/3_prefer", [*words, "epochs=null", "steps=3", "workers=0"]))
    losses = [
        entry["loss"] for entry in json.loads((output / "training.json").read_text())["log_history"] if "loss" in entry
    ]
    assert len(losses) == 3
    assert losses[0] == pytest.approx(0.693, abs=0.01)  # no preference yet
