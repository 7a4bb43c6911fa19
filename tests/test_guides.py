"""Every code block and command of the guides runs in order in one folder, as its reader would run it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from string import Template
from typing import NamedTuple

import pytest
from PIL import Image

from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.training.run import train
from tests.test_readme import OFFICIAL, write_workplace

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
INSTALLS = ("pip install", "git clone", "apt install", "make ", "cd amalia-vl-hf", "hf download")  # change the machine
MOST_SAMPLES, MOST_TOKENS = 6, 4  # that a guide is let build at once, and a model say in an answer
SERVERS = ("amalia-vl serve", "amalia-vl chat")  # end when they are told to


class Block(NamedTuple):
    """A fenced block.

    Args:
        language: Its first word: `bash`, `python`, `yaml`, `json`, `text`.
        title: The file that it is, where it is one.
        code: Its lines.
    """

    language: str
    title: str | None
    code: str


def blocks_of(text: str) -> list[Block]:
    """Give a page's blocks, in order."""
    fences = re.findall(r"^```(\w*)([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [
        Block(language, match[1] if (match := re.search(r'title="([^"]+)"', rest)) else None, code)
        for language, rest, code in fences
    ]


def smaller(text: str) -> str:
    """Let a page build, and let a model answer, less than it says: nothing else is changed."""
    text = re.sub(r"(?<=--count )\d+", lambda match: str(min(int(match[0]), MOST_SAMPLES)), text)
    return re.sub(r"(?<=max_new_tokens: )\d+", lambda match: str(min(int(match[0]), MOST_TOKENS)), text)


def run_guide(blocks: list[Block], folder: Path) -> None:
    """Run them; servers that a block starts end with the guide."""
    variables, servers = {}, []
    try:
        for block in blocks:
            _run_block(block, folder, variables, servers)
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
        for server in servers:
            server.wait(40)


def _run_block(block: Block, folder: Path, variables: dict[str, str], servers: list[subprocess.Popen]) -> None:
    if block.title:
        path = folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
    elif block.language == "python":
        _finish([sys.executable, "-c", block.code], folder, variables)
    elif block.language == "bash":
        lines = [line for line in _joined(block.code) if line and not line.startswith("#")]
        variables |= dict(
            re.match(r"(\w+)=(\S+)", line).groups() for line in lines if re.match(r"\w+=\S+\s*(#|$)", line)
        )
        for line in lines:
            if line.startswith(SERVERS):
                servers.append(_serve(line, folder, variables))
            elif line.startswith(INSTALLS):
                require_known_extras(line)
        rest = [line for line in lines if not line.startswith((*SERVERS, *INSTALLS))]
        if rest:
            _finish(["bash", "-euo", "pipefail", "-c", "\n".join(rest)], folder, variables)


def _joined(code: str) -> list[str]:
    return [line.strip() for line in re.sub(r"\\\n\s*", " ", code).splitlines()]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **variables, "PATH": path, "HF_HUB_OFFLINE": "1"}


def _finish(command: list[str], folder: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(variables), capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def _serve(line: str, folder: Path, variables: dict[str, str]) -> subprocess.Popen:
    words = shlex.split(Template(line).safe_substitute(variables), comments=True)
    port = int(words[words.index("--port") + 1]) if "--port" in words else 8000
    server = subprocess.Popen(words, cwd=folder, env=_environment(variables), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, f"{line} ended with {server.returncode}"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.2)
    raise AssertionError(f"{line}: nobody listens on {port}")


def require_known_extras(line: str) -> None:
    """Hold what a page tells people to install to the extras that there are."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "pip install amalia-vl-hf" not in line, "which is on no index until there is a release"
    assert "pip install 'amalia-vl-hf" not in line or "@ git+" in line, line
    for listed in re.findall(r"amalia-vl-hf\[([^\]]+)\]", line):
        for extra in listed.split(","):
            assert extra in known, f"{line}: there is no extra {extra}"


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """At the official name a small checkpoint of its form; pictures, scans, a benchmark's rows, trained models."""
    tmp_path = write_workplace(tmp_path_factory.mktemp("guides"))
    (tmp_path / "digitalizações").mkdir()
    for number in range(2):
        Image.linear_gradient("L").resize((60 + 30 * number, 40)).save(tmp_path / "digitalizações" / f"{number}.png")
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(tmp_path / "fotografia.jpg", tmp_path / "benchmarks" / "foto.jpg")
    rows = [{"image": "foto.jpg", "question": "Há um gato?", "answer": "não", "question_id": n} for n in "123"]
    (tmp_path / "benchmarks" / "pope_pt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(tmp_path / "fotografia.jpg", tmp_path / "foto.jpg")
    _train(tmp_path, "tiny/2_instruct", "runs/demo/3_prefer", "learning_rates={}", "lora={rank: 2, alpha: 4}")
    return tmp_path


@pytest.fixture
def workplace(everything, tmp_path):
    """Where one guide is followed."""
    return shutil.copytree(everything, tmp_path / "here")


def _train(folder, recipe, output, *words):
    """Train two steps of what guides take as trained: the demo's model, and one's own with its adapters."""
    turns = [{"role": "user", "content": "<image>\nOlá"}, {"role": "assistant", "content": "olá"}]
    row = {"images": ["fotografia.jpg"], "messages": turns}
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "messages": turns * 2}) + "\n")
    here = [f"model={folder / OFFICIAL}", f"data={folder / 'rows.jsonl'}", f"output={folder / output}"]
    train(load_recipe(recipe, [*here, "steps=2", "epochs=null", "batch_size=1", "workers=0", *words]))
    if not (folder / "runs" / "mine").exists():
        shutil.copytree(folder / output, folder / "runs" / "mine")


# What builds data with every font, or trains for many steps, is in the slow suite.
SLOW = {"documents", "evaluate", "paper_data", "train"}


@pytest.mark.parametrize(
    "guide",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in SLOW else [], id=path.stem) for path in GUIDES],
)
def test_a_guide_runs_as_it_is_printed(guide, workplace):
    text = smaller(guide.read_text(encoding="utf-8"))
    if "output=runs/mine" in text:  # trained by the guide itself
        shutil.rmtree(workplace / "runs" / "mine")
    run_guide(blocks_of(text), workplace)
