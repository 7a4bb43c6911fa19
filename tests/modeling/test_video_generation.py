"""Which videos and images belong to the ids of each forward of `generate`, however it is cached."""

import pytest
import torch
from transformers import DynamicCache

from tests.modeling.video_batches import SEVERAL, TEXT_LENGTHS, VideoBatch
from tests.tiny import (
    VIDEO_TOKEN_ID,
    tiny_config,
    tiny_model,
    tiny_text_config,
    tiny_video_config,
    tiny_vision_config,
)

NEW_TOKENS = 8
BATCH = VideoBatch(SEVERAL, TEXT_LENGTHS)
ONE = VideoBatch([[2, (20, 90), 3]], [6])
PIXELS = ("pixel_values", "tile_layouts", "pixel_values_videos", "video_frames")
SMALL = {
    "text": tiny_text_config(eos_token_id=None, hidden_size=16, head_dim=8),
    "vision": tiny_vision_config(hidden_size=16, num_hidden_layers=1),
}
BIASED = {"sequence_bias": [[[VIDEO_TOKEN_ID], 4.0]]}


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_video_config(text=tiny_text_config(eos_token_id=None)))


def generate(model, inputs, **kwargs):
    return model.generate(**inputs, max_new_tokens=NEW_TOKENS, **{"do_sample": False, **kwargs})


def uncached_greedy(model, inputs):
    """Greedy tokens by a full forward a step: the law that `generate` must obey."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for _ in range(NEW_TOKENS):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        step = {**inputs, "input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": False}
        with torch.no_grad():
            best = model(**step, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)
        ids, mask = torch.cat((ids, best), 1), torch.cat((mask, torch.ones_like(best)), 1)
    return ids


@pytest.mark.parametrize("batch", [BATCH, ONE, VideoBatch([[3], [5]], [6, 9])])
def test_cached_equals_uncached(model, batch):
    expected = uncached_greedy(model, batch.ours)
    assert torch.equal(generate(model, batch.ours), expected)
    assert torch.equal(generate(model, batch.ours, use_cache=False), expected)
    assert torch.equal(generate(model, batch.ours, cache_implementation="static", disable_compile=True), expected)


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}])
def test_beams_of_a_batch_are_those_of_its_samples(model, options):
    """Other samples' images and videos do not slip in: each prompt is repeated with its own."""
    parts = [VideoBatch([sample], [9], seed=seed) for seed, sample in enumerate(SEVERAL) if sample]
    longest = max(part.input_ids.shape[1] for part in parts)
    whole = {
        "input_ids": torch.cat([left_padded(part.input_ids, longest, 2) for part in parts]),
        "attention_mask": torch.cat([left_padded(part.attention_mask, longest, 0) for part in parts]),
    }
    whole |= {name: torch.cat([part.ours[name] for part in parts if name in part.ours]) for name in PIXELS}
    together = generate(model, whole, **options)[:, -NEW_TOKENS:]
    alone = [generate(model, part.ours, **options)[:, -NEW_TOKENS:] for part in parts]
    assert torch.equal(together, torch.cat(alone))


def left_padded(row, length, value):
    return torch.nn.functional.pad(row, (length - row.shape[1], 0), value=value)


def test_sequences_of_a_prompt(model):
    torch.manual_seed(0)
    sampled = generate(model, ONE.ours, do_sample=True, num_return_sequences=3)
    torch.manual_seed(0)
    names = ("pixel_values", "tile_layouts", "pixel_values_videos", "video_frames")
    repeated = {name: ONE.ours[name].repeat(3, *[1] * (ONE.ours[name].ndim - 1)) for name in (*ONE.text, *names)}
    assert torch.equal(generate(model, repeated, do_sample=True), sampled)


@pytest.mark.parametrize("batch", [BATCH, ONE], ids=["several", "one"])
@pytest.mark.parametrize("beams", [1, 2])
def test_a_video_id_that_the_model_produces_is_no_slot(model, batch, beams):
    expected = generate(model, batch.ours, num_beams=beams, **BIASED)
    if beams == 1:
        assert (expected[:, batch.input_ids.shape[1] :] == VIDEO_TOKEN_ID).any()
    assert torch.equal(generate(model, batch.ours, num_beams=beams, use_cache=False, **BIASED), expected)


DRAFTS = {
    "itself": None,
    "other weights": tiny_video_config(text=tiny_text_config(eos_token_id=None)),
    "another width": tiny_video_config(**SMALL),
    "no videos": tiny_config(text=tiny_text_config(eos_token_id=None)),
}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("options", [{}, BIASED], ids=["plain", "biased"])
def test_a_draft_model_that_is_an_amalia_vl(model, draft, options):
    assistant = model if DRAFTS[draft] is None else tiny_model(DRAFTS[draft], seed=7)
    answer = generate(model, ONE.ours, assistant_model=assistant, **options)
    assert torch.equal(answer, generate(model, ONE.ours, **options))


