"""Generation: every mode gives what the full forward gives, whatever is cached, batched or padded."""

import logging

import pytest
import torch
from transformers import DynamicCache
from transformers.utils.logging import warning_once as once

from benchmarks.decoding import calls_a_step, contestants
from tests.modeling.batches import Batch
from tests.tiny import (
    IMAGE_TOKEN_ID,
    tiny_config,
    tiny_model,
    tiny_text_config,
    tiny_tokenizer,
)

NEW_TOKENS = 8
SAMPLES = [[(60, 60), (20, 90)], [(70, 30)], []]  # two images, one, none
LENGTHS = [6, 9, 40]


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config(text=tiny_text_config(eos_token_id=None)))  # so that nothing ends early


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


def generate(model, inputs, **kwargs):
    return model.generate(**inputs, max_new_tokens=NEW_TOKENS, **{"do_sample": False, **kwargs})


def test_cached_equals_uncached(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    assert torch.equal(generate(model, inputs), uncached_greedy(model, inputs))


def test_a_left_padded_batch_equals_its_samples_alone(model):
    batch = Batch(SAMPLES, LENGTHS)
    together = generate(model, batch.ours)[:, -NEW_TOKENS:]
    start = 0
    for row, sample in enumerate(SAMPLES):
        real = batch.attention_mask[row].bool()
        alone = {
            "input_ids": batch.input_ids[row][real][None],
            "attention_mask": torch.ones(1, int(real.sum())).long(),
        }
        if sample:
            count = sum(len(tiles) for tiles in batch.tiles[start : start + len(sample)])
            first = sum(len(tiles) for tiles in batch.tiles[:start])
            for name in ("pixel_values", "tile_layouts"):
                alone[name] = batch.ours[name][first : first + count]
        start += len(sample)
        assert torch.equal(generate(model, alone)[0, -NEW_TOKENS:], together[row])


def test_text_only(model):
    inputs = Batch([[], []], [5, 9]).ours
    assert "pixel_values" not in inputs
    assert torch.equal(generate(model, inputs), uncached_greedy(model, inputs))


def test_static_cache(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    # The compiled decode step is tested on its own; here only the cache is.
    static = generate(model, inputs, cache_implementation="static", disable_compile=True)
    assert torch.equal(static, uncached_greedy(model, inputs))


def test_one_beam_is_greedy_and_two_are_no_worse(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    scores = {}
    for beams in (1, 2):
        output = generate(
            model, inputs, num_beams=beams, length_penalty=0.0, return_dict_in_generate=True, output_scores=True
        )
        scores[beams] = sequence_log_probability(model, inputs, output.sequences)
    assert (scores[2] >= scores[1] - 1e-4).all()
    assert torch.equal(generate(model, inputs, num_beams=1), uncached_greedy(model, inputs))


def sequence_log_probability(model, inputs, sequences):
    mask = torch.cat((inputs["attention_mask"], torch.ones(len(sequences), NEW_TOKENS).long()), 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    step = {**inputs, "input_ids": sequences, "attention_mask": mask, "position_ids": positions}
    with torch.no_grad():
        logits = model(**step).logits[:, -NEW_TOKENS - 1 : -1]
    return logits.log_softmax(-1).gather(2, sequences[:, -NEW_TOKENS:, None]).sum((1, 2))


def test_several_return_sequences_see_their_own_images(model):
    """With one beam group a sample, the best beam equals the plain search: images follow their samples."""
    inputs = Batch(SAMPLES, LENGTHS).ours
    best = generate(model, inputs, num_beams=3)
    several = generate(model, inputs, num_beams=3, num_return_sequences=2)
    assert several.shape[0] == 2 * len(SAMPLES)
    assert torch.equal(several[::2], best)


def test_sampling_at_low_temperature_is_greedy(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    torch.manual_seed(0)
    cold = generate(model, inputs, do_sample=True, temperature=1e-4, num_return_sequences=2)
    assert torch.equal(cold, generate(model, inputs).repeat_interleave(2, dim=0))


def test_sampling_is_seeded(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(generate(model, inputs, do_sample=True, temperature=2.0))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_later_turn_passes_its_new_image_only(model):
    """Turn one is cached; turn two brings another image. The logits equal those of both turns at once."""
    first, second = Batch([[(60, 60)]], [6], seed=1), Batch([[(20, 90)]], [4], seed=2)
    ids = torch.cat((first.input_ids, second.input_ids), 1)
    whole = {name: torch.cat((first.ours[name], second.ours[name])) for name in ("pixel_values", "tile_layouts")}
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=torch.ones_like(ids), **whole).logits[:, -5:]
        cache = DynamicCache(config=model.config)
        model(**first.ours, past_key_values=cache, use_cache=True)
        later = {**second.ours, "attention_mask": torch.ones_like(ids)}
        actual = model(**later, past_key_values=cache, use_cache=True).logits[:, -5:]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_generate_continues_a_cache_with_a_new_image(model):
    first, second = Batch([[(60, 60)]], [6], seed=1), Batch([[(20, 90)]], [4], seed=2)
    ids = torch.cat((first.input_ids, second.input_ids), 1)
    whole = {name: torch.cat((first.ours[name], second.ours[name])) for name in ("pixel_values", "tile_layouts")}
    text = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = generate(model, {**text, **whole})
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**first.ours, past_key_values=cache, use_cache=True)
    new = {name: second.ours[name] for name in ("pixel_values", "tile_layouts")}
    assert torch.equal(generate(model, {**text, **new}, past_key_values=cache), expected)


def test_nothing_is_called_by_a_name_that_transformers_gave_up(model, caplog):
    """It warns of each but once a process, and of a cache's name in every answer's first step."""
    library = logging.getLogger("transformers")
    once.cache_clear()
    library.addHandler(caplog.handler)
    try:
        generate(model, Batch(SAMPLES, LENGTHS).ours)
    finally:
        library.removeHandler(caplog.handler)
    assert "deprecated" not in caplog.text


def test_images_encoded_beforehand(model):
    batch = Batch(SAMPLES, LENGTHS)
    encoded = model.get_image_features(batch.ours["pixel_values"], batch.ours["tile_layouts"])
    assert [len(image) for image in encoded.pooler_output] == [
        int((batch.input_ids[0] == IMAGE_TOKEN_ID).sum()) - len(encoded.pooler_output[1]),
        len(encoded.pooler_output[1]),
        int((batch.input_ids[1] == IMAGE_TOKEN_ID).sum()),
    ]
    with torch.no_grad():
        expected = model(**batch.ours).logits
        actual = model(**batch.text, mm_encoder_outputs={"image": encoded}).logits
    assert torch.equal(actual, expected)
    tokens = generate(model, {**batch.text, "mm_encoder_outputs": {"image": encoded}})
    assert torch.equal(tokens, generate(model, batch.ours))


def test_embeddings_instead_of_ids(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    with torch.no_grad():
        expected = model(**inputs).logits
        actual = model(**{**inputs, "input_ids": None}, inputs_embeds=embeds).logits
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("keep", [1, 3])
def test_logits_to_keep(model, keep):
    inputs = Batch(SAMPLES, LENGTHS).ours
    with torch.no_grad():
        whole = model(**inputs).logits
        last = model(**inputs, logits_to_keep=keep).logits
        chosen = model(**inputs, logits_to_keep=torch.tensor([0, 2])).logits
    torch.testing.assert_close(last, whole[:, -keep:], atol=1e-6, rtol=0)
    torch.testing.assert_close(chosen, whole[:, [0, 2]], atol=1e-6, rtol=0)


def test_tuples_on_request(model):
    inputs = Batch(SAMPLES, LENGTHS).ours
    with torch.no_grad():
        assert torch.equal(model(**inputs, return_dict=False)[0], model(**inputs).logits)


def test_a_tokenizer_for_stop_strings_is_no_unknown_input(model):
    inputs, tokenizer = Batch(SAMPLES, LENGTHS).ours, tiny_tokenizer()
    stopped = generate(model, inputs, tokenizer=tokenizer, stop_strings=["nunca escrito"])
    assert torch.equal(stopped, generate(model, inputs))


def test_a_step_takes_about_as_many_calls_of_python_as_stocks():
    models = contestants()
    ours, stock = (calls_a_step(models[name], 1, "dynamic") for name in ("ours", "stock"))
    assert ours <= 1.03 * stock
