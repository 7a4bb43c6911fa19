"""Videos in the forward: their tokens, what the tower runs, and what a batch of them must hold."""

import re

import pytest
import torch
from transformers import Trainer, TrainingArguments
from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.modeling.raw_pixels_amalia_vl import normalised
from amalia_vl_hf.modeling.tile_layouts_amalia_vl import split_tile_layouts
from amalia_vl_hf.modeling.visual_packing_amalia_vl import pack_image, pack_videos
from amalia_vl_hf.processing.tiling_amalia_vl import (
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    select_grid,
    video_tokens,
)
from tests.modeling.test_resume import StopAfter
from tests.modeling.video_batches import SEVERAL, TEXT_LENGTHS, VideoBatch
from tests.tiny import IMAGE_TOKEN_ID, VIDEO_TOKEN_ID, tiny_model, tiny_video_config

BATCH = VideoBatch(SEVERAL, TEXT_LENGTHS)
VIDEOS = {name: BATCH.ours[name] for name in ("pixel_values_videos", "video_frames")}
IMAGES = {name: BATCH.ours[name] for name in ("pixel_values", "tile_layouts")}
FRAMES = len(VIDEOS["pixel_values_videos"])
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_video_config())


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


def test_a_video_of_towervideo_is_6273_tokens():
    newline, frames = torch.empty(1, device="meta"), torch.empty(32 + 5, 27 * 27, 1, device="meta")
    videos = pack_videos(frames, [32, 5], newline, side=27)
    assert [len(video) for video in videos] == [6273, 5 * 196 + 1] == [video_tokens(32, 27), video_tokens(5, 27)]


@pytest.mark.parametrize("side", range(1, 8))
def test_videos_are_as_many_tokens_as_the_processor_counts(side):
    (video,) = pack_videos(torch.empty(3, side**2, 1), [3], torch.empty(1), side)
    assert len(video) == video_tokens(3, side)


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_pooled_images_are_as_many_tokens_as_the_processor_counts(limit):
    """Shapes only, at TowerVideo's geometry: random sizes, and the extreme ones."""
    side, pinpoints = 27, generate_pinpoints(36, 384)
    sizes = torch.exp2(torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 10 + 2).int().tolist()
    sizes += [(10, 4044), (4044, 10), (1, 1), (1, 5000), (5000, 1)]
    layouts = [layout_for(*size, select_grid(*size, pinpoints, 384), side) for size in sizes]
    rows = torch.tensor([layout for layout in layouts for _ in range(layout.num_tiles)])
    newline, smaller = torch.empty(1, device="meta"), 0
    for layout, own in zip(layouts, split_tile_layouts(rows, len(rows), side), strict=True):
        packed = pack_image(torch.empty(own.tiles, side**2, 1, device="meta"), own, newline, side, limit)
        assert len(packed) == num_visual_tokens(layout, side, limit)
        smaller += len(packed) < num_visual_tokens(layout, side)
    assert smaller > 5


def test_features_of_each_video(model):
    encoded = model.get_video_features(**VIDEOS, output_hidden_states=True)
    assert [len(video) for video in encoded.pooler_output] == [4 * frames + 1 for frames in (3, 1, 2, 5, 4)]
    assert encoded.last_hidden_state.shape == (FRAMES, 16, 32)
    assert len(encoded.hidden_states) == 4
    alone = [model.get_video_features(video, torch.tensor([len(video)])).pooler_output[0] for video in BATCH.videos]
    torch.testing.assert_close(torch.cat(alone), torch.cat(encoded.pooler_output), atol=1e-6, rtol=0)
    newline = model.model.image_newline.weight
    assert all(torch.equal(video[-1], newline) for video in encoded.pooler_output)


def test_encoded_before_or_in_the_forward(model):
    images, videos = model.get_image_features(**IMAGES), model.get_video_features(**VIDEOS)
    expected = logits(model, BATCH.ours)
    for given in ({"image": images, "video": videos}, {"video": videos}, {"image": images, "video": None}):
        pixels = (IMAGES if given.get("image") is None else {}) | (VIDEOS if given.get("video") is None else {})
        actual = logits(model, {**BATCH.text, **pixels, "mm_encoder_outputs": given})
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"either pixel_values_videos or mm_encoder_outputs\['video'\], not both"):
        model(**BATCH.ours, mm_encoder_outputs={"video": videos})


