"""Tiny checkpoints of both forms and a picture, for commands."""

import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlavaNextImageProcessorPil, LlavaNextProcessor, SiglipVisionModel

from amalia_vl_hf import cli
from amalia_vl_hf.conversion.compose import compose
from tests.tiny import (
    PINPOINTS,
    tiny_llava_next,
    tiny_text_config,
    tiny_tokenizer,
    tiny_vision_config,
)


@pytest.fixture(scope="module")
def amalia(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    model, processor = compose(SiglipVisionModel(tiny_vision_config()), text, tokenizer, max_tiles=4, seed=0)
    folder = tmp_path_factory.mktemp("amalia_vl")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def towervideo(tmp_path_factory):
    """A model that reads videos, 32 frames of each."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    parts = SiglipVisionModel(tiny_vision_config()), text, tokenizer
    model, processor = compose(*parts, max_tiles=4, seed=0, videos=True)
    folder = tmp_path_factory.mktemp("towervideo")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llava_next(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    model = tiny_llava_next(text=tiny_text_config(vocab_size=len(tokenizer)))
    model.config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    size = {"shortest_edge": 32}
    images = LlavaNextImageProcessorPil(size=size, crop_size=32, image_grid_pinpoints=[list(p) for p in PINPOINTS])
    processor = LlavaNextProcessor(images, tokenizer, patch_size=8, vision_feature_select_strategy="full")
    folder = tmp_path_factory.mktemp("llava_next")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def incomplete(amalia, tmp_path):
    """A checkpoint from which the second layer of the decoder is gone."""
    folder = tmp_path / "incomplete"
    shutil.copytree(amalia, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".language_model.layers.1." not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "foto.png")
    return str(tmp_path / "foto.png")


@pytest.fixture
def refusal(capsys):
    """Run a command that must be refused, in one line and without a traceback."""

    def run(*arguments):
        assert cli.main(arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("amalia-vl: ")
        assert len(said.splitlines()) == 1
        return said

    return run
