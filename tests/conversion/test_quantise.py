"""Quantised checkpoints; most of it needs libraries that `make test-quantise` and `make test-compress` install."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.conversion.publishing.repository import gather
from amalia_vl_hf.conversion.quantise import (
    NEW_TOKENS,
    RECORD,
    check_layers,
    quantise_checkpoint,
    read_quantisation,
)
from amalia_vl_hf.conversion.tensor_files import read_checkpoint
from amalia_vl_hf.conversion.verify import QUESTION, pictures_of
from amalia_vl_hf.quantisation import check_widths
from tests.conversion.checkpoints import contents
from tests.test_registration import tiny_processor
from tests.tiny import SPECIAL_TOKENS, tiny_config, tiny_model, tiny_text_config

BARS = {"int8": 0.99, "nf4": 0.95, "fp8": 0.98, "w4a16": 0.95}  # of likeliest tokens
BY_LIBRARY = [
    *(pytest.param(method, marks=pytest.mark.quantise) for method in ("int8", "nf4")),
    *(pytest.param(method, marks=pytest.mark.compress) for method in ("fp8", "w4a16")),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    directory, processor = tmp_path_factory.mktemp("models") / "source", tiny_processor()
    shape = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 64}  # w4a16 has groups of 128
    text = tiny_text_config(vocab_size=len(processor.tokenizer), **shape)
    model = tiny_model(tiny_config(text=text, image_token_id=processor.image_token_id))
    teach(model, processor)
    model.to(torch.bfloat16).save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def teach(model, processor):
    """Teach its blocks an answer: of a random model's tokens the likeliest are so close that bf16 alone swaps them."""
    answer = torch.randperm(300, generator=torch.Generator().manual_seed(0))[None, :NEW_TOKENS] + len(SPECIAL_TOKENS)
    optimiser = torch.optim.AdamW(model.model.language_model.layers.parameters(), lr=3e-3)
    pictures = [[{"type": "image", "image": sample.picture}] for sample in pictures_of(None, processor)]
    for picture in 40 * [[], *pictures]:
        chat = [{"role": "user", "content": [*picture, {"type": "text", "text": QUESTION}]}]
        prompt = processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        ids = prompt.pop("input_ids")
        pixels = {name: prompt[name] for name in ("pixel_values", "tile_layouts") if name in prompt}
        labels = torch.cat([torch.full_like(ids, -100), answer], dim=1)
        model(input_ids=torch.cat([ids, answer], dim=1), labels=labels, **pixels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def test_a_method_that_is_not_there_writes_nothing(source, tmp_path):
    with pytest.raises(ValueError, match="no method 'int3'; there are int8, nf4, fp8, w4a16"):
        quantise_checkpoint(source, tmp_path / "out", "int3")
    assert contents(tmp_path) == {}


def test_a_layer_that_was_left_is_found():
    with pytest.raises(ValueError, match=r"model\.language_model\.layers\.0\S* is not quantised"):
        check_layers(tiny_model())


def test_layers_of_compressed_tensors_are_known_by_their_scheme():
    model, scheme = tiny_model(), SimpleNamespace(weights=SimpleNamespace(type="int", num_bits=4))
    blocks = [layer for layer in model.model.language_model.layers.modules() if isinstance(layer, nn.Linear)]
    for layer in blocks:
        layer.quantization_scheme = scheme
        layer.weight = None  # packed under another name
    assert check_layers(model) == {"int4": 14}
    model.lm_head.quantization_scheme = scheme
    with pytest.raises(ValueError, match="lm_head is quantised; only the decoder's blocks should be"):
        check_layers(model)


def test_groups_must_be_whole():
    with pytest.raises(ValueError, match=r"layers\.0\.\S+ is 32 wide, and w4a16 takes groups of 128; int8, nf4"):
        check_widths(tiny_model())


@pytest.mark.parametrize("method", BY_LIBRARY)
def test_only_the_blocks_of_the_decoder_are_quantised_and_the_report_says_how_far(source, tmp_path, method):
    (source / "training.json").write_text("{}")
    report = quantise_checkpoint(source, tmp_path / "out", method, history=("training.json", "conversion.json"))
    assert report == read_quantisation(tmp_path / "out")
    assert (tmp_path / "out" / "training.json").read_text() == "{}"
    weights = read_checkpoint(source).values()
    assert report.parameters == sum(math.prod(tensor.shape) for tensor in weights)
    assert report.argmax_equal >= BARS[method]
    assert 0 < report.divergence < (1e-5 if method == "int8" else 1e-3)
    assert report.reload_difference == 0
    assert report.positions > 30
    assert report.bytes_after < report.bytes_before
    assert sum(report.layers.values()) == 2 * 7
    assert json.loads((tmp_path / "out" / RECORD).read_text())["method"] == method
    assert tmp_path / "out" / RECORD in gather(tmp_path / "out").values()
    model = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "out", dtype="auto", device_map="cpu")
    assert check_layers(model) == report.layers
    for kept in ("model.vision_tower", "model.multi_modal_projector", "lm_head"):
        layers = [layer for layer in model.get_submodule(kept).modules() if isinstance(layer, nn.Linear)]
        assert layers
        assert all(type(layer.weight) is nn.Parameter and layer.weight.dtype == torch.bfloat16 for layer in layers)
    again = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "out", dtype="auto", device_map="cpu")
    ids = torch.arange(5, 40)[None]
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, again(input_ids=ids).logits)
