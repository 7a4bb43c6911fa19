"""Wear of pictures of text, as cameras and scanners leave it: tilt, shade, fading, loss of size, blur, noise.

Each kind is weak enough that letters of 20 pixels stay legible.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from .text_pictures import add_noise

Wear = Callable[[Image.Image, random.Random], Image.Image]
HOW_MANY = (0, 1, 1, 2, 2, 3)  # kinds on a picture, as likely each


def wear(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, list[str]]:
    """Wear a picture in up to three ways; gives their names in the order they were applied."""
    names = rng.sample(list(WEARS), rng.choice(HOW_MANY))
    ordered = [name for name in WEARS if name in names]
    for name in ordered:
        picture = WEARS[name](picture, rng)
    return picture, ordered


def _tilt(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Turn by up to 2.5 degrees; the corners that appear have the colour of the first one."""
    paper = picture.getpixel((0, 0))
    return picture.rotate(rng.uniform(-2.5, 2.5), Image.Resampling.BICUBIC, expand=True, fillcolor=paper)


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
