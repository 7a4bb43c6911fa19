"""Scenes of coloured shapes with a word on a sign, drawn from a seed with Pillow alone.

A scene has four quadrants; one holds the sign, each of the others may hold one shape. Train and test scenes never
share a combination of a shape, its colour, its number and the word on the sign: `split_of` says which is whose.
"""

import math
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

Split = Literal["train", "test"]
Gender = Literal["m", "f"]
Point = tuple[float, float]
Ink = tuple[int, int, int] | int
Box = tuple[float, float, float, float]

MAX_SHAPES = 3
TWO_KINDS = 0.15  # share, of the scenes with several shapes, in which these are of two kinds
SIGN_INDEX = MAX_SHAPES + 1
SIGN_HEIGHT, SIGN_WIDTH, MARGIN = 44, 120, 4  # pixels


class ShapeName(NamedTuple):
    """A shape's Portuguese noun."""

    singular: str
    plural: str
    gender: Gender


class ColourName(NamedTuple):
    """A colour's adjective in European Portuguese, Brazil's own word for one and for many, if any, and its RGB."""

    masculine: str
    feminine: str
    masculine_plural: str
    feminine_plural: str
    brazilian: tuple[str, str] | None
    rgb: tuple[int, int, int]


class Quadrant(NamedTuple):
    """A quarter of the picture: row 0 is the upper one, column 0 the left one."""

    row: int
    col: int


SHAPES = (
    ShapeName("círculo", "círculos", "m"),
    ShapeName("quadrado", "quadrados", "m"),
    ShapeName("triângulo", "triângulos", "m"),
    ShapeName("estrela", "estrelas", "f"),
    ShapeName("losango", "losangos", "m"),
    ShapeName("cruz", "cruzes", "f"),
)
COLOURS = (
    ColourName("vermelho", "vermelha", "vermelhos", "vermelhas", None, (215, 35, 40)),
    ColourName("azul", "azul", "azuis", "azuis", None, (35, 75, 215)),
    ColourName("verde", "verde", "verdes", "verdes", None, (30, 150, 70)),
    ColourName("amarelo", "amarela", "amarelos", "amarelas", None, (245, 210, 40)),
    ColourName("castanho", "castanha", "castanhos", "castanhas", ("marrom", "marrons"), (115, 65, 30)),
    ColourName("cinzento", "cinzenta", "cinzentos", "cinzentas", ("cinza", "cinza"), (130, 130, 135)),
    ColourName("cor-de-rosa", "cor-de-rosa", "cor-de-rosa", "cor-de-rosa", ("rosa", "rosa"), (250, 130, 190)),
    ColourName(
        "cor de laranja", "cor de laranja", "cor de laranja", "cor de laranja", ("laranja", "laranja"), (250, 130, 20)
    ),
)
# Capitals without accents: the font inside Pillow has no accented glyphs.
WORDS = (
    *("SOL", "LUA", "MAR", "RIO", "CASA", "GATO", "PATO", "BOLO", "LIVRO", "PORTO"),
    *("FARO", "BRAGA", "BEJA", "VISEU", "LEITE", "SUMO", "TALHO", "FLOR", "PRAIA", "BARCO"),
    *("MESA", "PORTA", "RUA", "PEIXE", "LIMA", "UVA", "PERA", "SAL", "VENTO", "CHUVA"),
    *("NEVE", "LAGO", "MONTE", "SERRA", "TERRA", "FOGO", "BOLA", "DADO", "SINO", "JARRO"),
)
QUADRANTS = tuple(Quadrant(row, col) for row in range(2) for col in range(2))
# (height, width) in pixels; cut into four 64-pixel tiles at most: 2x2, 2x2 less rows, 2x2 less columns, 1x3.
PICTURE_SIZES = ((256, 256), (192, 256), (256, 192), (128, 384))
BACKGROUNDS = ((250, 248, 240), (232, 242, 250), (236, 246, 232), (250, 236, 236), (242, 238, 250))
PLATES = (((255, 255, 255), (20, 20, 20)), ((25, 40, 95), (255, 255, 255)), ((255, 245, 190), (60, 30, 0)))


