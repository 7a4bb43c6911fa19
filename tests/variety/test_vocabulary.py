import math

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from amalia_vl_hf.variety.features import fold
from amalia_vl_hf.variety.frequencies import LEAST, counts, log_odds, main
from amalia_vl_hf.variety.vocabulary import MOST, SHIPPED, TRUST, load_vocabulary, save_vocabulary, weighed

EUROPEAN = {"comboio": 4_000, "o": 500_000, "trem": 100, "casa": 9_000, "deixa-me": 3_000}
BRAZILIAN = {"comboio": 100, "o": 500_000, "trem": 4_000, "casa": 9_000}


def write(file, words):
    file.write_text("".join(f"{word} {count}\n" for word, count in words.items()), encoding="utf-8")
    return file


def test_a_word_weighs_the_logarithm_of_its_shares():
    odds = log_odds({"trem": 100, "o": 900}, {"trem": 200, "o": 800})
    assert odds["trem"] == pytest.approx(math.log(100 / 200), abs=1e-3)
    assert "o" not in odds  # under what topics differ by
    assert math.log(900 / 800) < LEAST


def test_no_word_weighs_much_and_a_word_of_one_side_is_known():
    odds = log_odds(EUROPEAN, BRAZILIAN)
    assert odds["comboio"] == MOST
    assert odds["trem"] == -MOST
    assert odds["deixa-me"] > 1
    assert "casa" not in odds


def test_both_spellings_of_a_word_are_counted_together(tmp_path):
    file = write(tmp_path / "words.txt", {"acção": 3, "ação": 4, "ela": 1})
    assert counts(file) == {"ação": 7, "ela": 1}


@pytest.mark.parametrize("line", ["comboio", "comboio muitos", "17"])
def test_a_list_of_something_else_is_refused(line, tmp_path):
    (tmp_path / "words.txt").write_text(f"casa 3\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"words\.txt:2: a word and its count are wanted, not '{line}'"):
        counts(tmp_path / "words.txt")


def test_an_empty_list_is_refused(tmp_path):
    (tmp_path / "words.txt").touch()
    with pytest.raises(ValueError, match="no word in it"):
        counts(tmp_path / "words.txt")


def test_weights_come_back_and_each_word_counts_once(tmp_path):
    save_vocabulary(tmp_path / "v.safetensors", {"comboio": 2.0, "trem": -1.0}, {})
    words = weighed(fold("Um comboio, outro comboio e um trem."), load_vocabulary(tmp_path / "v.safetensors"))
    assert words == pytest.approx({"comboio": 2.0 * TRUST, "trem": -1.0 * TRUST}, abs=0.01)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_vocabulary(tmp_path / "a.safetensors")
    save_file({"keys": load_array()}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="no vocabulary of the variety filter; it lacks weights"):
        load_vocabulary(tmp_path / "b.safetensors")


def load_array():
    with safe_open(SHIPPED, framework="numpy") as file:
        return file.get_tensor("keys")


def test_the_command_writes_weights_and_their_source(tmp_path, capsys):
    sides = [write(tmp_path / name, words) for name, words in (("pt.txt", EUROPEAN), ("br.txt", BRAZILIAN))]
    out = tmp_path / "v.safetensors"
    main(["--european", str(sides[0]), "--brazilian", str(sides[1]), "--out", str(out), "--licence", "CC0-1.0"])
    assert f"written: {out}, 3 words" in capsys.readouterr().out
    assert weighed("comboio", load_vocabulary(out))["comboio"] > 0 > weighed("trem", load_vocabulary(out))["trem"]
    with safe_open(out, framework="numpy") as file:
        assert file.metadata() == {"source": "unknown", "licence_of_sources": "CC0-1.0"}


def test_the_shipped_vocabulary_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size < 300_000
    with safe_open(SHIPPED, framework="numpy") as file:
        facts = file.metadata()
    assert "OpenSubtitles" in facts["source"]
    assert facts["licence_of_sources"] == "CC-BY-SA-4.0"
    assert weighed("autocarro")["autocarro"] > 0.5
    assert weighed("moleque")["moleque"] < -0.5
    assert not weighed("mesa")
