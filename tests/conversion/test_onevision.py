"""TowerVideo's format in and out, and held against its own classes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration, LlavaOnevisionImageProcessorPil

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.conversion.llava_next import export_checkpoint, import_checkpoint
from amalia_vl_hf.conversion.onevision import LlavaOnevisionProcessor
from amalia_vl_hf.conversion.verify import verify
from tests.conversion.checkpoints import (
    contents,
    edit_json,
    edit_weights,
    legacy_key,
    made_of,
    rename_keys,
    weights_of,
    write_towervideo,
)

CLEAN = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}


@pytest.fixture(scope="module")
def towervideo(tmp_path_factory):
    return write_towervideo(tmp_path_factory.mktemp("towervideo"))


@pytest.fixture(scope="module")
def imported(towervideo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported") / "model"
    import_checkpoint(towervideo, folder)
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A directory with one picture, which is pooled, for comparisons that need no more."""
    folder = tmp_path_factory.mktemp("picture")
    Image.effect_noise((90, 80), 80).convert("RGB").save(folder / "large.png")
    return folder


@pytest.mark.parametrize(
    ("feature_layer", "rename", "saving"), [(-2, legacy_key, None), (-1, None, {"max_shard_size": "60KB"})]
)
def test_round_trips_end_byte_equal_and_compute_the_same(tmp_path, picture, feature_layer, rename, saving):
    first = write_towervideo(tmp_path / "source", feature_layer, saving)
    if rename:
        rename_keys(first, rename)
    import_checkpoint(first, tmp_path / "ours")
    done = export_checkpoint(tmp_path / "ours", tmp_path / "theirs", form="llava_onevision")
    import_checkpoint(tmp_path / "theirs", tmp_path / "again")
    assert made_of(tmp_path / "ours") == made_of(tmp_path / "again")
    assert len(done.added) == 2
    for other in ("ours", "theirs"):
        report = verify(first, tmp_path / other, images=picture)
        assert report.passed, report.table()
        assert [drift.difference for drift in report.stages] == [0.0] * 7
        assert report.samples[-1] == "a video of 3 frames"


def test_stock_loads_an_export_with_nothing_missing_and_legacy_names(imported, towervideo, tmp_path):
    export_checkpoint(imported, tmp_path / "theirs")
    model, info = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert info == CLEAN
    assert {name.split(".")[0] for name in weights_of(tmp_path / "theirs")} == {
        "image_newline",
        "language_model",
        "multi_modal_projector",
        "vision_tower",
    }
    original, config = (
        json.loads((folder / "config.json").read_text()) for folder in (towervideo, tmp_path / "theirs")
    )
    same = ("image_grid_pinpoints", "vision_aspect_ratio", "video_token_index", "image_token_index", "architectures")
    assert {name: config.get(name) for name in same} == {name: original.get(name) for name in same}
    assert model.config.video_token_id == json.loads((imported / "config.json").read_text())["video_token_id"]


def test_an_exports_processor_is_the_sources(towervideo, imported, tmp_path):
    export_checkpoint(imported, tmp_path / "theirs")
    sides = [
        json.loads((folder / "processor_config.json").read_text()) for folder in (towervideo, tmp_path / "theirs")
    ]
    assert sides[0] == sides[1]
    options = sides[0]
    assert (options["processor_class"], options["video_processor"]["video_processor_type"]) == (
        "LlavaOnevisionProcessor",
        "LlavaOnevisionVideoProcessor",
    )
    assert (options["num_image_tokens"], options["vision_aspect_ratio"]) == (16, "anyres_max_2")
    videos = options["video_processor"]
    assert (videos["num_frames"], videos["do_sample_frames"], videos["size"]) == (8, True, {"height": 32, "width": 32})
    saved = json.loads((tmp_path / "theirs" / "tokenizer_config.json").read_text())
    assert saved["processor_class"] == "LlavaOnevisionProcessor"


def test_importing_gives_what_loading_and_saving_gives(towervideo, imported, tmp_path):
    AmaliaVLForConditionalGeneration.from_pretrained(towervideo).save_pretrained(tmp_path)
    AmaliaVLProcessor.from_pretrained(towervideo).save_pretrained(tmp_path)
    assert made_of(imported) == contents(tmp_path)


