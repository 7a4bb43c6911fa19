"""The demo's two backbones, warmed up apart from each other as AMALIA-VL's are: a SigLIP tower and a Llama decoder.

The tower learns what each patch shows, by a head that is thrown away; the decoder learns the texts, without pictures.
Both see training scenes only.
"""

import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    get_cosine_schedule_with_warmup,
)

from ..data.scene_texts import CAPTION_REQUEST, REJECTIONS, ask_all, caption, reject
from ..data.scenes import COLOURS, SHAPES, SIGN_INDEX, WORDS, Scene, draw_scene, object_map, render
from ..processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from ..processing.processing_amalia_vl import CHAT_TEMPLATE
from ..processing.tiling_amalia_vl import generate_pinpoints, resized_size, select_grid

# What a patch may show, nothing included: shape, colour, word.
LABEL_SIZES = (len(SHAPES) + 1, len(COLOURS) + 1, len(WORDS) + 1)
HEAD_WIDTH = 32
LEAST_COVER = 0.1  # share of a patch that an object must cover to be its label


Loss = Callable[[torch.Tensor], torch.Tensor]  # of a batch of row numbers
_NOT_HIDDEN = re.compile(r"embed|lm_head|^head\.")


@dataclass(frozen=True)
class WarmUp:
    """How a backbone is warmed up: optimiser steps, rows a step, and the peak rates of AdamW and of Muon."""

    steps: int
    batch: int
    rate: float
    matrix_rate: float


@dataclass(frozen=True)
class BackboneSizes:
    """Widths and depths of the two backbones, the tiles, and how long the warm-ups are.

    Args:
        tile_size: Side of a tile, in pixels.
        patch_size: Side of a patch, in pixels.
        max_tiles: Most tiles of a picture, the thumbnail excluded.
        tower_width: Hidden size of the tower.
        tower_layers: Layers of the tower.
        decoder_width: Hidden size of the decoder.
        decoder_layers: Layers of the decoder.
        vocab_size: Most tokens of the tokenizer.
        tower_scenes: Scenes whose tiles the tower learns from.
        tower_warm_up: How the tower is trained.
        decoder_scenes: Scenes whose texts the decoder and the tokenizer learn from.
        decoder_warm_up: How the decoder is trained.
    """

    tile_size: int = 64
    patch_size: int = 16
    max_tiles: int = 4
    tower_width: int = 128
    tower_layers: int = 4
    decoder_width: int = 128
    decoder_layers: int = 4
    vocab_size: int = 1024
    tower_scenes: int = 4000
    tower_warm_up: WarmUp = WarmUp(steps=600, batch=64, rate=3e-3, matrix_rate=0.02)
    decoder_scenes: int = 6000
    decoder_warm_up: WarmUp = WarmUp(steps=400, batch=16, rate=3e-3, matrix_rate=0.03)


