"""Fonts that can write European Portuguese: those of this package, and those of a folder of the user's.

The package's own fonts are drawn from by default, so that the same seed gives the same pictures on every machine;
`fonts/LICENCES.txt` says whose they are.
"""

import logging
import string
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

logger = logging.getLogger(__name__)

OWN = Path(__file__).parent / "fonts"
TEXT = OWN / "text"  # more of them, that texts and documents alone are drawn with
SUFFIXES = (".ttf", ".otf")
ACCENTED = "áàâãéêíóôõúüçÁÀÂÃÉÊÍÓÔÕÚÜÇ"
TYPOGRAPHY = "ºª«»“”‘’–—…€"
# What every font has to draw, and every text may hold beside white space.
GLYPHS = frozenset(string.ascii_letters + string.digits + string.punctuation + ACCENTED + TYPOGRAPHY)
# What the names of fonts hold that look as if written by hand; the second are joined, or far from print.
HANDWRITTEN = ("ComicNeue", "Kalam", "PatrickHand", "Hand", "Note")
SCRIPT = ("ArchitectsDaughter", "Caveat", "DancingScript", "PlaywritePt", "ShadowsIntoLight", "Script", "Cursive")
_UNASSIGNED = "\U0010fffd"  # private use: fonts draw their box for missing glyphs
_PROBE = 40  # pixels


def find_typefaces(folder: Path | None = None) -> tuple[Path, ...]:
    """List the fonts that have every Portuguese glyph: the package's own, then those of a folder by name.

    Args:
        folder: Where `.ttf` and `.otf` files are looked for, in its folders too. What a font lacks is logged.

    Raises:
        ValueError: The folder holds no font that has every glyph.
    """
    own = tuple(sorted(path for part in (OWN, TEXT) for path in part.iterdir() if path.suffix in SUFFIXES))
    if folder is None:
        return own
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    lacking = {path: missing_glyphs(path) for path in files}
    for path, glyphs in lacking.items():
        if glyphs:
            logger.warning("%s is left out: it cannot draw %s", path, glyphs)
    complete = tuple(path for path, glyphs in lacking.items() if not glyphs)
    if not complete:
        raise ValueError(f"{folder}: none of its {len(files)} fonts has every Portuguese glyph")
    return own + complete


def missing_glyphs(path: Path) -> str:
    """Name the glyphs of `GLYPHS` that a font draws empty, or as its box for missing ones; all if it is no font."""
    try:
        font = load(path, _PROBE)
    except OSError:
        return "".join(sorted(GLYPHS))
    box = _picture(font, _UNASSIGNED)
    return "".join(glyph for glyph in sorted(GLYPHS) if _picture(font, glyph) in (box, None))


def printed(typefaces: tuple[Path, ...]) -> tuple[Path, ...]:
    """Give the fonts that do not look written by hand; all if there are none."""
    return tuple(path for path in typefaces if not is_handwritten(path)) or typefaces


def handwritten(typefaces: tuple[Path, ...]) -> tuple[Path, ...]:
    """Give the fonts that look written by hand; all if there are none."""
    return tuple(path for path in typefaces if is_handwritten(path)) or typefaces


def is_handwritten(path: Path) -> bool:
    """Tell whether a font looks written by hand, by its name."""
    return is_script(path) or any(part in path.stem for part in HANDWRITTEN)


def is_script(path: Path) -> bool:
    """Tell whether a font's letters are joined or far from print: OCR reads them badly, and is measured apart."""
    return any(part in path.stem for part in SCRIPT)


def bold_of(path: Path, typefaces: tuple[Path, ...]) -> Path:
    """Give the bold font of a font's family; the font itself where there is none."""
    family = path.stem.partition("-")[0]
    return next((other for other in typefaces if other.stem == f"{family}-Bold"), path)


@lru_cache(maxsize=1024)
def load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Open a font at a size in pixels, with the layout that is the same in every build of Pillow."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _picture(font: ImageFont.FreeTypeFont, glyph: str) -> tuple[tuple[int, int], bytes] | None:
    mask = font.getmask(glyph)
    ink = bytes(mask)
    return (mask.size, ink) if any(ink) else None