def pictures():
    generator = np.random.default_rng(0)
    sizes = ((90, 95), (30, 70), (64, 64), (200, 33), (8, 90))
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


@pytest.mark.parametrize("several", [False, True], ids=["one image a sample", "several"])
def test_the_processors_and_models_agree_on_images(towervideo, imported, several):
    """From the picture to the logits; several images of a sample are squares there."""
    images = [[one] for one in pictures()] if not several else [pictures()[:2], pictures()[2:3], pictures()[3:]]
    prompts = [f"{'<image>' * len(own)}\nO que se vê?" for own in images]
    ours = AmaliaVLProcessor.from_pretrained(imported)
    images_of_stock = LlavaOnevisionImageProcessorPil.from_pretrained(towervideo)
    tokenizer = AutoTokenizer.from_pretrained(towervideo, padding_side="left")
    stock = LlavaOnevisionProcessor(images_of_stock, tokenizer, 16, "anyres_max_2")
    mine = ours(images=images, text=prompts, return_tensors="pt", padding=True)
    theirs = stock(images=images, text=prompts, return_tensors="pt", padding=True)
    assert torch.equal(mine["input_ids"], theirs["input_ids"])
    models = [
        kind.from_pretrained(folder).eval()
        for kind, folder in (
            (AmaliaVLForConditionalGeneration, imported),
            (LlavaOnevisionForConditionalGeneration, towervideo),
        )
    ]
    with torch.no_grad():
        one, other = models[0](**mine).logits, models[1](**theirs).logits
    real = mine["attention_mask"].bool()
    torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=0)


def test_verify_notices_what_videos_alone_show(towervideo, imported, tmp_path):
    """Another id for `<video>`: images and text say nothing of it."""
    export_checkpoint(imported, tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    edit_json(tmp_path / "theirs" / "config.json", video_token_index=config["video_token_index"] - 50)
    with pytest.raises(ValueError, match=r"Video features and video tokens do not match"):
        verify(towervideo, tmp_path / "theirs")


def test_a_processor_that_counts_otherwise_than_the_model_pools_is_refused(tmp_path):
    write_towervideo(tmp_path / "source")
    edit_json(tmp_path / "source" / "config.json", vision_aspect_ratio="anyres_max_3")
    with pytest.raises(ValueError, match=r"pools images above 3 tiles but the processor counts .* pooled above 2"):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile_several": True}, "the processor tiles several images of a sample, but llava_onevision does not"),
        ({"max_tiles": 0}, r"never tiles \(max_tiles=0\), but llava_onevision always does"),
        ({"resampler": "torch"}, "resampler is 'torch', which llava_onevision does not have"),
        (
            {"pool_above_tiles": 9},
            "pools images above 2 tiles but the processor counts their tokens as",
        ),
    ],
)
def test_what_llava_onevision_would_do_otherwise_is_refused(imported, tmp_path, changes, message):
    for name, data in contents(imported).items():
        (tmp_path / name).write_bytes(data)
    AmaliaVLProcessor.from_pretrained(tmp_path, **changes).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        export_checkpoint(tmp_path, tmp_path / "theirs")


def test_a_video_token_that_is_another_of_the_tokenizer_is_refused(imported, tmp_path):
    for name, data in contents(imported).items():
        (tmp_path / name).write_bytes(data)
    edit_json(tmp_path / "config.json", video_token_id=7)
    with pytest.raises(ValueError, match=r"<video> is token .* but the config's video_token_id is 7"):
        export_checkpoint(tmp_path, tmp_path / "theirs")


def test_a_model_that_takes_videos_is_given_no_other_token(towervideo, tmp_path):
    with pytest.raises(ValueError, match="takes videos already: its <video> is token"):
        import_checkpoint(towervideo, tmp_path / "ours", videos=True)


def test_lost_weights_are_refused(tmp_path):
    write_towervideo(tmp_path / "source")
    edit_weights(tmp_path / "source", lambda weights: {k: v for k, v in weights.items() if k != "image_newline"})
    with pytest.raises(ValueError, match=r"does not give model\.image_newline\.weight"):
        import_checkpoint(tmp_path / "source", tmp_path / "ours")
