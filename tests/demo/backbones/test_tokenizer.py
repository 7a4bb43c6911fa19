"""The demo's tokenizer: AMALIA's special ids, nothing lost, answers cut alike in training and generation."""

import random

import pytest

from amalia_vl_hf.demo.backbones.decoder import demo_texts
from amalia_vl_hf.demo.backbones.tokenizer import SPECIAL_TOKENS, train_tokenizer
from amalia_vl_hf.demo.scenes import WORDS


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(demo_texts(random.Random(0), 400), 1024)


def test_special_tokens_have_amalias_ids(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4]
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (1, 2, 4)


@pytest.mark.parametrize(
    "text", ["De que cor é o círculo?", "Há três estrelas.", "ñandú 漢字 🙂 <0x41>", "a\nb", " dois  espaços "]
)
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_each_word_of_a_sign_is_one_token(tokenizer):
    assert {word: len(tokenizer.encode(f" {word}")) for word in WORDS} == dict.fromkeys(WORDS, 1)


def test_a_prompt_and_its_answer_are_cut_as_the_two_together(tokenizer):
    prompt, answer = "<|im_start|>assistant\n", "É vermelho.<|im_end|>"
    assert tokenizer.encode(prompt) + tokenizer.encode(answer) == tokenizer.encode(prompt + answer)


def test_saved_and_loaded_it_cuts_alike(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    for text in demo_texts(random.Random(1), 10):
        assert loaded.encode(text) == tokenizer.encode(text)


def test_line_breaks_in_its_texts_are_refused():
    with pytest.raises(ValueError, match=r"a line break would become part of a token: 'a\\nb'"):
        train_tokenizer(["a\nb"], 300)
