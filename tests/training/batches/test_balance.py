from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, SiglipVisionConfig

from amalia_vl_hf import AmaliaVLConfig
from amalia_vl_hf.training.batches.balance import CostModel, busy_share, fullest_first, longest_first, micro_batches
from tests.tiny import tiny_model


def flops(function, *args, **kwargs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*args, **kwargs)
    return counter.get_total_flops()


def test_costs_are_the_operations_that_a_forward_pass_counts():
    model = tiny_model()
    model.set_attn_implementation("eager")  # the counter does not know the fused ones of a CPU
    costs = CostModel.of(model.config)
    tiles = torch.zeros(3, 3, 32, 32)
    assert flops(model.model.encode_tiles, tiles) == pytest.approx(3 * costs.tile, rel=1e-12)
    for length in (10, 50):
        counted = flops(model.model.language_model, torch.full((1, length), 7))
        assert counted == pytest.approx(costs.token * length + 2 * costs.pair * length**2, rel=0.01), (
            "causality spares half of what eager attention computes; 1 % are the rotations"
        )


def test_the_costs_of_amalia_are_those_of_its_notes():
    """0.515 TFLOPs a tile in the tower, and 0.025 in the connector; 16.2 GFLOPs a token."""
    text = LlamaConfig(
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=42,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
    )
    vision = SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        image_size=384,
        patch_size=16,
    )
    costs = CostModel.of(AmaliaVLConfig(text_config=text, vision_config=vision, image_token_id=10))
    assert costs.tile == pytest.approx(0.515e12 + 0.025e12, rel=0.005)
    assert costs.token == pytest.approx(16.2e9, rel=0.005)
    assert costs.pair == 2 * 42 * 4096
    assert costs.conversations(np.array([1000]), np.array([2]))[0] == pytest.approx(
        2 * costs.tile + 1000 * costs.token + 1e6 * costs.pair
    )


def test_longest_first_deals_out_everything_once_within_bounds():
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 100, 60).tolist()
    dealt = longest_first(sizes, sizes, 7, 500)
    assert sorted(item for row in dealt for item in row) == list(range(60))
    sums = [sum(sizes[item] for item in row) for row in dealt]
    assert max(sums) <= 500
    assert min(sums) >= 0.98 * max(sums)


def test_longest_first_balances_costs_and_bounds_sizes():
    """The costly item stands alone, unless the others would not fit beside each other."""
    assert longest_first([9, 3, 3, 3], [1, 4, 4, 4], 2, 12) == [[0], [1, 2, 3]]
    assert sorted(map(sorted, longest_first([9, 3, 3, 3], [1, 4, 4, 4], 2, 10))) == [[0, 3], [1, 2]]


@pytest.mark.parametrize(
    ("sizes", "bins", "capacity"), [([5, 5, 5], 2, 9), ([11], 1, 10), ([1, 1], 3, 10)], ids=["full", "long", "empty"]
)
def test_what_does_not_fit_or_leaves_a_bin_empty_gives_no_plan(sizes, bins, capacity):
    assert longest_first(sizes, sizes, bins, capacity) is None


def test_micro_batches_are_alike_within_and_even_over_the_ranks():
    costs = np.random.default_rng(1).exponential(size=64)
    batches = micro_batches(costs, 8)
    assert sorted(item for batch in batches for item in batch) == list(range(64))
    by_cost = [costs[batch] for batch in batches]
    assert all(after.max() <= before.min() for before, after in pairwise(by_cost))
    loads = np.sum(by_cost, axis=0)
    in_sorted_order = np.sort(costs)[::-1].reshape(-1, 8).sum(axis=0)
    assert loads.max() < in_sorted_order.max()


def test_ranks_are_busy_for_the_share_that_the_last_one_leaves_them():
    assert busy_share(np.array([[4.0, 2.0], [1.0, 1.0]])) == pytest.approx(8 / 10)
    assert busy_share(np.ones((3, 5))) == 1


@pytest.mark.parametrize("seed", range(40))
def test_full_bins_hold_every_item_once_and_no_two_could_be_one(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, rng.integers(2, 101), rng.integers(1, 60)).tolist()
    bins = fullest_first(sizes, 100)
    assert sorted(item for held in bins for item in held) == list(range(len(sizes)))
    held = sorted(sum(sizes[item] for item in one) for one in bins)
    assert held[-1] <= 100
    assert sum(held[:2]) > 100 or len(held) == 1


def test_two_items_that_fill_a_bin_go_before_a_larger_one_that_does_not():
    assert fullest_first([60, 35, 25, 15], 100) == [[0, 2, 3], [1]]