class SceneShape(NamedTuple):
    """One shape: its name, its colour, where it stands; `radius` and the offsets are fractions of the room it has."""

    name: ShapeName
    colour: ColourName
    quadrant: Quadrant
    radius: float = 0.9
    shift_y: float = 0.0
    shift_x: float = 0.0


class Sign(NamedTuple):
    """A plate with a word; `plate` and `ink` are RGB."""

    word: str
    quadrant: Quadrant
    plate: tuple[int, int, int] = PLATES[0][0]
    ink: tuple[int, int, int] = PLATES[0][1]


@dataclass(frozen=True)
class Scene:
    """What a picture shows: one to three shapes in reading order, those of a name in one colour, and a sign."""

    height: int
    width: int
    background: tuple[int, int, int]
    shapes: tuple[SceneShape, ...]
    sign: Sign

    def only(self, name: ShapeName) -> SceneShape | None:
        """Find the one shape of that name; None when there are none or several."""
        namesakes = [shape for shape in self.shapes if shape.name == name]
        return namesakes[0] if len(namesakes) == 1 else None

    def count(self, name: ShapeName) -> int:
        """Count the shapes of that name."""
        return sum(shape.name == name for shape in self.shapes)


def split_of(name: ShapeName, colour: ColourName, count: int, word: str) -> Split:
    """Say which split so many shapes of a colour, beside a sign with that word, belong to.

    One combination of five is held out, by a checksum, so that neither split leans to a shape, colour, count or word.
    """
    combination = f"{count} {name.singular} {colour.masculine} {word}"
    return "test" if zlib.crc32(combination.encode()) % 5 == 0 else "train"


def draw_scene(rng: random.Random, split: Split) -> Scene:
    """Draw a scene whose shapes, with their number and the sign's word, are combinations of `split`.

    There are one or, less often, two kinds of shape; those of a kind have one colour. The sign has a quadrant of its
    own.
    """
    height, width = rng.choice(PICTURE_SIZES)
    sign = Sign(rng.choice(WORDS), rng.choice(QUADRANTS), *rng.choice(PLATES))
    total = rng.randint(1, MAX_SHAPES)
    mixed = total > 1 and rng.random() < TWO_KINDS
    counts = [first := rng.randint(1, total - 1), total - first] if mixed else [total]
    groups = _draw_groups(rng, split, sign.word, counts)
    shapes = [group for group, count in zip(groups, counts, strict=True) for _ in range(count)]
    rng.shuffle(shapes)
    places = sorted(rng.sample([quadrant for quadrant in QUADRANTS if quadrant != sign.quadrant], total))
    placed = (_placed(rng, *shape, place) for shape, place in zip(shapes, places, strict=True))
    return Scene(height, width, rng.choice(BACKGROUNDS), tuple(placed), sign)


def _draw_groups(rng: random.Random, split: Split, word: str, counts: list[int]) -> list[tuple[ShapeName, ColourName]]:
    """Draw a shape and a colour for each group of so many."""
    groups: list[tuple[ShapeName, ColourName]] = []
    for count in counts:
        taken = [name for name, _ in groups]
        allowed = [
            (name, colour)
            for name in SHAPES
            for colour in COLOURS
            if name not in taken and split_of(name, colour, count, word) == split
        ]
        groups.append(rng.choice(allowed))
    return groups


def _placed(rng: random.Random, name: ShapeName, colour: ColourName, quadrant: Quadrant) -> SceneShape:
    size, shift_y, shift_x = rng.uniform(0.8, 0.95), rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)
    return SceneShape(name, colour, quadrant, size, shift_y, shift_x)


def render(scene: Scene) -> Image.Image:
    """Draw the scene.

    Returns:
        An RGB picture of `scene.height` rows and `scene.width` columns.
    """
    picture = Image.new("RGB", (scene.width, scene.height), scene.background)
    pen = ImageDraw.Draw(picture)
    for shape in scene.shapes:
        y, x, radius = shape_place(scene, shape)
        _OUTLINES[shape.name.singular](pen, (y, x), radius, shape.colour.rgb)
    top, left, bottom, right = sign_box(scene)
    pen.rectangle((left, top, right, bottom), fill=scene.sign.plate, outline=scene.sign.ink, width=2)
    font = _fitting_font(scene.sign.word, right - left - 8, bottom - top - 8)
    pen.text(((left + right) / 2, (top + bottom) / 2), scene.sign.word, fill=scene.sign.ink, font=font, anchor="mm")
    return picture


