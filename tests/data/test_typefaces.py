"""Fonts that can write European Portuguese, the same on every machine."""

import shutil

import pytest
from PIL import ImageFont

from amalia_vl_hf.data.typefaces import (
    GLYPHS,
    OWN,
    TEXT,
    bold_of,
    find_typefaces,
    handwritten,
    is_script,
    missing_glyphs,
    printed,
)


def test_every_font_of_the_package_has_every_glyph_and_a_licence():
    licences = (OWN / "LICENCES.txt").read_text(encoding="utf-8")
    for path in find_typefaces():
        assert missing_glyphs(path) == ""
        assert path.name.split("-")[0].removesuffix("Sans").removesuffix(".otf") in licences
        assert path.stat().st_size < 1_000_000


def test_printed_and_handwritten_fonts_are_told_apart():
    every = find_typefaces()
    assert {*printed(every), *handwritten(every)} == set(every)
    assert not {*printed(every)} & {*handwritten(every)}
    assert len(printed(every)) >= 18
    assert len(handwritten(every)) >= 8
    assert {path for path in every if is_script(path)} < set(handwritten(every))
    assert handwritten(printed(every)) == printed(every)
    assert bold_of(TEXT / "Bitter-Regular.ttf", every) == TEXT / "Bitter-Bold.ttf"
    assert bold_of(TEXT / "Oswald-Regular.ttf", every) == TEXT / "Oswald-Regular.ttf"


def test_fonts_of_a_folder_are_taken_if_they_have_every_glyph(tmp_path, caplog):
    with pytest.raises(ValueError, match="none of its 0 fonts has every Portuguese glyph"):
        find_typefaces(tmp_path)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match="none of its 1 fonts"):
        find_typefaces(tmp_path)
    shutil.copy(OWN / "Cabin-Regular.otf", tmp_path / "own.OTF")
    assert find_typefaces(tmp_path) == (*find_typefaces(), tmp_path / "own.OTF")
    assert "broken.ttf is left out: it cannot draw" in caplog.text


def test_a_glyph_that_a_font_lacks_is_named(monkeypatch):
    monkeypatch.setattr("amalia_vl_hf.data.typefaces.GLYPHS", GLYPHS | {"語"})
    assert missing_glyphs(OWN / "Cabin-Regular.otf") == "語"


def test_the_layout_engine_is_the_one_of_every_pillow():
    from amalia_vl_hf.data.typefaces import load

    assert load(find_typefaces()[0], 20).layout_engine == ImageFont.Layout.BASIC
