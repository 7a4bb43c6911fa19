import copy
import json

import pytest
import torch
from transformers import DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from amalia_vl_hf.training.batches import segments as module
from amalia_vl_hf.training.batches.segments import (
    Segment,
    segment_lengths,
    segmented_attention,
    use_segmented_attention,
)
from tests.modeling.batches import MIXED, Batch
from tests.modeling.video_batches import VideoBatch
from tests.tiny import tiny_model, tiny_text_config, tiny_video_config
from tests.training.batches.packed import labelled, pack

WINDOW = 24  # tokens, shorter than the conversations with images and than one of the prompts
DECODERS = {
    "llama": tiny_text_config(),
    "gemma2": tiny_text_config("gemma2", sliding_window=WINDOW, attn_logit_softcapping=2.0, query_pre_attn_scalar=4),
    "mistral": tiny_text_config("mistral", sliding_window=WINDOW),
}
ROWS = {
    "images": Batch([[(60, 60), (20, 90)], [(70, 30)]], [30, 12], padding_side="right"),
    "text among images": Batch([*MIXED, [(33, 31)]], [5, 30, 40, 9], padding_side="right"),
    "text alone": Batch([[], [], []], [40, 1, 17], padding_side="right"),
    "videos": VideoBatch([[3, (60, 60)], [(70, 30), 2], [], [1]], [30, 12, 9, 5], "right", pool_above_tiles=None),
}


@pytest.fixture(scope="module", params=list(DECODERS))
def pair(request):
    """A model with the attention that the paper's stack uses, and the same with ours."""
    return _pair(request.param)


def _pair(name):
    config = tiny_video_config(text=DECODERS[name], pool_above_tiles=None)
    config.text_config._attn_implementation = "eager" if name == "gemma2" else "sdpa"
    plain = tiny_model(config)
    segmented = copy.deepcopy(plain)
    use_segmented_attention(segmented)
    return plain, segmented


def gradients(model, inputs, checkpointing=False):
    model.zero_grad(set_to_none=True)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    loss = model(**inputs).loss
    loss.backward()
    model.gradient_checkpointing_disable()
    model.eval()
    return loss.detach(), {name: weight.grad for name, weight in model.named_parameters()}


def assert_same_gradients(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        # A bias of the keys shifts all scores of a query alike: its gradient is zero but for rounding.
        scale = theirs[name.replace("k_proj.bias", "k_proj.weight")].norm()
        error = (ours[name] - gradient).norm() / scale.clamp(min=1e-9)
        assert error <= tolerance, f"{name}: {error:.2e}"


@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "checkpointed"])
@pytest.mark.parametrize("rows", list(ROWS))
def test_a_packed_row_has_the_loss_and_gradients_of_its_conversations(pair, rows, checkpointing):
    plain, segmented = pair
    inputs = labelled(ROWS[rows])
    loss, wanted = gradients(plain, inputs)
    packed_loss, found = gradients(segmented, pack(inputs), checkpointing)
    torch.testing.assert_close(packed_loss, loss, rtol=1e-5, atol=0)
    assert_same_gradients(found, wanted)


def test_the_comparison_would_notice_a_row_that_sees_its_neighbours(pair):
    """The gradients of a packed row in one segment differ by far more than the tolerance above."""
    plain, segmented = pair
    inputs = labelled(ROWS["text alone"])
    packed = pack(inputs)
    one = {**packed, "segments": segment_lengths([packed["input_ids"].shape[1]])}
    with pytest.raises(AssertionError):
        assert_same_gradients(gradients(segmented, one)[1], gradients(plain, inputs)[1], tolerance=1e-2)


def test_neither_a_dense_mask_nor_the_default_attention_is_used(pair, monkeypatch):
    _, segmented = pair
    packed, seen = pack(labelled(ROWS["text among images"])), []

    def never(*args, **kwargs):
        raise AssertionError("a dense mask was built")

    monkeypatch.setattr(module, "sdpa_mask", never)
    monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "sdpa", never)
    monkeypatch.setattr(module, "_attend_causally", _recording(seen, module._attend_causally))
    loss, _ = gradients(segmented, packed)
    lengths = [segment.queries for segment in packed["segments"]]
    assert [query.shape[2] for query, *_ in seen] == lengths * 2, "one call a segment in each of two layers"
    assert torch.isfinite(loss)


def _recording(calls, function):
    def record(*args):
        calls.append(args)
        return function(*args)

    return record


def test_the_tower_keeps_its_attention(pair):
    plain, segmented = pair
    tower = plain.model.vision_tower.config._attn_implementation
    assert segmented.model.language_model.config._attn_implementation == "segmented"
    assert segmented.model.vision_tower.config._attn_implementation == tower == "sdpa"


def test_a_saved_model_does_not_ask_for_segments(pair, tmp_path):
    pair[1].save_pretrained(tmp_path)
    assert "segmented" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_without_segments_a_padded_batch_is_as_ever(pair, padding_side):
    plain, segmented = pair
    batch = Batch(MIXED, [5, 30, 40], padding_side=padding_side)
    real = batch.attention_mask.bool()
    with torch.no_grad():
        torch.testing.assert_close(segmented(**batch.ours).logits[real], plain(**batch.ours).logits[real])


def test_without_segments_generation_is_as_ever(pair):
    plain, segmented = pair
    for batch in (Batch([[(60, 60)]], [30]), Batch(MIXED, [5, 30, 40])):
        options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
        assert torch.equal(segmented.generate(**batch.ours, **options), plain.generate(**batch.ours, **options))


