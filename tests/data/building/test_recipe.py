"""What a build can be made of."""

import pytest

from amalia_vl_hf.asking.inference import Endpoint
from amalia_vl_hf.data.building.recipe import BuildRecipe


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"name": "pt-x"}, "unknown dataset 'pt-x'.*known: .*pt-render-text"),
        ({"count": 0}, "0 samples in shards of 4: both must be 1 or more"),
        ({"name": "invoice-qa", "texts": "a.txt"}, "invoice-qa is not made of texts of the user's"),
        ({"shard_size": 0}, "10 samples in shards of 0"),
    ],
)
def test_plans_that_cannot_be(words, reason):
    with pytest.raises(ValueError, match=reason):
        BuildRecipe(**{"name": "pt-render-text", "count": 10, "seed": 0, "shard_size": 4, **words})


def test_a_dataset_without_steps_takes_no_model():
    with pytest.raises(ValueError, match="pt-render-text asks no model; leave --endpoint and --model out"):
        BuildRecipe("pt-render-text", 1, 0, endpoint=Endpoint("http://127.0.0.1:1", "m"))
