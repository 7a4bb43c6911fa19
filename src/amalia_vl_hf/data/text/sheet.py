"""A sheet that documents are written on: blocks in reading order, every piece of a line with its box and its ink."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image, ImageDraw

from ..typefaces import bold_of, handwritten, load, printed
from .text_pictures import Align, Colour

TALLEST = 1500  # pixels, before what is left blank is cut off
SMALLEST = 16  # pixels of letters, however long a text is
BREATH = 1.03  # from line to line, at least, in the font's own height
COLUMNS = " | "  # stands between the cells of a row, in what is to be read
INKS: tuple[Colour, ...] = ((20, 20, 20), (32, 34, 48), (45, 30, 24), (16, 42, 38), (38, 22, 52), (0, 0, 0))
PENS: tuple[Colour, ...] = ((18, 38, 122), (24, 24, 28), (12, 62, 110), (96, 20, 30), (10, 70, 48))
PAPERS: tuple[Colour, ...] = (
    (255, 255, 255), (252, 250, 244), (249, 245, 232), (244, 247, 250), (247, 241, 243), (240, 246, 238), (250, 248,
    224),
)  # fmt: skip
ACCENTS: tuple[Colour, ...] = (
    (140, 24, 36), (18, 74, 128), (14, 92, 62), (104, 44, 120), (150, 66, 8), (60, 60, 66), (12, 86, 96), (120, 28,
    84),
)  # fmt: skip
WHITE: Colour = (255, 255, 255)


class Look(NamedTuple):
    """How letters look: font file, size in pixels, RGB."""

    face: Path
    size: int
    ink: Colour


class InkPiece(NamedTuple):
    """Letters of one look in a line; `right` and `middle` say which of its places `left` is."""

    text: str
    look: Look
    left: int
    align: Align = "left"


class Titled(NamedTuple):
    """A text and its title, which it may lack."""

    title: str
    text: str


class TextWriter(Protocol):
    """Gives the texts of one document."""

    def __call__(self, *topics: str) -> Titled:
        """Give one of our texts about one of some topics, or one of the user's."""

    def conversation(self) -> list[str]:
        """Give messages that answer one another."""

    def story(self) -> tuple[str, list[str]]:
        """Give a title and paragraphs that follow one another."""


class Desk(NamedTuple):
    """What a document is made with.

    Args:
        rng: Decides.
        face: Of its running text.
        bold: Of its headings, the bold one of the same family where there is one.
        hand: As if written by hand.
        ink: Of its running text.
        accent: Of headings and bars; white stands out from it.
        paper: Of the sheet; ink and accent stand out from it.
        write: Gives texts of ours or of the user's, none twice.
    """

    rng: random.Random
    face: Path
    bold: Path
    hand: Path
    ink: Colour
    accent: Colour
    paper: Colour
    write: TextWriter

    def body(self, least: int = 18, most: int = 22) -> Look:
        """Draw a size for running text."""
        return Look(self.face, self.rng.randint(least, most), self.ink)

    def heading(self, size: int) -> Look:
        """Give headings of a size, in ink or accent."""
        return Look(self.bold, size, self.rng.choice((self.ink, self.accent)))

    def pen(self, least: int = 26, most: int = 31) -> Look:
        """Draw a pen."""
        return Look(self.hand, self.rng.randint(least, most), self.rng.choice(PENS))

    def chance(self, share: float) -> bool:
        """Say yes so often."""
        return self.rng.random() < share


def lay_out(rng: random.Random, typefaces: tuple[Path, ...], write: TextWriter) -> Desk:
    """Choose fonts and colours for a document."""
    face = rng.choice(printed(typefaces))
    bold = bold_of(face, typefaces) if rng.random() < 0.8 else rng.choice(printed(typefaces))
    hand = rng.choice(handwritten(typefaces))
    return Desk(rng, face, bold, hand, rng.choice(INKS), rng.choice(ACCENTS), rng.choice(PAPERS), write)


