"""Which images belong to the ids of each forward: only `<image>` ids of the prompt are slots, however it is cached."""

import copy

import pytest
import torch
from transformers import DynamicCache

from tests.modeling.batches import Batch
from tests.tiny import IMAGE_TOKEN_ID, tiny_config, tiny_model, tiny_text_config, tiny_vision_config

ONE = Batch([[(60, 60)]], [6])
SEVERAL = Batch([[(60, 60), (20, 90)], [(70, 30)], []], [6, 9, 40])
PIXELS = ("pixel_values", "tile_layouts")


def endless(**changes):
    return tiny_config(text=tiny_text_config(eos_token_id=None, **changes))


@pytest.fixture(scope="module", params=range(3))
def model(request):
    return tiny_model(endless(), seed=request.param)


def generate(model, inputs, **kwargs):
    return model.generate(**inputs, max_new_tokens=8, **{"do_sample": False, **kwargs})


DRAFTS = {
    "itself": None,
    "other weights": tiny_config(text=tiny_text_config(eos_token_id=None)),
    "another width": tiny_config(
        text=tiny_text_config(eos_token_id=None, hidden_size=16, head_dim=8),
        vision=tiny_vision_config(hidden_size=16, num_hidden_layers=1),
    ),
}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("inputs", [ONE.ours, Batch([[]], [9]).ours], ids=["an image", "text only"])
def test_a_draft_model_that_is_an_amalia_vl(model, draft, inputs):
    assistant = model if DRAFTS[draft] is None else tiny_model(DRAFTS[draft], seed=7)
    assert torch.equal(generate(model, inputs, assistant_model=assistant), generate(model, inputs))


def test_a_draft_encodes_the_images_with_its_own_tower(model):
    """A draft with the same weights is right each time: the main model runs once for many tokens."""
    draft, forwards = copy.deepcopy(model), []
    hook = model.register_forward_pre_hook(lambda *_: forwards.append(1))
    draft.generation_config.num_assistant_tokens = 6
    draft.generation_config.assistant_confidence_threshold = 0.0
    assert torch.equal(generate(model, ONE.ours, assistant_model=draft), generate(model, ONE.ours))
    hook.remove()
    assert len(forwards) <= 2 + 8  # two with the draft, eight without


def test_leaving_the_decoder_early(model):
    assert torch.equal(generate(model, ONE.ours, assistant_early_exit=1), generate(model, ONE.ours))


@pytest.mark.parametrize("inputs", [ONE.ours, Batch([[(70, 30), (5, 5)]], [9]).ours])
def test_prompt_lookup(model, inputs):
    assert torch.equal(generate(model, inputs, prompt_lookup_num_tokens=10), generate(model, inputs))


BIASED = {"sequence_bias": [[[IMAGE_TOKEN_ID], 4.0]]}


@pytest.mark.parametrize("batch", [ONE, SEVERAL, Batch([[], []], [5, 9])], ids=["one", "several", "text only"])
@pytest.mark.parametrize("beams", [1, 2])
def test_an_image_id_that_the_model_produces_is_no_slot(model, batch, beams):
    expected = generate(model, batch.ours, num_beams=beams, **BIASED)
    produced = expected[:, batch.input_ids.shape[1] :]
    if beams == 1:
        assert (produced == IMAGE_TOKEN_ID).any()
    assert torch.equal(generate(model, batch.ours, num_beams=beams, use_cache=False, **BIASED), expected)


def test_an_image_id_that_a_draft_produces_is_no_slot(model):
    expected = generate(model, ONE.ours, **BIASED)
    assert (expected[:, ONE.input_ids.shape[1] :] == IMAGE_TOKEN_ID).any()
    assert torch.equal(generate(model, ONE.ours, prompt_lookup_num_tokens=10, **BIASED), expected)
    draft = tiny_model(DRAFTS["other weights"], seed=7)
    assert torch.equal(generate(model, ONE.ours, assistant_model=draft, **BIASED), expected)


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


