"""Whole documents: which kinds there are, one drawn, what is read in it in which order, what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..dataset import Materials
from . import letters, press, scenes, tables
from .passages import TITLED, fill, texts, write_conversation, write_passage, write_story
from .sheet import COLUMNS, Desk, Sheet, Titled, lay_out
from .text_pictures import MIN_INK, Colour, Line, ink_share

KINDS: dict[str, Callable[[Desk], Sheet]] = {
    "letter": letters.letter,
    "e-mail": letters.email,
    "notice": letters.notice,
    "note by hand": letters.note,
    "messages": letters.chat,
    "postcard": letters.postcard,
    "recipe": letters.recipe,
    "menu": tables.menu,
    "price list": tables.price_list,
    "timetable": tables.timetable,
    "lessons": tables.lessons,
    "opening hours": tables.opening_hours,
    "form": tables.form,
    "label": tables.label,
    "ticket": tables.ticket,
    "newspaper": press.newspaper,
    "leaflet": press.leaflet,
    "slide": press.slide,
    "poster": press.poster,
    "book page": press.book_page,
    "street plate": scenes.street_plate,
    "road sign": scenes.road_sign,
    "shop front": scenes.shop_front,
    "warning": scenes.order,
    "blackboard": scenes.blackboard,
    "market stall": scenes.stall,
    "station board": scenes.departures,
}
# A sign has few words, a letter many: those with whole sentences come up twice as often.
WEIGHTS = [1 if kind in list(KINDS)[20:] else 2 for kind in KINDS]
MOST_TEXTS = 3  # of the user's, in one document
OVERLAP = 0.2  # of the smaller of two boxes; long strokes reach into the next line
LEVEL = 0.5  # of the lower of two pieces of a line, that the other stands beside
TRIES = 5


class DrawnDocument(NamedTuple):
    """A document as it was drawn.

    Args:
        kind: One of `KINDS`.
        image: RGB.
        blocks: In reading order: `lines` of pieces, each its text and its box, the `glue` between the pieces of a
            line, their `inks`, and the `region` that is read to its foot before the next.
        fonts: Files, without folders.
    """

    kind: str
    image: Image.Image
    blocks: list[dict[str, Any]]
    fonts: list[str]

    def truth(self) -> dict[str, Any]:
        """Give what `document_faults` needs, as JSON has it."""
        return {"layout": self.kind, "blocks": self.blocks, "fonts": self.fonts}


def draw_document(rng: random.Random, index: int, materials: Materials) -> DrawnDocument:
    """Draw a document of one of the kinds, of our texts or the user's.

    Raises:
        ValueError: In every kind that was tried, a word is wider than its column, or something does not fit.
    """
    problems = []
    for _ in range(TRIES):
        kind = rng.choices(list(KINDS), WEIGHTS)[0]
        try:
            sheet = KINDS[kind](lay_out(rng, materials.typefaces, Writer(rng, index, materials)))
        except ValueError as error:
            problems.append(str(error))
            continue
        found = document_faults(sheet.image, sheet.blocks)
        if not found:
            return DrawnDocument(kind, sheet.image, sheet.blocks, sorted(sheet.faces))
        problems += found
    raise ValueError(problems[0])


def block_texts(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the text of each block, its lines joined."""
    return [" ".join(line_texts(block)) for block in blocks]


def line_texts(block: Mapping[str, Any]) -> list[str]:
    """Give the text of each line of a block."""
    return [block["glue"].join(piece[0] for piece in line) for line in block["lines"]]


def paragraph_blocks(
    paragraphs: Sequence[str], lines: Sequence[Line], ink: Colour, region: int
) -> list[dict[str, Any]]:
    """Part the lines that were drawn, one below the other, among the paragraphs they are of."""
    blocks, left = [], list(lines)
    for paragraph in paragraphs:
        words, taken = len(paragraph.split()), []
        while words > 0 and left:
            taken.append(left.pop(0))
            words -= len(taken[-1].text.split())
        blocks.append({"lines": [[list(line)] for line in taken], "glue": " ", "inks": [ink], "region": region})
    return blocks


