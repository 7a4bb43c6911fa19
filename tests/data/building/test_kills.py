"""Builds by several models in processes of their own: on two workers, killed in every stage, on Slurm, and large."""

import json
import os
import random
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from PIL import Image

from amalia_vl_hf.data.building.cost import read_costs, total
from amalia_vl_hf.data.building.pipeline import RECORD, ROWS, STAGES, Pipeline
from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.image_manifest import index_images

from ...asking.model_server import Fault, ModelServer, completion, text_of
from .test_run import SLURM
from .test_written import ROLES, contents
from .written import NAME, register, say_of, write_images

ROOT = Path(__file__).parents[3]
START = "import sys, tests.data.building.written; from amalia_vl_hf import cli; sys.exit(cli.main(sys.argv[1:]))"
WORKERS, PARALLEL = 2, 2
# The stages, and after how many requests of a build a kill is in each; those without are seen by their folders.
BEGINS = {"describe": 0, "ask": 2, "answer": 3, "verify": 5, "rows": 7}  # requests an image, before


@pytest.fixture
def server():
    def say(content, _):
        return Fault(body=completion(say_of(text_of(content)), tokens=(len(text_of(content)), 7)), pause=0.01)

    with ModelServer(tuple(f"m-{role}" for role in ROLES), say) as server:
        yield server


@pytest.fixture
def toy(tmp_path, monkeypatch, server):
    """Write the recipe, for this process and those that it starts."""
    register(tmp_path, monkeypatch.setitem, monkeypatch.setattr)
    monkeypatch.setenv("TOY_WRITTEN", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")

    def write(count, shard_size=6):
        write_images(tmp_path / "images", count)
        roles = {role: {"url": server.url, "model": f"m-{role}", "parallel": PARALLEL} for role in ROLES}
        values = {"dataset": NAME, "images": str(tmp_path / "images.parquet"), "shard_size": shard_size}
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump({**values, "roles": roles}), encoding="utf-8")
        return load_build(tmp_path / "toy.yaml")

    return write


def start(folder: Path, out: Path, *words: str) -> psutil.Popen:
    command = ["data", "build", NAME, "--recipe", str(folder / "toy.yaml"), "--out", str(out), *words]
    return psutil.Popen([sys.executable, "-c", START, *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def end(process: psutil.Popen) -> None:
    """Kill a build and all of its workers with -9."""
    workers = process.children(recursive=True) if process.poll() is None else []
    for each in (process, *workers):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


@pytest.mark.slow
def test_two_workers_write_what_one_writes(toy, tmp_path):
    build(toy(14), tmp_path / "one")
    assert start(tmp_path, tmp_path / "two", "--workers", "2").wait(120) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.slow
def test_killed_twenty_times_over_all_stages_it_ends_with_the_same_bytes(toy, server, tmp_path):
    count, rng = 24, random.Random(3)
    recipe, out = toy(count), tmp_path / "killed"
    build(recipe, tmp_path / "whole")
    needed = server.posts
    assert needed == 7 * count
    moments = [("describe", at) for at in (3, 9, 15, 22, 35)] + [("longest", 0)]
    moments += [("ask", at) for at in (4, 10, 17)] + [("answer", at) for at in (5, 15, 25, 35, 42)]
    moments += [("verify", at) for at in (5, 15, 25, 35)] + [("gather", 0), (ROWS, 0)]
    assert len(moments) == 20
    killed = []
    for stage, at in moments:
        process = start(tmp_path, out, "--workers", str(WORKERS))
        begins = needed + BEGINS.get(stage, 0) * count + at
        while process.poll() is None:
            there = (out / STAGES / stage).is_dir() if at == 0 else server.posts >= begins
            if there:
                break
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        killed.append(process.poll() is None)
        end(process)
    assert all(killed), "each kill met a build that was under way"
    assert start(tmp_path, out, "--workers", str(WORKERS)).wait(120) == 0
    assert contents(out) == contents(tmp_path / "whole")
    pipelines = [Pipeline(recipe, folder) for folder in (tmp_path / "whole", out)]
    for name in pipelines[0].names:
        first, second = ({s: file.path.read_bytes() for s, file in p.files(name).items()} for p in pipelines)
        assert first == second, name
    in_flight = WORKERS * PARALLEL
    asked = server.posts - needed
    print(f"{asked} requests for {needed} after {len(moments)} kills")
    assert asked - needed <= len(moments) * in_flight
    cost = total(read_costs(out))
    assert asked <= cost.calls <= asked + len(moments) * in_flight, "what was on its way when it was killed is told"
    assert cost.calls - cost.unheard >= needed


@pytest.mark.slow
def test_slurm_gets_shards_then_all_then_shards(toy, tmp_path, monkeypatch):
    for name, script in SLURM.items():
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    recipe = toy(8, shard_size=4)
    build(recipe, tmp_path / "here")
    assert start(tmp_path, tmp_path / "out", "--executor", "slurm", "--partition", "cpu").wait(300) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "here")
    tasks = {path.parent.name: len(list(path.iterdir())) for path in (tmp_path / "out" / "logs").glob("*/completions")}
    assert tasks == {name: 1 if name == "longest" else 2 for name in Pipeline(recipe, tmp_path / "out").names}


@pytest.mark.slow
def test_500_images_of_a_megabyte_take_little_memory(toy, server, tmp_path):
    """Those of a first build are measured against those of a second one in the same process, fifty times as large."""
    toy(1)
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(500):
        Image.effect_noise((640, 540), 90).convert("RGB").save(folder / f"{number:03}.bmp")  # 1.04 MB
    index_images(folder, tmp_path / "images.parquet", "CC0-1.0", "noise")
    server.script = lambda content, _: Fault(body=completion(say_of(text_of(content))))
    measure = (
        "import json, resource, sys; import tests.data.building.written; from pathlib import Path\n"
        "from amalia_vl_hf.data.building.recipe import load_build\n"
        "from amalia_vl_hf.data.building.run import build\n"
        "peaks = []\n"
        "for count in (10, 500):\n"
        "    recipe = load_build(sys.argv[1], [f'count={count}', 'shard_size=500'])\n"
        "    build(recipe, Path(sys.argv[2]) / str(count))\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        "print(json.dumps(peaks))\n"
    )
    command = [sys.executable, "-c", measure, str(tmp_path / "toy.yaml"), str(tmp_path / "out")]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=500)
    small, large = json.loads(said.stdout)
    print(f"{small:.0f} MB with 10 images, {large:.0f} MB with 500")
    assert large - small < 100
    assert json.loads((tmp_path / "out" / "500" / RECORD).read_text(encoding="utf-8"))["count"] == 500
