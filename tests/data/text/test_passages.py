"""Texts to draw: ours, and the user's."""

import random
import re
from collections import Counter

import pytest
from PIL import Image

from amalia_vl_hf.data.building.diversity import frame
from amalia_vl_hf.data.text.passages import (
    CONVERSATIONS,
    MAX_LETTERS,
    PART,
    STORIES,
    TITLED,
    Passage,
    fill,
    read_passages,
    split_sentences,
    texts,
    write_conversation,
    write_list,
    write_passage,
    write_story,
    write_title,
)
from amalia_vl_hf.data.text.words import MONTHS
from amalia_vl_hf.data.typefaces import GLYPHS
from amalia_vl_hf.variety import judge

SEED = random.Random(7)


def test_written_passages_are_their_sentences_in_letters_that_fonts_have():
    for seed in range(200):
        passage = write_passage(random.Random(seed), seed)
        assert set(passage.text) <= GLYPHS | {" "}
        assert not passage.sentences or " ".join(passage.sentences) == passage.text


def test_written_passages_are_european_portuguese():
    verdict = judge("\n".join(write_passage(random.Random(seed), seed).text for seed in range(60)))
    assert verdict.is_pt_pt, verdict.reasons


def test_gaps_are_filled_alike_where_they_are_alike():
    text = fill(
        "De {n:2-9} em {n:2-9} horas, {woman} e {woman2} pagam {eur:1.20-1.30}, [hoje|amanhã] às {h:8-9}.", SEED
    )
    assert re.fullmatch(
        r"De (\d) em \1 horas, (\w+) e (?!\2)\w+ pagam 1,\d\d €, (hoje|amanhã) às [89]h\d\d\.", text
    ), text


@pytest.mark.parametrize("topic", texts())
def test_each_text_is_european_portuguese_fits_and_leaves_no_gap(topic):
    for line in texts()[topic]:
        text = fill(line.rpartition(TITLED)[2], random.Random(line))
        assert set(text) <= GLYPHS | {" "} - set("{}[]|"), text
        assert len(text) <= MAX_LETTERS
        assert not judge(text).refused, text


@pytest.mark.parametrize(("path", "least", "most"), [(CONVERSATIONS, 3, 6), (STORIES, 3, 3)])
def test_texts_in_parts_are_european_portuguese_and_leave_no_gap(path, least, most):
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    assert len(set(lines)) == len(lines) >= 18
    for line in lines:
        title, _, text = fill(line, random.Random(line)).rpartition(TITLED)
        parts = text.split(PART)
        assert bool(title) == (path == STORIES)
        assert least <= len(parts) <= most, line
        assert all(set(part) <= GLYPHS | {" "} - set("{}[]|") and len(part) <= MAX_LETTERS for part in parts)
        assert not judge(" ".join(parts)).refused, text
    assert judge("\n".join(lines)).is_pt_pt


def test_conversations_and_stories_are_drawn_whole():
    drawn = [write_conversation(random.Random(seed)) for seed in range(120)]
    assert len({messages[0] for messages in drawn}) > 20
    assert len({write_story(random.Random(seed))[0] for seed in range(120)}) > 15


def test_no_sentence_frame_is_above_two_in_a_hundred_passages():
    passages = [write_passage(random.Random(f"frame {seed}"), seed) for seed in range(1500)]
    frames = Counter(frame(sentence) for passage in passages for sentence in passage.sentences)
    ((_, most),) = frames.most_common(1)
    assert most <= 0.02 * len(passages)
    assert len(frames) > 800
    assert len(texts()) >= 20
    assert sum(map(len, texts().values())) > 250


def test_lists_have_no_entry_twice_and_many_titles():
    for seed in range(60):
        title, *entries = write_list(random.Random(seed), 8)
        assert len({title, *entries}) == 9
    assert len({write_title(random.Random(seed)) for seed in range(300)}) > 20


def test_what_leaves_and_what_is_due_stand_in_the_order_of_their_times():
    sorted_lists = Counter()
    for seed in range(200):
        _, *lines = write_list(random.Random(seed), 8)
        for kind, form in {"times": r"(?P<a>\d+)h(?P<b>\d\d)$", "dates": r"^(?P<b>\d+) de (?P<a>\w+): "}.items():
            found = [match for line in lines if (match := re.search(form, line))]
            if len(found) == len(lines):
                moments = [(MONTHS.index(m["a"]) if kind == "dates" else int(m["a"]), int(m["b"])) for m in found]
                assert moments == sorted(moments)
                sorted_lists[kind] += 1
    assert min(sorted_lists["times"], sorted_lists["dates"]) > 10


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
