"""What is loaded is the checkpoint, whole: nothing made up, nothing left over, wherever the weights lie."""

import json
import re

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLModel
from tests.modeling.batches import MIXED, Batch
from tests.tiny import (
    IMAGE_TOKEN_ID,
    tiny_config,
    tiny_llava_next,
    tiny_model,
    tiny_text_config,
    tiny_vision_config,
)

BATCH = Batch(MIXED, [6, 9, 3])


def edit(directory, change):
    path = directory / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.fixture
def checkpoint(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("loader", [AmaliaVLForConditionalGeneration, AutoModelForImageTextToText])
def test_missing_weights_are_an_error_that_names_them(checkpoint, loader):
    lost = [name for name in load_file(checkpoint / "model.safetensors") if "language_model.layers.1." in name]
    edit(checkpoint, lambda weights: {name: value for name, value in weights.items() if name not in lost})
    with pytest.raises(ValueError, match=rf"lacks {len(lost)} weights.*which would be made up") as error:
        loader.from_pretrained(checkpoint)
    assert all(name in str(error.value) for name in lost)
    _, report = loader.from_pretrained(checkpoint, output_loading_info=True)  # who asks for the report gets it
    assert report["missing_keys"] == set(lost)


def test_weights_without_a_place_are_an_error_that_names_them(checkpoint):
    edit(checkpoint, lambda weights: weights | {"model.second_tower.weight": torch.ones(3)})
    with pytest.raises(ValueError, match=r"holds 1 weights \(model\.second_tower\.weight\).*another model's"):
        AmaliaVLForConditionalGeneration.from_pretrained(checkpoint)


def test_the_model_without_its_head_loads_from_a_whole_checkpoint(checkpoint):
    model = AmaliaVLModel.from_pretrained(checkpoint)
    assert torch.equal(model.image_newline.weight, tiny_model().model.image_newline.weight)


@pytest.mark.parametrize("source", ["amalia_vl", "llava_next"])
def test_nothing_that_the_whole_model_needs_is_ignored(tmp_path, source):
    """vLLM drops whatever matches, also in the parts: a head that it dropped once gave uniform logits."""
    (tiny_model() if source == "amalia_vl" else tiny_llava_next(-2)).save_pretrained(tmp_path)
    whole = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)
    base = AmaliaVLModel._from_config(whole.config)
    for model in (whole, base, AmaliaVLForConditionalGeneration, AmaliaVLModel):
        parts = model.modules() if isinstance(model, torch.nn.Module) else [model]
        for part in parts:
            for pattern in getattr(part, "_keys_to_ignore_on_load_unexpected", None) or ():
                assert not [name for name in whole.state_dict() if re.search(pattern, name)], pattern


def test_other_model_types_are_an_error(tmp_path):
    config = LlavaConfig(
        text_config=tiny_text_config("qwen2"), vision_config=tiny_vision_config(), image_token_index=IMAGE_TOKEN_ID
    )
    LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"a model of type 'llava'.*reads 'amalia_vl', 'llava_next' and 'llava_onevision'"
    ):
        AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)


@pytest.mark.parametrize("inputs", [{"image_sizes_videos": [3]}, {"image_sizes": [3]}, {"nonsense": 3}])
@pytest.mark.parametrize("kind", [tiny_model, lambda: tiny_model().model])
def test_inputs_that_nothing_reads_are_an_error(inputs, kind):
    with pytest.raises(ValueError, match=f"nothing reads {next(iter(inputs))}"):
        kind()(**BATCH.ours, **inputs)
    kind()(**BATCH.ours, **dict.fromkeys(inputs), token_type_ids=torch.zeros(1))


@pytest.mark.parametrize("image_token", [128, 5000, -1])
def test_an_image_token_outside_the_vocabulary_is_an_error(tmp_path, image_token):
    with pytest.raises(ValueError, match=f"image_token_id is {image_token}.*ids 0 to 127"):
        tiny_model(tiny_config(image_token_id=image_token))
    tiny_llava_next().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"image_token_index": image_token}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"image_token_id is {image_token}"):
        AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)


def on_the_cpu(model, directory):
    return cpu_offload(model, execution_device="cpu")


def on_disk(model, directory):
    return disk_offload(model, directory / "offloaded", execution_device="cpu")


def newline_on_disk(model, directory):
    names = {name: "cpu" for name, _ in model.model.named_children()}
    places = {f"model.{name}": "disk" if name == "image_newline" else device for name, device in names.items()}
    return dispatch_model(model, {**places, "lm_head": "cpu"}, offload_dir=directory / "offloaded", main_device="cpu")


@pytest.mark.parametrize("offload", [on_the_cpu, on_disk, newline_on_disk])
def test_an_offloaded_model_generates_the_same(tmp_path, offload):
    config = tiny_config(text=tiny_text_config(eos_token_id=None))
    options = {"max_new_tokens": 8, "do_sample": False}
    inputs = Batch([[(60, 60)]], [6]).ours
    expected = tiny_model(config).generate(**inputs, **options)
    model = offload(tiny_model(config), tmp_path)
    assert torch.equal(model.generate(**inputs, **options), expected)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, tiny_model(config)(**inputs).logits)


def test_a_model_loaded_with_a_device_map_generates_the_same(tmp_path):
    config = tiny_config(text=tiny_text_config(eos_token_id=None))
    tiny_model(config).save_pretrained(tmp_path / "model")
    inputs, options = Batch([[(60, 60)]], [6]).ours, {"max_new_tokens": 8, "do_sample": False}
    model = AmaliaVLForConditionalGeneration.from_pretrained(
        tmp_path / "model", device_map={"": "disk"}, offload_folder=tmp_path / "offloaded"
    )
    assert torch.equal(model.generate(**inputs, **options), tiny_model(config).generate(**inputs, **options))


def test_what_the_tower_gives_beside_its_features():
    model, pixels = tiny_model(), {name: BATCH.ours[name] for name in ("pixel_values", "tile_layouts")}
    model.set_attn_implementation("eager")
    plain = model.get_image_features(**pixels)
    assert plain.hidden_states is None
    assert plain.attentions is None
    full = model.get_image_features(**pixels, output_hidden_states=True, output_attentions=True)
    assert len(full.hidden_states) == 3 + 1
    assert len(full.attentions) == 3
    torch.testing.assert_close(full.last_hidden_state, plain.last_hidden_state)
    assert isinstance(model.get_image_features(**pixels, return_dict=False), tuple)


def test_the_model_without_its_head_gives_tuples():
    model = tiny_model().model
    with torch.no_grad():
        (states, *_) = model(**BATCH.ours, return_dict=False)
        assert isinstance(model(**BATCH.ours, return_dict=False), tuple)
        assert torch.equal(states, model(**BATCH.ours).last_hidden_state)


def test_the_auto_config_of_a_whole_checkpoint(checkpoint):
    assert AutoConfig.from_pretrained(checkpoint).num_hidden_layers == 2
    assert "num_hidden_layers" not in json.loads((checkpoint / "config.json").read_text())
