"""Pictures of text: ink that stands out, and lines that hold their words."""

import random

import numpy as np
import pytest

from amalia_vl_hf.data.text.text_pictures import MIN_CONTRAST, PATTERNS, contrast, draw_style, draw_text, wrap
from amalia_vl_hf.data.typefaces import find_typefaces


def test_ink_stands_out_from_its_paper_and_styles_vary():
    styles = [draw_style(random.Random(seed), find_typefaces(), (380, 760)) for seed in range(200)]
    assert all(contrast(style.ink, paper) >= MIN_CONTRAST for style in styles for paper in style.papers)
    assert {style.pattern for style in styles} == set(PATTERNS)
    assert {style.typeface for style in styles} == set(find_typefaces())
    assert any(sum(style.ink) > sum(style.papers[0]) for style in styles), "light ink on dark paper"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_lines_have_their_words_and_stay_inside(pattern):
    style = draw_style(random.Random(1), find_typefaces(), (380, 400))._replace(pattern=pattern)
    picture, lines = draw_text(["O pão de centeio custa três euros na Rua da Conceição."] * 2, style)
    assert " ".join(line.text for line in lines).count("Conceição.") == 2
    for line in lines:
        assert 0 <= line.top < line.bottom <= picture.height
        assert 0 <= line.left < line.right <= picture.width
    tops = [line.top for line in lines]
    assert tops == sorted(tops)
    assert np.asarray(picture).std() > 5


def test_a_word_wider_than_the_picture_is_refused():
    style = draw_style(random.Random(1), find_typefaces(), (380, 400))
    with pytest.raises(ValueError, match="'otorrinolaringologista' is wider than 50 pixels"):
        wrap("o otorrinolaringologista", style, 50)
