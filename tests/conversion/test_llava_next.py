import json
from shutil import copytree

import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from transformers import LlavaNextForConditionalGeneration

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.conversion.llava_next import export_checkpoint, import_checkpoint
from amalia_vl_hf.conversion.verify import verify
from tests.conversion.checkpoints import (
    COMMIT,
    contents,
    edit_json,
    edit_weights,
    keep_in_hub_cache,
    legacy_key,
    made_of,
    module_key,
    rename_keys,
    weights_of,
    write_amalia,
    write_towervision,
)

CLEAN = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
SHARDED = {"max_shard_size": "60KB"}


@pytest.fixture(scope="module")
def amalia(tmp_path_factory):
    return write_amalia(tmp_path_factory.mktemp("amalia"))


@pytest.fixture(scope="module")
def imported(amalia, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported") / "model"
    import_checkpoint(amalia, folder)
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A directory with one picture, for comparisons that need no more."""
    folder = tmp_path_factory.mktemp("picture")
    Image.effect_noise((93, 48), 80).convert("RGB").save(folder / "wide.png")
    return folder


def make(folder, write, feature_layer, rename, saving):
    write(folder, feature_layer, saving=saving)
    if rename:
        rename_keys(folder, rename)
    return folder


@pytest.mark.parametrize(
    ("write", "feature_layer", "rename", "saving"),
    [
        (write_amalia, -1, None, None),
        (write_amalia, -2, legacy_key, None),
        (write_amalia, -2, None, SHARDED),
        (write_towervision, -1, module_key, None),
        (write_towervision, -2, legacy_key, None),
    ],
)
def test_round_trips_end_byte_equal_and_compute_the_same(tmp_path, picture, write, feature_layer, rename, saving):
    first = make(tmp_path / "source", write, feature_layer, rename, saving)
    import_checkpoint(first, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    import_checkpoint(tmp_path / "theirs", tmp_path / "again")
    assert made_of(tmp_path / "ours") == made_of(tmp_path / "again")
    for other in ("ours", "theirs"):
        report = verify(first, tmp_path / other, images=picture)
        assert report.passed, report.table()
        assert [drift.difference for drift in report.stages] == [0.0] * 7


def test_importing_gives_what_loading_and_saving_gives(amalia, imported, tmp_path):
    AmaliaVLForConditionalGeneration.from_pretrained(amalia).save_pretrained(tmp_path)
    AmaliaVLProcessor.from_pretrained(amalia).save_pretrained(tmp_path)
    assert made_of(imported) == contents(tmp_path)


@pytest.mark.parametrize("write", [write_amalia, write_towervision])
def test_stock_loads_an_export_with_nothing_missing_and_legacy_names(tmp_path, write):
    write(tmp_path / "source", -2)
    import_checkpoint(tmp_path / "source", tmp_path / "ours")
    done = export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    model, info = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert info == CLEAN
    weights = weights_of(tmp_path / "theirs")
    assert {name.split(".")[0] for name in weights} == {
        "image_newline",
        "language_model",
        "multi_modal_projector",
        "vision_tower",
    }
    assert all(".vision_model." in name for name in weights if name.startswith("vision_tower"))
    norm, shift = (weights[name] for name in done.added)
    assert torch.equal(norm, torch.ones(32))
    assert torch.equal(shift, torch.zeros(32))
    assert (model.config.vision_feature_layer, model.config.vision_feature_select_strategy) == (-1, "full")
    original = json.loads((tmp_path / "source" / "config.json").read_text())
    assert model.config.image_grid_pinpoints == original["image_grid_pinpoints"]


def test_every_source_tensor_is_copied_or_left_behind_for_a_reason(tmp_path):
    write_amalia(tmp_path / "source", -2)
    done = import_checkpoint(tmp_path / "source", tmp_path / "ours")
    assert done.tensors + len(done.dropped) == len(weights_of(tmp_path / "source"))
    assert set(done.dropped.values()) == {"past the feature layer"}
    assert done.size == sum(weight.nbytes for weight in weights_of(tmp_path / "ours").values())


def test_geometry_moves_to_the_processor_and_leftovers_stay_behind(tmp_path):
    write_towervision(tmp_path / "source")
    import_checkpoint(tmp_path / "source", tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert not {"image_grid_pinpoints", "image_seq_length", "mm_projector_lr"} & config.keys()
    assert config["tie_word_embeddings"] is True
    images = AmaliaVLProcessor.from_pretrained(tmp_path / "ours").image_processor
    assert (images.max_tiles, images.patch_size, len(images.image_grid_pinpoints)) == (6, 7, 14)


def test_answers_end_with_their_turn_and_batches_pad_left(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    (tmp_path / "source" / "generation_config.json").write_text('{"bos_token_id": 1, "max_length": 77}')
    edit_json(tmp_path / "source" / "tokenizer_config.json", padding_side="right")
    import_checkpoint(tmp_path / "source", tmp_path / "ours")
    written = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
    assert (written["eos_token_id"], written["pad_token_id"], written["max_length"]) == (4, 2, 77)
    assert AmaliaVLProcessor.from_pretrained(tmp_path / "ours").tokenizer.padding_side == "left"


def test_without_a_generation_config_the_models_is_written(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    (tmp_path / "source" / "generation_config.json").unlink()
    import_checkpoint(tmp_path / "source", tmp_path / "ours")
    written = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
    assert (written["eos_token_id"], written["pad_token_id"]) == (4, 2)


@pytest.mark.parametrize(
    ("dtype", "torch_dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_weights_are_cast_and_the_config_says_so(amalia, imported, tmp_path, dtype, torch_dtype):
    import_checkpoint(amalia, tmp_path / "ours", dtype=dtype)
    expected = weights_of(imported)
    assert all(
        torch.equal(weight, expected[name].to(torch_dtype)) for name, weight in weights_of(tmp_path / "ours").items()
    )
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    names = {config["dtype"], config["text_config"]["dtype"], config["vision_config"]["dtype"]}
    assert names == {str(torch_dtype).removeprefix("torch.")}


def test_mixed_dtypes_stay_as_they_are(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    edit_weights(
        tmp_path / "source",
        lambda weights: {
            name: weight.bfloat16() if "language_model" in name else weight for name, weight in weights.items()
        },
    )
    import_checkpoint(tmp_path / "source", tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    expected = {legacy_key(name): weight for name, weight in weights_of(tmp_path / "source").items()}
    weights = weights_of(tmp_path / "theirs")
    copied = weights.keys() - {name for name in weights if "post_layernorm" in name}
    assert all(torch.equal(weights[name], expected[name]) for name in copied)
    assert {weights[name].dtype for name in copied} == {torch.bfloat16, torch.float32}


def test_a_value_beyond_fp16_is_refused(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    edit_weights(tmp_path / "source", lambda weights: weights | {"image_newline": weights["image_newline"] * 1e9})
    with pytest.raises(ValueError, match="fp16 ends at 65504, but a weight is"):
        import_checkpoint(tmp_path / "source", tmp_path / "ours", dtype="fp16")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_unknown_dtype_is_refused(amalia, tmp_path):
    with pytest.raises(ValueError, match="dtype is 'int4'; it may be bf16, fp16, fp32"):
        import_checkpoint(amalia, tmp_path / "ours", dtype="int4")


def test_shards_hold_the_same_weights(amalia, imported, picture, tmp_path):
    import_checkpoint(amalia, tmp_path / "ours", max_shard_size="40KB")
    index = json.loads((tmp_path / "ours" / "model.safetensors.index.json").read_text())
    sharded, whole = weights_of(tmp_path / "ours"), weights_of(imported)
    assert len(set(index["weight_map"].values())) > 3
    assert sharded.keys() == whole.keys() == index["weight_map"].keys()
    assert all(torch.equal(sharded[name], whole[name]) for name in whole)
    assert index["metadata"]["total_size"] == sum(weight.nbytes for weight in whole.values())
    assert verify(imported, tmp_path / "ours", images=picture).passed


def test_tables_that_old_checkpoints_store_are_left_behind(amalia, imported, tmp_path):
    copytree(amalia, tmp_path / "source")
    edit_weights(
        tmp_path / "source",
        lambda weights: (
            weights
            | {
                "language_model.model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
                "vision_tower.embeddings.position_ids": torch.arange(16)[None],
            }
        ),
    )
    done = import_checkpoint(tmp_path / "source", tmp_path / "ours")
    assert list(done.dropped.values()).count("is computed from the config") == 2
    assert made_of(tmp_path / "ours") == made_of(imported)


def tied(folder, *, equal):
    """Write a tied checkpoint that stores its head all the same."""
    write_towervision(folder)
    edit_json(folder / "config.json", tie_word_embeddings=True)

    def add_head(weights):
        head = weights["language_model.model.embed_tokens.weight"].clone()
        return weights | {"language_model.lm_head.weight": head if equal else head + 1}

    edit_weights(folder, add_head)


def test_a_tied_head_is_stored_once(tmp_path):
    tied(tmp_path / "source", equal=True)
    done = import_checkpoint(tmp_path / "source", tmp_path / "ours")
    assert done.dropped["language_model.lm_head.weight"] == "is the input embeddings again"
    assert "lm_head.weight" not in weights_of(tmp_path / "ours")


def test_a_head_that_is_not_what_the_config_ties_is_refused(tmp_path):
    tied(tmp_path / "source", equal=False)
    with pytest.raises(ValueError, match=r"ties language_model\.lm_head\.weight to the input embeddings, but its"):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")


def without(name):
    return lambda weights: {key: weight for key, weight in weights.items() if key != name}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("image_newline"), r"the source does not give model\.image_newline\.weight"),
        (without("language_model.lm_head.weight"), r"the source does not give lm_head\.weight"),
        (lambda weights: weights | {"lora_A": torch.ones(1)}, r"lora_A \(0 rules\): a tensor must match exactly one"),
        (
            lambda weights: weights | {"language_model.model.extra.weight": torch.ones(1)},
            r"the model has no place for model\.language_model\.extra\.weight",
        ),
        (
            lambda weights: weights | {"image_newline": torch.ones(31)},
            r"model\.image_newline\.weight has shape \[31\], not \[32\]: the config does not fit",
        ),
        (
            lambda weights: weights | {"lm_head.weight": torch.ones(1)},
            r"language_model\.lm_head\.weight and lm_head\.weight would both become lm_head\.weight",
        ),
        (
            lambda weights: weights | {"image_newline": torch.ones(32, dtype=torch.int64)},
            "image_newline is I64: weights are F32, BF16, F16; is the checkpoint quantised",
        ),
        (
            lambda weights: weights | {"vision_tower.encoder.layers.3.layer_norm1.bias": torch.ones(32)},
            r"layers\.3\.layer_norm1\.bias \(0 rules\)",
        ),
    ],
)
def test_weights_other_than_the_configs_are_refused_before_anything_is_written(amalia, tmp_path, edit, message):
    copytree(amalia, tmp_path / "source")
    edit_weights(tmp_path / "source", edit)
    with pytest.raises(ValueError, match=message):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_other_kind_of_checkpoint_is_refused(amalia, imported, tmp_path):
    with pytest.raises(ValueError, match="is a 'amalia_vl' checkpoint, not 'llava_next' or 'llava_onevision'; only"):
        import_checkpoint(imported, tmp_path / "out")
    with pytest.raises(ValueError, match="is a 'llava_next' checkpoint, not 'amalia_vl'; only amalia_vl"):
        export_checkpoint(amalia, tmp_path / "out")


def test_a_quantised_checkpoint_is_refused(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    edit_json(tmp_path / "source" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(ValueError, match="is quantised; convert the checkpoint that it was made from"):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "names no model_type"),
        ("[]", "names no model_type"),
        ('{"model_type": "llava_next"}', "gives no AmaliaVLConfig: vision_feature_select_strategy is 'default'"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match=message):
        import_checkpoint(tmp_path, tmp_path / "ours")


def test_a_config_that_describes_no_model_is_refused(amalia, tmp_path):
    copytree(amalia, tmp_path / "source")
    edit_json(tmp_path / "source" / "config.json", projector_hidden_act="gelo")
    with pytest.raises(ValueError, match="the config describes no AmaliaVLForConditionalGeneration: "):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")


@pytest.mark.parametrize("file", ["tokenizer.json", "processor_config.json"])
def test_a_processor_that_cannot_be_read_is_refused(amalia, tmp_path, file):
    copytree(amalia, tmp_path / "source")
    (tmp_path / "source" / file).write_text('{"model": 7')
    with pytest.raises(ValueError, match="source gives no AmaliaVLProcessor: "):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def changed(imported, folder, **changes):
    """Copy a checkpoint with another processor."""
    for name, data in contents(imported).items():
        (folder / name).write_bytes(data)
    AmaliaVLProcessor.from_pretrained(folder, **changes).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resampler": "torch"}, "the processor's resampler is 'torch', which llava_next does not have"),
        ({"max_tiles": 0}, r"the processor never tiles \(max_tiles=0\), but llava_next always does"),
        ({"patch_size": 16}, r"tile and patch are \(32, 16\) pixels, the tower's \(32, 8\)"),
    ],
)
def test_what_llava_next_cannot_express_is_refused(imported, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        export_checkpoint(changed(imported, tmp_path, **changes), tmp_path / "theirs")


def test_another_image_token_than_the_tokenizers_is_refused(imported, tmp_path):
    changed(imported, tmp_path)
    edit_json(tmp_path / "config.json", image_token_id=9)
    with pytest.raises(
        ValueError, match="<image> is token 373 of the tokenizer, but the config's image_token_id is 9"
    ):
        export_checkpoint(tmp_path, tmp_path / "theirs")


def test_another_resampler_can_be_accepted(imported, picture, tmp_path):
    ours = changed(imported, tmp_path, resampler="torch")
    export_checkpoint(ours, tmp_path / "theirs", resampler="pil")
    assert verify(imported, tmp_path / "theirs", images=picture).passed
    with pytest.raises(ValueError, match="resampler is 'torch'; only 'pil' can be accepted"):
        export_checkpoint(ours, tmp_path / "others", resampler="torch")


def test_fewer_tiles_than_the_pinpoints_allow_are_exported_as_fewer_pinpoints(imported, picture, tmp_path):
    ours = changed(imported, tmp_path, max_tiles=2)
    export_checkpoint(ours, tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert config["image_grid_pinpoints"] == [[32, 32], [32, 64], [64, 32]]
    assert verify(ours, tmp_path / "theirs", images=picture).passed


def test_one_mean_for_all_channels_is_exported_for_each(imported, picture, tmp_path):
    ours = changed(imported, tmp_path, image_mean=0.25)
    export_checkpoint(ours, tmp_path / "theirs")
    assert verify(ours, tmp_path / "theirs", images=picture).passed


def test_a_hub_id_is_read_from_the_hubs_cache(amalia, imported, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    keep_in_hub_cache(tmp_path, "amalia-llm/AMALIA-VL-SFT", amalia)
    done = import_checkpoint("amalia-llm/AMALIA-VL-SFT", tmp_path / "ours")
    assert made_of(tmp_path / "ours") == made_of(imported)
    assert done.record.sources == {"model": ("amalia-llm/AMALIA-VL-SFT", COMMIT)}


@pytest.mark.parametrize("source", ["nobody/has-this", "nowhere", "a b/c?d"])
def test_a_source_that_is_not_there_is_named(tmp_path, source):
    with pytest.raises(FileNotFoundError, match=source.replace("?", r"\?")):
        import_checkpoint(source, tmp_path / "ours")
