"""PT-Render-Text: what is asked is what is drawn, in fonts that have every letter."""

import json
import random
import shutil

import numpy as np
import pytest
from PIL import Image, ImageFont

from amalia_vl_hf.data.rows import open_picture
from amalia_vl_hf.data.text import pt_render_text
from amalia_vl_hf.data.text.passages import Passage, fill, read_passages, split_sentences, write_passage
from amalia_vl_hf.data.text.text_pictures import MIN_CONTRAST, PATTERNS, contrast, draw_style, draw_text, wrap
from amalia_vl_hf.data.typefaces import GLYPHS, OWN, find_typefaces, missing_glyphs
from amalia_vl_hf.variety import judge

from ..rows import asked, drawn_row, said, with_truth


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(pt_render_text, seed) for seed in range(30)]


def test_samples_are_what_their_pictures_show(rows):
    assert [pt_render_text.faults(row) for row in rows] == [[]] * len(rows)
    assert {row["task"].split(",")[0] for row in rows} == set(pt_render_text.LAYOUTS)
    assert {row["task"].split(", ")[1] for row in rows} == set(pt_render_text.QUESTIONS)


def test_the_validator_sees_what_is_wrong(rows):
    row = rows[0]
    truth = json.loads(row["truth"])
    white = Image.new("RGB", open_picture(row).size, "white")
    buffer = pt_render_text.png(white)
    assert pt_render_text.faults({**row, "images": [{"bytes": buffer}]})[0].startswith("no ink where")
    outside = [[text, top, left, bottom, 10**6] for text, top, left, bottom, _ in truth["lines"]]
    assert pt_render_text.faults(with_truth(row, lines=outside))[0].startswith("no ink where")
    assert pt_render_text.faults(with_truth(row, lines=truth["lines"][1:]))[0].startswith("the words drawn")
    assert pt_render_text.faults(asked(row, "Quem és?")) == [f"'Quem és?' does not ask for {truth['mode']}"]
    assert pt_render_text.faults(said(row, "nada"))[0].startswith("the answer 'nada' is not")


def test_every_font_of_the_package_has_every_glyph_and_a_licence():
    licences = (OWN / "LICENCES.txt").read_text(encoding="utf-8")
    for path in find_typefaces():
        assert missing_glyphs(path) == ""
        assert path.name.split("-")[0].removesuffix("Sans").removesuffix(".otf") in licences
        assert path.stat().st_size < 1_000_000


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


def test_written_passages_are_their_sentences_in_letters_that_fonts_have():
    for seed in range(200):
        passage = write_passage(random.Random(seed), seed)
        assert set(passage.text) <= GLYPHS | {" "}
        assert not passage.sentences or " ".join(passage.sentences) == passage.text


def test_written_passages_are_european_portuguese():
    verdict = judge("\n".join(write_passage(random.Random(seed), seed).text for seed in range(60)))
    assert verdict.is_pt_pt, verdict.reasons


def test_templates_are_filled():
    assert "{" not in fill("{place}{good}{other}{person}{companion}{price}{hour}{late}{day}", random.Random(0))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Chove. Já viste? «Já!» Sim…", ("Chove.", "Já viste?", "«Já!»", "Sim…")),
        ("Uma só", ("Uma só",)),
        ("Parte às 8. Chega às 9.", ()),
        ("O Dr. Sousa saiu. Volta já.", ()),
    ],
)
def test_sentences_are_cut_where_there_is_no_doubt(text, sentences):
    assert split_sentences(text) == sentences


def test_a_text_file_has_a_passage_on_each_line_and_what_cannot_be_drawn_is_passed_over(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(f"Primeiro  texto.\n\nкот\n{'x' * 60}\nÚltimo.\n", encoding="utf-8")
    passages = read_passages(path)
    texts = [passages(random.Random(0), index).text for index in range(6)]
    assert texts == ["Primeiro texto.", *["Último."] * 4, "Primeiro texto."]


def test_texts_that_cannot_be_read_say_why(tmp_path):
    from datasets import Dataset

    with pytest.raises(ValueError, match=r"texts are read from \.txt and \.parquet files"):
        read_passages(tmp_path / "a.doc")
    Dataset.from_dict({"texto": ["a"]}).to_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(ValueError, match="needs a column text, has texto"):
        read_passages(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("кот\n", encoding="utf-8")
    with pytest.raises(ValueError, match="none of its 1 texts can be drawn"):
        read_passages(tmp_path / "a.txt")(random.Random(0), 0)


def test_parquet_gives_texts_with_their_pictures(tmp_path):
    from datasets import Dataset, Features, Value
    from datasets import Image as Cell

    columns = {"text": ["Olá.\nAdeus."], "image": [Image.new("RGB", (9, 9))]}
    data = Dataset.from_dict(columns, features=Features({"text": Value("string"), "image": Cell()}))
    data.to_parquet(str(tmp_path / "a.parquet"))
    passage = read_passages(tmp_path / "a.parquet")(random.Random(0), 5)
    assert passage == Passage("Olá.\nAdeus.", ("Olá.", "Adeus."), passage.picture)
    assert passage.picture.startswith(b"\x89PNG")


def test_the_layout_engine_is_the_one_of_every_pillow():
    from amalia_vl_hf.data.typefaces import load

    assert load(find_typefaces()[0], 20).layout_engine == ImageFont.Layout.BASIC
