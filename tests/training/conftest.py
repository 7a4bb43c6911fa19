import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.training.recipe import Recipe, load_recipe
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"
SIZES = ((40, 30), (30, 70), (64, 64), (100, 33))  # (height, width), px, of 32 px tiles
ANSWERS = ("um quadrado azul", "dois pontos", "nada", "uma estrela e um sol")


@pytest.fixture(scope="session")
def parts():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    return SiglipVisionModel(tiny_vision_config(num_hidden_layers=2)), text, tokenizer


@pytest.fixture(scope="session")
def base(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "base"
    model, processor = compose(*parts, max_tiles=4, seed=0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for index, (height, width) in enumerate(SIZES):
        noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def samples(pictures):
    """A JSONL file for each training method, of eight samples."""
    rows = {"sft": [_conversation(index) for index in range(8)], "dpo": [_pair(index) for index in range(8)]}
    for method, lines in rows.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (pictures / f"{method}.jsonl").write_text(text, encoding="utf-8")
    return {method: pictures / f"{method}.jsonl" for method in rows}


@pytest.fixture
def recipe_for(base, samples, tmp_path):
    """Make a tiny recipe read the test's model and data; overrides come last."""

    def make(name: str, *overrides: str) -> Recipe:
        method = "dpo" if name == "3_prefer" else "sft"
        here = [f"model={base}", f"data={samples[method]}", f"output={tmp_path / name}", "batch_size=2", "log_steps=1"]
        return load_recipe(RECIPES / f"{name}.yaml", [*here, "epochs=null", "steps=2", *overrides])

    return make


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _conversation(index: int) -> dict[str, object]:
    turns = [_user("O que se vê?"), _assistant(ANSWERS[index % 4]), _user("E mais?"), _assistant(f"mais {index}.")]
    return {"images": [f"{index % 4}.png"], "messages": turns[: 2 + 2 * (index % 2)]}


def _pair(index: int) -> dict[str, object]:
    prompt = [_user("O que se vê?"), _assistant("uma imagem"), _user("Qual?")] if index % 2 else [_user("O que é?")]
    chosen, rejected = [_assistant(ANSWERS[index % 4])], [_assistant(ANSWERS[(index + 1) % 4] + " errado")]
    return {"images": [f"{index % 4}.png"], "prompt": prompt, "chosen": chosen, "rejected": rejected}
