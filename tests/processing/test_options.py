"""Options are read or refused, wherever they are given; standard ones whose value is what is done anyway are taken."""

import pytest
import torch
from transformers import AutoImageProcessor, AutoProcessor

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from tests.processing.test_image_processing import stock_processor

LOADERS = (AmaliaVLImageProcessor, AutoImageProcessor, AmaliaVLProcessor, AutoProcessor)
ANYWAY = {"do_resize": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True, "device": "cpu"}
OTHERWISE = [
    {"do_normalize": False},
    {"do_rescale": False},
    {"do_resize": False},
    {"do_convert_rgb": False},
    {"do_center_crop": True},
    {"do_pad": True},
    {"rescale_factor": 1.0},
    {"device": "cuda"},
    {"data_format": "channels_last"},
    {"input_data_format": "channels_last"},
]


@pytest.fixture
def directory(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    return tmp_path


def image_processor_of(loaded):
    return getattr(loaded, "image_processor", loaded)


@pytest.mark.parametrize("loader", LOADERS)
def test_loading_refuses_what_nobody_reads(directory, loader):
    for options in ({"max_tile": 1}, {"maxtiles": 1}, {"image_std_": 1}):
        with pytest.raises(ValueError, match=f"has no option {next(iter(options))}; it has .*max_tiles"):
            loader.from_pretrained(directory, **options)
    for options in OTHERWISE:
        with pytest.raises(ValueError, match=f"no option {next(iter(options))}=.* is always"):
            loader.from_pretrained(directory, **options)


@pytest.mark.parametrize("loader", LOADERS)
def test_loading_takes_what_is_done_anyway_and_what_pipelines_pass(directory, loader):
    of_models = {"dtype": "bfloat16", "device_map": "cpu", "revision": "main"}
    loaded = loader.from_pretrained(directory, **ANYWAY, **of_models, max_tiles=2)
    assert image_processor_of(loaded).max_tiles == 2
    assert not set(image_processor_of(loaded).to_dict()) & set(ANYWAY)


def test_constructor_and_calls_do_the_same(processor, image):
    plain = processor.image_processor(image)["pixel_values"]
    others = {"device": torch.device("cpu"), "data_format": "channels_first", "rescale_factor": 1 / 255}
    for options in (ANYWAY, others):
        assert torch.equal(processor.image_processor(image, **options)["pixel_values"], plain)
        assert torch.equal(processor(images=image, text="<image>", **options)["pixel_values"], plain)
        AmaliaVLImageProcessor(**options)
    for options in OTHERWISE:
        name = next(iter(options))
        with pytest.raises(ValueError, match=f"{name} is"):
            AmaliaVLImageProcessor(**options)
        with pytest.raises(ValueError, match=f"{name} is"):
            processor.image_processor(image, **options)
        with pytest.raises(ValueError, match=f"{name} is"):
            processor(images=image, text="<image>", **options)


def test_what_is_not_used_is_given_back_when_asked_for(directory):
    options = {"max_tiles": 1, "nonsense": 3, "return_unused_kwargs": True}
    loaded, unused = AmaliaVLImageProcessor.from_pretrained(directory, **options)
    assert (loaded.max_tiles, unused["nonsense"]) == (1, 3)


def test_a_tokenizers_options_travel_the_same_road(directory):
    loaded = AmaliaVLProcessor.from_pretrained(directory, padding_side="right", model_max_length=77, max_tiles=1)
    assert (loaded.tokenizer.padding_side, loaded.tokenizer.model_max_length) == ("right", 77)
    assert loaded.image_processor.max_tiles == 1
    assert "max_tiles" not in loaded.tokenizer.init_kwargs


@pytest.mark.parametrize("loader", [AmaliaVLProcessor, AutoProcessor])
def test_parts_may_be_given_as_vllm_gives_its_tokenizer(directory, processor, loader):
    parts = {"tokenizer": processor.tokenizer, "image_processor": processor.image_processor}
    for name, part in parts.items():
        assert getattr(loader.from_pretrained(directory, **{name: part}), name) is part
    with pytest.raises(ValueError, match="has no option tokeniser"):
        loader.from_pretrained(directory, tokeniser=processor.tokenizer)


def test_options_changed_after_a_call_count(processor, image):
    processor.image_processor.max_tiles = 4
    assert len(processor.image_processor(image)["pixel_values"]) == len(
        processor.image_processor(image, max_tiles=4)["pixel_values"]
    )
    processor.image_processor.max_tiles = 0
    assert len(processor.image_processor(image)["pixel_values"]) == 1


def test_integer_mean_and_deviation_are_numbers_too(tmp_path, image):
    stock = stock_processor(32, [(64, 64), (32, 64)])
    stock.image_mean, stock.image_std = [0, 0, 0], [1, 1, 1]
    stock.save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text('{"patch_size": 8}')
    ours = AmaliaVLImageProcessor.from_pretrained(tmp_path)
    assert ours.image_mean == [0.0, 0.0, 0.0]
    expected = ours(image)["pixel_values"]
    assert torch.allclose(expected[:1], torch.as_tensor(stock(image, return_tensors="pt")["pixel_values"])[0, :1])
    for mean, deviation in ((0, 1), ([0, 0, 0], [1, 1, 1]), ((0, 0.0, 0), 1)):
        again = AmaliaVLImageProcessor(32, 8)(image, image_mean=mean, image_std=deviation, max_tiles=0)
        assert torch.equal(again["pixel_values"], expected[:1])
