import json
import logging
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.manifest import write_manifest
from amalia_vl_hf.samples.sources import Source
from amalia_vl_hf.training.batches.bad_samples import BadSamples, BadShareError, ReplacingCollator
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder

COUNT = 12
TRUNCATED, MISSING, LONG, SLOTS, NO_JSON, ADDRESS = 1, 3, 5, 6, 8, 10
BAD = (TRUNCATED, MISSING, LONG, SLOTS, NO_JSON, ADDRESS)


@pytest.fixture(scope="module")
def processor(base):
    return AmaliaVLProcessor.from_pretrained(base)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve samples, six of them bad in six ways."""
    folder = tmp_path_factory.mktemp("bad")
    rows = [{"images": [f"{index}.png"], "messages": dialogue(str(index))} for index in range(COUNT)]
    for index in range(COUNT):
        Image.effect_noise((40, 40), index + 1).save(folder / f"{index}.png")
    (folder / f"{TRUNCATED}.png").write_bytes((folder / f"{TRUNCATED}.png").read_bytes()[:-200])
    (folder / f"{MISSING}.png").unlink()
    rows[LONG]["messages"] = dialogue("palavra " * 100)
    rows[SLOTS]["messages"] = dialogue([{"type": "image"}, {"type": "image"}])
    rows[ADDRESS]["images"] = ["https://example.org/a.png"]
    lines = [json.dumps(row) for row in rows]
    lines[NO_JSON] = lines[NO_JSON][:-5]
    (folder / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def dialogue(question):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "sim"}]


def replacing(data, processor, max_share=0.6):
    return ReplacingCollator(ConversationCollator(Encoder(processor, 4, 120)), BadSamples(data, max_share))


def test_each_bad_sample_gives_its_place_to_the_next_sound_one(folder, processor, caplog):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    collator = replacing(data, processor)
    taken = [2, 2, 2, 4, 4, 7, 7, 7, 9, 9, 11, 11]
    taken[0] = 0
    with caplog.at_level(logging.WARNING):
        for index in range(COUNT):
            found, wanted = collator([data[index]]), collator.collator([data[taken[index]]])
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[name], wanted[name]) for name in wanted), index
    assert collator.bad_samples.counts() == {"data": len(BAD)}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(BAD)
    for line, why in zip(
        said,
        ("line 2: .*1.png", "line 4: no such image", "line 6: .*exceed", "2 image slots", "line 9: not JSON", "fetch"),
        strict=True,
    ):
        assert re.search(why, line), line


def test_a_batch_keeps_its_sound_samples_and_their_order(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    batch = replacing(data, processor)([data[0], data[MISSING], data[2]])
    wanted = ConversationCollator(Encoder(processor, 4, 120))([data[0], data[4], data[2]])
    assert all(torch.equal(batch[name], wanted[name]) for name in wanted)


def test_workers_agree_on_batches_and_counts(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    batches, counts = [], []
    for workers in (0, 2):
        collator = replacing(data, processor)
        loader = DataLoader(data, batch_size=3, collate_fn=collator, num_workers=workers)
        batches.append(list(loader))
        counts.append(collator.bad_samples.counts())
    assert counts == [{"data": len(BAD)}] * 2
    for first, second in zip(*batches, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_too_many_bad_samples_end_the_run(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    message = r"3 of 6 samples were bad, more than max_bad_share=0.2: \{'data': 3\}.*line 6"
    with pytest.raises(BadShareError, match=message):
        replacing(data, processor, 0.2)([data[index] for index in range(6)])


def test_a_share_of_nothing_ends_the_run_at_the_first(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    with pytest.raises(BadShareError, match=r"1 of 1 samples were bad.*line 4: no such image"):
        replacing(data, processor, 0.0)([data[MISSING]])


def test_a_bad_sample_counts_once_however_often_it_comes(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    collator = replacing(data, processor, 0.1)
    for _ in range(5):
        collator([data[MISSING]])
    assert collator.bad_samples.counts() == {"data": 1}


@pytest.fixture
def mixed(folder, tmp_path):
    """A manifest of two sources whose lengths are known; the second has one sound sample alone."""
    sources = [Source("um", path=str(folder / "data.jsonl")), Source("dois", path=str(folder / "data.jsonl"))]
    rows = {"source": [0, 0, 0, 0, 1, 1, 1, 1], "row": [0, MISSING, 2, 4, 4, MISSING, LONG, SLOTS]}
    lengths = {"length": [9, 8, 9, 8, 7, 8, 8, 8], "tiles": [2] * 8}
    write_manifest(tmp_path / "m.parquet", {**rows, **lengths}, sources, {"seed": 0})
    return load_samples(tmp_path / "m.parquet", "sft", every_row=False)


def test_a_substitute_is_of_the_same_source_and_not_longer(mixed, processor):
    bad = BadSamples(mixed, 0.5)
    assert [sample["index"] for sample in bad.substitutes(mixed[1])] == [3]
    assert [sample["index"] for sample in bad.substitutes(mixed[5])] == [6, 7, 4]
    assert [sample["index"] for sample in bad.substitutes(mixed[0])] == [1, 2, 3]


def test_lengths_that_were_measured_hold_too(folder):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)
    bad = BadSamples(data, 0.5)
    bad.lengths = np.array([9, 9, 8, 9, 7, 10, *[9] * 6])
    assert [sample["index"] for sample in bad.substitutes(data[2])] == [4]


def test_counts_name_every_source(mixed, processor):
    collator = replacing(mixed, processor, 0.9)
    for index in (1, 5, 7):
        collator([mixed[index]])
    assert collator.bad_samples.counts() == {"um": 1, "dois": 2}


def test_a_source_without_a_sound_sample_is_an_error(folder, processor, tmp_path):
    rows = {"source": [0, 0], "row": [MISSING, LONG]}
    write_manifest(tmp_path / "m.parquet", rows, [Source("um", path=str(folder / "data.jsonl"))], {"seed": 0})
    data = load_samples(tmp_path / "m.parquet", "sft", every_row=False)
    with pytest.raises(ValueError, match=r"no sample of um can take the place of a bad one: .*line 4: no such image"):
        replacing(data, processor, 0.9)([data[0]])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_is_a_share(folder, share):
    with pytest.raises(ValueError, match=f"at least 0 and below 1, not {share}"):
        BadSamples(load_samples(folder / "data.jsonl", "sft", every_row=False), share)


def test_an_error_of_the_whole_batch_is_nobodys_fault(folder, processor):
    data = load_samples(folder / "data.jsonl", "sft", every_row=False)

    def one_at_a_time(rows):
        if len(rows) > 1:
            raise ValueError("one at a time")
        return rows

    with pytest.raises(ValueError, match="one at a time"):
        ReplacingCollator(one_at_a_time, BadSamples(data, 0.5))([data[0], data[2]])
