"""Texts to draw: ours, and the user's."""

import random

import pytest
from PIL import Image

from amalia_vl_hf.data.text.passages import Passage, fill, read_passages, split_sentences, write_passage
from amalia_vl_hf.data.typefaces import GLYPHS
from amalia_vl_hf.variety import judge


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
