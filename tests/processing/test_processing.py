import json
import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaNextConfig, LlavaNextProcessor, SiglipVisionConfig

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.processing.media_slots_amalia_vl import CHAT_TEMPLATE
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints
from tests.processing.test_image_processing import EXTREMES, stock_processor
from tests.tiny import tiny_model, tiny_text_config, tiny_tokenizer

TOKENS = 16 + 8 * (6 + 1)  # of the `image` fixture


def stock(tokenizer, pinpoints, tile_size=32, patch_size=8, **options) -> LlavaNextProcessor:
    options = {"patch_size": patch_size, "vision_feature_select_strategy": "full"} | options
    return LlavaNextProcessor(stock_processor(tile_size, pinpoints), tokenizer, **options)


def files(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_token_ids_are_those_of_llava_next(tokenizer):
    pinpoints = generate_pinpoints(12, 32)
    theirs, ours = (
        stock(tokenizer, pinpoints),
        AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8), tokenizer),
    )
    generator = random.Random(0)
    sizes = EXTREMES + [tuple(int(2 ** generator.uniform(0, 8)) for _ in range(2)) for _ in range(2013)]
    for start in range(0, len(sizes), 20):
        images = [Image.new("RGB", (width, height)) for height, width in sizes[start : start + 20]]
        text = [f"olá <image>\n imagem {index}" for index in range(len(images))]
        expected = theirs(images=images, text=text)["input_ids"]
        assert ours(images=images, text=text)["input_ids"] == expected
        assert [ids.count(ours.image_token_id) for ids in expected] == [
            ours.num_visual_tokens(image.height, image.width) for image in images
        ]


def test_the_model_makes_as_many_features_as_the_processor_counts(tokenizer):
    processor = AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8), tokenizer)
    model = tiny_model()
    generator = random.Random(1)
    sizes = EXTREMES + [tuple(int(2 ** generator.uniform(0, 9)) for _ in range(2)) for _ in range(200)]
    for max_tiles in (12, 3, 0):
        counts = [processor.num_visual_tokens(*size, max_tiles=max_tiles) for size in sizes]
        images = [Image.new("RGB", (width, height)) for height, width in sizes]
        with torch.no_grad():
            features = model.get_image_features(**processor.image_processor(images, max_tiles=max_tiles)).pooler_output
        assert [len(each) for each in features] == counts


