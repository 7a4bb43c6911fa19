"""Worn pictures can still be read."""

import random

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.text.wear import WEARS, wear


@pytest.mark.parametrize("name", WEARS)
def test_wear_leaves_a_picture_that_can_be_read(name):
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste((0, 0, 0), (20, 10, 40, 30))
    worn = WEARS[name](picture, random.Random(0))
    assert worn.mode == "RGB"
    assert worn.tobytes() != picture.tobytes()
    grey = np.asarray(worn.convert("L"))
    assert grey.max() - grey.min() > 100


def test_wear_says_what_it_did_in_the_order_it_did_it():
    picture = Image.linear_gradient("L").convert("RGB")
    for seed in range(20):
        worn, names = wear(picture, random.Random(seed))
        assert names == [name for name in WEARS if name in names]
        assert (worn is picture) == (not names)
