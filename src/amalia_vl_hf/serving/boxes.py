"""Boxes that an answer names, drawn on the picture that it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ..evaluation.parsing import Box, box

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4")
_BRACKETED = re.compile(r"[\[({<][^\[\](){}<>]{3,120}[\])}>]")


def boxes_in(answer: str) -> list[Box]:
    """Read the boxes of an answer, in the conventions of the evaluation: 0 to 1, 0 to 1000, decimal commas.

    Returns:
        Left, top, right and bottom as shares of width and height; none where the answer names none.

    >>> boxes_in("um gato em [0,1; 0,2; 0,5; 0,6] e um cão em [600, 200, 900, 800]")
    [(0.1, 0.2, 0.5, 0.6), (0.6, 0.2, 0.9, 0.8)]
    """
    texts = _BRACKETED.findall(answer) or [answer]
    return [corners for text in texts if (corners := box(text)) is not None]


def draw_boxes(picture: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Draw boxes on a copy of a picture, at its own size; each in a colour of its own."""
    drawn = picture.convert("RGB").copy()
    pen = ImageDraw.Draw(drawn)
    line = max(2, round(max(drawn.size) / 250))  # px
    for number, (left, top, right, bottom) in enumerate(boxes):
        corners = (left * drawn.width, top * drawn.height, right * drawn.width - 1, bottom * drawn.height - 1)
        pen.rectangle(
            [(corners[0], corners[1]), (max(corners[0], corners[2]), max(corners[1], corners[3]))],
            outline=COLOURS[number % len(COLOURS)],
            width=line,
        )
    return drawn
