"""Pictures of code: every letter is drawn where it should be, nothing is drawn elsewhere, and themes can be read."""

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageColor
from pygments.lexers.python import PythonLexer
from pygments.styles import get_style_by_name
from pygments.token import Error, Text

from amalia_vl_hf.data.code.code_pictures import (
    BAR,
    BUTTONS,
    CODE_FONTS,
    MAX_LETTERS,
    MAX_LINES,
    THEMES,
    draw_code,
    picture_faults,
)
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.rows import png
from amalia_vl_hf.data.text.text_pictures import contrast
from amalia_vl_hf.data.typefaces import GLYPHS, find_typefaces, load, missing_glyphs

SOURCE = '''@cached
def conta(palavras, *resto, limite=0xFF, **nomes):
    """Conta «palavras»: é à ção — não mais."""
    # um comentário
    total: int = 0

    for palavra in palavras:
        if palavra is not None and palavra not in {1.5, True, b"x", "a\\n", 'ó'}:
            total += len(f"{palavra!r:>3} %s" % palavra) ** 2  # soma
    try:
        nomes["x"] = [x for x in range(-3, 3) if x <= ~1]
    except (KeyError, ValueError) as erro:
        raise RuntimeError("|_.,;:'`^~€") from erro
    self.__dict__ = lambda y: y @ total or print(__name__)
    return total'''
OUTPUT = "Olá!\n[1, 2, 3]\n\n  {'a': 0.5}\n."
SEEDS = 80


@pytest.fixture(scope="module")
def pictures():
    return [draw_code(SOURCE, Random(seed), "python") for seed in range(SEEDS)]


def box_of(picture, number):
    return picture.lines[number][1:]


def test_every_letter_has_ink_and_nothing_else_has(pictures):
    assert [picture_faults(picture.image, picture.truth(), SOURCE) for picture in pictures] == [[]] * SEEDS
    for seed in range(30):
        drawn = draw_code(OUTPUT, Random(seed), "text")
        assert picture_faults(drawn.image, drawn.truth(), OUTPUT) == []


def test_lines_are_those_of_the_source_one_below_the_other(pictures):
    for picture in pictures:
        assert [line.text for line in picture.lines] == [line for line in SOURCE.split("\n") if line]
        tops = [line.top for line in picture.lines]
        assert tops == sorted(set(tops))


def test_indentation_is_where_it_should_be(pictures):
    for picture in pictures:
        first, inner = picture.lines[1], picture.lines[2]
        letter = (first.right - first.left) / len(first.text)
        assert inner.left - first.left == pytest.approx(4 * letter, abs=letter / 2)


def test_pictures_differ_in_theme_numbers_and_frame(pictures):
    assert len({picture.theme for picture in pictures}) > 20
    assert {picture.numbered for picture in pictures} == {True, False}
    assert {picture.area.top > 0 for picture in pictures} == {True, False}
    assert not any(draw_code(OUTPUT, Random(seed), "text").numbered for seed in range(20))


def test_a_window_is_as_wide_as_its_bar_and_shows_a_name_that_fits():
    narrow, wide, named = "7", "x = 1\n" + "y" * 90, 0
    for seed in range(60):
        small = draw_code(narrow, Random(seed), "text")
        if small.area.top:
            assert small.area.right - (small.area.top - BAR) >= BUTTONS
            assert picture_faults(small.image, small.truth(), narrow) == []
        with_name, without = draw_code(wide, Random(seed), "python", "soma"), draw_code(wide, Random(seed), "python")
        assert picture_faults(with_name.image, with_name.truth(), wide) == []
        named += with_name.image.tobytes() != without.image.tobytes()
        too_long = draw_code("x", Random(seed), "python", "n" * 80)
        assert picture_faults(too_long.image, too_long.truth(), "x") == []
    assert named > 5


def test_line_numbers_stand_outside_the_area(pictures):
    for picture in pictures:
        top, left, bottom, _ = picture.area
        inked = (np.asarray(picture.image)[top:bottom, left - 20 : left] != picture.paper).any()
        framed = top > 0
        assert inked == picture.numbered or framed


