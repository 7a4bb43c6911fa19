"""Ours against stock LLaVA-OneVision: the same weights give the same logits and the same greedy tokens."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlavaOnevisionForConditionalGeneration

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration, AmaliaVLModel
from amalia_vl_hf.modeling.visual_packing_amalia_vl import pooled_size
from tests.modeling.test_adapters import TARGETS, adapted, by_peft
from tests.modeling.test_parity import CLEAN, load, write_current_keys, write_legacy_keys
from tests.modeling.video_batches import SEVERAL, TEXT_LENGTHS, VideoBatch
from tests.tiny import (
    PINPOINTS,
    tiny_config,
    tiny_llava_onevision,
    tiny_model,
    tiny_text_config,
    tiny_video_config,
    tiny_vision_config,
)

LARGE = [(side * 32, other * 32) for side in range(1, 5) for other in range(1, 5)]  # px: at most 16 tiles
PATCH_14 = tiny_vision_config(patch_size=7, vision_use_head=False)  # 4 patches and a rest, as 384 / 14
ODD = tiny_vision_config(image_size=40, patch_size=8, vision_use_head=False)  # 5 patches a side, as 27: 5 -> 3


def assert_equal_logits(stock, ours, batch):
    with torch.no_grad():
        expected, actual = stock(**batch.stock(stock)).logits, ours(**batch.ours).logits
    real = batch.attention_mask.bool()
    torch.testing.assert_close(actual[real], expected[real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("feature_layer", [-1, -2])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize(
    ("samples", "lengths"),
    [(SEVERAL, TEXT_LENGTHS), ([[3], [3]], [6, 9]), ([[(60, 90)], [(20, 200), (31, 33)], []], [6, 9, 4])],
    ids=["several", "videos", "images"],
)
def test_logits_equal_stock(tmp_path, feature_layer, padding_side, samples, lengths):
    stock = tiny_llava_onevision(feature_layer, vision_aspect_ratio="anyres_max_2")
    stock.save_pretrained(tmp_path)
    assert_equal_logits(stock, load(tmp_path), VideoBatch(samples, lengths, padding_side))


def test_a_batch_of_stock_videos_as_stock_takes_it(tmp_path):
    """Videos of one length, which stock encodes by itself."""
    stock = tiny_llava_onevision()
    stock.save_pretrained(tmp_path)
    batch = VideoBatch([[3], [3, 3], []], [6, 9, 4])
    with torch.no_grad():
        expected = stock(**batch.stock_whole).logits
        actual = load(tmp_path)(**batch.ours).logits
    real = batch.attention_mask.bool()
    torch.testing.assert_close(actual[real], expected[real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("limit", [1, 2, 9, 40])
@pytest.mark.parametrize("vision", [PATCH_14, ODD], ids=["patch 14", "an odd side"])
def test_large_images_are_pooled_as_stock_pools_them(tmp_path, limit, vision):
    size = vision.image_size
    pinpoints = [(height // 32 * size, width // 32 * size) for height, width in LARGE]
    stock = tiny_llava_onevision(
        vision=vision, vision_aspect_ratio=f"anyres_max_{limit}", image_grid_pinpoints=[list(one) for one in pinpoints]
    )
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert ours.config.pool_above_tiles == limit
    batch = VideoBatch(
        [[(500, 500)], [(130, 120), 2], [(40, 300)], [3], []],
        [6, 9, 4, 5, 3],
        tile_size=size,
        side=size // vision.patch_size,
        pool_above_tiles=limit,
        pinpoints=pinpoints,
    )
    assert_equal_logits(stock, ours, batch)
    assert (pooled_size(16, 16, 4, limit) == (16, 16)) == (limit >= 16)


@pytest.mark.parametrize(
    "text",
    [
        tiny_text_config("gemma2"),
        tiny_text_config("gemma2", tie_word_embeddings=False),
        tiny_text_config(tie_word_embeddings=True),
    ],
    ids=["TowerVideo: gemma2, tied by its own default", "gemma2 untied", "llama tied"],
)
def test_logits_equal_stock_for_other_decoders(tmp_path, text):
    stock = tiny_llava_onevision(text=text, vision=PATCH_14, vision_aspect_ratio="anyres_max_2")
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert ours.config.tie_word_embeddings == text.tie_word_embeddings
    assert_equal_logits(stock, ours, VideoBatch(SEVERAL, TEXT_LENGTHS))


@pytest.mark.parametrize("rewrite", [write_legacy_keys, write_current_keys])
def test_other_key_names_load_the_same(tmp_path, rewrite):
    tiny_llava_onevision(-2).save_pretrained(tmp_path)
    expected = load(tmp_path).state_dict()
    rewrite(tmp_path)
    actual = load(tmp_path).state_dict()
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
    base, info = AmaliaVLModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info == CLEAN
    assert base.config.video_token_id == 101


def test_greedy_tokens_equal_stock(tmp_path):
    stock = tiny_llava_onevision(text=tiny_text_config("qwen2", eos_token_id=127), vision_aspect_ratio="anyres_max_2")
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    options = {"max_new_tokens": 12, "do_sample": False}
    for samples, lengths in ([[3], [3, 3], []], [6, 9, 4]), ([[(60, 90)], [(20, 90)], [(90, 30)]], [6, 9, 3]):
        batch = VideoBatch(samples, lengths)
        assert torch.equal(ours.generate(**batch.ours, **options), stock.generate(**batch.stock_whole, **options))


def test_gradients_equal_stock(tmp_path):
    stock = tiny_llava_onevision(vision_aspect_ratio="anyres_max_1")
    stock.save_pretrained(tmp_path)
    ours = load(tmp_path)
    batch = VideoBatch([[3, (60, 90)], [3]], [6, 9], pool_above_tiles=1)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    stock(**batch.stock_whole, labels=labels).loss.backward()
    ours(**batch.ours, labels=labels).loss.backward()
    reference = {key: parameter.grad for key, parameter in stock.named_parameters()}
    for key, parameter in ours.named_parameters():
        expected = reference[key.replace("newline.weight", "newline")]
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)


def edited(directory, **changes):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_aspect_ratio": "anyres"}, "vision_aspect_ratio is 'anyres'.*'anyres_max_9'"),
        ({"vision_aspect_ratio": "pad"}, "vision_aspect_ratio is 'pad'"),
        ({"vision_aspect_ratio": "anyres_max_0"}, "vision_aspect_ratio is 'anyres_max_0'"),
        ({"vision_aspect_ratio": None}, "vision_aspect_ratio is None"),
        ({"vision_feature_select_strategy": "default"}, "'default'.*only 'full'"),
        ({"vision_feature_layer": [-1, -2]}, r"\[-1, -2\].*one layer"),
        ({"vision_config": {"model_type": "clip_vision_model"}}, "'clip_vision_model'"),
        ({"video_token_index": 100}, "<image> and <video> have one id, 100"),
        ({"video_token_index": 128}, "video_token_id is 128.*ids 0 to 127"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path, changes, message):
    tiny_llava_onevision().save_pretrained(tmp_path)
    edited(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)


def test_keys_left_out_mean_llava_onevisions_defaults(tmp_path):
    """transformers leaves defaults out when it saves; those of gemma2 tie its head."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "llava_onevision", "text_config": {"model_type": "gemma2", "vocab_size": 256128}})
    )
    config = AmaliaVLConfig.from_pretrained(tmp_path)
    assert (config.image_token_id, config.video_token_id, config.pool_above_tiles) == (151646, 151647, 9)
    vision = config.vision_config
    assert (vision.num_hidden_layers, vision.image_size, config.patches_per_side) == (26, 384, 27)
    assert (config.tie_word_embeddings, config.connector_act, config.connector_bias) == (True, "gelu", True)


