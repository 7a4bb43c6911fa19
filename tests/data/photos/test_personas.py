"""36 personas in files, two an image."""

from collections import Counter

import pytest

from amalia_vl_hf.data.photos.personas import personas_of, read_personas
from amalia_vl_hf.variety import judge


def test_there_are_36_each_in_european_portuguese():
    personas = read_personas()
    assert len(personas) == 36
    assert not [name for name, text in personas.items() if judge(text).refused or "$" in text or len(text) < 60]


def test_two_ask_about_an_image_and_all_come_up_alike():
    names = list(read_personas())
    pairs = [personas_of(f"image{number}", names, 0) for number in range(3_600)]
    assert all(len(set(pair)) == 2 for pair in pairs)
    assert pairs == [personas_of(f"image{number}", names[::-1], 0) for number in range(3_600)]
    assert pairs != [personas_of(f"image{number}", names, 1) for number in range(3_600)]
    counts = Counter(name for pair in pairs for name in pair)
    assert len(counts) == 36
    assert 150 < min(counts.values()) <= max(counts.values()) < 250  # 200 each, 14 apart by chance


def test_folders_without_personas_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no persona"):
        read_personas(tmp_path)
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("versão: 1\nÉs pintor.")
    with pytest.raises(ValueError, match="two personas say the same"):
        read_personas(tmp_path)
    with pytest.raises(ValueError, match="2 personas an image are wanted, of 1"):
        personas_of("image", ["pintor"], 0)
