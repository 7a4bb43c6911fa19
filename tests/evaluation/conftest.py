"""A tiny model, and rows with pictures."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config

COLOURS = ((200, 10, 10), (10, 200, 10), (10, 10, 200))
WORDS = ("vermelho", "verde", "azul")


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory):
    """A composed tiny model with its processor, saved."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    model, processor = compose(SiglipVisionModel(tiny_vision_config()), text, tokenizer, max_tiles=4, seed=0)
    folder = tmp_path_factory.mktemp("evaluated") / "tiny"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_rows(folder: Path, count: int = 12) -> Path:
    """Write a task of one's own with pictures of several sizes, and give its YAML file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        size = (40 + 30 * (number % 3), 30 + 25 * (number % 4))
        Image.new("RGB", size, COLOURS[number % 3]).save(folder / f"{number}.png")
        question = "De que cor é?" + " Responde com uma palavra." * (number % 3)
        rows.append({"images": [f"{number}.png"], "question": question, "answer": WORDS[number % 3]})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = folder / "cores.yaml"
    path.write_text("name: cores\ndata: rows.jsonl\nmetric: exact\nmax_new_tokens: 8\n", encoding="utf-8")
    return path
