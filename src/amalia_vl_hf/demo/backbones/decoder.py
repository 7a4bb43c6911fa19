"""A small Llama that has learnt the demo's texts, on scenes spelled out in words."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import LlamaConfig, LlamaForCausalLM

from ...processing.media_slots_amalia_vl import CHAT_TEMPLATE
from ..scene_texts import (
    CAPTION_REQUEST,
    REJECTIONS,
    ask_all,
    caption,
    reject,
)
from ..scenes import Scene, draw_scene
from .optimise import minimise
from .patches import spelled_patches
from .sizes import HEAD_WIDTH, BackboneSizes

MOST_WORDS = 5  # that spell out a patch, one for each kind of label
NO_WORD = 0  # `<unk>`, which nothing spelled here needs
NO_BAG = [NO_WORD] * MOST_WORDS
EMBEDDING_STD = 0.4  # as large as what a layer adds; Llama's 0.02 suits widths in the thousands
MATRIX_STD = 0.05
ROUNDS = 3  # of the five kinds of question, in a spelled conversation
CAPTION_SHARE = 0.5  # of the spelled conversations
TILED_SHARE = 0.6  # of the spelled scenes; the others are as short as stage 1's pictures


@dataclass(frozen=True)
class SpelledChat:
    """A conversation in tokens, with a bag of words at each place where a picture would have a visual token.

    Args:
        tokens: `(length,)`, `NO_WORD` where a bag stands.
        bags: `(length, MOST_WORDS)`, `NO_WORD` where there are fewer words, and everywhere else.
        answers: `(length,)`, whether a token is the assistant's.
    """

    tokens: torch.Tensor
    bags: torch.Tensor
    answers: torch.Tensor


def demo_texts(rng: random.Random, scenes: int) -> Iterator[str]:
    """Give every sentence about training scenes, right or not, and ChatML's roles: what the tokenizer learns from."""
    for _ in range(scenes):
        scene = draw_scene(rng, "train")
        yield from ("system", "user", "assistant", CAPTION_REQUEST, caption(scene))
        for question in ask_all(scene, rng, 1):
            yield from (question.text, question.answer, reject(question, rng.choice(REJECTIONS), rng).rejected)


def warmed_up_decoder(tokenizer: Any, sizes: BackboneSizes, seed: int) -> LlamaForCausalLM:
    """Train a decoder to answer about training scenes that it gets spelled out, patch by patch, instead of pictures.

    The words of a patch are added up into one embedding, so that a scene is as long, and laid out, as its picture
    will be; no pixel is seen.
    """
    torch.manual_seed(seed)
    decoder = LlamaForCausalLM(_config(tokenizer, sizes))
    nn.init.normal_(decoder.get_input_embeddings().weight, std=EMBEDDING_STD)
    rng = random.Random(f"{seed} decoder")  # noqa: S311
    scenes = tqdm(range(sizes.decoder.scenes), desc="spelling scenes for the decoder", unit="scene")
    chats = [spelled_chat(draw_scene(rng, "train"), rng, tokenizer, sizes) for _ in scenes]

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return spelled_loss(decoder, [chats[row] for row in rows.tolist()])

    minimise(loss, decoder, len(chats), sizes.decoder, "warming up the decoder on text")
    return decoder


def spelled_loss(decoder: LlamaForCausalLM, chats: Sequence[SpelledChat]) -> torch.Tensor:
    """Average the cross-entropy of the answers' tokens."""
    tokens = pad_sequence([chat.tokens for chat in chats], batch_first=True)  # (chats, length)
    bags = pad_sequence([chat.bags for chat in chats], batch_first=True)  # (chats, length, MOST_WORDS)
    answers = pad_sequence([chat.answers for chat in chats], batch_first=True)  # (chats, length)
    words = torch.cat((tokens[..., None], bags), dim=-1)
    embedded = decoder.get_input_embeddings()(words) * (words != NO_WORD)[..., None]
    labels = tokens.masked_fill(~answers, -100)
    # Padding is on the right, where a causal decoder's answers do not look: no mask is needed.
    loss: torch.Tensor = decoder(inputs_embeds=embedded.sum(dim=-2), labels=labels, use_cache=False).loss
    return loss


def spelled_chat(scene: Scene, rng: random.Random, tokenizer: Any, sizes: BackboneSizes) -> SpelledChat:
    """Draw a conversation about a scene: questions, and sometimes its caption, last since it answers them all."""
    turns = [(question.text, question.answer) for question in ask_all(scene, rng, ROUNDS)]
    if rng.random() < CAPTION_SHARE:
        turns.append((CAPTION_REQUEST, caption(scene)))
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    encoded = tokenizer.apply_chat_template(
        messages, chat_template=CHAT_TEMPLATE, return_dict=True, return_assistant_tokens_mask=True
    )
    bags = [_bag(words, tokenizer) for words in spelled_patches(scene, sizes, tiled=rng.random() < TILED_SHARE)]
    start = len(tokenizer.encode("<s><|im_start|>user\n", add_special_tokens=False))
    before, after = [NO_BAG] * start, [NO_BAG] * (len(encoded["input_ids"]) - start)
    return SpelledChat(
        tokens=torch.tensor(_spliced(encoded["input_ids"], start, len(bags))),
        bags=torch.tensor([*before, *bags, *after]),
        answers=torch.tensor(_spliced(encoded["assistant_masks"], start, len(bags))) == 1,
    )


def _bag(words: Sequence[str], tokenizer: Any) -> list[int]:
    """Encode a patch's words, filled up with `NO_WORD`."""
    ids = [token for word in words for token in _word_ids(word, tokenizer)]
    return (ids + NO_BAG)[:MOST_WORDS]


@lru_cache
def _word_ids(word: str, tokenizer: Any) -> list[int]:
    """Encode a word as it stands inside a sentence."""
    ids: list[int] = tokenizer.encode(word if word == "\n" else f" {word}", add_special_tokens=False)
    return ids


def _spliced(values: list[int], start: int, count: int) -> list[int]:
    return [*values[:start], *[0] * count, *values[start:]]


def _config(tokenizer: Any, sizes: BackboneSizes) -> LlamaConfig:
    heads = max(1, sizes.decoder_width // HEAD_WIDTH)
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.decoder_width,
        intermediate_size=3 * sizes.decoder_width,
        num_hidden_layers=sizes.decoder_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        # AMALIA's base: with Llama's 10,000, heads of 32 lose a word's content over the length of a picture.
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        initializer_range=MATRIX_STD,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
