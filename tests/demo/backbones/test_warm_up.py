"""The warm-ups: losses that say what they should, and both backbones learn."""

import random

import pytest
import torch

from amalia_vl_hf.demo.backbones.decoder import (
    NO_WORD,
    demo_texts,
    spelled_chat,
    spelled_loss,
    warmed_up_decoder,
)
from amalia_vl_hf.demo.backbones.patches import spelled_patches
from amalia_vl_hf.demo.backbones.sizes import BackboneSizes, WarmUp
from amalia_vl_hf.demo.backbones.tokenizer import train_tokenizer
from amalia_vl_hf.demo.backbones.tower import code_loss, labelled_tiles, warmed_up_tower
from amalia_vl_hf.demo.scenes import draw_scene

SIZES = BackboneSizes(
    tower_width=32,
    tower_layers=1,
    decoder_width=32,
    decoder_layers=1,
    tower=WarmUp(scenes=6, steps=40, batch=16, rate=1e-2, matrix_rate=0.02),
    decoder=WarmUp(scenes=8, steps=30, batch=8, rate=1e-2, matrix_rate=0.02),
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(demo_texts(random.Random(0), 200), 1024)


def test_features_that_are_their_codes_have_no_distance():
    codes = [40 * torch.eye(6)[:3], 40 * torch.eye(6)[3:]]
    labels = torch.tensor([[[0, 1], [2, 2]]])
    exact = torch.stack([codes[0][label] + codes[1][other] for label, other in labels[0].tolist()])[None]
    assert code_loss(exact, labels, codes) == pytest.approx(0, abs=1e-5)
    assert code_loss(exact + 1, labels, codes) > 0.9


def test_the_tower_learns():
    tiles, labels = labelled_tiles(SIZES, random.Random(0))
    assert tiles.dtype == torch.uint8
    assert len(tiles) == len(labels) > 6 * 3
    tower = warmed_up_tower(SIZES, seed=0)
    features = tower(pixel_values=tiles.float() / 127.5 - 1, output_hidden_states=True).hidden_states[-1]
    empty = (labels[..., :3] == 0).all(dim=-1)
    assert features[empty].var(dim=0).mean() < features[~empty].var(dim=0).mean()  # nothing shown, little said


def test_the_decoder_learns(tokenizer):
    rng = random.Random(1)
    chats = [spelled_chat(draw_scene(rng, "test"), rng, tokenizer, SIZES) for _ in range(8)]
    before = warmed_up_decoder(tokenizer, BackboneSizes(**{**vars(SIZES), "decoder": WarmUp(8, 1, 8, 0.0, 0.0)}), 0)
    after = warmed_up_decoder(tokenizer, SIZES, seed=0)
    assert spelled_loss(after, chats) < 0.5 * spelled_loss(before, chats)


def test_a_spelled_chat_is_laid_out_as_a_picture_chat(tokenizer):
    rng = random.Random(2)
    scene = draw_scene(rng, "train")
    chat = spelled_chat(scene, rng, tokenizer, SIZES)
    spelled = chat.tokens == NO_WORD
    places = torch.nonzero(spelled).flatten()
    assert len(places) in {len(spelled_patches(scene, SIZES, tiled=tiled)) for tiled in (True, False)}
    assert places.tolist() == list(range(places[0], places[0] + len(places)))
    opening = tokenizer.decode(chat.tokens[: places[0]])
    assert opening == "<s><|im_start|>user\n"
    assert not (chat.bags[~spelled] != NO_WORD).any()
    assert not (chat.answers & spelled).any()


def test_padding_on_the_right_changes_nothing(tokenizer):
    rng = random.Random(3)
    decoder = warmed_up_decoder(tokenizer, SIZES, seed=0)
    chats = [spelled_chat(draw_scene(rng, "train"), rng, tokenizer, SIZES) for _ in range(3)]
    answers = torch.tensor([float(chat.answers.sum()) for chat in chats])
    with torch.no_grad():
        together = spelled_loss(decoder, chats)
        apart = torch.stack([spelled_loss(decoder, [chat]) for chat in chats])
    torch.testing.assert_close(together, (apart * answers).sum() / answers.sum())
