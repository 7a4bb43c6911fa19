"""What happens to a printed page before it is a picture: scanned, stamped, folded, photographed; boxes move along.

A page's corners go to four points of the picture; the projection they define moves every box. Letters stay legible.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ..rows import jpeg
from ..typefaces import OWN, load
from .questions import FieldBox

Corners = tuple[tuple[float, float], ...]  # of a page in its picture, as shares; from the top left, clockwise
WHOLE: Corners = ((0, 0), (1, 0), (1, 1), (0, 1))
HANDLINGS = ("clean", "scanned", "stamped", "folded", "photographed")
WEIGHTS = (52, 16, 11, 7, 14)  # per cent
QUALITIES = (72, 92)  # of JPEG
SCAN_TURN, PHOTO_TURN = 0.9, 2.5  # degrees, at most
TILT = 0.035  # share of a side by which a corner is off in a photograph
STAMPS = ("PAGO", "RECEBIDO", "CONFERIDO", "LANÇADO", "ARQUIVO", "PAGO POR TRANSFERÊNCIA")
INKS = ((176, 32, 40), (30, 60, 150), (60, 60, 60), (20, 110, 70))
TABLES = ((96, 70, 50), (58, 60, 66), (150, 140, 126), (38, 52, 60), (120, 96, 74))  # under a photographed page
GRAIN = 384  # pixels, side of a tile of noise
ROOM = 0.05  # share of a photograph beside the page, on each side


class Handled(NamedTuple):
    """A page as it was handled: the encoded picture, and where the page's corners are in it."""

    picture: bytes
    corners: Corners


def handle(
    pages: Sequence[bytes], boxes: Sequence[Sequence[FieldBox]], rng: random.Random
) -> tuple[str, list[Handled]]:
    """Handle the pages of a document in one way.

    Args:
        pages: PNG files.
        boxes: Of the fields and the QR code of each, which no stamp covers.
        rng: Draws how.

    Returns:
        The name of the way, and the pages.
    """
    name = rng.choices(HANDLINGS, WEIGHTS)[0]
    if name == "clean":
        return name, [Handled(page, WHOLE) for page in pages]
    quality = rng.randint(*QUALITIES)
    handled = []
    for page, fields in zip(pages, boxes, strict=True):
        picture, corners = _WAYS[name](Image.open(io.BytesIO(page)).convert("RGB"), fields, rng)
        handled.append(Handled(jpeg(picture, quality), corners))
    return name, handled


def projection(corners: Corners) -> np.ndarray:
    """Give the 3 x 3 matrix that takes a page's shares to its picture's (Heckbert 1989, square to quadrilateral)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    whole = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / whole, (dx1 * sy - sx * dy1) / whole
    return np.array([[x1 - x0 + g * x1, x3 - x0 + h * x3, x0], [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], [g, h, 1]])


def move(box: FieldBox, corners: Corners) -> FieldBox:
    """Give the upright box around a page's box where it is in the picture."""
    if corners == WHOLE:
        return box
    left, top, right, bottom = box
    points = projection(corners) @ np.array([[left, right, right, left], [top, top, bottom, bottom], [1, 1, 1, 1]])
    x, y = points[:2] / points[2]
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _scan(page: Image.Image, fields: Sequence[FieldBox], rng: random.Random) -> tuple[Image.Image, Corners]:
    """Lay a page askew on a scanner: grey more often than not, with noise, a little too light or too dark."""
    corners = _turned(page, rng.uniform(-SCAN_TURN, SCAN_TURN), 0)
    if rng.random() < 0.6:
        page = page.convert("L")
    scanned = _project(page, corners, page.size, (250,) * len(page.getbands()))
    gain, lift = rng.uniform(0.86, 1.04), rng.randint(0, 26)
    levels = [min(255, round(level * gain * (1 - lift / 255) + lift)) for level in range(256)]
    scanned = scanned.point(levels * len(scanned.getbands()))
    return _add_grain(scanned, rng.uniform(2, 7), rng), corners


def _stamp(page: Image.Image, fields: Sequence[FieldBox], rng: random.Random) -> tuple[Image.Image, Corners]:
    """Stamp a page where no field stands; it is scanned then."""
    mark = _draw_stamp(rng, page.width)
    for _ in range(30):
        left, top = rng.randint(0, max(page.width - mark.width, 0)), rng.randint(0, max(page.height - mark.height, 0))
        box = left / page.width, top / page.height, (left + mark.width) / page.width, (top + mark.height) / page.height
        if not any(_overlap(box, field) for field in fields):
            page.paste(Image.new("RGB", mark.size, rng.choice(INKS)), (left, top), mark)
            break
    return _scan(page, fields, rng)


