"""How a chart looks: fonts, colours, sizes; and the texts it was drawn with, with the box of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..typefaces import OWN, load
from .marks import Mark

PAD = 14  # pixels around everything that is drawn
SPACE = 5  # pixels between two texts of a line, or they read as one


class Face(NamedTuple):
    """Two fonts of the package that go together, with the names that they call themselves."""

    body: str
    body_file: str
    heading: str
    heading_file: str
    bold: bool

    @property
    def body_path(self) -> Path:
        """Find the font of everything but titles."""
        return OWN / self.body_file

    @property
    def heading_path(self) -> Path:
        """Find the font of titles."""
        return OWN / self.heading_file


class Theme(NamedTuple):
    """Colours of a chart, as #rrggbb; each of the palette can be told from its neighbours, and from the paper."""

    paper: str
    ink: str
    faint: str
    palette: tuple[str, ...]


FACES = (
    Face("Cabin", "Cabin-Regular.otf", "Cabin", "Cabin-Regular.otf", False),
    Face("Cabin", "Cabin-Regular.otf", "Caladea", "Caladea-Bold.ttf", True),
    Face("Caladea", "Caladea-Regular.ttf", "Caladea", "Caladea-Bold.ttf", True),
    Face("Comic Neue", "ComicNeue-Regular.otf", "Comic Neue", "ComicNeue-Bold.otf", True),
)
THEMES = (
    Theme("#ffffff", "#222222", "#d5d5d5", ("#2f6db5", "#e0803a", "#4c9a5f", "#b8433f", "#7d5fa8", "#8a6a53",
                                            "#c76aa0", "#6f7a86")),
    Theme("#fbf7ec", "#3a2f24", "#e0d6c0", ("#9a3b26", "#d99a2b", "#4f7a6b", "#2f4a66", "#7f5a83", "#a6784c",
                                            "#5f8d3d", "#8c8c84")),
    Theme("#1d2430", "#eef1f6", "#465063", ("#6cb2ff", "#ffb454", "#7fd69a", "#ff8080", "#c3a6ff", "#e6d06a",
                                            "#f29ac8", "#a9b4c4")),
    Theme("#f3f6fb", "#1b2a41", "#cfd8e6", ("#0b5563", "#e4572e", "#76a21e", "#f0a202", "#5c4d7d", "#17a2a2",
                                            "#b5446e", "#6b7785")),
    Theme("#ffffff", "#111111", "#dddddd", ("#006a4e", "#c8102e", "#e0b000", "#1f4e9e", "#7a7a7a", "#8b3a8b",
                                            "#d96c1a", "#3fa0a0")),
    Theme("#f7f2f7", "#33213a", "#dccfe0", ("#6a3d9a", "#e67e9a", "#3d8f9a", "#d8902f", "#4059ad", "#7a9a3d",
                                            "#9c4a4a", "#858092")),
)  # fmt: skip


class ChartStyle(NamedTuple):
    """How one chart is drawn.

    Args:
        face: Its fonts.
        theme: Its colours.
        size: Of its letters, in pixels.
        width: Of the plot without the texts around it, in pixels.
        height: Likewise.
        labels: Whether values are printed; else each is on a gridline.
        scale: Whether a value axis stands beside printed values.
        legend: Whether names stand in a legend where they could stand beside their marks.
        varied: Whether each category has a colour of its own.
        turned: Whether the names of categories are turned to fit.
        shape: Number from 0 to 2 that picks between the looks of a template.
    """

    face: Face
    theme: Theme
    size: int
    width: int
    height: int
    labels: bool
    scale: bool
    legend: bool
    varied: bool
    turned: bool
    shape: int


class TextBox(NamedTuple):
    """A text of a picture and its box in pixels; lines are joined by spaces."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def moved(self, right: float, down: float) -> TextBox:
        """Give the box elsewhere."""
        return TextBox(self.text, self.left + right, self.top + down, self.right + right, self.bottom + down)


class Chart(NamedTuple):
    """A drawn chart."""

    picture: Image.Image
    texts: list[TextBox]
    marks: list[Mark]
    fonts: tuple[str, ...] = ()


def draw_style(rng: random.Random, labels: bool) -> ChartStyle:
    """Draw how a chart looks."""
    return ChartStyle(
        face=rng.choice(FACES),
        theme=rng.choice(THEMES),
        size=rng.randint(13, 17),
        width=rng.randint(360, 560),
        height=rng.randint(240, 380),
        labels=labels,
        scale=rng.random() < 0.5,
        legend=rng.random() < 0.5,
        varied=rng.random() < 0.35,
        turned=False,
        shape=rng.randrange(3),
    )


def grown(style: ChartStyle, attempt: int) -> ChartStyle:
    """Give the style of a further attempt: names turned, then more room, and so on."""
    factor = 1.25 ** (attempt // 2)
    return style._replace(
        width=round(style.width * factor), height=round(style.height * factor), turned=attempt % 2 == 1
    )


def text_width(text: str, path: Path, size: int) -> float:
    """Measure the longest line of a text, in pixels."""
    return max(load(path, size).getlength(line) for line in text.split("\n"))


def wrap(text: str, room: float, path: Path, size: int) -> str:
    """Break a text at its spaces into lines that fit a width in pixels; a word that is wider stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, path, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def clashes(texts: Sequence[TextBox], width: float, height: float) -> list[str]:
    """Say which texts cover one another or reach out of the picture."""
    problems = [
        f"{box.text!r} reaches out of the picture"
        for box in texts
        if not (0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height)
    ]
    for number, one in enumerate(texts):
        for other in texts[number + 1 :]:
            space = SPACE if abs(one.top - other.top) < SPACE else 0
            apart = one.right + space <= other.left or other.right + space <= one.left
            if not (apart or one.bottom <= other.top or other.bottom <= one.top):
                problems.append(f"{one.text!r} and {other.text!r} cover one another")
    return problems


def readable_on(colour: str) -> str:
    """Choose black or white letters for a background, by its luminance."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
