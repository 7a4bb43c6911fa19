"""Charts joined to one picture: beside one another, below one another or in a grid, each below its name."""

from __future__ import annotations

import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ..languages import Language
from ..typefaces import load
from .questions import panel_name
from .style import FACES, Chart, TextBox

GAP = 18  # pixels around each panel
HEAD = 22  # pixels, letters of a panel's name
ROOM = 34  # pixels, height of the line with the name
GROUNDS = (("#ffffff", "#222222"), ("#e9ecef", "#1b2a41"), ("#f6f1e7", "#3a2f24"))  # and the letters on them
ACROSS = {"horizontal": 3, "vertical": 1, "grid": 2}  # panels in a row


def join_charts(charts: Sequence[Chart], language: Language, rng: random.Random) -> tuple[Image.Image, list[Chart]]:
    """Join charts; gives the picture, and for each chart its texts and marks where they are there."""
    if len(charts) == 1:
        return charts[0].picture, [charts[0]]
    across = ACROSS[rng.choice(sorted(ACROSS))]
    ground, ink = rng.choice(GROUNDS)
    font = load(rng.choice(FACES).heading_path, HEAD)
    rows = [charts[start : start + across] for start in range(0, len(charts), across)]
    widths = [max(row[column].picture.width for row in rows if column < len(row)) for column in range(len(rows[0]))]
    heights = [max(chart.picture.height for chart in row) + ROOM for row in rows]
    size = (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(heights) + 1))
    joined, placed = Image.new("RGB", size, ground), []
    pen = ImageDraw.Draw(joined)
    for number, chart in enumerate(charts):
        row, column = divmod(number, across)
        left, top = GAP + sum(widths[:column]) + GAP * column, GAP + sum(heights[:row]) + GAP * row
        name = panel_name(number, language)
        pen.text((left, top), name, fill=ink, font=font)
        joined.paste(chart.picture, (left, top + ROOM))
        head = TextBox(name, *pen.textbbox((left, top), name, font=font))
        texts = [head, *(box.moved(left, top + ROOM) for box in chart.texts)]
        placed.append(Chart(chart.picture, texts, [mark.moved(left, top + ROOM) for mark in chart.marks], chart.fonts))
    return joined, placed
