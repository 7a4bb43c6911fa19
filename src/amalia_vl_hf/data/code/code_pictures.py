"""Pictures of code and of what programs print, drawn by Pygments in many themes, with the box of every line."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from pygments.formatters.img import ImageFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.styles import get_style_by_name
from pygments.token import Comment, Error

from ..dataset import Box, RejectedError
from ..text.text_pictures import Colour, Line, contrast, draw_colour
from ..typefaces import GLYPHS, OWN, load

# Those of CodeSearchNet, and what programs print.
CodeLanguage = Literal["python", "java", "javascript", "php", "ruby", "go", "text"]
SUFFIXES: dict[CodeLanguage, str] = {
    "python": "py", "java": "java", "javascript": "js", "php": "php", "ruby": "rb", "go": "go",
}  # fmt: skip

MAX_LINES = 50  # paper, section 5.1
MAX_LETTERS = 110  # of a line: 1,760 pixels in the widest font, at the largest size
TAB = 4  # spaces
SIZES = (14, 22)  # of the letters, in pixels
LEADING = (0.35, 0.7)  # from the foot of a line to the head of the next, in letter heights
PADDING = (12, 40)  # pixels around the code
NUMBERED = 0.3  # of the pictures of code
FRAMED = 0.4  # of all pictures: in a window, on a desktop
BAR = 28  # pixels, of a window's title
BUTTONS = 88  # pixels that the bar's buttons take, with room around them
TITLED = 0.6  # of the windows with code, where the name fits
TITLE_SIZE = 14  # pixels, of its letters
DESKTOP = (10, 48)  # pixels around a window
MUTED, SHADES = 0.35, (0.25, 0.95)  # saturation at most and brightness of a desktop, as of `draw_colour`
LIGHTS: tuple[Colour, ...] = ((255, 95, 86), (255, 189, 46), (39, 201, 63))  # a window's buttons

# Those of Pygments' own in which every word of Python stands out from the paper, 3 to 1, and plain text 4.5 to 1
# (WCAG 2.2, success criterion 1.4.3), and none has a paper of its own; of code in other languages the same is
# asked. They are named here, so that themes that are added there do not change what a seed gives.
MIN_CONTRAST = 3.0
THEMES = (
    "algol", "algol_nu", "borland", "bw", "default", "dracula", "emacs", "github-dark",
    "gruvbox-dark", "gruvbox-light", "igor", "lightbulb", "lovelace", "monokai", "native", "night-owl", "one-dark",
    "perldoc", "rrt", "sas", "staroffice", "stata-dark", "tango", "vs", "xcode", "zenburn",
)  # fmt: skip


class CodeFont(NamedTuple):
    """The files of a monospaced font; those without a bold one draw keywords like the rest."""

    regular: Path
    bold: Path


_CODE = OWN / "code"
CODE_FONTS = (
    CodeFont(_CODE / "AnonymousPro-Regular.ttf", _CODE / "AnonymousPro-Bold.ttf"),
    CodeFont(_CODE / "CourierPrimeCode.otf", _CODE / "CourierPrimeCode.otf"),
    CodeFont(_CODE / "CourierPrimeSans.otf", OWN / "CourierPrimeSans-Bold.otf"),
    CodeFont(_CODE / "LeagueMono-Regular.otf", _CODE / "LeagueMono-Bold.otf"),
    CodeFont(_CODE / "LeagueMono-NarrowRegular.otf", _CODE / "LeagueMono-NarrowBold.otf"),
)


class Area(NamedTuple):
    """Where a picture has lines and nothing else, in pixels: neither line numbers nor a window's frame."""

    top: int
    left: int
    bottom: int
    right: int


class CodePicture(NamedTuple):
    """Code as it was drawn.

    Args:
        image: RGB.
        lines: Those that are not blank, from the top; a text has its indentation, its box only the ink.
        area: What holds them.
        paper: Colour of the area where there is no ink.
        theme: Of Pygments.
        numbered: Whether line numbers stand at its left.
    """

    image: Image.Image
    lines: list[Line]
    area: Area
    paper: Colour
    theme: str
    numbered: bool

    def truth(self) -> dict[str, Any]:
        """Give what `picture_faults` needs, as JSON has it."""
        return {name: value for name, value in self._asdict().items() if name != "image"}