def has_columns(blocks: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether rows have cells, which a transcription has to part."""
    return any(block["glue"] == COLUMNS for block in blocks)


def pieces_of(blocks: Sequence[Mapping[str, Any]]) -> list[tuple[Line, Colour]]:
    """List all that is written, each piece with its box and its ink."""
    return [
        (Line(*piece), tuple(block["inks"][min(number, len(block["inks"]) - 1)]))
        for block in blocks
        for line in block["lines"]
        for number, piece in enumerate(line)
    ]


def document_faults(image: Image.Image, blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Hold a picture to what stands in it: all is seen, nothing covers another, the order is that of readers."""
    pieces, pixels = pieces_of(blocks), np.asarray(image.convert("RGB"))
    problems = [
        f"no ink where {piece.text!r} should be" for piece, ink in pieces if ink_share(pixels, piece, ink) < MIN_INK
    ]
    boxes = [piece for piece, _ in pieces]
    covered = [pair for pair in combinations(boxes, 2) if _covers(*pair)]
    problems += [f"{one.text!r} and {other.text!r} are written over each other" for one, other in covered]
    return problems + order_faults(blocks)


def order_faults(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Hold blocks to their order: lines go down in a region, pieces to the right in a line, regions down or right."""
    problems: list[str] = []
    regions: dict[int, list[list[Line]]] = {}
    for block in blocks:
        for line in block["lines"]:
            regions.setdefault(block["region"], []).append([Line(*piece) for piece in line])
    for lines in regions.values():
        for line, below in pairwise(lines):
            if not line[0].bottom - line[0].top or _middle(line[0]) >= _middle(below[0]):
                problems.append(f"{below[0].text!r} is not below {line[0].text!r}")
        for piece, right in (pair for line in lines for pair in pairwise(line)):
            if piece.left >= right.left or not _beside(piece, right):
                problems.append(f"{right.text!r} is not at the right of {piece.text!r}")
    areas = [_around([piece for line in lines for piece in line]) for _, lines in sorted(regions.items())]
    for before, after in pairwise(areas):
        if after.top < before.bottom and after.left < before.right:
            problems.append(
                f"the part {tuple(after[1:])} is read after {tuple(before[1:])} and is neither below nor right"
            )
    return problems


class Writer:
    """Gives the texts of one document, none twice: ours by topic, or the user's in turn.

    Args:
        rng: Decides.
        index: Number of the sample.
        materials: Whose passages they are.
    """

    def __init__(self, rng: random.Random, index: int, materials: Materials) -> None:
        self.rng, self.index, self.materials = rng, index, materials
        self.used: set[str] = set()

    def __call__(self, *topics: str) -> Titled:
        """Give a text about one of the topics, as the headings of our texts begin."""
        if self.materials.passages is not write_passage:
            number = MOST_TEXTS * self.index + len(self.used) % MOST_TEXTS
            self.used.add(str(number) if str(number) not in self.used else f"{number} {len(self.used)}")
            return Titled("", self.materials.passages(self.rng, number).text)
        about = [line for name, lines in texts().items() if name.startswith(topics) for line in lines]
        line = self.rng.choice([line for line in about if line not in self.used])
        self.used.add(line)
        title, _, text = fill(line, self.rng).rpartition(TITLED)
        return Titled(title, text)

    def conversation(self) -> list[str]:
        """Give messages that answer one another; the user's texts one after the other."""
        if self.materials.passages is not write_passage:
            return [self().text for _ in range(self.rng.randint(2, MOST_TEXTS))]
        return write_conversation(self.rng)

    def story(self) -> tuple[str, list[str]]:
        """Give the title and the paragraphs of a page; the user's texts one after the other."""
        if self.materials.passages is not write_passage:
            return "", [self().text for _ in range(self.rng.randint(2, MOST_TEXTS))]
        return write_story(self.rng)


def _covers(one: Line, other: Line) -> bool:
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    across = min(one.right, other.right) - max(one.left, other.left)
    if down <= 0 or across <= 0:
        return False
    return down * across > OVERLAP * min(_area(one), _area(other))


def _area(line: Line) -> int:
    return (line.bottom - line.top) * (line.right - line.left)


def _middle(line: Line) -> float:
    return (line.top + line.bottom) / 2


def _beside(one: Line, other: Line) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared >= LEVEL * min(one.bottom - one.top, other.bottom - other.top)


def _around(pieces: Sequence[Line]) -> Line:
    tops, lefts, bottoms, rights = zip(*(piece[1:] for piece in pieces), strict=True)
    return Line("", min(tops), min(lefts), max(bottoms), max(rights))