class Sheet:
    """A sheet under way.

    Args:
        width: In pixels.
        paper: Its colour.
    """

    def __init__(self, width: int, paper: Colour) -> None:
        self.width, self.paper = width, paper
        self.image = Image.new("RGB", (width, TALLEST), paper)
        self.canvas = ImageDraw.Draw(self.image)
        self.blocks: list[dict[str, Any]] = []
        self.faces: set[str] = set()
        self.region = 0

    def write(
        self, text: str, look: Look, top: int, left: int, width: int, align: Align = "left", leading: float = 1.35
    ) -> int:
        """Write a block between two margins, broken into lines; gives where the next may begin.

        Raises:
            ValueError: A word is wider.
        """
        step, lines = line_step(look, leading), []
        for line in break_lines(text, look, width):
            place = {"left": left, "center": left + width // 2, "right": left + width}[align]
            lines.append([self._draw(InkPiece(line, look, place, align), top)])
            top += step
        self._add(lines, " ", [look.ink])
        return top

    def row(self, pieces: Sequence[InkPiece], top: int, glue: str = COLUMNS, leading: float = 1.35) -> int:
        """Write a block of one line, its pieces on one baseline from left to right; gives where the next may begin."""
        biggest = max((piece.look for piece in pieces), key=lambda look: line_step(look, leading))
        foot = _rise(biggest)
        line = [self._draw(piece, top + foot - _rise(piece.look)) for piece in pieces]
        self._add([line], glue, [piece.look.ink for piece in pieces])
        return top + line_step(biggest, leading)

    def rule(self, top: int, left: int, right: int, colour: Colour, thickness: int = 1) -> None:
        """Draw a line across."""
        self.canvas.rectangle((left, top, right, top + thickness - 1), fill=colour)

    def frame(self, colour: Colour, thickness: int) -> None:
        """Draw a frame around what was cut."""
        height, inset = self.image.height, 8
        box = (inset, inset, self.width - inset - 1, height - inset - 1)
        ImageDraw.Draw(self.image).rectangle(box, outline=colour, width=thickness)

    def next_region(self) -> None:
        """Begin a part that is read after what is there, from its top to its foot: a column, a card."""
        self.region += 1

    def cut(self, bottom: int) -> None:
        """Cut the blank rest off."""
        self.image = self.image.crop((0, 0, self.width, min(bottom, TALLEST)))

    def _draw(self, piece: InkPiece, top: int) -> list[Any]:
        look = piece.look
        font = load(look.face, look.size)
        self.faces.add(look.face.name)
        left = piece.left - {"left": 0.0, "center": 0.5, "right": 1.0}[piece.align] * font.getlength(piece.text)
        place = (round(left), top + _rise(look))
        self.canvas.text(place, piece.text, font=font, fill=look.ink, anchor="ls")
        west, north, east, south = self.canvas.textbbox(place, piece.text, font=font, anchor="ls")
        return [piece.text, int(north), int(west), int(south), int(east)]

    def _add(self, lines: list[list[list[Any]]], glue: str, inks: list[Colour]) -> None:
        self.blocks.append({"lines": lines, "glue": glue, "inks": inks, "region": self.region})


def line_step(look: Look, leading: float) -> int:
    """Give what is from line to line, in pixels; fonts with long strokes need more."""
    font = load(look.face, look.size)
    return round(max(leading * look.size, BREATH * sum(font.getmetrics())))


def break_lines(text: str, look: Look, width: int) -> list[str]:
    """Break a text between words into lines of at most so many pixels; its own line breaks stay.

    Raises:
        ValueError: A word is wider.
    """
    lines, blank = [], _word_length(" ", look.face, look.size)
    for paragraph in text.split("\n"):
        words: list[str] = []
        taken = 0.0
        for word in paragraph.split():
            step = _word_length(word, look.face, look.size)
            if step > width:
                raise ValueError(f"{word!r} is wider than {width} pixels at {look.size} pixels in {look.face.name}")
            if words and taken + step > width:
                lines.append(" ".join(words))
                words, taken = [], 0.0
            words.append(word)
            taken += step + blank
        lines.append(" ".join(words))
    return lines


def fit(text: str, look: Look, width: int) -> Look:
    """Take a smaller size where a text would be wider than so many pixels."""
    while load(look.face, look.size).getlength(text) > width and look.size > SMALLEST:
        look = look._replace(size=look.size - 1)
    return look


def length(text: str, look: Look) -> int:
    """Give how wide a text is, in pixels."""
    return round(load(look.face, look.size).getlength(text))


@lru_cache(maxsize=100_000)
def _word_length(word: str, face: Path, size: int) -> float:
    return load(face, size).getlength(word)


def _rise(look: Look) -> int:
    """Give what is from the top of a line to its baseline, in pixels."""
    return int(load(look.face, look.size).getmetrics()[0])