def test_outputs_and_their_shapes(processor, image):
    batch = processor(images=[image, image], text=["<image> a", "b c <image>"], padding=True, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask", "pixel_values", "tile_layouts"}
    assert batch["pixel_values"].shape == (10, 3, 32, 32)
    assert batch["tile_layouts"].tolist() == [[2, 2, 0, 1]] * 10
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist() == [TOKENS, TOKENS]
    assert batch["attention_mask"][0, 0] == 0  # padding is on the left, where generation needs it
    assert set(processor.model_input_names) >= set(batch)


def test_token_types_mark_the_image(processor, image):
    batch = processor(images=image, text="a <image> b", return_mm_token_type_ids=True, return_tensors="pt")
    assert torch.equal(batch["mm_token_type_ids"], (batch["input_ids"] == processor.image_token_id).long())


def test_options_of_the_image_processor_reach_it(processor, image):
    batch = processor(images=image, text="<image>", return_tensors="pt", max_tiles=0, resampler="torch")
    assert batch["tile_layouts"].tolist() == [[0, 0, 0, 0]]
    assert (batch["input_ids"] == processor.image_token_id).sum() == 17
    assert processor.num_visual_tokens(60, 40, max_tiles=0) == 17
    finer = processor(images=image, text="<image>", return_tensors="pt", patch_size=4)
    assert (finer["input_ids"] == processor.image_token_id).sum() == 64 + 16 * (10 + 1)
    nested = processor(images=image, text="<image>", return_tensors="pt", images_kwargs={"max_tiles": 0})
    assert torch.equal(nested["pixel_values"], batch["pixel_values"])


def test_flat_and_nested_images_give_the_same_batch(processor, image):
    wide = Image.new("RGB", (90, 20), "blue")
    text = ["<image> e <image>", "nada", "<image>"]
    flat = processor(images=[image, wide, image], text=text, padding=True, return_tensors="pt")
    for images in ([[image, wide], [], [image]], [[image, wide], None, image], ((image, wide), (), (image,))):
        nested = processor(images=images, text=text, padding=True, return_tensors="pt")
        assert all(torch.equal(nested[name], value) for name, value in flat.items())


@pytest.mark.parametrize("images", [None, [], [[], []], [None, None]])
def test_no_image_leaves_text_alone(processor, images):
    assert set(processor(images=images, text=["a", "b"])) == {"input_ids", "attention_mask"}


def test_images_alone(processor, image):
    assert set(processor(images=[image, image])) == {"pixel_values", "tile_layouts"}


def test_images_by_path_and_bytes(processor, image, tmp_path):
    image.save(tmp_path / "foto.png")
    path = str(tmp_path / "foto.png")
    expected = processor(images=image, text="<image>", return_tensors="pt")
    for source in (path, {"bytes": (tmp_path / "foto.png").read_bytes(), "path": None}, np.asarray(image)):
        batch = processor(images=[[source]], text=["<image>"], return_tensors="pt")
        assert all(torch.equal(batch[name], value) for name, value in expected.items())
    messages = [{"role": "user", "content": [{"type": "image", "path": path}, {"type": "text", "text": "Que é?"}]}]
    batch = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])
    with pytest.raises(ValueError, match=r"image 1 \(gone.png\) cannot be used: no such file"):
        processor(images=[[image], ["gone.png"]], text=["<image>", "<image>"])


@pytest.mark.parametrize(
    ("count", "text", "message"),
    [
        (0, "a <image>", "sample 0 has 1 <image> slots but 0 images remain for it"),
        (1, ["<image>", "b <image>"], "sample 1 has 1 <image> slots but 0 images remain.*literal <image>"),
        (1, "<image> e <image>", "sample 0 has 2 <image> slots but 1 images remain"),
        (3, ["<image>", "<image>"], "sample 1 has 1 <image> slots but 2 images remain"),
        (1, "a", "sample 0 has 0 <image> slots but 1 images remain.*put <image> into the text once for each image"),
        ([1, 1], ["<image>", "<image><image>"], "sample 1 has 2 <image> slots but 1 images; "),
        ([1, 0, 1], ["<image>", "<image>", "a"], "sample 1 has 1 <image> slots but 0 images; "),
        ([1, 1], ["<image><image>"], "1 texts but 2 lists of images"),
    ],
)
def test_slots_and_images_must_agree(processor, image, count, text, message):
    images = [image] * count if isinstance(count, int) else [[image] * each for each in count]
    with pytest.raises(ValueError, match=message):
        processor(images=images, text=text)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"text": None}, "neither text nor an image"),
        ({"text": None, "images": []}, "neither text nor an image"),
        ({"text": [["a", "b"]]}, "sample 0 is list"),
        ({"text": []}, "text is an empty list"),
        ({"text": "a", "videos": [1]}, "not videos"),
        ({"text": "a", "audio": [1], "videos": [1]}, "not audio or videos"),
    ],
)
def test_other_inputs_are_refused(processor, inputs, message):
    with pytest.raises(ValueError, match=message):
        processor(**inputs)


def test_truncation_inside_an_image_is_refused(processor, image):
    text = ["olá", "<image> que imagem é esta?"]
    with pytest.raises(
        ValueError, match=rf"truncation to 50 tokens.*sample 1 has {TOKENS} visual tokens, 4\d would be"
    ):
        processor(images=image, text=text, truncation=True, max_length=50)
    with pytest.raises(ValueError, match="sample 1"):
        processor(images=image, text=text, truncation=True, max_length=50, padding=True, return_tensors="pt")
    kept = processor(images=image, text=text, truncation=True, max_length=TOKENS + 5)  # only the question is cut
    assert len(kept["input_ids"][1]) == TOKENS + 5