def test_a_line_that_is_not_drawn_is_seen(pictures):
    for picture in pictures[:20]:
        top, left, bottom, right = box_of(picture, 3)
        letter = (right - left) / len(picture.lines[3].text.strip())
        for end in (right, round(left + letter)):  # the line, and its first letter
            spoilt = picture.image.copy()
            spoilt.paste(picture.paper, (left - 3, top, end, bottom))
            assert picture_faults(spoilt, picture.truth(), SOURCE) == [
                f"not all of {picture.lines[3].text!r} is seen in {(top, left, bottom, right)}"
            ]


def test_ink_where_none_should_be_is_seen(pictures):
    picture = pictures[0]
    spoilt = picture.image.copy()
    spoilt.putpixel((picture.area.right - 1, picture.area.bottom - 1), (1, 2, 3))
    assert picture_faults(spoilt, picture.truth(), SOURCE) == ["there is ink where no line is"]


def test_other_code_and_another_picture_are_seen(pictures):
    picture = pictures[0]
    assert "are not those of the code" in picture_faults(picture.image, picture.truth(), SOURCE + "\n    x = 1")[0]
    (found,) = picture_faults(Image.new("RGB", (9, 8)), picture.truth(), SOURCE)
    assert "the picture, 8 x 9, does not hold" in found
    lines = [picture.lines[0]._replace(right=10**5), *picture.lines[1:]]
    (found,) = picture_faults(picture.image, {**picture.truth(), "lines": lines}, SOURCE)[:1]
    assert "not all of '@cached' is seen" in found


def test_tabs_are_four_spaces_wide():
    drawn = [png(draw_code(source, Random(3), "python").image) for source in ("if x:\n\ty = 1", "if x:\n    y = 1")]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "nothing to draw"),
        (" \n\t\n", "nothing to draw"),
        ("x = '漢'", r"a letter that fonts may lack: '\\u6f22'"),
        ("x = '\x1b[0m'", r"a letter that fonts may lack: '\\x1b'"),
        ("x\n" * MAX_LINES, f"too many lines to draw: {MAX_LINES + 1}, at most {MAX_LINES}"),
        ("x" * (MAX_LETTERS + 1), f"a line is too long to draw: {MAX_LETTERS + 1} letters, at most {MAX_LETTERS}"),
        ("x = a ? b", "Pygments cannot read the code"),
    ],
)
def test_what_a_picture_cannot_hold_is_rejected(source, reason):
    with pytest.raises(RejectedError, match=reason):
        draw_code(source, Random(0), "python")


def test_a_full_picture_stays_small():
    text = "\n".join(["x" * MAX_LETTERS] * MAX_LINES)
    sizes = [draw_code(text, Random(seed), "text").image.size for seed in range(12)]
    assert max(width for width, _ in sizes) <= 2000
    assert max(height for _, height in sizes) <= 2000


@pytest.mark.parametrize("theme", THEMES)
def test_words_stand_out_from_the_paper(theme):
    style = get_style_by_name(theme)
    paper = ImageColor.getrgb(style.background_color)
    kinds = {kind for kind, text in PythonLexer().get_tokens(SOURCE) if text.strip()}
    assert Error not in kinds
    for kind in kinds:
        look = style.style_for_token(kind)
        assert contrast(ImageColor.getrgb("#" + (look["color"] or "000")), paper) >= 3
        assert not look["bgcolor"]
    assert contrast(ImageColor.getrgb("#" + (style.style_for_token(Text)["color"] or "000")), paper) >= 4.5


@pytest.mark.parametrize("path", sorted({path for family in CODE_FONTS for path in family}))
def test_fonts_have_every_glyph_all_equally_wide(path):
    assert missing_glyphs(path) == ""
    for size in (14, 17, 22):
        assert len({load(path, size).getlength(glyph) for glyph in GLYPHS}) == 1


def test_fonts_for_code_are_not_among_those_for_text():
    assert not any(path.parent.name == "code" for path in find_typefaces())


def test_the_same_seed_draws_the_same_picture(pictures):
    again = [draw_code(SOURCE, Random(seed), "python") for seed in range(6)]
    assert [png(picture.image) for picture in again] == [png(picture.image) for picture in pictures[:6]]
    assert again == pictures[:6]
