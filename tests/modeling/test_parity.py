"""Ours against stock LLaVA-NeXT: the same weights give the same logits and the same greedy tokens."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaNextForConditionalGeneration, LlavaNextModel
from transformers.core_model_loading import revert_weight_conversion

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration, AmaliaVLModel
from tests.modeling.batches import EXTREME, MIXED, Batch
from tests.tiny import PINPOINTS, tiny_config, tiny_llava_next, tiny_model, tiny_text_config, tiny_vision_config

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


@pytest.mark.parametrize("origin", ["stock", "ours", "fresh"])
@pytest.mark.parametrize("tied", [False, True])
def test_saved_in_the_original_format_stock_reads_it(tmp_path, origin, tied):
    """Names and config are both llava_next's: our config beside those names would load on stock, other than meant."""
    text = tiny_text_config("gemma2", tie_word_embeddings=tied)
    tiny_llava_next(-2, text=text, tie_word_embeddings=tied).save_pretrained(tmp_path / "stock")
    ours = load(tmp_path / "stock")
    if origin == "ours":
        ours.save_pretrained(tmp_path / "ours")
        ours = load(tmp_path / "ours")
    elif origin == "fresh":
        ours = tiny_model(tiny_config(text=text, tie_word_embeddings=tied))
    if origin != "stock":
        ours.config.source_grid_pinpoints = PINPOINTS
    ours.save_pretrained(tmp_path / "back", save_original_format=True)
    assert type(ours.config) is AmaliaVLConfig
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("llava_next", ["LlavaNextForConditionalGeneration"])
    assert "auto_map" not in config
    stock, info = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert info == CLEAN
    batch = Batch(MIXED, text_lengths=[6, 9, 3])
    real = batch.attention_mask.bool()
    with torch.no_grad():
        assert torch.equal(ours(**batch.ours).logits[real], stock.eval()(**batch.stock).logits[real])
        assert torch.equal(load(tmp_path / "back")(**batch.ours).logits, ours(**batch.ours).logits)


def test_the_base_model_saved_in_the_original_format(tmp_path):
    ours = tiny_model().model
    ours.save_pretrained(tmp_path, save_original_format=True)
    _, info = LlavaNextModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info == CLEAN


def test_the_renamings_have_an_inverse_that_renames_nothing(tmp_path):
    """As compressed-tensors and transformers invert them."""
    tiny_llava_next(-2).save_pretrained(tmp_path)
    for model in (load(tmp_path), tiny_model()):
        assert revert_weight_conversion(model, model.state_dict()).keys() == model.state_dict().keys()
