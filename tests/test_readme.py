"""What the README shows runs as it is printed, on a small checkpoint of the official one's form."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

from amalia_vl_hf import cli
from amalia_vl_hf.fields import RECIPES, recipe_file
from tests.tiny import (
    PINPOINTS,
    tiny_llava_next,
    tiny_text_config,
    tiny_tokenizer,
)

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OFFICIAL = "amalia-llm/AMALIA-VL-DPO"
CONVERSATION = [
    {"role": "user", "content": "Que autocarro apanho para chegar ao comboio, e onde carrego o telemóvel?"},
    {
        "role": "assistant",
        "content": "Apanhas o autocarro que está a chegar; no ecrã do comboio vê-se onde há tomadas.",
    },
]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return write_workplace(tmp_path_factory.mktemp("readme"))


def write_workplace(folder):
    """Write a picture, conversations, and at the official name a llava_next checkpoint with stock's processor."""
    Image.linear_gradient("L").resize((70, 50)).convert("RGB").save(folder / "fotografia.jpg")
    (folder / "conversas.jsonl").write_text(json.dumps({"messages": CONVERSATION}) + "\n", encoding="utf-8")
    tokenizer = tiny_tokenizer()
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    text = tiny_text_config(vocab_size=512)
    tiny_llava_next(-2, text=text, image_token_index=image_id).save_pretrained(folder / OFFICIAL)
    square = {"height": 32, "width": 32}
    mean = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    pinpoints = [list(size) for size in PINPOINTS]
    images = LlavaNextImageProcessorPil(size=square, crop_size=square, image_grid_pinpoints=pinpoints, **mean)
    LlavaNextProcessor(images, tokenizer, patch_size=8, vision_feature_select_strategy="full").save_pretrained(
        folder / OFFICIAL
    )
    return folder


def run(command, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def test_python(workplace):
    (code,) = blocks("python")
    assert OFFICIAL in code
    assert run([sys.executable, "-c", code], workplace)
    assert (workplace / "amalia-vl" / "model.safetensors").exists()


@pytest.mark.parametrize("command", ["ask", "inspect", "convert import", "convert verify", "data filter"])
def test_commands(workplace, command, monkeypatch, capsys):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    line, *_ = [line for line in lines if line.startswith(f"amalia-vl {command} ")]
    monkeypatch.chdir(workplace)
    assert cli.main(shlex.split(line, comments=True)[1:]) == 0
    assert capsys.readouterr().out.strip()


def test_commands_that_are_tested_elsewhere_are_named_right():
    """`make demo`, `make test` and the recipe have tests of their own."""
    verbs = set(re.findall(r"^make (\w+)", "\n".join(blocks("bash")), re.MULTILINE))
    assert verbs == {"demo", "test"}
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{verb}:" in targets for verb in verbs)
    assert "\nmake test " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for recipe in re.findall(r"amalia-vl train (\S+)", README):
        assert recipe_file(recipe).is_relative_to(RECIPES)


def test_the_tree_is_what_is_there():
    tree = README.split("## The tree")[1].split("## ")[0]
    package = ROOT / "src" / "amalia_vl_hf"
    there = {
        f"{path.name}/" if path.is_dir() else path.name for path in package.iterdir() if path.suffix in ("", ".py")
    }
    assert set(re.findall(r"^ {6}(\w+/|\w+\.py)", tree, re.MULTILINE)) == there - {"__init__.py", "__pycache__/"}
    for name in re.findall(r"^ {4}([\w.]+/?) ", tree, re.MULTILINE):
        assert (ROOT / name).exists(), name