def draw_code(source: str, rng: Random, language: CodeLanguage, title: str = "") -> CodePicture:
    """Draw a program, or with `"text"` what one prints; tabs are four spaces wide.

    Args:
        source: What is drawn.
        rng: Decides how.
        language: Of the code.
        title: Name that a window's bar may show, without what stands for the language; it is left out where it does
            not fit.

    Raises:
        RejectedError: It is blank, has too many lines, too long a line, a letter that fonts may lack, words that are
            none of the language, or that stand out from the paper of no theme.
    """
    check_drawable(source)
    text = source.expandtabs(TAB)
    tokens = read_code(text, language)
    themes = [
        theme
        for theme in THEMES
        if all(_stands_out(theme, kind) for kind in {kind for kind, word in tokens if word.strip()})
    ]
    if not themes:
        raise RejectedError("no theme shows all of the code")
    theme, family = rng.choice(themes), rng.choice(CODE_FONTS)
    numbered = language != "text" and rng.random() < NUMBERED
    formatter = _formatter(theme, family, numbered, len(text.splitlines()), rng)
    drawn = io.BytesIO()
    formatter.format(tokens, drawn)
    image = Image.open(drawn).convert("RGB")
    left = formatter.image_pad + formatter.line_number_width
    lines, area = _find_lines(formatter, text, left), Area(0, left - formatter.line_number_pad // 2, *image.size[::-1])
    picture = CodePicture(image, lines, area, _colour(formatter.background_color), theme, numbered)
    if rng.random() >= FRAMED:
        return picture
    name = f"{title}.{SUFFIXES[language]}" if title and rng.random() < TITLED else ""
    return _frame(picture, name, rng)


def read_code(text: str, language: CodeLanguage) -> list[tuple[Any, str]]:
    """Read the words of a program.

    Raises:
        RejectedError: Some are none of the language.
    """
    tokens = list(_lexer(language).get_tokens(text))
    if any(kind in Error for kind, _ in tokens):  # some themes give it a paper of its own
        raise RejectedError("Pygments cannot read the code")
    return tokens


@lru_cache
def _lexer(language: CodeLanguage) -> Lexer:
    options = {"startinline": True} if language == "php" else {}
    return get_lexer_by_name(language, stripnl=False, **options)


@lru_cache(maxsize=10_000)
def _stands_out(theme: str, kind: Any) -> bool:
    """Tell whether words of a kind can be read in a theme."""
    style = get_style_by_name(theme)
    look = style.style_for_token(kind)
    return not look["bgcolor"] and contrast(
        _colour(f"#{look['color'] or '000'}"), _colour(style.background_color)
    ) >= (MIN_CONTRAST)


def check_drawable(source: str) -> None:
    """Refuse what a picture cannot hold.

    Raises:
        RejectedError: It is blank, has too many lines, too long a line, or a letter that fonts may lack.
    """
    lines = source.expandtabs(TAB).split("\n")
    if not source.strip():
        raise RejectedError("nothing to draw")
    if unknown := set(source) - GLYPHS - {" ", "\t", "\n"}:
        raise RejectedError("a letter that fonts may lack", " ".join(map(ascii, sorted(unknown))))
    if len(lines) > MAX_LINES:
        raise RejectedError("too many lines to draw", f"{len(lines)}, at most {MAX_LINES}")
    if (longest := max(map(len, lines))) > MAX_LETTERS:
        raise RejectedError("a line is too long to draw", f"{longest} letters, at most {MAX_LETTERS}")


def picture_faults(image: Image.Image, truth: Mapping[str, Any], source: str) -> list[str]:
    """Hold a picture to the code it should show.

    Args:
        image: As it is read from the row.
        truth: As `CodePicture.truth` gave it.
        source: What was drawn.

    Returns:
        Lines that are not those of the source; letters without ink; ink where no line is.
    """
    lines, area = [Line(*line) for line in truth["lines"]], Area(*truth["area"])
    expected, problems = _texts(source.expandtabs(TAB)), []
    if [line.text for line in lines] != expected:
        problems.append(f"the lines drawn, {[line.text for line in lines]}, are not those of the code, {expected}")
    if not _inside(area, Area(0, 0, image.height, image.width)):
        return [*problems, f"the picture, {image.height} x {image.width}, does not hold {area}"]
    ink = (np.asarray(image) != np.array(truth["paper"])).any(axis=2)  # (height, width)
    elsewhere = ink.copy()
    for line in lines:
        if not _inside(Area(*line[1:]), area) or not _all_inked(ink[line.top : line.bottom], line):
            problems.append(f"not all of {line.text!r} is seen in {line[1:]}")
        elsewhere[line.top : line.bottom, line.left : line.right] = False
    if elsewhere[area.top : area.bottom, area.left : area.right].any():
        problems.append("there is ink where no line is")
    return problems


def line_boxes(truth: Mapping[str, Any]) -> list[Box]:
    """Give where the lines of a picture are, from what `CodePicture.truth` gave."""
    return [Box(*line) for line in truth["lines"]]


def _texts(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _formatter(theme: str, family: CodeFont, numbered: bool, count: int, rng: Random) -> ImageFormatter:
    """Set up Pygments' formatter, with fonts laid out the same in every build of Pillow."""
    size, style = rng.randint(*SIZES), get_style_by_name(theme)
    formatter = ImageFormatter(
        style=style,
        image_format="bmp",  # it is decoded at once
        font_name=str(family.regular),
        font_size=size,
        line_pad=round(size * rng.uniform(*LEADING)),
        image_pad=rng.randint(*PADDING),
        line_numbers=numbered,
        line_number_chars=len(str(count)),
        line_number_fg=f"#{style.style_for_token(Comment)['color'] or '000'}",
        line_number_bg=style.background_color,
        line_number_separator=rng.random() < 0.5,
    )
    regular, bold = load(family.regular, size), load(family.bold, size)
    formatter.fonts.variable = False  # the files are of one weight each
    formatter.fonts.fonts = {"NORMAL": regular, "ITALIC": regular, "BOLD": bold, "BOLDITALIC": bold}
    formatter.fontw, formatter.fonth = map(round, formatter.fonts.get_char_size())
    if numbered:
        formatter.line_number_width = formatter.fontw * formatter.line_number_chars + 2 * formatter.line_number_pad
    return formatter


def _find_lines(formatter: ImageFormatter, text: str, left: int) -> list[Line]:
    """Work out the box of each line from what the formatter drew, line numbers aside."""
    boxes: dict[int, list[tuple[float, float, float, float]]] = {}  # by the line's top
    for (x, y), piece, font, _, _ in formatter.drawables:
        if piece.strip() and x >= left:
            indent = font.getlength(piece[: len(piece) - len(piece.lstrip())])
            west, north, east, south = font.getbbox(piece.strip())
            boxes.setdefault(y, []).append((y + north, x + indent + west, y + south, x + indent + east))
    lines = []
    for line, y in zip(_texts(text), sorted(boxes), strict=True):
        tops, lefts, bottoms, rights = zip(*boxes[y], strict=True)
        lines.append(Line(line, int(min(tops)), int(min(lefts)), round(max(bottoms)), round(max(rights))))
    return lines


def _frame(picture: CodePicture, title: str, rng: Random) -> CodePicture:
    """Put a picture into a window, wide enough for its title bar, on a desktop of one colour."""
    margin, height = rng.randint(*DESKTOP), picture.image.height
    width = max(picture.image.width, BUTTONS)
    down, across = margin + BAR, margin
    desktop = draw_colour(rng, MUTED, SHADES)
    image = Image.new("RGB", (width + 2 * margin, height + 2 * margin + BAR), desktop)
    canvas = ImageDraw.Draw(image)
    dark = sum(picture.paper) < 3 * 128
    bar = tuple(part + (24 if dark else -24) for part in picture.paper)
    canvas.rectangle((margin, margin, margin + width - 1, margin + height + BAR - 1), fill=picture.paper)
    canvas.rectangle((margin, margin, margin + width - 1, down - 1), fill=bar)
    for number, light in enumerate(LIGHTS):
        middle = (margin + 16 + 20 * number, margin + BAR // 2)
        canvas.ellipse((middle[0] - 6, middle[1] - 6, middle[0] + 6, middle[1] + 6), fill=light)
    font = load(OWN / "Cabin-Regular.otf", TITLE_SIZE)
    if title and font.getlength(title) <= width - 2 * BUTTONS:
        ink = (235, 235, 235) if dark else (40, 40, 40)
        canvas.text((margin + width / 2, margin + BAR / 2), title, font=font, fill=ink, anchor="mm")
    image.paste(picture.image, (across, down))
    lines = [Line(text, *_moved(box, down, across)) for text, *box in picture.lines]
    top, left, bottom, _ = _moved(picture.area, down, across)
    return picture._replace(image=image, lines=lines, area=Area(top, left, bottom, across + width))


def _moved(box: tuple[int, ...] | list[int], down: int, across: int) -> tuple[int, int, int, int]:
    top, left, bottom, right = box
    return top + down, left + across, bottom + down, right + across


def _inside(box: Area, outer: Area) -> bool:
    rows = outer.top <= box.top < box.bottom <= outer.bottom
    return rows and outer.left <= box.left < box.right <= outer.right


def _all_inked(ink: np.ndarray, line: Line) -> bool:
    """Tell whether each letter of a line has ink; `ink` has the rows of its box, whole."""
    letters = line.text.strip()
    columns = np.any(ink[:, line.left : line.right], axis=0)
    edges = np.linspace(0, len(columns), len(letters) + 1)
    starts, ends = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    cells = [columns[max(start - 1, 0) : end + 1] for start, end in zip(starts, ends, strict=True)]
    return all(cell.any() for cell, letter in zip(cells, letters, strict=True) if letter != " ")


def _colour(written: str) -> Colour:
    red, green, blue = ImageColor.getrgb(written)[:3]
    return red, green, blue
