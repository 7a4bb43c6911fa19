"""Configuration: defaults, translation from llava_next, and what it refuses."""

import pytest
from transformers import AutoConfig, CLIPVisionConfig

from amalia_vl_hf import AmaliaVLConfig
from amalia_vl_hf.modeling.configuration_amalia_vl import from_llava_next
from tests.tiny import tiny_config, tiny_llava_next, tiny_vision_config

VISION = {"model_type": "siglip_vision_model", "num_hidden_layers": 27, "image_size": 384, "patch_size": 14}


def llava_next(**changes):
    return {"model_type": "llava_next", "vision_feature_select_strategy": "full", "vision_config": VISION, **changes}


def test_defaults_are_the_papers_parts():
    config = AmaliaVLConfig()
    assert (config.vision_config.hidden_size, config.vision_config.num_hidden_layers) == (1152, 27)
    assert (config.text_config.hidden_size, config.text_config.num_hidden_layers) == (4096, 42)
    assert config.patches_per_side == 24
    assert config.text_config.vocab_size % 64 == 0


def test_save_and_load_keeps_everything(tmp_path):
    config = tiny_config(connector_bias=False, image_token_id=7)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, AmaliaVLConfig)
    assert loaded.to_diff_dict() == config.to_diff_dict()


@pytest.mark.parametrize(("feature_layer", "depth"), [(-1, 27), (-2, 26), (27, 27), (1, 1), (-27, 1)])
def test_feature_layer_becomes_the_towers_depth(feature_layer, depth):
    config = AmaliaVLConfig(**from_llava_next(llava_next(vision_feature_layer=feature_layer)))
    assert config.vision_config.num_hidden_layers == depth
    assert config.source_vision_layers == 27


def test_keys_left_out_mean_llava_nexts_defaults():
    config = AmaliaVLConfig(**from_llava_next(llava_next()))
    assert config.vision_config.num_hidden_layers == 26  # -2
    assert (config.image_token_id, config.connector_act, config.connector_bias) == (32000, "gelu", True)
    assert config.text_config.model_type == "llama"
    assert config.patches_per_side == 27


def test_a_directory_is_translated(tmp_path):
    tiny_llava_next(-2).save_pretrained(tmp_path)
    config = AmaliaVLConfig.from_pretrained(tmp_path)
    assert (config.model_type, config.vision_config.num_hidden_layers) == ("amalia_vl", 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_feature_select_strategy": "default"}, "'default'.*only 'full' can be loaded"),
        ({"vision_feature_layer": [-2, -1]}, r"\[-2, -1\].*one layer"),
        ({"vision_feature_layer": [-1]}, r"\[-1\].*one layer"),
        ({"vision_feature_layer": -28}, "-28, outside the tower's 27 layers"),
        ({"vision_feature_layer": 28}, "28, outside the tower's 27 layers"),
        ({"vision_config": {"model_type": "clip_vision_model"}}, "'clip_vision_model'.*'siglip_vision_model'"),
        ({"vision_config": None}, "'clip_vision_model'.*'siglip_vision_model'"),
    ],
)
def test_llava_next_configs_it_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        from_llava_next(llava_next(**changes))


def test_a_silent_strategy_is_refused():
    source = llava_next()
    del source["vision_feature_select_strategy"]
    with pytest.raises(ValueError, match="a config without the key means 'default'"):
        from_llava_next(source)


def test_other_towers_are_refused():
    with pytest.raises(ValueError, match=r"'clip_vision_model'.*takes 'siglip_vision_model'"):
        AmaliaVLConfig(vision_config=CLIPVisionConfig())


def test_a_tile_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="tile of 8 px holds no patch of 16 px"):
        tiny_config(vision=tiny_vision_config(image_size=8, patch_size=16))
