"""Quotas by water-filling, draws that depend on images alone, and duplicates by hash and by cosine."""

import random

import numpy as np
import pytest

from amalia_vl_hf.data.photos import sampling
from amalia_vl_hf.data.photos.concepts import normalised
from amalia_vl_hf.data.photos.sampling import draw_images, draw_order, first_of_each, sketch, water_fill


@pytest.mark.parametrize("seed", range(40))
def test_water_is_level_and_never_sinks(seed):
    rng = random.Random(seed)
    available = [rng.choice((0, 1, 7, 50, 400)) for _ in range(rng.randrange(1, 9))]
    before = [0] * len(available)
    for total in range(0, sum(available) + 3, rng.choice((1, 3, 17))):
        quotas = water_fill(available, total)
        assert sum(quotas) == min(total, sum(available))
        assert all(before <= quota <= limit for before, quota, limit in zip(before, quotas, available, strict=True))
        level = max(quotas)
        assert all(quota in (limit, level, level - 1) for quota, limit in zip(quotas, available, strict=True))
        assert all(quota >= min(limit, level - 1) for quota, limit in zip(quotas, available, strict=True))
        before = quotas


def test_counts_are_not_negative():
    with pytest.raises(ValueError, match="counts are 0 or more"):
        water_fill([3, -1], 2)
    with pytest.raises(ValueError, match="counts are 0 or more"):
        water_fill([3], -2)


def population(count=3_000, kinds=6, seed=0):
    rng = np.random.default_rng(seed)
    concepts = rng.choice(kinds, size=count, p=np.arange(1, kinds + 1) / sum(range(1, kinds + 1))).astype(np.uint8)
    return concepts, rng.integers(2**63, size=count).astype(np.uint64)


def test_a_draw_is_as_even_as_it_can_be_and_depends_on_images_alone():
    concepts, ids = population()
    drawn = draw_images(concepts, draw_order(ids, 1), 1_200, kinds=6)
    assert drawn.counts == water_fill(np.bincount(concepts, minlength=6).tolist(), 1_200)
    assert len(drawn.chosen) == 1_200
    shuffled = np.random.default_rng(3).permutation(len(ids))
    other = draw_images(concepts[shuffled], draw_order(ids[shuffled], 1), 1_200, kinds=6)
    assert set(ids[drawn.chosen]) == set(ids[shuffled][other.chosen])
    assert set(ids[drawn.chosen]) != set(ids[draw_images(concepts, draw_order(ids, 2), 1_200, kinds=6).chosen])
    larger = draw_images(concepts, draw_order(ids, 1), 1_900, kinds=6)
    assert set(drawn.chosen) < set(larger.chosen)


def test_equal_bytes_count_once():
    assert first_of_each(["b" * 64, "a" * 64, "b" * 64, "c" * 64, "a" * 64]).tolist() == [0, 1, 3]


@pytest.mark.parametrize("block", [7, 2_048])
def test_near_duplicates_are_left_out_and_others_take_their_place(block, monkeypatch):
    monkeypatch.setattr(sampling, "BLOCK", block)
    rng = np.random.default_rng(5)
    base = normalised(rng.normal(size=(300, 1_152)))
    copies = normalised(base[:120] + rng.normal(0, 0.2 / 1_152**0.5, (120, 1_152)))  # cosine about .98
    embeddings = sketch(np.concatenate([base, copies]).astype(np.float16))
    concepts = np.concatenate([np.arange(300) % 3, np.arange(120) % 3]).astype(np.uint8)
    order = draw_order(rng.integers(2**63, size=420).astype(np.uint64), 0)
    drawn = draw_images(concepts, order, 420, embeddings, kinds=3)
    originals = [place if place < 300 else place - 300 for place in drawn.chosen.tolist()]
    assert sorted(originals) == list(range(300))  # one of each pair, whichever is drawn first
    assert drawn.near == 120
    assert all(order[place] < order[place + 300] for place in range(120) if place in set(drawn.chosen.tolist()))
    fewer = draw_images(concepts, order, 90, embeddings, kinds=3)
    assert fewer.counts == [30, 30, 30]
    assert set(fewer.chosen) <= set(drawn.chosen)


def test_what_duplicates_leave_free_is_shared_by_the_others():
    embeddings = np.concatenate(
        [
            np.tile([[1.0, 0, 0]], (50, 1)),
            np.eye(3)[[1]].repeat(1, 0),
            normalised(np.random.default_rng(0).normal(size=(60, 3))),
        ]
    )
    concepts = np.array([0] * 50 + [1] + [2] * 60, np.uint8)
    drawn = draw_images(concepts, np.arange(111, dtype=np.uint64), 60, embeddings, near=0.9999, kinds=3)
    assert drawn.counts == [1, 1, 58]


def test_a_concept_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="an image of concept 9; there are 6"):
        draw_images(np.array([9], np.uint8), np.zeros(1, np.uint64), 1, kinds=6)


def test_sketches_keep_cosines():
    rng = np.random.default_rng(1)
    base = normalised(rng.normal(size=(200, 1_152)))
    for cosine in (0.0, 0.7, 0.95):
        others = normalised(rng.normal(size=(200, 1_152)))
        others = normalised(others - (others * base).sum(axis=1, keepdims=True) * base)
        pairs = cosine * base + (1 - cosine**2) ** 0.5 * others
        one, other = normalised(sketch(base)), normalised(sketch(pairs))
        errors = (one * other).sum(axis=1) - cosine
        assert np.abs(errors).max() < 5 * (1 - cosine**2) / 16
        assert errors.std() < 1.3 * (1 - cosine**2) / 16
