"""Ours against stock LLaVA-NeXT: the same weights give the same logits and the same greedy tokens."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLModel
from tests.modeling.batches import EXTREME, MIXED, Batch
from tests.tiny import tiny_llava_next, tiny_text_config, tiny_vision_config

CLEAN = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
PATCH_14 = {"vision": tiny_vision_config(image_size=32, patch_size=7)}  # 4 patches and a rest, as 384 / 14


def load(directory, **kwargs):
    model, info = AmaliaVLForConditionalGeneration.from_pretrained(directory, output_loading_info=True, **kwargs)
    assert info == CLEAN
    return model.eval()


def write_legacy_keys(directory):
    """Rewrites a checkpoint with the names of transformers 4: `vision_tower.vision_model.*`."""
    path = directory / "model.safetensors"
    weights = {
        key.replace("vision_tower.", "vision_tower.vision_model.", 1) if "vision_tower." in key else key: value
        for key, value in load_file(path).items()
    }
    assert any(key.startswith("vision_tower.vision_model.encoder") for key in weights)
    assert any(key.startswith("language_model.model.") for key in weights)
    save_file(weights, path, metadata={"format": "pt"})


def write_current_keys(directory):
    """Rewrites a checkpoint with the names of the modules of transformers 5: `model.language_model.*`."""
    path = directory / "model.safetensors"
    weights = {}
    for key, value in load_file(path).items():
        name = key.removeprefix("language_model.") if key.startswith("language_model.lm_head") else f"model.{key}"
        weights[name.replace("language_model.model.", "language_model.")] = value
    assert "lm_head.weight" in weights
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("feature_layer", [-1, -2])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("samples", [MIXED, EXTREME], ids=["mixed", "extreme"])
def test_logits_equal_stock(tmp_path, feature_layer, padding_side, samples):
    stock = tiny_llava_next(feature_layer)
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    batch = Batch(samples, text_lengths=[6, 9, 3], padding_side=padding_side)
    with torch.no_grad():
        expected, actual = stock(**batch.stock).logits, ours(**batch.ours).logits
    real = batch.attention_mask.bool()
    torch.testing.assert_close(actual[real], expected[real], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "parts",
    [
        {"text": tiny_text_config("gemma2"), **PATCH_14},
        {"text": tiny_text_config("gemma2", tie_word_embeddings=True), "tie_word_embeddings": True},
        {"text": tiny_text_config(tie_word_embeddings=False), **PATCH_14},
    ],
    ids=["gemma2-untied-patch14", "gemma2-tied-patch16", "llama-patch14"],
)
def test_logits_equal_stock_for_other_parts(tmp_path, parts):
    stock = tiny_llava_next(-2, **parts)
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    batch = Batch(MIXED, text_lengths=[6, 9, 3])
    with torch.no_grad():
        expected, actual = stock(**batch.stock).logits, ours(**batch.ours).logits
    real = batch.attention_mask.bool()
    torch.testing.assert_close(actual[real], expected[real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("rewrite", [write_legacy_keys, write_current_keys])
def test_other_key_names_load_the_same(tmp_path, rewrite):
    tiny_llava_next(-2).save_pretrained(tmp_path)
    expected = load(tmp_path).state_dict()
    rewrite(tmp_path)
    actual = load(tmp_path).state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in expected)


def test_base_model_loads_from_every_form(tmp_path):
    stock = tiny_llava_next(-2)
    stock.save_pretrained(tmp_path / "stock")
    ours = load(tmp_path / "stock")
    ours.save_pretrained(tmp_path / "ours")
    for directory in (tmp_path / "stock", tmp_path / "ours"):
        model, info = AmaliaVLModel.from_pretrained(directory, output_loading_info=True)
        assert info == CLEAN
        expected = ours.model.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("feature_layer", [-1, -2])
def test_greedy_tokens_equal_stock(tmp_path, feature_layer):
    stock = tiny_llava_next(feature_layer, text=tiny_text_config(eos_token_id=127))
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    batch = Batch([[(60, 60), (20, 90)], [(70, 30)], [(5, 5)]], text_lengths=[6, 9, 3])
    expected = stock.generate(**batch.stock, max_new_tokens=12, do_sample=False)
    actual = ours.generate(**batch.ours, max_new_tokens=12, do_sample=False)
    assert torch.equal(actual, expected)


def test_gradients_equal_stock(tmp_path):
    stock = tiny_llava_next(-2)
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    batch = Batch(MIXED, text_lengths=[6, 9, 3])
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    stock(**batch.stock, labels=labels).loss.backward()
    ours(**batch.ours, labels=labels).loss.backward()
    reference = {key: parameter.grad for key, parameter in stock.named_parameters()}
    for key, parameter in ours.named_parameters():
        expected = reference[key.replace("newline.weight", "newline")]
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)


def test_a_deeper_tower_than_configured_is_reported(tmp_path):
    tiny_llava_next(-2).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2  # the weights hold 3 layers
    (tmp_path / "config.json").write_text(json.dumps(config))
    _, info = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert {key.split(".")[4] for key in info["unexpected_keys"]} == {"2"}


def test_training_leftovers_in_a_published_config_stay_behind(tmp_path):
    tiny_llava_next(-1).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"mm_projector_lr": 1e-4, "image_seq_length": 576, "use_image_newline_parameter": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    saved = load(tmp_path).config.to_dict()
    assert not {"mm_projector_lr", "image_seq_length", "image_grid_pinpoints", "source_vision_layers"} & saved.keys()