def test_servers_are_told_tokens_and_rows(processor, image):
    sizes = [(60, 40), (10, 300), (32, 32)]
    for options in ({}, {"max_tiles": 0}, {"images_kwargs": {"max_tiles": 2}}):
        told = processor._get_num_multimodal_tokens(image_sizes=sizes, **options)
        for index, (height, width) in enumerate(sizes):
            picture = Image.new("RGB", (width, height))
            batch = processor(images=picture, text="<image>", **options)
            assert told["num_image_tokens"][index] == batch["input_ids"][0].count(processor.image_token_id)
            assert told["num_image_patches"][index] == len(batch["pixel_values"]) == len(batch["tile_layouts"])
    assert processor._get_num_multimodal_tokens().num_image_tokens is None


def test_replacing_a_slot_looks_at_its_own_image(processor, image):
    features = processor.image_processor([image, Image.new("RGB", (32, 32)), image])
    assert processor.replace_image_token(features, 2) == "<image>" * TOKENS
    assert processor.replace_image_token(features, 1) == "<image>" * (16 + 4 * 5)


def test_a_tokenizer_without_the_image_token_is_refused():
    with pytest.raises(ValueError, match="does not know <picture>"):
        AmaliaVLProcessor(AmaliaVLImageProcessor(), tiny_tokenizer(), image_token="<picture>")


def test_save_load_save_is_identical_and_complete(processor, image, tmp_path):
    processor.save_pretrained(tmp_path / "first")
    loaded = AmaliaVLProcessor.from_pretrained(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "second")
    AutoProcessor.from_pretrained(tmp_path / "second").save_pretrained(tmp_path / "third")
    first, second, third = (files(tmp_path / name) for name in ("first", "second", "third"))
    assert second == third
    changed = {name for name, content in first.items() if second[name] != content}
    assert changed <= {"tokenizer_config.json"}  # Transformers notes that the tokenizer came from a local file
    code = ["addresses", "decoding", "image_loading", "image_processing", "plain_text", "processing", "tiling"]
    assert {f"{name}_amalia_vl.py" for name in code} <= set(first)
    assert {"chat_template.jinja", "processor_config.json", "tokenizer.json"} <= set(first)
    assert loaded.chat_template == CHAT_TEMPLATE
    inputs = {"images": image, "text": "<image> é?", "return_tensors": "pt"}
    expected = processor(**inputs)
    assert all(torch.equal(loaded(**inputs)[name], value) for name, value in expected.items())


def test_what_was_called_before_leaves_no_trace_in_what_is_saved(processor, image, tmp_path):
    processor.save_pretrained(tmp_path / "before")
    text = ["<image> é?", "o que é isto?"]
    options = {"padding": True, "padding_side": "right", "truncation": True, "max_length": 100}
    processor(images=[[image], []], text=text, **options)
    processor.save_pretrained(tmp_path / "after")
    assert files(tmp_path / "before") == files(tmp_path / "after")


