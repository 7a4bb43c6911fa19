"""Wear of pictures of text, as cameras and scanners leave it: tilt, shade, fading, loss of size, blur, noise.

Each kind is weak enough that letters of 20 pixels stay legible.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from .text_pictures import Line, add_noise

Wear = Callable[[Image.Image, random.Random], Image.Image]
ANGLES = (-2.5, 2.5)  # degrees of a tilt
HOW_MANY = (0, 1, 1, 2, 2, 3)  # kinds on a picture, as likely each


def wear(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, list[str]]:
    """Wear a picture in up to three ways; gives their names in the order they were applied."""
    worn, names, _ = wear_boxes(picture, [], rng)
    return worn, names


def wear_boxes(
    picture: Image.Image, lines: Sequence[Line], rng: random.Random
) -> tuple[Image.Image, list[str], list[Line]]:
    """Wear a picture, and move the boxes of its lines with it."""
    chosen = rng.sample(list(WEARS), rng.choice(HOW_MANY))
    names = [name for name in WEARS if name in chosen]
    for name in names:
        before = picture.size
        if name == "tilt":
            angle = rng.uniform(*ANGLES)
            picture = _turn(picture, angle)
            lines = [_turned(line, angle, before, picture.size) for line in lines]
        else:
            picture = WEARS[name](picture, rng)
            lines = [_scaled(line, before, picture.size) for line in lines] if picture.size != before else lines
    return picture, names, list(lines)


def _tilt(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Turn by a few degrees."""
    return _turn(picture, rng.uniform(*ANGLES))


def _turn(picture: Image.Image, angle: float) -> Image.Image:
    """Turn a picture against the clock; the corners that appear have the colour of the first one."""
    paper = picture.getpixel((0, 0))
    return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)


def _turned(line: Line, angle: float, before: tuple[int, int], after: tuple[int, int]) -> Line:
    """Give the box around a box that was turned with its picture, of sizes `(width, height)`."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = [
        (x - before[0] / 2, y - before[1] / 2) for x in (line.left, line.right) for y in (line.top, line.bottom)
    ]
    across = [cosine * x + sine * y + after[0] / 2 for x, y in corners]
    down = [cosine * y - sine * x + after[1] / 2 for x, y in corners]
    top, left = max(math.floor(min(down)), 0), max(math.floor(min(across)), 0)
    return Line(line.text, top, left, min(math.ceil(max(down)), after[1]), min(math.ceil(max(across)), after[0]))


def _scaled(line: Line, before: tuple[int, int], after: tuple[int, int]) -> Line:
    wide, high = after[0] / before[0], after[1] / before[1]
    top, left = math.floor(line.top * high), math.floor(line.left * wide)
    return Line(line.text, top, left, math.ceil(line.bottom * high), math.ceil(line.right * wide))


def _shade(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Darken one edge to two thirds."""
    light = Image.linear_gradient("L").resize(picture.size).point([255 - level // 3 for level in range(256)])
    if rng.random() < 0.5:
        light = light.transpose(Image.Transpose.ROTATE_180)
    return ImageChops.multiply(picture, Image.merge("RGB", [light] * 3))


def _fade(picture: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(rng.uniform(0.65, 0.9))


def _shrink(picture: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.uniform(0.7, 0.9)
    height, width = round(picture.height * factor), round(picture.width * factor)
    return picture.resize((max(width, 1), max(height, 1)), Image.Resampling.BILINEAR)


def _blur(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))


def _noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    return add_noise(picture, rng.uniform(4, 14), rng.getrandbits(32))


WEARS: dict[str, Wear] = {
    "tilt": _tilt,
    "shade": _shade,
    "fade": _fade,
    "shrink": _shrink,
    "blur": _blur,
    "noise": _noise,
}
