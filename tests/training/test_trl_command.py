"""`trl sft` and `trl dpo` train an exported repository by the committed YAMLs, without this package."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from datasets import Dataset, Image, List
from safetensors.torch import load_file

from amalia_vl_hf.samples.loading import load_samples

RECIPES = Path(__file__).parents[2] / "recipes" / "trl"
COLUMNS = {"sft": ["messages"], "dpo": ["prompt", "chosen", "rejected"]}
ON_A_CPU = ["--bf16", "false", "--dtype", "float32", "--use_cpu", "true", "--max_steps", "2"]
SMALL = ["--gradient_accumulation_steps", "1", "--per_device_train_batch_size", "2", "--save_strategy", "no"]


@pytest.fixture(scope="module")
def without_the_package(tmp_path_factory):
    """A folder whose `amalia_vl_hf` hides the installed one: the repository's code has to do."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "amalia_vl_hf.py").write_text("raise ImportError('this package is not here')\n", encoding="utf-8")
    return folder


def dataset_folder(method, file, folder):
    rows = [{name: row[name] for name in ("images", *COLUMNS[method])} for row in load_samples(file, method)]
    dataset = Dataset.from_list(rows).cast_column("images", List(Image()))
    folder.mkdir()
    dataset.to_parquet(folder / "train.parquet")
    return folder


def run_trl(method, base, file, folder, hidden):
    data = dataset_folder(method, file, folder / f"{method}_data")
    words = [method, "--config", str(RECIPES / f"{method}.yaml"), "--model_name_or_path", str(base)]
    words += ["--dataset_name", str(data), "--output_dir", str(folder / method), *ON_A_CPU, *SMALL]
    environment = {**os.environ, "PYTHONPATH": str(hidden), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HOME": str(folder / f"{method}_home"), "ACCELERATE_USE_CPU": "true"}
    command = [str(Path(sys.executable).with_name("trl")), *words]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_both_commands_train_adapters_of_connector_and_decoder(base, samples, tmp_path, without_the_package):
    def both(method):
        return run_trl(method, base, samples[method], tmp_path, without_the_package)

    with ThreadPoolExecutor() as pool:  # most of the time is interpreters' imports
        runs = dict(zip(COLUMNS, pool.map(both, COLUMNS), strict=True))
    for method, done in runs.items():
        assert done.returncode == 0, done.stderr[-2000:]
        adapters = load_file(tmp_path / method / "adapter_model.safetensors")
        assert any("language_model" in name for name in adapters)
        assert any("multi_modal_projector" in name for name in adapters)
        assert not any("vision_tower" in name for name in adapters)
        moved = [name for name, weight in adapters.items() if "lora_B" in name and weight.any()]
        assert moved, "B begins as zero"
        assert json.loads((tmp_path / method / "adapter_config.json").read_text())["r"] == 64


@pytest.mark.parametrize("method", COLUMNS)
def test_every_value_is_commented(method):
    lines = (RECIPES / f"{method}.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "# " not in line and not line.startswith("  - ")] == []