def test_options_given_when_loading_are_kept(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AmaliaVLProcessor.from_pretrained(tmp_path, max_tiles=1, resampler="torch", use_fast=True)
    assert (loaded.image_processor.max_tiles, loaded.image_processor.resampler) == (1, "torch")
    assert AmaliaVLProcessor.from_pretrained(tmp_path, chat_template="{{ 1 }}").chat_template == "{{ 1 }}"


PINPOINTS = [(64, 64), (32, 64), (64, 32)]


def save_model_config(directory, vision) -> None:
    LlavaNextConfig(text_config=tiny_text_config(), vision_config=vision).save_pretrained(directory)


def assert_reads_like_stock(directory, tokenizer, image, patch_size=8):
    ours = AmaliaVLProcessor.from_pretrained(directory)
    assert type(ours.image_processor) is AmaliaVLImageProcessor
    inputs = {"images": [image, Image.new("RGB", (20, 90))], "text": ["<image> a", "<image> b"], "padding": True}
    expected = stock(tokenizer, PINPOINTS, patch_size=patch_size)(**inputs, return_tensors="pt")
    assert torch.equal(ours(**inputs, return_tensors="pt")["input_ids"], expected["input_ids"])
    return ours


def test_llava_next_directory_of_today(tokenizer, image, tmp_path):
    stock(tokenizer, PINPOINTS, chat_template="{{ messages }}").save_pretrained(tmp_path)
    ours = assert_reads_like_stock(tmp_path, tokenizer, image)
    assert ours.chat_template == "{{ messages }}"
    ours.save_pretrained(tmp_path / "ours")
    saved = json.loads((tmp_path / "ours" / "processor_config.json").read_text())
    assert saved["image_processor"]["image_processor_type"] == "AmaliaVLImageProcessor"
    assert_reads_like_stock(tmp_path / "ours", tokenizer, image)


def save_legacy(directory, tokenizer) -> None:
    """A directory of Transformers 4 before processors had files: no patch size anywhere but in the model's config."""
    tokenizer.save_pretrained(directory)
    stock_processor(32, PINPOINTS).save_pretrained(directory)


@pytest.mark.parametrize("patch_size", [8, 16])  # 16 is SigLIP's default, which its saved config leaves out
def test_llava_next_directory_of_old(tokenizer, image, tmp_path, patch_size):
    save_legacy(tmp_path, tokenizer)
    save_model_config(tmp_path, SiglipVisionConfig(patch_size=patch_size, image_size=32))
    ours = assert_reads_like_stock(tmp_path, tokenizer, image, patch_size)
    assert ours.chat_template == CHAT_TEMPLATE


def test_image_seq_length_is_never_counted_with(tokenizer, image, tmp_path):
    save_legacy(tmp_path, tokenizer)
    save_model_config(tmp_path, SiglipVisionConfig(patch_size=8, image_size=32))
    config = json.loads((tmp_path / "config.json").read_text()) | {"image_seq_length": 576}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_reads_like_stock(tmp_path, tokenizer, image)


def test_patches_that_do_not_divide_the_tile_are_counted_down(tokenizer, image):
    """TowerVision: 384 px tiles of 14 px patches are 27 a side."""
    ours = AmaliaVLProcessor(AmaliaVLImageProcessor(patch_size=14, max_tiles=6), tokenizer)
    theirs = stock(tokenizer, generate_pinpoints(6, 384), tile_size=384, patch_size=14)
    inputs = {"images": [image], "text": ["<image>"]}
    assert ours(**inputs)["input_ids"] == theirs(**inputs)["input_ids"]
    assert ours.num_visual_tokens(384, 384) == 27 * 27 + 27 * 28


def test_a_chat_template_in_the_tokenizer_file_counts_as_the_directorys(tmp_path):
    tokenizer = tiny_tokenizer()
    save_legacy(tmp_path, tokenizer)
    save_model_config(tmp_path, SiglipVisionConfig(patch_size=8))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"chat_template": "{{ 'old' }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert AmaliaVLProcessor.from_pretrained(tmp_path).chat_template == "{{ 'old' }}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vision_feature_select_strategy": "default"}, "vision_feature_select_strategy is 'default'"),
        ({"num_additional_image_tokens": 1}, "num_additional_image_tokens is 1"),
    ],
)
def test_llava_next_directories_that_count_otherwise_are_refused(tokenizer, tmp_path, options, message):
    stock(tokenizer, PINPOINTS, **options).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        AmaliaVLProcessor.from_pretrained(tmp_path)
