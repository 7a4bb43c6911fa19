"""The engine: the same bytes on any number of workers, after any kill, and nothing wrong is ever written."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from amalia_vl_hf import cli
from amalia_vl_hf.data.building.executors import SlurmJob
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.building.shards import check_shard, draw_row, write_shard
from amalia_vl_hf.data.dataset import FAMILIES, import_dataset
from amalia_vl_hf.data.rows import FEATURES
from amalia_vl_hf.data.text import pt_render_text
from amalia_vl_hf.samples.loading import load_samples

RECIPE = BuildRecipe("pt-render-text", count=10, seed=3, shard_size=2)
# Slurm as far as datatrove needs it: runs the tasks of an array one after the other, and says a job's number.
SLURM = {
    "scontrol": """#!/bin/bash
echo "${@: -1}"
""",
    "sbatch": """#!/bin/bash
script="${@: -1}"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
if [ -n "$last" ]; then
  export SLURM_NODELIST=localhost SLURM_CPUS_PER_TASK=1 SLURM_MEM_PER_CPU=2048
  for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task RUN_OFFSET=0 bash "$script" >&2 || exit 1; done
fi
echo "Submitted batch job 7"
""",
}


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "data").iterdir())}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    assert build(RECIPE, out, preview=2).made == 10
    return out


def test_every_sample_is_there_once_and_trainers_read_it(built):
    samples = load_samples(built, "sft")
    rows = [row for path in sorted((built / "data").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert [row["index"] for row in rows] == list(range(10))
    assert [sample["messages"] for sample in samples] == [row["messages"] for row in rows]
    assert {sample["language"] for sample in samples} == {"pt"}


def test_datasets_loads_the_folder_with_its_pictures(built, tmp_path):
    data = load_dataset(str(built), split="train", cache_dir=str(tmp_path))
    assert data.features == FEATURES
    assert data[0]["images"][0].width >= pt_render_text.WIDTHS[0]


def test_another_seed_gives_other_samples(built, tmp_path):
    build(BuildRecipe("pt-render-text", count=2, seed=4, shard_size=2), tmp_path)
    assert shards(tmp_path)["train-00000-of-00001.parquet"] not in shards(built).values()


@pytest.mark.slow
def test_two_workers_killed_and_one_that_goes_on_write_what_one_writes(built, tmp_path):
    words = ["data", "build", RECIPE.name, "--out", str(tmp_path / "out"), "--count", "10", "--seed", "3"]
    words += ["--shard-size", "2"]
    first = tmp_path / "out" / "data" / "train-00000-of-00005.parquet"
    command = [sys.executable, "-m", "amalia_vl_hf.cli", *words, "--workers", "2"]
    process = psutil.Popen(command, stderr=subprocess.DEVNULL)
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.01)
    workers = process.children(recursive=True)
    process.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert workers
    assert not alive, "no worker outlives a killed build for longer than its shard"
    before = first.stat().st_mtime_ns
    assert cli.main(words) == 0
    assert shards(tmp_path / "out") == shards(built)
    assert first.stat().st_mtime_ns == before, "a finished shard is kept"
    assert not (tmp_path / "out" / "partial").exists()


def test_a_lost_shard_is_built_again(built, tmp_path):
    build(RECIPE, tmp_path)
    (tmp_path / "data" / "train-00001-of-00005.parquet").unlink()
    build(RECIPE, tmp_path)
    assert shards(tmp_path) == shards(built)


@pytest.mark.parametrize("change", [lambda content: content[:-100], lambda content: content + b"a"])
def test_a_shard_that_is_not_what_was_written_is_told_and_built_again_once_it_is_removed(built, tmp_path, change):
    out = shutil.copytree(built, tmp_path / "out")
    shard = RECIPE.shard_path(out, 3)
    shard.write_bytes(change(shard.read_bytes()))
    with pytest.raises(ValueError, match=rf"{shard.name} is not what was written .*\(\d+ bytes, not \d+\); remove it"):
        build(RECIPE, out)
    shard.unlink()
    build(RECIPE, out)
    assert shards(out) == shards(built)


@pytest.mark.slow
def test_slurm_gets_the_tasks_and_the_same_call_finishes(built, tmp_path, monkeypatch):
    for name, script in SLURM.items():
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    recipe = BuildRecipe("pt-render-text", count=2, seed=3, shard_size=2)
    assert build(recipe, tmp_path / "out", "slurm", slurm=SlurmJob("cpu")).made == 2
    rows = pq.read_table(built / "data" / "train-00000-of-00005.parquet").to_pylist()
    assert pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist() == rows
    assert (tmp_path / "out" / "README.md").exists()


def test_card_and_sheet_say_what_is_there(built):
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "10 samples" in card
    assert "with seed 3" in card
    assert "license: apache-2.0" in card
    for kind in ("sentence frames", "question frames", "fonts", "layouts", "values"):
        assert f"| {kind} | " in card
    sheet = (built / "preview.html").read_text(encoding="utf-8")
    assert sheet.count("<article") == 2
    assert sheet.count("data:image/png;base64,iVBOR") == 2


def test_provenance_is_in_every_row(built):
    row = pq.read_table(built / "data" / "train-00000-of-00005.parquet").to_pylist()[0]
    assert row["generator"].endswith(f"{RECIPE.name} {pt_render_text.VERSION}")
    assert (row["seed"], row["licence"], row["source"]) == (3, "Apache-2.0", "PT-Render-Text")


def test_a_wrong_answer_is_never_written(built, tmp_path):
    path = built / "data" / "train-00000-of-00005.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1]["messages"][1]["content"] += "x"
    pq.write_table(table.from_pylist(rows, schema=table.schema), tmp_path / "wrong.parquet")
    check_shard(RECIPE, path)
    with pytest.raises(ValueError, match=r"pt-render-text, sample 1 of seed 3: the answer '.*x' is not"):
        check_shard(RECIPE, tmp_path / "wrong.parquet")


def test_another_plan_does_not_go_on_in_a_folder(built):
    with pytest.raises(ValueError, match="was begun with count 10 and not 9, seed 3 and not 4; name another folder"):
        build(BuildRecipe("pt-render-text", count=9, seed=4, shard_size=2), built)


def test_a_count_that_grows_adds_to_what_is_there(built, tmp_path):
    assert build(replace(RECIPE, count=5), tmp_path).made == 5
    first = next((tmp_path / "data").glob("train-00000-*"))
    before = first.stat().st_mtime_ns
    assert build(RECIPE, tmp_path).made == 10
    assert shards(tmp_path) == shards(built)
    assert (tmp_path / "data" / "train-00000-of-00005.parquet").stat().st_mtime_ns == before


def test_a_folder_in_which_a_kill_left_nothing_but_half_a_record_is_begun_again(tmp_path):
    (tmp_path / ".plan.json.0123456789abcdef.partial").write_text("{", encoding="utf-8")
    assert build(replace(RECIPE, count=1), tmp_path).made == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_record_is_written_as_it_was_before(tmp_path):
    """Folders that were begun by earlier versions go on: names and values stay, and their order."""
    recipe = replace(RECIPE, count=1)
    build(recipe, tmp_path)
    names = "name count shard_size fonts texts functions invoices endpoint seed generator model prompt_hash licence"
    record = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert list(record) == names.split()
    assert (tmp_path / "plan.json").read_text(encoding="utf-8") == json.dumps(record, indent=2) + "\n"
    before = (tmp_path / "plan.json").stat().st_mtime_ns
    build(recipe, tmp_path)
    assert (tmp_path / "plan.json").stat().st_mtime_ns == before


def test_two_that_build_one_shard_at_once_do_not_disturb_each_other(built, tmp_path):
    """A process that outlived a killed build, or a task that Slurm started twice."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: write_shard(RECIPE, tmp_path, 0), range(3)))
    assert shards(tmp_path)["train-00000-of-00005.parquet"] == shards(built)["train-00000-of-00005.parquet"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train-00000-of-00005.parquet"]


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("...", encoding="utf-8")
    with pytest.raises(ValueError, match="holds something else"):
        build(RECIPE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_texts_need_their_licence(tmp_path, capsys):
    words = ["data", "build", "pt-render-text", "--out", str(tmp_path / "out"), "--count", "1"]
    assert cli.main([*words, "--texts", "a.txt"]) == 2
    assert "--texts and --licence go together" in capsys.readouterr().err


def test_the_users_texts_and_licence_are_in_the_plan_and_the_rows(tmp_path):
    (tmp_path / "a.txt").write_text("Uma frase só minha.\n", encoding="utf-8")
    words = ["data", "build", "pt-render-text", "--out", str(tmp_path / "out"), "--count", "3", "--seed", "1"]
    assert cli.main([*words, "--texts", str(tmp_path / "a.txt"), "--licence", "CC-BY-4.0"]) == 0
    recipe = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    assert len(recipe["texts"]) == 64, "a SHA-256, not a path"
    rows = load_samples(tmp_path / "out", "sft").with_format(None)
    assert len(rows) == 3
    (path,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(path).to_pylist()
    assert {row["licence"] for row in table} == {"CC-BY-4.0"}
    assert any("Uma frase só minha." in row["messages"][1]["content"] for row in table)


def test_a_task_that_fails_ends_the_build_with_its_reason(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("кот\n", encoding="utf-8")
    words = ["data", "build", "pt-ocr", "--out", str(tmp_path / "out"), "--count", "3", "--workers", "1"]
    assert cli.main([*words, "--texts", str(tmp_path / "a.txt"), "--licence", "CC0-1.0"]) == 2
    assert "none of its 1 texts can be drawn" in capsys.readouterr().err
    assert not (tmp_path / "out" / "data").exists()


def test_a_sample_that_cannot_be_drawn_costs_no_other(tmp_path, monkeypatch):
    def draw(recipe, index, materials):
        if index % 2:
            raise ValueError("'otorrinolaringologista' is wider than 50 pixels")
        return draw_row(recipe, index, materials)

    monkeypatch.setattr("amalia_vl_hf.data.building.shards.draw_row", draw)
    tally = build(RECIPE, tmp_path / "out")
    assert tally.rejected == {"cannot be drawn": RECIPE.count // 2}
    (first, *_) = (tmp_path / "out" / "rejected" / "00000.jsonl").open(encoding="utf-8")
    assert "otorrinolaringologista" in first

    monkeypatch.setattr(
        "amalia_vl_hf.data.building.shards.draw_row", lambda recipe, index, materials: draw(recipe, 1, materials)
    )
    with pytest.raises(ValueError, match="none of the samples can be drawn; the first one: 'otorrino"):
        build(RECIPE, tmp_path / "none")


def test_a_task_that_ends_without_its_shard_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("amalia_vl_hf.data.building.shards.write_shard", lambda recipe, out, shard: None)
    with pytest.raises(RuntimeError, match=r"5 of 5 shards are missing in .*; see .*logs/rows"):
        build(RECIPE, tmp_path)


def test_help_and_the_engine_name_the_same_datasets(capsys):
    with pytest.raises(SystemExit):
        cli.main(["data", "build", "--help"])
    said = "".join(capsys.readouterr().out.split())  # names are broken at their hyphens
    assert all(name in said for name in FAMILIES)
    assert all(name == import_dataset(name).NAME for name in FAMILIES)
