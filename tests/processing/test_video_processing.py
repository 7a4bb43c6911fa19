"""Videos in the processor: what is counted, saved, loaded and refused, beside images and text."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaOnevisionProcessor

import amalia_vl_hf.processing.video_processing_amalia_vl as video_processing
from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.processing.video_processing_amalia_vl import AmaliaVLVideoProcessor
from tests.processing.clips import write_clip
from tests.processing.test_image_processing import picture
from tests.tiny import tiny_tokenizer

ASK = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}


@pytest.fixture
def processor():
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<image>", "<video>"]})
    images = AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4)
    return AmaliaVLProcessor(images, tokenizer, num_frames=4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def moving(frames, height=24, width=40, seed=0):
    return np.stack([np.asarray(picture(height, width, seed=seed + number)) for number in range(frames)])


def asking(*parts):
    return [{"role": "user", "content": list(parts)}]


def test_slots_become_a_quarter_of_the_patches_of_each_frame(processor):
    for frames in (1, 3, 4):
        batch = processor(text="<video>a", videos=moving(frames), return_tensors="pt")
        assert batch["video_frames"].tolist() == [frames]
        assert batch["pixel_values_videos"].shape == (frames, 3, 32, 32)
        slots = int((batch["input_ids"] == processor.video_token_id).sum())
        assert slots == 4 * frames + 1 == processor.num_video_tokens(frames)
    assert set(processor.model_input_names) >= {"pixel_values_videos", "video_frames", "tile_layouts"}
    assert processor._get_num_multimodal_tokens(video_sizes=[(32, 9, 9)])["num_video_tokens"] == [129]
    both = processor._get_num_multimodal_tokens(image_sizes=[(60, 40)], video_sizes=[(1, 9, 9)])
    assert (both["num_image_tokens"], both["num_video_tokens"]) == ([72], [5])


def test_a_towervideo_clip_is_6273_tokens(processor):
    tower = AmaliaVLProcessor(AmaliaVLImageProcessor(patch_size=14), processor.tokenizer)
    assert (tower.num_frames, tower.num_video_tokens(32)) == (32, 6273)


def test_batches_mix_images_videos_and_text(processor, clip):
    chats = [
        asking({"type": "video", "video": str(clip)}, {"type": "text", "text": "O que acontece?"}),
        asking({"type": "text", "text": "Bom dia."}),
        asking(
            {"type": "image", "image": Image.new("RGB", (40, 60))},
            {"type": "video", "video": moving(2)},
            {"type": "video", "path": str(clip)},
        ),
    ]
    batch = processor.apply_chat_template(chats, processor_kwargs={"padding": True}, **ASK)
    assert batch["video_frames"].tolist() == [4, 2, 4]
    assert batch["pixel_values_videos"].shape == (10, 3, 32, 32)
    videos = (batch["input_ids"] == processor.video_token_id).sum(dim=1).tolist()
    images = (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist()
    assert (videos, images) == ([17, 0, 9 + 17], [0, 0, 72])
    for number, chat in enumerate(chats):
        alone = processor.apply_chat_template(chat, **ASK)["input_ids"][0]
        assert torch.equal(batch["input_ids"][number][-len(alone) :], alone)


def test_flat_and_nested_videos_are_the_same(processor):
    first, second = moving(2), moving(3, seed=9)
    text = ["<video>a", "b", "<video><video>c"]
    flat = processor(text=text, videos=[first, second, first])
    nested = processor(text=text, videos=[[first], [], [second, first]])
    assert flat["input_ids"] == nested["input_ids"]
    assert torch.equal(flat["pixel_values_videos"], nested["pixel_values_videos"])
    frames = [list(first), list(second), list(first)]
    assert processor(text=text, videos=frames)["input_ids"] == flat["input_ids"]


@pytest.mark.parametrize(
    ("text", "videos", "reason"),
    [
        (
            ["<video>", "a"],
            [[], [0]],
            "sample 0 has 1 <video> slots but 0 videos; does its text hold a literal <video>",
        ),
        (["<video>"], [], "sample 0 has 1 <video> slots but 0 videos remain for it"),
        (["a"], [0], "put <video> into the text once for each video"),
        (["a", "b"], [[0]], "2 texts but 1 lists of videos"),
    ],
)
def test_slots_and_videos_must_agree(processor, text, videos, reason):
    given = [[moving(1) for _ in entry] if isinstance(entry, list) else moving(1) for entry in videos]
    with pytest.raises(ValueError, match=reason):
        processor(text=text, videos=given)


def test_slots_in_strings_act_where_there_are_as_many_as_videos(processor):
    chat = [{"role": "user", "content": "<video>\n<image> ou <video>?"}]
    rendered, image = processor.apply_chat_template(chat), Image.new("RGB", (8, 8))
    as_text = processor(text=rendered)
    assert processor.video_token_id not in as_text["input_ids"][0]
    both = processor(text=rendered, videos=[moving(1), moving(1)])
    assert both["input_ids"][0].count(processor.video_token_id) == 10
    assert both["input_ids"][0].count(processor.image_token_id) == 0
    image_only = processor(text=rendered, images=image)["input_ids"][0]
    assert image_only.count(processor.image_token_id) > 0
    assert image_only.count(processor.video_token_id) == 0
    all_of_it = processor(text=rendered, images=image, videos=[moving(1), moving(1)])["input_ids"][0]
    assert all_of_it.count(processor.video_token_id) == 10


def test_control_tokens_beside_a_video_are_text(processor):
    parts = ({"type": "video", "video": moving(2)}, {"type": "text", "text": "<video><|im_end|>?"})
    batch = processor.apply_chat_template(asking(*parts), **ASK)
    assert int((batch["input_ids"] == processor.video_token_id).sum()) == 9
    assert int((batch["input_ids"] == processor.tokenizer.eos_token_id).sum()) == 1
    with pytest.raises(ValueError, match="sample 0 has 2 <video> slots but 1 videos"):
        processor(text="<video><video>é<\ufdd0video>", videos=moving(1))


def test_truncation_cuts_no_video(processor):
    with pytest.raises(ValueError, match="truncation to 5 tokens cuts an image: sample 0 has 9 visual tokens"):
        processor(text="<video>a", videos=moving(2), truncation=True, max_length=5)


def test_a_frame_is_what_the_torch_resampler_makes_of_an_image(processor):
    for height, width in ((24, 40), (32, 32), (100, 7), (7, 100), (200, 300), (300, 200)):
        frames = moving(4, height, width, seed=height)
        levels = processor.videos(frames, pixels="uint8")["pixel_values_videos"]
        images = [Image.fromarray(frame) for frame in frames]
        thumbnails = processor.image_processor(images, max_tiles=0, resampler="torch", pixels="uint8")["pixel_values"]
        assert torch.equal(levels, thumbnails)
        raw = torch.from_numpy(frames).permute(0, 3, 1, 2)
        stock = torch.nn.functional.interpolate(raw, (32, 32), mode="bicubic", antialias=True)
        off = (levels.int() - stock.int()).abs()  # from LLaVA-OneVision's, whose order of passes is torch's
        assert off.max() <= 3
        assert off.float().mean() < 0.3
        normalised = processor.videos(frames)["pixel_values_videos"]
        assert normalised.dtype == torch.float32
        assert torch.allclose(normalised, levels.float() / 127.5 - 1)


def test_frames_are_resized_together_or_in_parts(processor, monkeypatch):
    frames = [*moving(3), *moving(2, 50, 20)]
    whole = processor.videos([frames, frames], num_frames=5)["pixel_values_videos"]
    monkeypatch.setattr(video_processing, "_PIXELS_AT_ONCE", 24 * 40 * 2)
    assert torch.equal(processor.videos([frames, frames], num_frames=5)["pixel_values_videos"], whole)


def test_no_videos_are_no_frames(processor):
    batch = processor.videos([])
    assert batch["pixel_values_videos"].shape == (0, 3, 32, 32)
    assert batch["video_frames"].shape == (0,)
    assert "video_frames" not in processor(text="a", videos=[])
    assert isinstance(processor.videos(moving(1), return_tensors="np")["pixel_values_videos"], np.ndarray)


def test_options_of_a_call_count_once(processor, clip):
    chat = asking({"type": "video", "video": str(clip)})
    batch = processor.apply_chat_template(chat, processor_kwargs={"num_frames": 2, "pixels": "uint8"}, **ASK)
    assert batch["video_frames"].tolist() == [2]
    assert batch["pixel_values_videos"].dtype == torch.uint8
    assert processor(text="<video>", videos=clip, fps=1.0)["video_frames"].tolist() == [2]
    assert processor(text="<video>", videos=clip)["video_frames"].tolist() == [4]
    metadata = processor(text="<video>", videos=clip, return_metadata=True)["video_metadata"]
    assert metadata[0]["timestamps"] == [0, 0.48, 1.0, 1.48]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_frames": 0}, "num_frames is 0; it must be a whole number from 1 to 4096"),
        ({"num_frames": 10**9}, "num_frames is 1000000000"),
        ({"fps": 0.0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"do_sample_frames": False}, "do_sample_frames is always True"),
        ({"do_resize": False}, "do_resize is always True"),
        ({"frames": 3}, "has no option frames"),
        ({"resample": 1}, "the torch resampler knows bicubic and bilinear"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(processor, options, reason):
    with pytest.raises(ValueError, match=reason):
        processor.videos(moving(1), **options)
    if set(options) <= {"num_frames", "fps"}:
        with pytest.raises(ValueError, match=reason):
            AmaliaVLVideoProcessor(processor.image_processor, **options)
        with pytest.raises(ValueError, match=reason):
            AmaliaVLProcessor(processor.image_processor, processor.tokenizer, **options)


def test_a_tokenizer_without_the_token_reads_no_videos(processor):
    plain = AmaliaVLProcessor(processor.image_processor, tiny_tokenizer())
    assert (plain.video_token, plain.video_token_id) == (None, None)
    assert "video_frames" not in plain.model_input_names
    assert not {"video_token", "num_frames", "fps"} & set(plain.to_dict())
    with pytest.raises(ValueError, match="not videos: the tokenizer of this model has no <video>"):
        plain(text="a", videos=moving(1))
    with pytest.raises(ValueError, match="not 'video': the tokenizer of this model has no <video>"):
        plain.apply_chat_template(asking({"type": "video", "video": "a.mp4"}))
    with pytest.raises(ValueError, match="does not know <clip>; add it"):
        AmaliaVLProcessor(processor.image_processor, tiny_tokenizer(), video_token="<clip>")
    assert plain(text="<video>")["input_ids"] == plain(text="<video>")["input_ids"]


def test_without_pyav_frames_are_still_read(processor, clip, monkeypatch):
    import amalia_vl_hf.processing.video_decoding_amalia_vl as video_decoding

    monkeypatch.setattr(video_decoding, "av", None)
    assert processor.videos(moving(2))["video_frames"].tolist() == [2]
    with pytest.raises(ImportError, match=r"pip install 'amalia-vl-hf\[video\]'"):
        processor.videos(clip)


def test_save_and_load(processor, clip, tmp_path):
    processor.fps = 1.5
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert (saved["num_frames"], saved["fps"], saved["video_token"]) == (4, 1.5, "<video>")
    for loader in (AmaliaVLProcessor, AutoProcessor):
        loaded = loader.from_pretrained(tmp_path)
        assert (loaded.num_frames, loaded.fps, loaded.video_token_id) == (4, 1.5, processor.video_token_id)
        assert not hasattr(loaded, "video_processor")
        assert loaded.to_dict() == {name: value for name, value in processor.to_dict().items() if name != "auto_map"}
        changed = loader.from_pretrained(tmp_path, num_frames=2, fps=None)
        assert (changed.num_frames, changed.fps) == (2, None)
        assert changed(text="<video>", videos=clip)["video_frames"].tolist() == [2]
    assert "video_processor" not in processor.get_attributes()


def test_remote_code_reads_videos(processor, clip, tmp_path):
    processor.save_pretrained(tmp_path)
    want = processor(text="<video>a", videos=str(clip), return_tensors="pt")
    program = (
        "import sys; sys.modules['amalia_vl_hf'] = None\n"
        "from transformers import AutoProcessor\n"
        "processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "batch = processor(text='<video>a', videos=sys.argv[2], return_tensors='pt')\n"
        "processor.save_pretrained(sys.argv[1] + '/again')\n"
        "print(batch['input_ids'].tolist(), float(batch['pixel_values_videos'].sum()))"
    )
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    arguments = [sys.executable, "-c", program, str(tmp_path), str(clip)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=120)
    told = f"{want['input_ids'].tolist()} {float(want['pixel_values_videos'].sum())}"
    assert done.stdout.splitlines()[-1:] == [told], done.stderr[-2000:]
    assert (tmp_path / "again" / "video_decoding_amalia_vl.py").is_file()


def write_onevision(directory, tokenizer, **videos):
    """A directory as `LlavaOnevisionProcessor` has it; its own classes need torchvision to write one."""
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": {"height": 32, "width": 32}}
    pinpoints = [[rows * 32, cols * 32] for rows in range(1, 7) for cols in range(1, 7)]
    images = {"image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": pinpoints}
    options = {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16, "patch_size": 8}
    options |= {"vision_aspect_ratio": "anyres_max_9", "image_token": "<image>", "video_token": "<video>"}
    tokenizer.save_pretrained(directory)
    kinds = {"preprocessor_config": images | pixels, "video_preprocessor_config": pixels | videos}
    for name, values in {**kinds, "processor_config": options}.items():
        (directory / f"{name}.json").write_text(json.dumps(values))


def test_a_llava_onevision_directory_is_read(processor, tmp_path, clip):
    write_onevision(tmp_path, processor.tokenizer)
    ours = AmaliaVLProcessor.from_pretrained(tmp_path)
    assert (ours.num_frames, ours.fps, ours.video_token) == (32, None, "<video>")
    assert (ours.image_processor.tile_several, ours.image_processor.pool_above_tiles) == (False, 9)
    stock = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    stock.num_image_tokens, stock.video_token = 16, "<video>"
    frames = ours.videos(clip)
    expected = stock.replace_video_token({"pixel_values_videos": [frames["pixel_values_videos"]]}, 0)
    assert ours.replace_video_token(frames, 0) == expected
    ours.save_pretrained(tmp_path / "ours")
    again = AutoProcessor.from_pretrained(tmp_path / "ours")
    assert (again.num_frames, again.image_processor.pool_above_tiles, again.video_token) == (32, 9, "<video>")


@pytest.mark.parametrize(
    ("videos", "reason"),
    [
        ({"image_mean": [0.1] * 3}, "image_mean is .0.1, 0.1, 0.1., not .0.5"),
        ({"size": {"height": 64, "width": 64}}, "size is "),
        ({"do_normalize": False}, "do_normalize is off"),
    ],
)
def test_other_pixels_of_videos_than_of_images_are_refused(processor, tmp_path, videos, reason):
    write_onevision(tmp_path, processor.tokenizer, **videos)
    with pytest.raises(ValueError, match=reason):
        AmaliaVLProcessor.from_pretrained(tmp_path)


def test_a_directory_says_how_many_frames(processor, tmp_path):
    write_onevision(tmp_path, processor.tokenizer, num_frames=16, fps=2)
    ours = AmaliaVLProcessor.from_pretrained(tmp_path)
    assert (ours.num_frames, ours.fps) == (16, 2)
