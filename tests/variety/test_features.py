import numpy as np
import pytest

from amalia_vl_hf.variety import features
from amalia_vl_hf.variety.features import (
    TABLE_BITS,
    fold,
    hashes,
    slots_and_fingerprints,
)

SENTENCE = "O comboio das 10h30 parou em Coimbra-B, onde a Maria estava à espera; chovia."
# Pairs that the agreement of 1990 made one, of either country.
SPELLINGS = [
    ("acção", "ação"),
    ("baptismo", "batismo"),
    ("seleccionar", "selecionar"),
    ("excepcional", "excecional"),
    ("óptimo", "ótimo"),
    ("recepção", "receção"),
    ("perspectiva", "perspetiva"),
    ("idéia", "ideia"),
    ("heróico", "heroico"),
    ("vêem", "veem"),
    ("vôo", "voo"),
    ("lingüiça", "linguiça"),
    ("pára", "para"),
    ("pêlo", "pelo"),
    ("fim-de-semana", "fim de semana"),
]


def all_hashes(text):
    found = list(hashes(fold(text)))
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def test_months_and_seasons_are_masked_as_they_were_when_they_had_a_capital():
    small = "em janeiro, de março a junho e no verão faz calor"
    capital = "em Janeiro, de Março a Junho e no Verão faz calor"
    assert fold(small) == fold(capital) == " em 0 de 0 a 0 e no 0 faz calor "


def test_folding_masks_names_and_numbers_and_keeps_letters():
    assert fold(SENTENCE) == " o comboio das 0h0 parou em 0 onde a 0 estava à espera chovia "


@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_both_spellings_of_a_word_are_one(old, new):
    assert fold(f"a {old} nova") == fold(f"a {new} nova")


def test_hashes_are_those_of_every_ngram_and_word():
    text = fold("uma casa azul")
    grams = sum(len(text) - order + 1 for order in (2, 3, 4, 5))
    words, neighbours = 3, 2
    assert len(all_hashes("uma casa azul")) == grams + words + neighbours


def test_equal_ngrams_hash_alike_wherever_they_stand():
    alone, later = all_hashes("casa azul"), all_hashes("era uma vez uma casa azul")
    assert set(alone.tolist()) <= set(later.tolist())


def test_words_differ_from_characters_and_from_each_other():
    text = fold("rio mar sol lua pão sal")
    distinct = {text[i : i + n] for n in (2, 3, 4, 5) for i in range(len(text) - n + 1)}
    assert len(set(all_hashes("rio mar sol lua pão sal").tolist())) == len(distinct) + 6 + 5


@pytest.mark.parametrize("chunk", [16, 40, 100])
def test_chunks_lose_only_what_crosses_them(chunk, monkeypatch):
    text = "o autocarro amarelo está a chegar à paragem do mercado e as pessoas estão a entrar " * 3
    whole = all_hashes(text)
    monkeypatch.setattr(features, "_CHUNK", chunk)
    cut = all_hashes(text)
    assert set(cut.tolist()) <= set(whole.tolist())
    words = len(fold(text).split())
    assert len(whole) - len(cut) <= 11 * words  # n-grams over a cut: at most 1+2+3+4 of characters, and two words


def test_a_word_longer_than_a_chunk_is_hashed(monkeypatch):
    monkeypatch.setattr(features, "_CHUNK", 50)
    assert len(all_hashes("a" * 500)) > 4 * 400


@pytest.mark.parametrize("text", ["", " ", "\0\x07\n", "???", "中文", "\ud800"])
def test_no_letters_give_no_ngrams(text):
    assert fold(text) == ""
    assert len(all_hashes(text)) == 0


def test_slots_and_fingerprints_share_no_bits():
    hashed = np.array([0xFFFFFFFFFFFFFFFF, 0], dtype=np.uint64)
    slots, fingerprints = slots_and_fingerprints(hashed)
    assert slots.tolist() == [2**TABLE_BITS - 1, 0]
    assert fingerprints.tolist() == [2**16 - 1, 0]
    only_slot = np.array([1 << (64 - TABLE_BITS)], dtype=np.uint64)
    assert slots_and_fingerprints(only_slot)[0].tolist() == [1]
    assert slots_and_fingerprints(only_slot)[1].tolist() == [0]