def test_a_batch_without_a_mask_is_plainly_causal(pair):
    plain, segmented = pair
    ids = torch.randint(7, 90, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(segmented(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_a_prefix_is_seen_whole_and_nothing_else_is(pair):
    """Two answers to one prompt in one row give the logits of the two conversations."""
    plain, segmented = pair
    generator = torch.Generator().manual_seed(2)
    prompt, chosen, rejected = (torch.randint(7, 90, (1, length), generator=generator) for length in (30, 9, 14))
    row = {
        "input_ids": torch.cat((prompt, chosen, rejected), dim=1),
        "position_ids": torch.cat((torch.arange(39), torch.arange(30, 44)))[None],
        "segments": (Segment(0, 39), Segment(39, 53, 0, 30)),
    }
    with torch.no_grad():
        packed = segmented(**row).logits
        first = plain(input_ids=torch.cat((prompt, chosen), dim=1)).logits
        second = plain(input_ids=torch.cat((prompt, rejected), dim=1)).logits
    torch.testing.assert_close(packed[:, :39], first)
    torch.testing.assert_close(packed[:, 39:], second[:, 30:])


def test_the_keys_of_a_kernel_call_are_prefix_then_segment():
    found = module._key_index((Segment(0, 5), Segment(5, 8, 1, 3)), torch.device("cpu"))
    assert found.tolist() == [0, 1, 2, 3, 4, 1, 2, 5, 6, 7]
    assert module._offsets((5, 3), torch.device("cpu")).tolist() == [0, 5, 8]


PREFIXED = (Segment(0, 10), Segment(10, 24, 2, 9))


def states(device, dtype):
    """Query, key and value `(1, heads, 24, 64)`, of four heads on two."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(1, heads, 24, 64, generator=generator).bfloat16() for heads in (4, 2, 2)]
    return [part.to(device, dtype).requires_grad_() for part in made]


def attended(device, dtype, window):
    parts = states(device, dtype)
    options = module._Options(scaling=0.2, dropout=0.0, soft_cap=None, window=window)
    output = module._attend(*parts, PREFIXED, options)
    output.square().sum().backward()
    return [tensor.float().cpu() for tensor in (output.detach(), *(part.grad for part in parts))]


@pytest.mark.gpu
@pytest.mark.parametrize("window", [None, 5])
def test_one_kernel_call_on_a_gpu_is_a_causal_call_a_segment(window):
    for found, wanted in zip(
        attended("cuda", torch.bfloat16, window), attended("cpu", torch.float32, window), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=0.05, rtol=0.05)


def test_the_kernel_takes_what_it_is_called_with():
    """Its signature and shapes, forward and backward, without the device that it needs."""
    parts = states("meta", torch.bfloat16)
    output = module._varlen(*parts, PREFIXED, module._Options(scaling=0.2, dropout=0.0, soft_cap=None, window=5))
    output.sum().backward()
    assert output.shape == parts[0].shape
    assert [part.grad.shape for part in parts] == [part.shape for part in parts]


def attend(tokens=6, keys=6, rows=1, mask=None, **kwargs):
    query, key = torch.zeros(rows, 2, tokens, 4), torch.zeros(rows, 1, keys, 4)
    return segmented_attention(torch.nn.Module(), query, key, key, mask, **kwargs)


@pytest.mark.parametrize(
    ("segments", "changes", "fault"),
    [
        ([Segment(0, 6)], {"rows": 2}, "one packed row, but the batch has 2 rows"),
        ([Segment(0, 6)], {"mask": torch.ones(1, 1, 6, 6, dtype=torch.bool)}, "leave the mask out"),
        ([Segment(0, 6)], {"keys": 9}, "segments of 6 tokens but 9 keys"),
        ([Segment(0, 5)], {}, "cover the row's 6 tokens"),
        ([Segment(0, 2), Segment(3, 6)], {}, "without gaps"),
        ([Segment(0, 3), Segment(3, 3), Segment(3, 6)], {}, "in order and without gaps"),
        ([], {}, "cover the row's 6 tokens"),
        ([Segment(0, 3), Segment(3, 6, 0, 4)], {}, "prefix of Segment.start=3.* must lie before it"),
        ([Segment(0, 3), Segment(3, 6, 2, 1)], {}, "must lie before it"),
    ],
)
def test_segments_that_do_not_fit_the_row_are_refused(segments, changes, fault):
    with pytest.raises(ValueError, match=fault):
        attend(segments=tuple(segments), **changes)


def test_padding_with_segments_is_refused_by_the_model(pair):
    packed = pack(labelled(ROWS["text alone"]))
    padded = torch.ones_like(packed["input_ids"])
    padded[0, 0] = 0
    with pytest.raises(ValueError, match="a packed row has no padding"):
        pair[1](**packed, attention_mask=padded)


def test_segments_cannot_continue_a_cache():
    _, segmented = _pair("llama")
    ids = torch.randint(7, 90, (1, 8))
    cache = DynamicCache()
    segmented(input_ids=ids, past_key_values=cache, use_cache=True)
    with pytest.raises(ValueError, match="segments of 8 tokens but 16 keys"):
        segmented(input_ids=ids, past_key_values=cache, segments=(Segment(0, 8),))


def test_a_packed_row_that_lost_its_segments_is_refused(pair):
    packed = pack(labelled(ROWS["text alone"]))
    del packed["segments"]
    with pytest.raises(ValueError, match="position_ids restart within a row, but no segments"):
        pair[1](**packed)
