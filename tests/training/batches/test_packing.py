import json

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, prepare_data_loader, skip_first_batches
from torch.utils.data import DataLoader

from amalia_vl_hf import AmaliaVLProcessor
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder
from amalia_vl_hf.training.batches.packing import PackedBatchSampler, PackedConversationCollator, conversation_sizes
from amalia_vl_hf.training.batches.row_plan import plan_rows
from amalia_vl_hf.training.batches.segments import segment_lengths

TEXT_ONLY = {
    "sample": "data.jsonl, line 9",
    "images": [],
    "messages": [{"role": "user", "content": "Olá!"}, {"role": "assistant", "content": "Olá."}],
}
TEXT_KEYS = {"input_ids", "labels", "position_ids", "segments", "scored", "shift_labels"}


@pytest.fixture(scope="module")
def processor(base):
    return AmaliaVLProcessor.from_pretrained(base)


@pytest.fixture(scope="module")
def data(samples):
    return load_samples(samples["sft"], "sft")


def sampler_for(lengths, ranks=1, steps=6, conversations=8, max_length=200, seed=0):
    lengths = np.asarray(lengths)
    options = {"conversations": conversations, "ranks": ranks, "max_length": max_length, "steps": steps, "seed": seed}
    return PackedBatchSampler(plan_rows(lengths, lengths * 1.0, **options), ranks)


LENGTHS = np.random.default_rng(0).integers(5, 60, 24)


@pytest.fixture(scope="module")
def rows(data):
    return [*list(data)[:3], TEXT_ONLY]


def test_a_row_is_its_conversations_one_after_the_other(processor, rows):
    packed = PackedConversationCollator(Encoder(processor, 4, 512))(rows)
    alone = [ConversationCollator(Encoder(processor, 4, 512))([row]) for row in rows]
    lengths = [one["input_ids"].shape[1] for one in alone]
    assert packed.keys() == {*TEXT_KEYS, "pixel_values", "tile_layouts"}
    for name in ("input_ids", "labels"):
        assert torch.equal(packed[name], torch.cat([one[name] for one in alone], dim=1))
    for name in ("pixel_values", "tile_layouts"):
        assert torch.equal(packed[name], torch.cat([one[name] for one in alone if name in one]))
    assert packed["position_ids"].tolist() == [[place for length in lengths for place in range(length)]]
    assert packed["segments"] == segment_lengths(lengths)


def test_a_row_without_images_has_no_pixels(processor):
    packed = PackedConversationCollator(Encoder(processor, 4, 512))([TEXT_ONLY, TEXT_ONLY])
    assert packed.keys() == TEXT_KEYS


def test_what_is_scored_is_the_answers_and_none_from_a_neighbour(processor, rows):
    packed = PackedConversationCollator(Encoder(processor, 4, 512))(rows)
    starts = [segment.start for segment in packed["segments"]]
    assert (packed["labels"][0, starts] == -100).all()
    learned = packed["labels"][0] != -100
    assert learned.any()
    assert torch.equal(packed["scored"] + 1, learned.nonzero()[:, 0])
    assert torch.equal(packed["shift_labels"], packed["labels"][:, learned])


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_a_step_and_a_resume_goes_on_where_it_stopped(workers):
    """Through accelerate's own sharding and skipping, whatever the number of workers."""
    ranks, sampler = 2, sampler_for(LENGTHS, ranks=2, steps=6)
    loaders = [
        prepare_data_loader(
            DataLoader(range(24), batch_sampler=sampler, collate_fn=list, num_workers=workers),
            num_processes=ranks,
            process_index=rank,
            put_on_device=False,
        )
        for rank in range(ranks)
    ]
    taken = [list(loader) for loader in loaders]
    assert [len(loader) for loader in loaders] == [6 * sampler.rows] * ranks
    for step in range(6):
        of_step = slice(step * sampler.rows, (step + 1) * sampler.rows)
        assert sum(len(row) for rank in taken for row in rank[of_step]) == 8
    assert [row for pair in zip(*taken, strict=True) for row in pair] == list(sampler)
    again = sampler_for(LENGTHS, ranks=2, steps=6)
    resumed = BatchSamplerShard(again, num_processes=ranks, process_index=1)
    rest = skip_first_batches(DataLoader(range(24), batch_sampler=resumed, collate_fn=list), 2 * sampler.rows)
    assert list(rest) == taken[1][2 * sampler.rows :]


def test_rows_are_as_many_as_said_and_other_seeds_give_other_rows():
    sampler = sampler_for(LENGTHS)
    assert len(list(sampler)) == len(sampler) == 6 * sampler.rows
    assert list(sampler) == list(sampler) == list(sampler_for(LENGTHS))
    assert list(sampler) != list(sampler_for(LENGTHS, seed=1))
    assert all(LENGTHS[row].sum() <= 200 for row in sampler)


def test_sizes_are_measured_once_and_kept(processor, data, tmp_path, monkeypatch):
    cache = tmp_path / "run" / "lengths.npz"
    lengths, tiles = conversation_sizes(data, processor, 4, cache)
    batches = [ConversationCollator(Encoder(processor, 4, 512))([row]) for row in data]
    assert lengths.tolist() == [batch["input_ids"].shape[1] for batch in batches]
    assert tiles.tolist() == [len(batch["pixel_values"]) for batch in batches]
    untiled, _ = conversation_sizes(data, processor, 0, cache)
    assert untiled.sum() < lengths.sum(), "sizes kept for other tiles are not used"
    monkeypatch.setattr("amalia_vl_hf.training.batches.packing.measure_all", None)
    assert np.array_equal(conversation_sizes(data, processor, 0, cache)[0], untiled)


@pytest.mark.parametrize("damage", ["half", "empty", "flipped"])
def test_sizes_that_were_damaged_are_measured_again(processor, data, tmp_path, damage):
    cache = tmp_path / "lengths.npz"
    lengths, tiles = conversation_sizes(data, processor, 4, cache)
    content = bytearray(cache.read_bytes())
    places = {"half": [len(content) // 2], "empty": [0], "flipped": range(0, len(content), 41)}[damage]
    for place in places:
        damaged = bytearray(content)
        damaged[place:] = damaged[place:] if damage == "flipped" else b""
        if damage == "flipped":
            damaged[place] ^= 16
        cache.write_bytes(damaged)
        again = conversation_sizes(data, processor, 4, cache)
        assert np.array_equal(again[0], lengths)
        assert np.array_equal(again[1], tiles)


def test_sizes_that_the_data_have_are_taken(processor, data, tmp_path):
    plain = data.with_format(None).add_column("length", list(range(8))).add_column("tiles", [3] * 8)
    lengths, tiles = conversation_sizes(plain, processor, 4, tmp_path / "lengths.npz", stand_in=5)
    assert lengths.tolist() == [0, 1, 2, 3, 4, 5, 5, 5], "what is longer will be replaced by what is as long at most"
    assert tiles.tolist() == [3] * 8
    assert not (tmp_path / "lengths.npz").exists()


def test_what_cannot_be_measured_counts_as_long_where_it_may_be_replaced(processor, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    lines = [{"images": images, "messages": TEXT_ONLY["messages"]} for images in ([], ["broken.png"])]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    faulty = load_samples(tmp_path / "data.jsonl", "sft", every_row=False)
    lengths, tiles = conversation_sizes(faulty, processor, 4, tmp_path / "lengths.npz", stand_in=300)
    assert (lengths[1], tiles[1]) == (300, 0)
    with pytest.raises(ValueError, match=r"data\.jsonl, line 2: an image has no readable header"):
        conversation_sizes(faulty, processor, 4, tmp_path / "other.npz")
