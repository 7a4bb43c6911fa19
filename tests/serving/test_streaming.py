"""A stream's pieces, joined, are the text that the same tokens have at once: also bytes that are no text."""

import json
import random

import pytest
from huggingface_hub.utils import httpx
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from amalia_vl_hf.serving.streaming import UNREADABLE, TextStream
from tests.serving.test_server import CHATS, post, read_stream
from tests.tiny import tiny_tokenizer


def byte_level_tokenizer():
    """Build a BPE tokenizer of GPT-2's kind: a token can be a part of a character."""
    pieces = ["</s>", "<à>", *pre_tokenizers.ByteLevel.alphabet(), "ÃŃ", "ĠÃ", "ol"]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer.add_tokens([AddedToken("<à>")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def streamed(tokenizer, tokens):
    stream = TextStream(tokenizer)
    return [*(stream.push(token) for token in tokens), stream.end()]


def drawn_tokens(rng, tokenizer):
    """Draw tokens: letters, bytes of characters whole and cut, bytes of nothing, special ones, and ones not there."""
    tokens = []
    while len(tokens) < rng.randint(1, 30):
        kind = rng.randrange(4)
        if kind == 0:
            tokens += tokenizer.encode(rng.choice("éã€🐈 aá▁\u00ad"), add_special_tokens=False)[: rng.randint(1, 4)]
        elif kind == 1:
            tokens.append(rng.randrange(len(tokenizer) + 3))
        elif kind == 2:
            tokens += rng.choices(tokenizer.all_special_ids, k=rng.randint(0, 2))
        else:
            tokens += tokenizer.encode(rng.choice(("olá", " que", "a  b")), add_special_tokens=False)
    return tokens


@pytest.mark.parametrize("build", [tiny_tokenizer, byte_level_tokenizer])
def test_pieces_joined_are_the_text_of_all_tokens(build):
    tokenizer, rng, unreadable = build(), random.Random(0), 0
    for _ in range(800):
        tokens = drawn_tokens(rng, tokenizer)
        whole = tokenizer.decode(tokens, skip_special_tokens=True)
        assert "".join(streamed(tokenizer, tokens)) == whole, tokens
        unreadable += UNREADABLE in whole
    assert 150 < unreadable < 750


def test_text_is_not_held_back_longer_than_it_may_change():
    tokenizer = tiny_tokenizer()
    tokens = tokenizer.encode("que €a", add_special_tokens=False)
    assert "".join(streamed(tokenizer, tokens)) == "que €a"
    assert streamed(tokenizer, tokens)[0] == "que"
    assert streamed(tokenizer, tokens)[-2:] == ["€a", ""]


def test_a_stream_over_the_server_has_the_text_of_the_answer_that_is_not_streamed(server):
    texts = []
    for seed in range(6):
        options = {"temperature": 1.0, "seed": seed, "max_tokens": 8 + seed}
        chat = CHATS[seed % len(CHATS)]
        reply = post(server, chat, **options).json()
        deltas, last = read_stream(server, {"messages": chat, "stream": True, **options})
        texts.append(reply["choices"][0]["message"]["content"])
        assert "".join(deltas) == texts[-1]
        assert last["usage"] == reply["usage"]
        assert last["choices"][0]["finish_reason"] == reply["choices"][0]["finish_reason"]
    assert any(UNREADABLE in text for text in texts)
    assert any(text.endswith(UNREADABLE) for text in texts)


def test_what_goes_wrong_in_a_stream_is_said_in_it(parts, server, monkeypatch):
    reason = 'a "quoted" reason\nof two lines'

    def fail(**inputs):
        raise RuntimeError(reason)

    monkeypatch.setattr(parts[0], "forward", fail)
    body = {"messages": CHATS[7], "stream": True, "max_tokens": 4}
    with httpx.stream("POST", f"{server}/v1/chat/completions", json=body, timeout=60) as reply:
        errors = [json.loads(line[6:]) for line in reply.iter_lines() if '"error"' in line]
    assert errors == [{"error": reason}]
