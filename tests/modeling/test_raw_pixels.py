import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration, AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.modeling.raw_pixels_amalia_vl import normalised, take_normalisation
from tests.tiny import tiny_config, tiny_model, tiny_text_config, tiny_tokenizer, tiny_vision_config

STATISTICS = {
    "SigLIP": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "CLIP": ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]),
    "ImageNet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "one": (0.25, 1.0),
}
EVERY_LEVEL = np.arange(768, dtype=np.uint8).reshape(16, 16, 3)


def image_processor(name, **options):
    mean, std = STATISTICS[name]
    return AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4, image_mean=mean, image_std=std, **options)


def pictures():
    generator = np.random.default_rng(0)
    sizes = ((40, 30), (30, 70), (100, 33))
    noise = [Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    return [*noise, Image.fromarray(EVERY_LEVEL).resize((32, 32), Image.Resampling.NEAREST)]


def config_of(processor, **changes):
    config = tiny_config(**changes)
    take_normalisation(config, processor)
    return config


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("resampler", ["pil", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_raw_pixels_become_the_processors_values(name, resampler, dtype):
    processor = image_processor(name, resampler=resampler)
    raw, ready = (processor(pictures(), pixels=pixels)["pixel_values"] for pixels in ("uint8", "float"))
    assert (raw.dtype, ready.dtype) == (torch.uint8, torch.float32)
    values = normalised(raw, config_of(processor))
    assert values.dtype == torch.float32
    assert torch.equal(values.to(dtype), ready.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_features_and_gradients_are_those_of_normalised_pixels(dtype, autocast):
    processor = image_processor("CLIP")
    model = tiny_model(config_of(processor)).to(dtype).model
    results = []
    for pixels in ("float", "uint8"):
        batch = processor(pictures(), pixels=pixels)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            features = torch.cat(model.get_image_features(batch["pixel_values"], batch["tile_layouts"]).pooler_output)
        model.zero_grad()
        features.float().pow(2).sum().backward()
        gradients = [weight.grad for weight in model.vision_tower.parameters() if weight.grad is not None]
        results.append([features, *gradients])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_pixels_are_normalised_unless_a_call_asks_otherwise(tmp_path):
    processor = AmaliaVLProcessor(image_processor("SigLIP"), tiny_tokenizer())
    prompt = {"images": pictures()[0], "text": "<image>", "return_tensors": "pt"}
    assert processor(**prompt)["pixel_values"].dtype == torch.float32
    assert processor(**prompt, pixels="uint8")["pixel_values"].dtype == torch.uint8
    processor.save_pretrained(tmp_path)
    assert "pixels" not in (tmp_path / "processor_config.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="pixels"):
        image_processor("SigLIP", pixels="uint8")
    with pytest.raises(Exception, match="pixels"):
        processor.image_processor(pictures(), pixels="int8")


def test_a_config_without_mean_and_std_refuses_raw_pixels():
    batch = image_processor("SigLIP")(pictures(), pixels="uint8")
    with pytest.raises(ValueError, match=r"torch\.uint8, .* `amalia-vl convert`, so that its config has image_mean"):
        tiny_model().model.get_image_features(**batch)
    with pytest.raises(ValueError, match=r"torch\.int64, but the tower takes normalised"):
        tiny_model().model.get_image_features(batch["pixel_values"].long(), batch["tile_layouts"])


def test_a_config_is_held_to_the_processor(tmp_path):
    config = config_of(image_processor("ImageNet"))
    assert (config.image_mean, config.image_std) == STATISTICS["ImageNet"]
    assert config_of(image_processor("one")).image_std == [1.0, 1.0, 1.0]
    take_normalisation(config, image_processor("ImageNet"))
    with pytest.raises(ValueError, match=r"image_mean is \[0.5, 0.5, 0.5\] but the model's config has \[0.485"):
        take_normalisation(config, image_processor("SigLIP"))
    config.save_pretrained(tmp_path)
    assert AmaliaVLConfig.from_pretrained(tmp_path).image_std == STATISTICS["ImageNet"][1]


@pytest.mark.parametrize(
    "faulty", [{"image_mean": [0.5]}, {"image_std": [1.0, 0.0, 1.0]}, {"image_mean": [float("nan")] * 3}]
)
def test_means_that_cannot_be_used_are_refused(faulty):
    with pytest.raises(ValueError, match="image_"):
        tiny_config(**faulty)


def test_a_composed_model_normalises_as_its_processor(tmp_path):
    tokenizer = tiny_tokenizer()
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    model, processor = compose(SiglipVisionModel(tiny_vision_config()), text, tokenizer, max_tiles=4, seed=0)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    own = processor.image_processor
    assert (saved["image_mean"], saved["image_std"]) == (own.image_mean, own.image_std)
    chat = [{"role": "user", "content": [{"type": "image", "image": pictures()[0]}, {"type": "text", "text": "Olá"}]}]
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    loaded = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path)
    raw, ready = (
        loaded(**processor.apply_chat_template(chat, **options, processor_kwargs={"pixels": pixels})).logits
        for pixels in ("uint8", "float")
    )
    assert torch.equal(raw, ready)