@pytest.mark.parametrize("batch", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_a_cached_prefix_with_the_whole_inputs_again(model, batch, beams, share):
    """The documented recipe, the prefix ending before, inside or after images."""
    tokens = min(int(share * batch.input_ids.shape[1]), batch.input_ids.shape[1] - 1)
    expected = generate(model, batch.ours, num_beams=beams)
    cache = cached(model, batch, tokens, beams)
    assert torch.equal(generate(model, batch.ours, num_beams=beams, past_key_values=cache), expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_cached_prefix_and_drafts(model, share):
    tokens = min(int(share * ONE.input_ids.shape[1]), ONE.input_ids.shape[1] - 1)
    expected = generate(model, ONE.ours)
    draft = tiny_model(DRAFTS["other weights"], seed=7)
    for options in ({"prompt_lookup_num_tokens": 10}, {"assistant_model": draft}):
        answer = generate(model, ONE.ours, past_key_values=cached(model, ONE, tokens), **options)
        assert torch.equal(answer, expected)


def turns(batches):
    """Conversations of some turns, and each turn's own part; left padding stays where a turn begins."""
    whole = {name: torch.cat([batch.ours[name] for batch in batches], 1) for name in ("input_ids", "attention_mask")}
    whole |= {name: torch.cat([batch.ours[name] for batch in batches if name in batch.ours]) for name in PIXELS}
    return whole


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("again", ["whole ids", "new ids"])
def test_a_third_turn_passes_its_new_image_only(model, beams, again):
    parts = [
        Batch([[size]], [length], seed=seed)
        for seed, (size, length) in enumerate([((60, 60), 6), ((20, 90), 4), ((70, 30), 5)])
    ]
    whole = turns(parts)
    expected = generate(model, whole, num_beams=beams)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        for number, part in enumerate(parts[:2], 1):
            mask = torch.ones(1, sum(one.input_ids.shape[1] for one in parts[:number]), dtype=torch.long)
            model(**{**part.ours, "attention_mask": mask}, past_key_values=cache, use_cache=True)
    if beams > 1:
        cache.batch_repeat_interleave(beams)
    new = {name: parts[2].ours[name] for name in PIXELS}
    ids = whole["input_ids"] if again == "whole ids" else parts[2].input_ids
    inputs = {"input_ids": ids, "attention_mask": whole["attention_mask"], **new}
    answer = generate(model, inputs, num_beams=beams, past_key_values=cache)
    assert torch.equal(answer[:, ids.shape[1] :], expected[:, whole["input_ids"].shape[1] :])


def test_a_later_turn_of_a_batch_passes_its_new_images_only(model):
    first, second = Batch([[(60, 60)], [(60, 60)]], [6, 6], seed=1), Batch([[(20, 90)], [(20, 90)]], [4, 4], seed=2)
    whole = {name: torch.cat((first.ours[name], second.ours[name]), 1) for name in ("input_ids", "attention_mask")}
    tiles = [batch.ours[name].chunk(2) for name in PIXELS for batch in (first, second)]
    whole |= {
        name: torch.cat([batch.ours[name].chunk(2)[row] for row in range(2) for batch in (first, second)])
        for name in PIXELS
    }
    assert len(tiles) == 4
    expected = generate(model, whole)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**first.ours, past_key_values=cache, use_cache=True)
    new = {name: second.ours[name] for name in PIXELS}
    text = {name: whole[name] for name in ("input_ids", "attention_mask")}
    assert torch.equal(generate(model, {**text, **new}, past_key_values=cache), expected)


def test_a_text_only_turn_after_images(model):
    first, second = Batch([[(60, 60)]], [6], seed=1), Batch([[]], [9], seed=2)
    text = {name: torch.cat((first.ours[name], second.ours[name]), 1) for name in ("input_ids", "attention_mask")}
    expected = generate(model, {**text, **{name: first.ours[name] for name in PIXELS}})
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**first.ours, past_key_values=cache, use_cache=True)
    assert torch.equal(generate(model, text, past_key_values=cache), expected)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prefill_in_chunks(model, chunk):
    expected = generate(model, SEVERAL.ours)
    assert torch.equal(generate(model, SEVERAL.ours, prefill_chunk_size=chunk), expected)


def test_beams_leave_the_callers_features_as_they_are(model):
    encoded = model.get_image_features(*(SEVERAL.ours[name] for name in PIXELS))
    before = [len(image) for image in encoded.pooler_output]
    inputs = {**SEVERAL.text, "mm_encoder_outputs": {"image": encoded}}
    first = generate(model, inputs, num_beams=3)
    assert [len(image) for image in encoded.pooler_output] == before
    assert torch.equal(generate(model, inputs, num_beams=3), first)
    assert torch.equal(generate(model, SEVERAL.ours, num_beams=3), first)


@pytest.mark.parametrize("beams", [1, 2])
def test_embeddings_instead_of_ids(model, beams):
    inputs = {**SEVERAL.ours}
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    answer = generate(model, {**inputs, "inputs_embeds": embeds}, num_beams=beams)
    assert torch.equal(answer, generate(model, SEVERAL.ours, num_beams=beams)[:, SEVERAL.input_ids.shape[1] :])


LOST = {
    "a cut prompt": (slice(None, -20), slice(None), "visual tokens.*truncated"),
    "a lost image": (slice(None), slice(5, None), "<image> tokens in the batch but .* visual tokens"),
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"use_cache": False}, {"prompt_lookup_num_tokens": 4}])
def test_lost_images_are_an_error_in_every_mode(model, case, options):
    batch = Batch([[(60, 60), (60, 60)]], [6])
    ids, tiles, message = LOST[case]
    inputs = {name: batch.ours[name][:, ids] for name in ("input_ids", "attention_mask")}
    inputs |= {name: batch.ours[name][tiles] for name in PIXELS}
    with pytest.raises(ValueError, match=message):
        generate(model, inputs, **options)
    del inputs["pixel_values"], inputs["tile_layouts"]
    with pytest.raises(ValueError, match="but no images: pass pixel_values"):
        generate(model, inputs, **options)


def test_what_cannot_be_known_keeps_the_count_error(model):
    """A loop written by hand, without a cache, over an `<image>` that the model produced."""
    ids = torch.cat((ONE.input_ids, torch.tensor([[IMAGE_TOKEN_ID, 9]])), 1)
    with pytest.raises(ValueError, match="<image> tokens in the batch but"):
        model(**{**ONE.ours, "input_ids": ids, "attention_mask": torch.ones_like(ids)}, use_cache=False)


def test_a_decode_loop_by_hand_passes_neither_pixels_nor_layouts(model):
    ids = ONE.input_ids
    expected = generate(model, ONE.ours)
    kwargs, cache = {name: ONE.ours[name] for name in PIXELS}, DynamicCache(config=model.config)
    for step in range(8):
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


def test_generating_while_training_with_checkpointing_is_an_error():
    model = tiny_model(endless()).train()
    generate(model, ONE.ours)
    model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match=r"gradient checkpointing.*call model.eval\(\)"):
        generate(model, ONE.ours)
    assert torch.equal(generate(model.eval(), ONE.ours), generate(tiny_model(endless()), ONE.ours))
