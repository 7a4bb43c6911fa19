"""Pictures of text, drawn with Pillow: many fonts, sizes, colours, papers and alignments, each line's box known."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..typefaces import is_handwritten, load

Colour = tuple[int, int, int]
Align = Literal["left", "center", "right"]
Pattern = Literal["plain", "gradient", "ruled", "stripes", "frame", "grain"]
PATTERNS: tuple[Pattern, ...] = ("plain", "gradient", "ruled", "stripes", "frame", "grain")
ALIGNS: tuple[Align, ...] = ("left", "left", "center", "right")

SIZES, HAND_SIZES = (20, 40), (27, 42)  # of the letters, in pixels; thin strokes need more
FREQUENCIES = (11, 2, 4, 1, 3, 3)  # of the patterns: most paper has none
DARK = 0.12  # share of light ink on dark paper
PALE, DEEP = 0.1, 0.6  # saturation at most, of light and of dark colours
MIN_CONTRAST = 4.5  # between ink and paper: WCAG 2.2, success criterion 1.4.3
MARGIN = 0.8  # around the text, in letter heights
GRAIN = 6  # standard deviation, of 255
MIN_INK = 0.01  # share of a line's box in the colour of the ink; thin script letters have 0.02
INK_TOLERANCE = 8  # of 255; letters are smoothed at their edges only


class TextStyle(NamedTuple):
    """How a text is drawn.

    Args:
        typeface: Font file.
        size: Of the letters, in pixels.
        ink: RGB of the letters.
        papers: Two RGB colours that the pattern is made of; the ink stands out from both.
        pattern: Of the paper.
        align: Of the lines.
        leading: From line to line, in letter heights.
        width: Of the picture, in pixels.
        grain: Seeds the paper's grain.
    """

    typeface: Path
    size: int
    ink: Colour
    papers: tuple[Colour, Colour]
    pattern: Pattern
    align: Align
    leading: float
    width: int
    grain: int


class Line(NamedTuple):
    """A line as it was drawn; its box in pixels, tight around the ink."""

    text: str
    top: int
    left: int
    bottom: int
    right: int


def draw_style(rng: random.Random, typefaces: tuple[Path, ...], widths: tuple[int, int]) -> TextStyle:
    """Draw a style whose ink stands out from its paper; widths are the least and the most, in pixels."""
    ink, papers = _draw_colours(rng)
    typeface = rng.choice(typefaces)
    return TextStyle(
        typeface=typeface,
        size=rng.randint(*(HAND_SIZES if is_handwritten(typeface) else SIZES)),
        ink=ink,
        papers=papers,
        pattern=rng.choices(PATTERNS, FREQUENCIES)[0],
        align=rng.choice(ALIGNS),
        leading=rng.uniform(1.25, 1.7),
        width=rng.randint(*widths),
        grain=rng.getrandbits(32),
    )


def draw_text(paragraphs: list[str], style: TextStyle) -> tuple[Image.Image, list[Line]]:
    """Draw paragraphs one below the other, their lines broken where the picture ends.

    Raises:
        ValueError: A word is wider than the picture.
    """
    height_of_font = sum(load(style.typeface, style.size).getmetrics())  # long strokes must not meet
    margin, step = round(MARGIN * style.size), max(round(style.leading * style.size), height_of_font)
    texts = [line for paragraph in paragraphs for line in wrap(paragraph, style, style.width - 2 * margin)]
    height = 2 * margin + step * len(texts)
    picture = draw_paper(height, style, step)
    canvas = ImageDraw.Draw(picture)
    return picture, [_draw_line(canvas, text, margin + step * row, margin, style) for row, text in enumerate(texts)]


def wrap(text: str, style: TextStyle, width: int) -> list[str]:
    """Break a text into lines of at most so many pixels, between words.

    Raises:
        ValueError: A word is wider.
    """
    font, lines = load(style.typeface, style.size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif font.getlength(word) > width:
            raise ValueError(f"{word!r} is wider than {width} pixels at {style.size} pixels in {style.typeface.name}")
        else:
            lines.append(word)
    return lines


def draw_paper(height: int, style: TextStyle, step: int) -> Image.Image:
    """Draw the paper of a style; ruled paper has a rule every `step` pixels."""
    picture = Image.new("RGB", (style.width, height), style.papers[0])
    canvas, other = ImageDraw.Draw(picture), style.papers[1]
    if style.pattern == "gradient":
        fade = Image.linear_gradient("L").resize(picture.size)
        return Image.composite(Image.new("RGB", picture.size, other), picture, fade)
    if style.pattern == "ruled":
        for top in range(step, height, step):
            canvas.line((0, top, style.width, top), fill=other, width=2)
    if style.pattern == "stripes":
        for left in range(-height, style.width, 48):
            canvas.line((left, height, left + height, 0), fill=other, width=12)
    if style.pattern == "frame":
        canvas.rectangle((3, 3, style.width - 4, height - 4), outline=style.ink, width=3)
    if style.pattern == "grain":
        return add_noise(picture, GRAIN, style.grain)
    return picture


def add_noise(picture: Image.Image, deviation: float, seed: int) -> Image.Image:
    """Add the same noise to all channels of a picture; deviation of 255."""
    shape = (picture.height, picture.width, 1)
    noise = np.random.default_rng(seed).normal(0, deviation, shape)
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def draw_colour(rng: random.Random, saturation: float, values: tuple[float, float]) -> Colour:
    """Draw a colour of any hue, of at most such a saturation, of a brightness between two; all from 0 to 1."""
    channels = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(*values))
    red, green, blue = (round(255 * channel) for channel in channels)
    return red, green, blue


def contrast(first: Colour, second: Colour) -> float:
    """Give the contrast ratio of two colours, 1 to 21 (WCAG 2.2).

    >>> contrast((0, 0, 0), (255, 255, 255))
    21.0
    """
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def unseen(picture: Image.Image, lines: Sequence[Line], ink: Colour) -> list[str]:
    """List the lines that have too little ink in their boxes to be there."""
    pixels = np.asarray(picture.convert("RGB"))
    return [line.text for line in lines if ink_share(pixels, line, ink) < MIN_INK]


def ink_share(pixels: np.ndarray, line: Line, ink: Colour) -> float:
    """Give the share of a line's box in the colour of the ink, of pixels `(height, width, 3)`; 0 outside."""
    height, width = pixels.shape[:2]
    if not (0 <= line.top < line.bottom <= height and 0 <= line.left < line.right <= width):
        return 0.0
    box = pixels[line.top : line.bottom, line.left : line.right].astype(np.int16)
    return float((np.abs(box - ink).max(axis=2) <= INK_TOLERANCE).mean())


def _draw_line(canvas: ImageDraw.ImageDraw, text: str, top: int, margin: int, style: TextStyle) -> Line:
    font = load(style.typeface, style.size)
    room = style.width - 2 * margin - font.getlength(text)
    left = margin + room * {"left": 0, "center": 0.5, "right": 1}[style.align]
    canvas.text((left, top), text, font=font, fill=style.ink)
    west, north, east, south = canvas.textbbox((left, top), text, font=font)
    return Line(text, int(north), max(int(west), 0), int(south), min(int(east), style.width))


def _draw_colours(rng: random.Random) -> tuple[Colour, tuple[Colour, Colour]]:
    """Draw dark ink on light paper, as most is printed, or now and then light ink on dark paper."""
    while True:
        light, other = (draw_colour(rng, PALE, (0.9, 1.0)) for _ in range(2))
        dark, shade = (draw_colour(rng, DEEP, (0.0, 0.4)) for _ in range(2))
        ink, papers = (light, (dark, shade)) if rng.random() < DARK else (dark, (light, other))
        if all(contrast(ink, paper) >= MIN_CONTRAST for paper in papers):
            return ink, papers


def _luminance(colour: Colour) -> float:
    parts = [channel / 255 for channel in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
