"""What the plugin tells vLLM, without vLLM."""

import random

import pytest

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.serving.vllm_plugin import costliest_size
from tests.tiny import PINPOINTS

OPTIONS = [
    {},
    {"max_tiles": 0},
    {"max_tiles": 1},
    {"max_tiles": 7},
    {"image_grid_pinpoints": PINPOINTS},
    {"image_grid_pinpoints": PINPOINTS, "max_tiles": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_no_image_takes_more_tokens_than_the_costliest(options):
    processor, rng = AmaliaVLImageProcessor(**{"size": 32, "patch_size": 8, **options}), random.Random(0)
    most = processor.num_visual_tokens(*costliest_size(processor))
    sizes = [(rng.randint(1, 900), rng.randint(1, 900)) for _ in range(500)]
    sizes += [(32 * rows, 32 * cols) for rows in range(1, 14) for cols in range(1, 14)]
    assert max(processor.num_visual_tokens(*size) for size in sizes) == most


def test_twelve_tiles_take_most_in_a_column():
    processor = AmaliaVLImageProcessor()
    assert costliest_size(processor) == (12 * 384, 384)
    assert processor.num_visual_tokens(12 * 384, 384) == 7776