def warmed_up_tower(sizes: BackboneSizes, seed: int) -> SiglipVisionModel:
    """Train a small SigLIP tower to say, for each patch, which shape, colour and word it shows.

    The head reads the patches before the tower's last norm, where AMALIA-VL takes its features.
    """
    torch.manual_seed(seed)
    config = SiglipVisionConfig(
        hidden_size=sizes.tower_width,
        intermediate_size=3 * sizes.tower_width,
        num_hidden_layers=sizes.tower_layers,
        num_attention_heads=max(1, sizes.tower_width // HEAD_WIDTH),
        image_size=sizes.tile_size,
        patch_size=sizes.patch_size,
        vision_use_head=False,
    )
    tower = SiglipVisionModel(config)
    norm, tower.post_layernorm = tower.post_layernorm, nn.Identity()
    head = nn.Linear(sizes.tower_width, sum(LABEL_SIZES))
    tiles, labels = labelled_tiles(sizes, random.Random(f"{seed} tower"))  # noqa: S311

    def loss(rows: torch.Tensor) -> torch.Tensor:
        pixels = tiles[rows].float() / 127.5 - 1
        scores = torch.split(head(tower(pixel_values=pixels).last_hidden_state), list(LABEL_SIZES), dim=-1)
        parts = zip(scores, labels[rows].unbind(-1), strict=True)
        return torch.stack([F.cross_entropy(score.flatten(0, 1), label.flatten()) for score, label in parts]).sum()

    both = nn.ModuleDict({"tower": tower, "head": head})
    _minimise(loss, both, len(tiles), sizes.tower_warm_up, "warming up the tower on labels")
    tower.post_layernorm = norm
    return tower


def _minimise(loss: Loss, model: nn.Module, rows: int, plan: WarmUp, title: str) -> None:
    """Minimise a loss over shuffled rows: Muon for the hidden matrices, AdamW for all else, rates falling to 0.

    Muon needs about a third of AdamW's steps here; the three stages themselves use AdamW, as the paper does.
    """
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    hidden = [weight for name, weight in named if weight.ndim == 2 and not _NOT_HIDDEN.search(name)]
    others = [weight for name, weight in named if weight.ndim != 2 or _NOT_HIDDEN.search(name)]
    optimizers = [
        torch.optim.Muon(hidden, lr=plan.matrix_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedules = [get_cosine_schedule_with_warmup(optimizer, plan.steps // 20, plan.steps) for optimizer in optimizers]
    passes = math.ceil(plan.steps * plan.batch / rows)
    order = torch.cat([torch.randperm(rows) for _ in range(passes)])
    progress = tqdm(torch.split(order[: plan.steps * plan.batch], plan.batch), desc=title, unit="step")
    for batch in progress:
        value = loss(batch)
        model.zero_grad()
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for step in (*optimizers, *schedules):
            step.step()
        progress.set_postfix(loss=f"{value.item():.3f}", refresh=False)


def labelled_tiles(sizes: BackboneSizes, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw training scenes and cut them into tiles.

    Returns:
        Tiles `(tiles, 3, S, S)` as grey levels in uint8, and for each of their patches the shape, colour and word it
        shows, `(tiles, side**2, 3)`; 0 is none.
    """
    processor = AmaliaVLImageProcessor(
        size=sizes.tile_size, patch_size=sizes.patch_size, max_tiles=sizes.max_tiles, resampler="torch"
    )
    tiles, labels = [], []
    for _ in tqdm(range(sizes.tower_scenes), desc="drawing tiles for the tower", unit="scene"):
        scene = draw_scene(rng, "train")
        pixels = processor(render(scene), return_tensors="pt")["pixel_values"]
        tiles.append(((pixels + 1) * 127.5).round().to(torch.uint8))
        labels.append(patch_labels(scene, sizes))
    return torch.cat(tiles), torch.from_numpy(np.concatenate(labels))


def patch_labels(scene: Scene, sizes: BackboneSizes) -> np.ndarray:
    """Label the patches of a scene's tiles, thumbnail first: `(tiles, side**2, 3)`, the shape, colour and word."""
    side = sizes.tile_size // sizes.patch_size
    tiles = _tiles(object_map(scene), sizes)  # (tiles, S, S)
    patches = tiles.reshape(-1, side, sizes.patch_size, side, sizes.patch_size).swapaxes(2, 3)
    patches = patches.reshape(len(tiles), side**2, sizes.patch_size**2)
    cover = np.stack([(patches == index).mean(axis=-1) for index in range(1, SIGN_INDEX + 1)], axis=-1)
    shown = np.where(cover.max(axis=-1) >= LEAST_COVER, cover.argmax(axis=-1) + 1, 0)  # (tiles, side**2)
    return _facts(scene)[shown]


def _facts(scene: Scene) -> np.ndarray:
    """Shape, colour and word of each object, in the indices of `object_map`: `(SIGN_INDEX + 1, 3)`."""
    facts = np.zeros((SIGN_INDEX + 1, 3), dtype=np.int64)
    for index, shape in enumerate(scene.shapes, start=1):
        facts[index, :2] = SHAPES.index(shape.name) + 1, COLOURS.index(shape.colour) + 1
    facts[SIGN_INDEX, 2] = WORDS.index(scene.sign.word) + 1
    return facts


def _tiles(picture: Image.Image, sizes: BackboneSizes) -> np.ndarray:
    """Cut a picture of indices as the processor cuts a photograph, without mixing neighbours."""
    size = sizes.tile_size
    grid = select_grid(picture.height, picture.width, generate_pinpoints(sizes.max_tiles, size), size)
    height, width = resized_size(picture.height, picture.width, grid, size)
    canvas = Image.new("L", (grid.cols * size, grid.rows * size), 0)
    corner = ((canvas.width - width) // 2, (canvas.height - height) // 2)
    canvas.paste(picture.resize((width, height), Image.Resampling.NEAREST), corner)
    thumbnail = picture.resize((size, size), Image.Resampling.NEAREST)
    cut = np.asarray(canvas).reshape(grid.rows, size, grid.cols, size).swapaxes(1, 2).reshape(-1, size, size)
    return np.concatenate((np.asarray(thumbnail)[None], cut))


def demo_texts(rng: random.Random, scenes: int) -> Iterator[str]:
    """Every sentence that is said about training scenes, right or not, and ChatML's roles: for the tokenizer."""
    for _ in range(scenes):
        scene = draw_scene(rng, "train")
        yield from ("system", "user", "assistant", CAPTION_REQUEST, caption(scene))
        for question in ask_all(scene, rng):
            yield from (question.text, question.answer, reject(question, rng.choice(REJECTIONS), rng).rejected)


def warmed_up_decoder(tokenizer: Any, sizes: BackboneSizes, seed: int) -> LlamaForCausalLM:
    """Train a small Llama to answer about scenes that are told, not shown, in chat form."""
    torch.manual_seed(seed)
    decoder = LlamaForCausalLM(_decoder_config(tokenizer, sizes))
    rng = random.Random(f"{seed} decoder")  # noqa: S311
    chats = [told_chat(draw_scene(rng, "train"), rng) for _ in range(sizes.decoder_scenes)]
    encoded = tokenizer.apply_chat_template(
        chats, chat_template=CHAT_TEMPLATE, return_dict=True, return_assistant_tokens_mask=True
    )

    def loss(rows: torch.Tensor) -> torch.Tensor:
        columns = (
            pad_sequence([torch.tensor(encoded[key][row]) for row in rows.tolist()], batch_first=True)
            for key in ("input_ids", "attention_mask", "assistant_masks")
        )
        ids, mask, answers = columns  # (rows, length) each
        labels = ids.masked_fill(answers == 0, -100)
        return decoder(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss

    _minimise(loss, decoder, len(chats), sizes.decoder_warm_up, "warming up the decoder on text")
    return decoder


def _decoder_config(tokenizer: Any, sizes: BackboneSizes) -> LlamaConfig:
    heads = max(1, sizes.decoder_width // HEAD_WIDTH)
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.decoder_width,
        intermediate_size=3 * sizes.decoder_width,
        num_hidden_layers=sizes.decoder_layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),  # grouped, as AMALIA's are
        max_position_embeddings=1024,
        initializer_range=0.05,  # larger than Llama's 0.02, which suits widths in the thousands
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def told_chat(scene: Scene, rng: random.Random) -> list[dict[str, str]]:
    """A conversation about a scene whose caption stands where the picture would."""
    questions = [(question.text, question.answer) for question in ask_all(scene, rng)]
    turns = [(CAPTION_REQUEST, caption(scene)), *questions]
    rng.shuffle(turns)
    turns[0] = (f"{caption(scene)}\n{turns[0][0]}", turns[0][1])
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