def object_map(scene: Scene) -> Image.Image:
    """Draw which object each pixel shows.

    Returns:
        A grey picture of the size of the scene's: 0 where nothing is, 1 to 3 on the shapes in their order, and
        `SIGN_INDEX` on the sign.
    """
    picture = Image.new("L", (scene.width, scene.height), 0)
    pen = ImageDraw.Draw(picture)
    for index, shape in enumerate(scene.shapes, start=1):
        y, x, radius = shape_place(scene, shape)
        _OUTLINES[shape.name.singular](pen, (y, x), radius, index)
    top, left, bottom, right = sign_box(scene)
    pen.rectangle((left, top, right, bottom), fill=SIGN_INDEX)
    return picture


def shape_place(scene: Scene, shape: SceneShape) -> tuple[float, float, float]:
    """Work out centre row, centre column and radius of a shape, in pixels."""
    top, left, bottom, right = _quadrant_box(scene, shape.quadrant)
    radius = min(bottom - top, right - left, 100) / 2 * shape.radius
    y = (top + bottom) / 2 + shape.shift_y * ((bottom - top) / 2 - radius)
    x = (left + right) / 2 + shape.shift_x * ((right - left) / 2 - radius)
    return y, x, radius


def sign_box(scene: Scene) -> Box:
    """Find top, left, bottom, right of the sign, in pixels: at its quadrant's outer edge, along the longer side."""
    top, left, bottom, right = _quadrant_box(scene, scene.sign.quadrant)
    if scene.width > 2 * scene.height:
        depth = SIGN_WIDTH
        left, right = (left, left + depth) if scene.sign.quadrant.col == 0 else (right - depth, right)
        return top + 6, left, bottom - 6, right
    depth = SIGN_HEIGHT
    top, bottom = (top, top + depth) if scene.sign.quadrant.row == 0 else (bottom - depth, bottom)
    return top, left, bottom, right


def _quadrant_box(scene: Scene, quadrant: Quadrant) -> Box:
    height, width = scene.height / 2, scene.width / 2
    top, left = quadrant.row * height, quadrant.col * width
    return top + MARGIN, left + MARGIN, top + height - MARGIN, left + width - MARGIN


@lru_cache
def _fitting_font(word: str, width: float, height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Find the largest font in which `word` fits into `width` x `height` pixels."""
    for size in range(36, 8, -1):
        font = ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(word)
        if right - left <= width and bottom - top <= height:
            return font
    raise ValueError(f"the word {word!r} does not fit into {width} x {height} pixels, even at the smallest size")


def _circle(pen: ImageDraw.ImageDraw, centre: Point, radius: float, ink: Ink) -> None:
    y, x = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _polygon(corners: list[Point]) -> Callable[[ImageDraw.ImageDraw, Point, float, Ink], None]:
    """Make a pen stroke that fills a polygon, whose (row, column) corners are on the unit circle's scale."""

    def fill(pen: ImageDraw.ImageDraw, centre: Point, radius: float, ink: Ink) -> None:
        pen.polygon([(centre[1] + radius * x, centre[0] + radius * y) for y, x in corners], fill=ink)

    return fill


def _star() -> list[Point]:
    angles = [(math.pi * step / 5, 1.0 if step % 2 == 0 else 0.42) for step in range(10)]
    return [(-length * math.cos(angle), length * math.sin(angle)) for angle, length in angles]


def _cross(arm: float = 0.3) -> list[Point]:
    quarter = [(-1.0, -arm), (-1.0, arm), (-arm, arm)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(x, -y) for y, x in quarter]
    return corners


_OUTLINES = {
    "círculo": _circle,
    "quadrado": _polygon([(-0.85, -0.85), (-0.85, 0.85), (0.85, 0.85), (0.85, -0.85)]),
    "triângulo": _polygon([(-0.9, 0.0), (0.8, -1.0), (0.8, 1.0)]),
    "estrela": _polygon(_star()),
    "losango": _polygon([(-1.0, 0.0), (0.0, 0.7), (1.0, 0.0), (0.0, -0.7)]),
    "cruz": _polygon(_cross()),
}
