"""Pages that were handled: boxes go where the letters went."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from amalia_vl_hf.data.invoices import handling
from amalia_vl_hf.data.invoices.handling import HANDLINGS, WHOLE, handle, move, projection
from amalia_vl_hf.data.rows import png

BOXES = [(0.1, 0.1, 0.3, 0.13), (0.6, 0.2, 0.9, 0.22), (0.2, 0.8, 0.4, 0.82), (0.7, 0.9, 0.9, 0.93)]


def page(height=900, width=640):
    """Draw a page with black bars in its boxes."""
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    for x0, y0, x1, y1 in BOXES:
        pen.rectangle((x0 * width, y0 * height, x1 * width - 1, y1 * height - 1), fill="black")
    return png(picture)


@pytest.mark.parametrize("way", HANDLINGS)
@pytest.mark.parametrize("height", [900, 1800])
def test_bars_are_where_their_boxes_went(monkeypatch, way, height):
    monkeypatch.setattr(handling, "WEIGHTS", [float(name == way) for name in HANDLINGS])
    for seed in range(4):
        name, (handled,) = handle([page(height)], [BOXES], random.Random(seed))
        assert name == way
        grey = np.asarray(Image.open(io.BytesIO(handled.picture)).convert("L")).astype(float)
        for box in BOXES:
            x0, y0, x1, y1 = move(box, handled.corners)
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
            corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
            inside = [(0.9 * x + 0.1 * (box[0] + box[2]) / 2, 0.5 * (y + (box[1] + box[3]) / 2)) for x, y in corners]
            outside = [(x, y + (0.02 if y == box[3] else -0.02)) for x, y in corners]
            dark, light = ([level(grey, handled.corners, point) for point in points] for points in (inside, outside))
            assert max(dark) + 40 < min(light)


def level(grey, corners, point):
    """Look a point of the page up in its picture."""
    x, y, scale = projection(corners) @ np.array([*point, 1])
    row, col = round(y / scale * grey.shape[0]), round(x / scale * grey.shape[1])
    return grey[min(max(row, 0), grey.shape[0] - 1), min(max(col, 0), grey.shape[1] - 1)]


def test_corners_go_where_they_are_said_to_go():
    corners = ((0.1, 0.05), (0.92, 0.1), (0.97, 0.9), (0.04, 0.96))
    for point, meant in zip(WHOLE, corners, strict=True):
        x, y, scale = projection(corners) @ np.array([*point, 1])
        assert (x / scale, y / scale) == pytest.approx(meant)
    assert move((0, 0, 1, 1), corners) == pytest.approx((0.04, 0.05, 0.97, 0.96))
    assert move(BOXES[0], WHOLE) == BOXES[0]


def test_a_stamp_covers_no_field(monkeypatch):
    monkeypatch.setattr(handling, "WEIGHTS", [float(name == "stamped") for name in HANDLINGS])
    monkeypatch.setattr(handling, "_scan", lambda picture, fields, rng: (picture, WHOLE))
    blank = png(Image.new("RGB", (640, 900), "white"))
    stamped = 0
    for seed in range(12):
        _, (handled,) = handle([blank], [BOXES], random.Random(seed))
        grey = np.asarray(Image.open(io.BytesIO(handled.picture)).convert("L"))
        stamped += grey.min() < 200
        for x0, y0, x1, y1 in BOXES:
            assert grey[int(y0 * 900) + 8 : int(y1 * 900) - 8, int(x0 * 640) + 8 : int(x1 * 640) - 8].min() > 235
    assert stamped == 12


def test_all_pages_are_handled_alike_and_the_same_seed_gives_the_same_bytes():
    ways = set()
    for seed in range(40):
        first = handle([page(300, 200)] * 2, [BOXES, BOXES], random.Random(seed))
        ways.add(first[0])
        assert len(first[1]) == 2
    assert ways == set(HANDLINGS)
    assert first == handle([page(300, 200)] * 2, [BOXES, BOXES], random.Random(39))
