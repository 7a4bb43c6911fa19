"""Worn pictures can still be read."""

import random

import numpy as np
import pytest
from PIL import Image

from amalia_vl_hf.data.text.text_pictures import Line
from amalia_vl_hf.data.text.wear import WEARS, wear, wear_boxes


@pytest.mark.parametrize("name", WEARS)
def test_wear_leaves_a_picture_that_can_be_read(name):
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste((0, 0, 0), (20, 10, 40, 30))
    worn = WEARS[name](picture, random.Random(0))
    assert worn.mode == "RGB"
    assert worn.tobytes() != picture.tobytes()
    grey = np.asarray(worn.convert("L"))
    assert grey.max() - grey.min() > 100


def test_boxes_move_with_the_picture():
    """A black block's box, moved, is where the block is in the worn picture."""
    moved = set()
    for seed in range(40):
        picture = Image.new("RGB", (320, 240), "white")
        picture.paste((0, 0, 0), (210, 150, 290, 180))
        worn, names, (line,) = wear_boxes(picture, [Line("x", 150, 210, 180, 290)], random.Random(seed))
        dark = np.argwhere(np.asarray(worn.convert("L")) < 110)
        (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0) + 1
        assert np.abs(np.array([top, left, bottom, right]) - line[1:]).max() <= 3, (names, seed)
        moved |= {name for name in names if line[1:] != (150, 210, 180, 290)}
    assert {"tilt", "shrink"} <= moved


def test_wear_says_what_it_did_in_the_order_it_did_it():
    picture = Image.linear_gradient("L").convert("RGB")
    for seed in range(20):
        worn, names = wear(picture, random.Random(seed))
        assert names == [name for name in WEARS if name in names]
        assert (worn is picture) == (not names)