def test_a_saved_model_is_read_again(tmp_path):
    tiny_llava_onevision(vision_aspect_ratio="anyres_max_2").save_pretrained(tmp_path / "stock")
    ours = load(tmp_path / "stock")
    ours.save_pretrained(tmp_path / "ours")
    assert {key.split(".")[0] for key in load_file(tmp_path / "ours" / "model.safetensors")} == {"model", "lm_head"}
    again, batch = load(tmp_path / "ours"), VideoBatch(SEVERAL, TEXT_LENGTHS)
    with torch.no_grad():
        assert torch.equal(again(**batch.ours).logits, ours(**batch.ours).logits)


@pytest.mark.parametrize("origin", ["stock", "ours", "fresh"])
@pytest.mark.parametrize("tied", [False, True])
def test_saved_in_the_original_format_stock_reads_it(tmp_path, origin, tied):
    text = tiny_text_config("gemma2", tie_word_embeddings=tied)
    tiny_llava_onevision(-2, text=text, vision_aspect_ratio="anyres_max_2").save_pretrained(tmp_path / "stock")
    ours = load(tmp_path / "stock")
    if origin == "ours":
        ours.save_pretrained(tmp_path / "ours")
        ours = load(tmp_path / "ours")
    elif origin == "fresh":
        ours = tiny_model(tiny_video_config(text=text, tie_word_embeddings=tied))
    if origin != "stock":
        ours.config.source_grid_pinpoints = PINPOINTS
    ours.save_pretrained(tmp_path / "back", save_original_format=True)
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["architectures"] == ["LlavaOnevisionForConditionalGeneration"]
    stock, info = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert info == CLEAN
    assert_equal_logits(stock.eval(), ours, VideoBatch(SEVERAL, TEXT_LENGTHS))


