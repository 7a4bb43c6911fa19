"""The committed recipes: read by the real parser, and run for two steps on a tiny model."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from amalia_vl_hf.training.ranks import check_batch, planned_sharing
from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.training.run import train
from amalia_vl_hf.training.stages import module_of

ROOT = Path(__file__).parents[2]
FULL_SIZE = sorted((ROOT / "recipes").glob("*/[1-3]_*.yaml"))
TEXT = [ROOT / "recipes" / "amalia" / f"{method}.yaml" for method in ("sft", "dpo")]  # test_text_models.py runs them
CONFIGS = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))
names = {"ids": lambda path: f"{path.parent.name}/{path.stem}"}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_table_2_of_the_paper_is_in_the_recipes():
    align, instruct, prefer = (
        load_recipe(f"recipes/amalia_vl/{name}.yaml") for name in ("1_align", "2_instruct", "3_prefer")
    )
    assert [recipe.global_batch for recipe in (align, instruct, prefer)] == [512, 128, 128]
    assert [recipe.processes for recipe in (align, instruct, prefer)] == [8, 128, 64]
    assert [recipe.max_length for recipe in (align, instruct, prefer)] == [2048, 16384, 16384]
    assert [recipe.training_stage.max_tiles for recipe in (align, instruct, prefer)] == [0, 12, 12]
    assert [recipe.training_stage.schedule for recipe in (align, instruct, prefer)] == ["constant", "cosine", "cosine"]
    assert align.learning_rates == {"connector": 1e-3}
    assert instruct.learning_rates == {"tower": 2e-5, "connector": 1e-4, "decoder": 2e-5}
    assert prefer.learning_rates == {"tower": 1e-6, "connector": 1e-6, "decoder": 1e-6}
    for recipe in (align, instruct, prefer):
        assert (recipe.weight_decay, recipe.adam_betas, recipe.adam_eps) == (0.01, (0.9, 0.999), 1e-8)
        assert (recipe.precision, planned_sharing(recipe).kind) == ("bf16", "ZeRO-3")


@pytest.mark.parametrize("path", [*FULL_SIZE, *TEXT], **names)
def test_every_value_says_where_it_is_from_and_the_batch_is_what_it_says(path):
    recipe = load_recipe(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and "# " not in line] == []
    assert check_batch(recipe, planned_sharing(recipe).ranks) == recipe.global_batch or path.parent.name == "tiny"


@pytest.mark.parametrize("path", [path for path in FULL_SIZE if path.parent.name != "tiny"], **names)
def test_every_recipe_trains_a_tiny_model_for_two_steps(path, base, samples, tmp_path):
    method = "dpo" if "prefer" in path.stem else "sft"
    here = [f"model={base}", f"data={samples[method]}", f"output={tmp_path / 'out'}", "workers=0", "warmup=0"]
    alone = ["processes=null", "accelerate=null", "global_batch=null", "batch_size=2", "accumulation=1", "log_steps=1"]
    if path.stem.endswith("qlora"):
        alone.append("lora.quantised=null")  # test_qlora.py trains in four bits, where bitsandbytes is
    recipe = load_recipe(path, [*here, *alone, "epochs=null", "steps=2", "schedule=constant"])
    output = train(recipe)
    before, after = load_file(base / "model.safetensors"), load_file(output / "model.safetensors")
    moved = {module_of(name) for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert moved == set(recipe.training_stage.trainable)
    losses = [entry for entry in json.loads((output / "training.json").read_text())["log_history"] if "loss" in entry]
    assert [entry["step"] for entry in losses] == [1, 2]
    assert (output / "adapter" / "adapter_model.safetensors").exists() == (recipe.lora is not None)
    assert json.loads((output / "processor_config.json").read_text())["image_processor"]["resampler"] == "pil"
    assert not list(output.rglob("*.bin")), "nothing pickled"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_reads_every_config(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == config.num_machines * 8
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "# " not in line and not line.endswith("_config:")][1:] == []
    wrapped = yaml.safe_load(path.read_text()).get("fsdp_config", {}).get("fsdp_transformer_layer_cls_to_wrap", "")
    assert wrapped in ("", "LlamaDecoderLayer,SiglipEncoderLayer"), "layers that the model has"