def test_prompt_lookup(model):
    assert torch.equal(generate(model, ONE.ours, prompt_lookup_num_tokens=10), generate(model, ONE.ours))


def cached(model, batch, tokens, times=1):
    """The cache of the first tokens, as a forward over the whole prompt leaves them."""
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        positions = (batch.attention_mask.cumsum(-1) - 1).clamp(min=0)
        model(**batch.ours, position_ids=positions, past_key_values=cache, use_cache=True)
    cache.crop(tokens - batch.input_ids.shape[1])
    if times > 1:
        cache.batch_repeat_interleave(times)
    return cache


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_a_cached_prefix_with_the_whole_inputs_again(model, beams, share):
    tokens = min(int(share * BATCH.input_ids.shape[1]), BATCH.input_ids.shape[1] - 1)
    expected = generate(model, BATCH.ours, num_beams=beams)
    answer = generate(model, BATCH.ours, num_beams=beams, past_key_values=cached(model, BATCH, tokens, beams))
    assert torch.equal(answer, expected)


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("again", ["whole ids", "new ids"])
@pytest.mark.parametrize("last", [[4], [(70, 30)], [(20, 90), 2], []], ids=["a video", "an image", "both", "text"])
def test_a_later_turn_passes_its_new_videos_and_images_only(model, beams, again, last):
    parts = [VideoBatch([sample], [5], seed=seed) for seed, sample in enumerate(([3], [(60, 60), 2], last))]
    whole = {name: torch.cat([part.ours[name] for part in parts], 1) for name in ("input_ids", "attention_mask")}
    whole |= {name: torch.cat([part.ours[name] for part in parts if name in part.ours]) for name in PIXELS}
    expected = generate(model, whole, num_beams=beams)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        for number, part in enumerate(parts[:2], 1):
            mask = torch.ones(1, sum(one.input_ids.shape[1] for one in parts[:number]), dtype=torch.long)
            model(**{**part.ours, "attention_mask": mask}, past_key_values=cache, use_cache=True)
    if beams > 1:
        cache.batch_repeat_interleave(beams)
    new = {name: value for name, value in parts[2].ours.items() if name in PIXELS}
    ids = whole["input_ids"] if again == "whole ids" else parts[2].input_ids
    inputs = {"input_ids": ids, "attention_mask": whole["attention_mask"], **new}
    answer = generate(model, inputs, num_beams=beams, past_key_values=cache)
    assert torch.equal(answer[:, ids.shape[1] :], expected[:, whole["input_ids"].shape[1] :])


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prefill_in_chunks(model, chunk):
    assert torch.equal(generate(model, BATCH.ours, prefill_chunk_size=chunk), generate(model, BATCH.ours))


@pytest.mark.parametrize("beams", [1, 2])
def test_embeddings_or_features_instead(model, beams):
    expected = generate(model, BATCH.ours, num_beams=beams)
    inputs = dict(BATCH.ours)
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    answer = generate(model, {**inputs, "inputs_embeds": embeds}, num_beams=beams)
    assert torch.equal(answer, expected[:, BATCH.input_ids.shape[1] :])
    encoded = {
        "image": model.get_image_features(*(BATCH.ours[name] for name in PIXELS[:2])),
        "video": model.get_video_features(*(BATCH.ours[name] for name in PIXELS[2:])),
    }
    lengths = [len(video) for video in encoded["video"].pooler_output]
    for _ in range(2):
        answer = generate(model, {**BATCH.text, "mm_encoder_outputs": dict(encoded)}, num_beams=beams)
        assert torch.equal(answer, expected)
    assert [len(video) for video in encoded["video"].pooler_output] == lengths  # the caller's stay as they are


def test_a_decode_loop_by_hand_passes_pixels_once(model):
    ids, expected = ONE.input_ids, generate(model, ONE.ours)
    kwargs, cache = {name: ONE.ours[name] for name in PIXELS}, DynamicCache(config=model.config)
    for step in range(NEW_TOKENS):
        inputs = model.prepare_inputs_for_generation(
            ids,
            next_sequence_length=None if step == 0 else 1,
            is_first_iteration=step == 0,
            past_key_values=cache,
            use_cache=True,
            **kwargs,
        )
        assert all((name in inputs) == (step == 0) for name in PIXELS)
        with torch.no_grad():
            ids = torch.cat((ids, model(**inputs).logits[:, -1:].argmax(-1)), 1)
    assert torch.equal(ids, expected)


def test_the_tower_runs_once(model):
    runs = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: runs.append(1))
    generate(model, BATCH.ours)
    hook.remove()
    assert len(runs) == 1