def test_ids_or_embeddings(model):
    inputs = BATCH.ours
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    assert torch.equal(logits(model, {**inputs, "inputs_embeds": embeds}), logits(model, BATCH.ours))


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_batch_equals_its_samples_alone(model, padding_side):
    batch = VideoBatch(SEVERAL, TEXT_LENGTHS, padding_side)
    together = logits(model, batch.ours)
    for row, (sample, length) in enumerate(zip(SEVERAL, TEXT_LENGTHS, strict=True)):
        real = batch.attention_mask[row].bool()
        alone = {"input_ids": batch.input_ids[row][real][None]}
        start = [sum(isinstance(part, kind) for each in SEVERAL[:row] for part in each) for kind in (int, tuple)]
        videos = batch.videos[start[0] :][: sum(isinstance(part, int) for part in sample)]
        images = slice(start[1], start[1] + sum(isinstance(part, tuple) for part in sample))
        assert len(alone["input_ids"][0]) > length
        if videos:
            alone["pixel_values_videos"] = torch.cat(videos)
            alone["video_frames"] = torch.tensor([len(video) for video in videos])
        if tiles := batch.tiles[images]:
            layouts = zip(batch.layouts[images], tiles, strict=True)
            alone["pixel_values"] = torch.cat(tiles)
            alone["tile_layouts"] = torch.tensor([layout for layout, each in layouts for _ in each])
        torch.testing.assert_close(logits(model, alone)[0], together[row][real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shown", [IMAGES, VIDEOS, IMAGES | VIDEOS, {}])
def test_each_module_runs_once_whatever_a_batch_shows(shown):
    """Ranks that gather weights together must meet in each module as often."""
    model, runs = tiny_model(tiny_video_config()).train(), []
    parts = (model.model.vision_tower, model.model.multi_modal_projector, model.model.image_newline)
    for part in parts:
        part.register_forward_hook(lambda module, *_: runs.append(module))
    hidden = [
        token
        for kind, token in ((IMAGES, IMAGE_TOKEN_ID), (VIDEOS, VIDEO_TOKEN_ID))
        if not kind.items() <= shown.items()
    ]
    ids = BATCH.input_ids.clone()
    for token in hidden:
        ids[ids == token] = 9
    model(input_ids=ids, **shown, labels=ids).loss.backward()
    assert runs == list(parts)
    assert all(parameter.grad is not None for part in parts for parameter in part.parameters())


def test_raw_frames_are_normalised_by_the_model():
    model = tiny_model(tiny_video_config(image_mean=MEAN, image_std=STD))
    generator = torch.Generator().manual_seed(0)
    shape = VIDEOS["pixel_values_videos"].shape
    raw = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    ready = normalised(raw, model.config)
    inputs = BATCH.ours | {"pixel_values_videos": raw}
    expected = logits(model, inputs | {"pixel_values_videos": ready})
    assert torch.equal(logits(model, inputs), expected)
    with pytest.raises(ValueError, match=r"pixel_values_videos is torch\.uint8, but the tower takes"):
        tiny_model(tiny_video_config())(**inputs)


def with_id(old, new):
    ids = BATCH.input_ids.clone()
    row, column = (ids == old).nonzero()[-1]
    ids[row, column] = new
    return {"input_ids": ids}


CASES = {
    "a slot too few": (with_id(VIDEO_TOKEN_ID, 9), "<video> tokens in the batch but .* visual tokens from its videos"),
    "a slot too many": (
        with_id(6, VIDEO_TOKEN_ID),
        "<video> tokens in the batch but .* visual tokens from its videos",
    ),
    "an image's slot": (with_id(IMAGE_TOKEN_ID, VIDEO_TOKEN_ID), "<image> tokens in the batch but .* its images"),
    "slots without videos": (
        dict.fromkeys(VIDEOS),
        "<video> tokens in the batch but no videos: pass pixel_values_videos and video_frames",
    ),
    "frames without their numbers": ({"video_frames": None}, "video_frames is missing: pixel_values_videos and"),
    "numbers without frames": ({"pixel_values_videos": None}, "pixel_values_videos is missing"),
    "no frame, and numbers": (
        {"pixel_values_videos": VIDEOS["pixel_values_videos"][:0]},
        r"0 frames in pixel_values_videos but video_frames counts \[3, 1, 2, 5, 4\], 15",
    ),
    "a frame lost": (
        {"pixel_values_videos": VIDEOS["pixel_values_videos"][1:]},
        f"{FRAMES - 1} frames in pixel_values_videos but video_frames counts .* {FRAMES} in all.*only one of the two",
    ),
    "a video without frames": ({"video_frames": torch.tensor([3, 0, 3, 5, 4])}, "each video has one or more"),
    "a negative number": ({"video_frames": torch.tensor([3, -1, 4, 5, 4])}, "each video has one or more"),
    "numbers of another shape": ({"video_frames": VIDEOS["video_frames"][None]}, r"\(1, 5\), expected \(videos,\)"),
    "numbers cast with the pixels": (
        {"video_frames": VIDEOS["video_frames"].bfloat16()},
        "video_frames is torch.bfloat16, expected integers",
    ),
    "stock's batch of videos": (
        {"pixel_values_videos": VIDEOS["pixel_values_videos"][None]},
        r"pixel_values_videos has shape \(1, 15, 3, 32, 32\), but the tower takes",
    ),
    "another frame size": (
        {"pixel_values_videos": VIDEOS["pixel_values_videos"][:, :, :16]},
        "pixel_values_videos has shape",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(model, case):
    changes, message = CASES[case]
    for call in (model, lambda **inputs: model.generate(**inputs, max_new_tokens=1)):
        with pytest.raises(ValueError, match=message):
            call(**{**BATCH.ours, **changes})


def test_a_model_without_a_video_token_refuses_videos():
    plain, text = tiny_model(), VideoBatch([[]], [6]).text
    message = re.escape("this model takes no videos: its config has no video_token_id")
    for call in (
        lambda: plain(**text, **VIDEOS),
        lambda: plain(**text, pixel_values_videos=VIDEOS["pixel_values_videos"]),
        lambda: plain.model(**text, **VIDEOS),
        lambda: plain.generate(**text, **VIDEOS),
        lambda: plain.get_video_features(**VIDEOS),
        lambda: plain(**text, mm_encoder_outputs={"video": plain.get_image_features(**IMAGES)}),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    empty = {name: value[:0] for name, value in VIDEOS.items()}
    assert torch.equal(logits(plain, text | empty), logits(plain, text))


@pytest.mark.slow
def test_an_exported_graph_computes_the_same(model):
    batch = VideoBatch([[2], [(60, 90), 3], []], [6, 9, 4])
    inputs = dict(batch.ours)
    exported = DynamoExporter().export(model, inputs, config=DynamoConfig(dynamic=False))
    graph = exported.module() if isinstance(exported, torch.export.ExportedProgram) else exported  # up to 5.19
    with torch.no_grad():
        assert torch.equal(graph(**inputs).logits, model(**batch.ours).logits)


@pytest.mark.slow
def test_a_compiled_forward_computes_the_same_and_notices_lost_videos(model):
    torch.compiler.reset()
    batch = VideoBatch([[2], [(60, 90), 3], []], [6, 9, 4])
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(logits(compiled, batch.ours), logits(model, batch.ours), atol=1e-5, rtol=0)
    images = {name: batch.ours[name] for name in (*batch.text, *IMAGES)}
    with torch.no_grad(), pytest.raises(ValueError, match="<video> tokens in the batch but no videos"):
        compiled(**images)


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_checkpointing_changes_no_gradient(padding_side):
    batch = VideoBatch(SEVERAL, TEXT_LENGTHS, padding_side)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(tiny_video_config()).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**batch.ours, labels=labels, use_cache=False).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-5)


class Clips(torch.utils.data.Dataset):
    """Samples of a video, an image or both each."""

    def __init__(self):
        samples = ([3], [(60, 60), 2], [], [(20, 90)], [5, 1], [4])
        self.batches = [VideoBatch([parts], [9], seed=seed) for seed, parts in enumerate(samples)]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return {**self.batches[index].ours, "labels": self.batches[index].input_ids}


def test_resume_is_exact(tmp_path):
    def train(name, resume=False, stop_after=None):
        arguments = TrainingArguments(
            output_dir=str(tmp_path / name),
            per_device_train_batch_size=1,
            num_train_epochs=2,
            save_steps=4,
            learning_rate=1e-2,
            seed=7,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        callbacks = [StopAfter(stop_after)] if stop_after else []
        start = tiny_model(tiny_video_config())
        trainer = Trainer(start, arguments, lambda rows: rows[0], train_dataset=Clips(), callbacks=callbacks)
        trainer.train(resume_from_checkpoint=resume)
        return trainer.model.state_dict()

    whole = train("whole")
    train("cut", stop_after=4)
    resumed = train("cut", resume=True)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    saved = AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "cut" / "checkpoint-12")
    assert saved.config.slot_ids == {"image": IMAGE_TOKEN_ID, "video": VIDEO_TOKEN_ID}
