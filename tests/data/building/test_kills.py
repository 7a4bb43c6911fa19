"""Builds by several models in processes of their own: on two workers, killed in every stage, on Slurm, and large."""

import json
import multiprocessing
import os
import random
import stat
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import psutil
import pytest
import yaml
from PIL import Image

from amalia_vl_hf.data.building.cost import read_costs, total
from amalia_vl_hf.data.building.pipeline import ASKED, RECORD, ROWS, STAGES, Pipeline
from amalia_vl_hf.data.building.recipe import load_build
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.image_manifest import index_images

from ...asking.model_server import Fault, ModelServer, completion, text_of
from .test_run import SLURM
from .test_written import ROLES, contents
from .written import NAME, register, say_of, write_images

ROOT = Path(__file__).parents[3]
START = "import sys, tests.data.building.written; from amalia_vl_hf import cli; sys.exit(cli.main(sys.argv[1:]))"
PARALLEL = 4


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


@pytest.mark.slow
def test_two_workers_write_what_one_writes(toy, tmp_path):
    build(toy(14), tmp_path / "one")
    assert start(tmp_path, tmp_path / "two", "--workers", "2").wait(120) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def build_here(folder: Path, out: Path) -> None:
    """Build, in a process that a test starts and kills."""
    register(folder)
    build(load_build(folder / "toy.yaml"), out)


def fresh(folder: Path, out: Path) -> multiprocessing.process.BaseProcess:
    """Start a build in a process of its own, with everything imported already.

    The server that forks it outlives this test and forks the workers of other builds, too: it must not know the toy.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.data.building.test_kills"])
    process = context.Process(target=build_here, args=(folder, out))
    with mock.patch.dict(os.environ):
        del os.environ["TOY_WRITTEN"]
        process.start()
    return process


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
    met = []
    for stage, at in moments:
        process = fresh(tmp_path, out)
        asked = out / ASKED / stage
        while process.is_alive():
            answered = sum(path.read_bytes().count(b'{"key"') for path in asked.glob("*.jsonl")) if at else 0
            if answered >= at and (out / STAGES / stage).is_dir():
                break
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        met.append(process.is_alive())
        process.kill()
        process.join(60)
    assert all(met), "each kill met a build that was under way"
    process = fresh(tmp_path, out)
    process.join(120)
    assert process.exitcode == 0
    assert contents(out) == contents(tmp_path / "whole")
    pipelines = [Pipeline(recipe, folder) for folder in (tmp_path / "whole", out)]
    for name in pipelines[0].names:
        first, second = ({s: file.path.read_bytes() for s, file in p.files(name).items()} for p in pipelines)
        assert first == second, name
    asked_for = server.posts - needed
    print(f"{asked_for} requests for {needed} after {len(moments)} kills")
    assert asked_for - needed <= len(moments) * PARALLEL
    cost = total(read_costs(out))
    assert asked_for <= cost.calls <= asked_for + len(moments) * PARALLEL, "what was on its way then is told"
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
