"""Files: the same seed gives the same bytes, sets are complete or absent, and trainers read them."""

import random
from pathlib import Path

import pytest
from PIL import Image

from amalia_vl_hf.demo.scene_sets import (
    SetSizes,
    preference_rows,
    question_rows,
    read_rows,
    write_sets,
)
from amalia_vl_hf.demo.scene_texts import KINDS, REJECTIONS
from amalia_vl_hf.samples.loading import load_samples

SIZES = SetSizes(captions=4, instructions=5, preferences=6, questions=2, test_preferences=2)


def written(folder: Path, seed: int = 0) -> dict[str, bytes]:
    write_sets(folder, seed, SIZES)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    first = written(tmp_path / "first")
    assert first == written(tmp_path / "again")
    other = written(tmp_path / "other", seed=1)
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.endswith("jsonl"))


def test_a_set_that_was_cut_off_is_written_again_and_a_finished_one_is_kept(tmp_path):
    first = written(tmp_path)
    (tmp_path / "align").rename(tmp_path / ".align.partial")
    (tmp_path / ".align.partial" / "samples.jsonl").write_text("{", encoding="utf-8")
    (tmp_path / "instruct" / "samples.jsonl").write_text("kept", encoding="utf-8")
    assert written(tmp_path) == {**first, "instruct/samples.jsonl": b"kept"}


def test_sets_hold_what_was_asked_for(tmp_path):
    written(tmp_path)
    rows = {path.name: read_rows(path) for path in tmp_path.iterdir()}
    sizes = {"align": 4, "instruct": 5, "prefer": 6, "test_questions": 10, "test_preferences": 6}
    assert {name: len(set_rows) for name, set_rows in rows.items()} == sizes
    for set_rows in rows.values():
        for row in set_rows:
            with Image.open(row["images"][0]) as picture:
                assert picture.mode == "RGB"


@pytest.mark.parametrize(("name", "method"), [("align", "sft"), ("instruct", "sft"), ("prefer", "dpo")])
def test_the_trainers_read_them(tmp_path, name, method):
    written(tmp_path)
    assert len(load_samples(tmp_path / name / "samples.jsonl", method)) == len(read_rows(tmp_path / name))


def test_questions_are_as_many_of_each_kind():
    rows = [row for _, row in question_rows(random.Random(0), 7)]
    assert {kind: [row["kind"] for row in rows].count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 7)


def test_reasons_to_reject_take_turns_over_every_kind():
    rows = [row for _, row in preference_rows(random.Random(0), "test", REJECTIONS, 30)]
    pairs = {(row["kind"], row["rejection"]) for row in rows}
    assert pairs == {(kind, reason) for kind in KINDS for reason in REJECTIONS}
