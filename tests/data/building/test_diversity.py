"""How varied rows are: frames are sentences without what fills them."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amalia_vl_hf.data.building.diversity import MOST_ROWS, frame, measure, spread, traits, values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("O comboio para Braga parte às 8h15.", "O comboio para Viana do Castelo parte às 17h00."),
        ("A Inês mora na Rua das Flores, 12.", "A Zélia mora na Travessa do Açúcar, 3."),
        ("Custa 1,20 € em janeiro.", "Custa 13,99 € em março."),
        ("Fecha à segunda-feira, 3 vezes.", "Fecha à sexta-feira, 5 vezes."),
        ("In 2024, sales in May were 12.5.", "In 2019, sales in June were 3."),
    ],
)
def test_sentences_that_differ_in_what_fills_them_are_one_frame(one, other):
    assert frame(one) == frame(other)
    assert values(one) != values(other)


def test_sentences_that_differ_in_their_words_are_two():
    assert frame("O gato dorme.") != frame("O cão dorme.")


def row(question, answer, truth):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "truth": json.dumps(truth)}


def test_a_row_has_frames_values_fonts_and_layouts():
    answer, truth = "Chove em Beja. São 3 dias.\nFim", {"a": [{"layout": "menu"}], "fonts": ["X", "Y"]}
    assert Counter(traits(row("Que diz? «Sim. Não.»", answer, truth))) == Counter(
        [
            ("question frames", "Que diz? «»"),
            ("sentence frames", "Chove em N."), ("sentence frames", "São 0 dias."), ("sentence frames", "Fim"),
            ("values", "Beja"), ("values", "3"), ("layouts", "menu"), ("fonts", "X"), ("fonts", "Y"),
        ]
    )  # fmt: skip


def test_files_are_measured_and_large_ones_evenly_in_part(tmp_path, monkeypatch):
    rows = [row("Quanto?", f"São {number} euros.", {"font": "A" if number % 2 else "B"}) for number in range(40)]
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file, part in zip(files, (rows[:30], rows[30:]), strict=True):
        pq.write_table(pa.Table.from_pylist(part), file)
    found = measure(files)
    assert found["sentence frames"] == (1, 40, "São 0 euros.", 1.0)
    assert (found["values"].distinct, found["values"].share) == (40, 1 / 40)
    assert (found["fonts"].distinct, found["fonts"].total, found["fonts"].share) == (2, 40, 0.5)
    assert "layouts" not in found
    assert MOST_ROWS > 1000
    monkeypatch.setattr("amalia_vl_hf.data.building.diversity.MOST_ROWS", 10)
    assert measure(files)["values"].total == 8


def test_the_most_frequent_is_named():
    assert spread(Counter("aab")) == (2, 3, "a", 2 / 3)