def _draw_stamp(rng: random.Random, room: int) -> Image.Image:
    """Draw how much ink a stamp leaves: its frame and its word, patchy, turned."""
    size = round(room * rng.uniform(0.028, 0.045))
    font = load(OWN / "Cabin-BoldItalic.otf", size)
    word = rng.choice(STAMPS)
    width = round(font.getlength(word)) + 2 * size
    mark = Image.new("L", (width, size * 2), 0)
    pen = ImageDraw.Draw(mark)
    pen.rounded_rectangle((1, 1, width - 2, size * 2 - 2), radius=size // 3, outline=200, width=max(size // 9, 2))
    pen.text((size, size * 0.45), word, fill=205, font=font)
    grain = np.random.default_rng(rng.getrandbits(32)).random((size * 2, width), dtype=np.float32)
    mark = ImageChops.multiply(mark, Image.fromarray((165 + 90 * grain).astype(np.uint8)))
    return mark.rotate(rng.uniform(-14, 14), Image.Resampling.BICUBIC, expand=True)


def _fold(page: Image.Image, fields: Sequence[FieldBox], rng: random.Random) -> tuple[Image.Image, Corners]:
    """Fold a page in two or three, as letters are: each part catches the light in its own way."""
    parts = rng.choice((2, 3))
    height, width = page.height, page.width
    light = np.ones(height, dtype=np.float32)
    for number in range(parts):
        first, last = height * number // parts, height * (number + 1) // parts
        light[first:last] = np.linspace(rng.uniform(0.88, 1.0), rng.uniform(0.88, 1.0), last - first)
    for number in range(1, parts):
        crease = height * number // parts
        light[crease - 1 : crease + 1] *= 0.82
        light[crease + 1 : crease + 3] = np.minimum(light[crease + 1 : crease + 3] * 1.12, 1.0)
    shade = Image.fromarray((255 * light).astype(np.uint8)[:, None]).resize((width, height), Image.Resampling.NEAREST)
    page = ImageChops.multiply(page, Image.merge("RGB", (shade,) * 3))
    return _scan(page, fields, rng) if rng.random() < 0.5 else _photograph(page, fields, rng)


def _photograph(page: Image.Image, fields: Sequence[FieldBox], rng: random.Random) -> tuple[Image.Image, Corners]:
    """Photograph a page on a table, from not quite above, in light that falls from one side."""
    turned = _turned(page, rng.uniform(-PHOTO_TURN, PHOTO_TURN), ROOM)
    corners = tuple((x + rng.uniform(-TILT, TILT) * (1 - 2 * ROOM), y + rng.uniform(-TILT, TILT)) for x, y in turned)
    corners = tuple((min(max(x, 0.002), 0.998), min(max(y, 0.002), 0.998)) for x, y in corners)
    size = round(page.width * (1 + 2 * ROOM)), round(page.height * (1 + 2 * ROOM))
    photograph = _project(page, corners, size, rng.choice(TABLES))
    light = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    floor = rng.randint(165, 225)
    light = light.point([floor + level * (255 - floor) // 255 for level in range(256)])
    photograph = ImageChops.multiply(photograph, Image.merge("RGB", (light,) * 3))
    if rng.random() < 0.5:
        photograph = photograph.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.6)))
    return _add_grain(photograph, rng.uniform(1, 5), rng), corners


def _turned(page: Image.Image, degrees: float, room: float) -> Corners:
    """Turn the corners of a page around its middle, in a picture with room beside it."""
    ratio = page.height / page.width
    angle = np.deg2rad(degrees / max(ratio, 1))  # the ends of a till roll stay in the picture
    turned = []
    for x, y in WHOLE:
        across, down = x - 0.5, (y - 0.5) * ratio
        moved = across * np.cos(angle) - down * np.sin(angle), (across * np.sin(angle) + down * np.cos(angle)) / ratio
        turned.append(tuple(float(0.5 + part / (1 + 2 * room)) for part in moved))
    return tuple(turned)  # type: ignore[arg-type]


def _project(page: Image.Image, corners: Corners, size: tuple[int, int], ground: tuple[int, ...]) -> Image.Image:
    """Put a page where its corners say, on a ground of one colour."""
    inverse = np.linalg.inv(
        np.diag([size[0], size[1], 1]) @ projection(corners) @ np.diag([1 / page.width, 1 / page.height, 1])
    )
    inverse /= inverse[2, 2]
    fill = ground[0] if len(ground) == 1 else ground
    return page.transform(
        size, Image.Transform.PERSPECTIVE, tuple(inverse.flatten()[:8]), Image.Resampling.BILINEAR, fillcolor=fill
    )


def _add_grain(picture: Image.Image, deviation: float, rng: random.Random) -> Image.Image:
    """Add the same noise to all channels; deviation of 255. The noise of a tile is laid side by side."""
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((GRAIN, GRAIN), np.float32)
    tile = (128.5 + deviation * noise).clip(0, 255).astype(np.uint8)
    down, across = -(-picture.height // GRAIN), -(-picture.width // GRAIN)
    grain = Image.fromarray(np.tile(tile, (down, across))[: picture.height, : picture.width])
    bands = [ImageChops.add(band, grain, offset=-128) for band in picture.split()]
    return Image.merge(picture.mode, bands)


def _overlap(one: FieldBox, other: FieldBox) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


_Way = Callable[[Image.Image, Sequence[FieldBox], random.Random], tuple[Image.Image, Corners]]
_WAYS: Mapping[str, _Way] = {
    "scanned": _scan,
    "stamped": _stamp,
    "folded": _fold,
    "photographed": _photograph,
}