def test_a_model_that_never_pools_is_written_as_one_that_never_does(tmp_path):
    ours = tiny_model(tiny_video_config(pool_above_tiles=None))
    ours.config.source_grid_pinpoints = PINPOINTS
    ours.save_pretrained(tmp_path, save_original_format=True)
    stock = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert stock.config.vision_aspect_ratio == "anyres_max_4"
    assert_equal_logits(stock, ours, VideoBatch(SEVERAL, TEXT_LENGTHS, pool_above_tiles=None))


def test_what_neither_format_can_say_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"pool_above_tiles is 2, which llava_next does not know.*no video_token_id"):
        tiny_model(tiny_config(pool_above_tiles=2)).save_pretrained(tmp_path, save_original_format=True)
    with pytest.raises(ValueError, match="pool_above_tiles is 0; a grid keeps"):
        tiny_config(pool_above_tiles=0)


@pytest.mark.parametrize("targets", TARGETS)
def test_adapters_of_stock_run_here_and_ours_there(tmp_path, targets):
    tiny_llava_onevision(-2, vision_aspect_ratio="anyres_max_2").save_pretrained(tmp_path / "base")
    kinds, batch = (
        (LlavaOnevisionForConditionalGeneration, AmaliaVLForConditionalGeneration),
        VideoBatch([[3], [3, 2]], [6, 9]),
    )
    real = batch.attention_mask.bool()
    for number, trained in enumerate(kinds):
        folder = tmp_path / str(number)
        adapted(trained, tmp_path / "base", TARGETS[targets]).save_pretrained(folder)
        stock, ours = (by_peft(kind, tmp_path / "base", folder).eval() for kind in kinds)
        with torch.no_grad():
            expected = stock(**batch.stock(stock.base_model.model)).logits[real]
            torch.testing.assert_close(ours(**batch.ours).logits[real], expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_geometry_of_towervideo(tmp_path):
    """32 frames and an image of 6 x 6 tiles, of 27 x 27 patches; the parts are tiny."""
    vision = tiny_vision_config(image_size=384, patch_size=14, vision_use_head=False)
    pinpoints = [(rows * 384, cols * 384) for rows in range(1, 7) for cols in range(1, 7)]
    text = tiny_text_config("qwen2", max_position_embeddings=16384)
    stock = tiny_llava_onevision(vision=vision, text=text, image_grid_pinpoints=[list(one) for one in pinpoints])
    stock.save_pretrained(tmp_path)
    geometry = {"tile_size": 384, "side": 27, "pool_above_tiles": 9, "pinpoints": pinpoints}
    batch = VideoBatch([[32], [(2300, 2200)]], [6, 9], **geometry)
    assert [int((row == 101).sum()) for row in batch.input_ids] == [6273, 0]
    assert_equal_logits(stock, load(tmp_path), batch)
