"""Packed training against TRL with stock LLaVA-NeXT, same weights and loss: useful tokens a second of CPU time.

Conversations are as long as those of Table 1's mixture. The real model is 11 times as wide and 7 times as deep, and
its tiles have 9 times as many patches; widths, depths and lengths shrink so that each part keeps its share of the
work, which the first lines show (operations of a forward pass, causal attention counted by half). Stock is the head of
TRL's `SFTTrainer` on `LlavaNextForConditionalGeneration`, batches of four in random order: once scoring labelled
positions alone, as on a GPU, and once all of them, as TRL does on a CPU. Ours is the rows of `plan_rows`, and
the same without packing, one conversation at a time. Forward and backward of whole steps, on one thread, in turns;
nothing is checkpointed; the optimiser, alike for all, is left out.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration, SiglipVisionConfig
from trl.trainer.utils import add_fused_lm_head

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration
from amalia_vl_hf.modeling.configuration_amalia_vl import from_llava_next
from amalia_vl_hf.processing.tiling_amalia_vl import (
    TileLayout,
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    select_grid,
)
from amalia_vl_hf.training.batches.balance import CostModel
from amalia_vl_hf.training.batches.packing import take_packed_rows
from amalia_vl_hf.training.batches.row_plan import plan_rows
from amalia_vl_hf.training.batches.segments import segment_lengths

PATCH, MAX_TILES = 16, 12  # px, tiles
REAL_SIDE, SIDE = 24, 8  # patches along a side of a tile
REAL_VOCABULARY, VOCABULARY = 128_000, 1730
MAX_LENGTH = 16384 * SIDE**2 // REAL_SIDE**2  # tokens of a row
STEP, ROUNDS, BATCH = 16, 3, 4  # conversations a step; steps; conversations a padded batch
SEED = 46  # a draw like the whole mix in lengths, tiles, and how full its padded batches are
IMAGE = VOCABULARY - 1

Inputs = dict[str, Any]


class Conversation(NamedTuple):
    """One made conversation: its image, if any, and its words."""

    size: tuple[int, int] | None  # height and width, px
    layout: TileLayout | None
    words: int  # text tokens
    length: int  # tokens, visual ones included


def length_mix(count: int, side: int = REAL_SIDE, seed: int = 0) -> list[Conversation]:
    """Make conversations as long as Table 1's mixture: 3,800 tokens and 6.8 tiles on average at the real geometry.

    A padded batch of four is 70 % useful.

    Args:
        count: How many.
        side: Patches along a side of a tile; images and texts shrink with it.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    scale = np.exp(generator.normal(np.log(1.82), 0.3, count))  # tiles along a side of the image
    aspect = np.exp(generator.normal(0, 0.3, count))
    words = (np.exp(generator.normal(5.5, 0.7, count)).clip(max=3500) + 40) * (side / REAL_SIDE) ** 2
    has_image = generator.random(count) > 0.02
    made = []
    for index in range(count):
        text = max(int(words[index]), 4)
        if not has_image[index]:
            made.append(Conversation(None, None, text, text))
            continue
        height, width = (
            max(round(edge * side), 2) * PATCH for edge in (scale[index] * aspect[index], scale[index] / aspect[index])
        )
        layout = _layout(height, width, side)
        made.append(Conversation((height, width), layout, text, text + num_visual_tokens(layout, side)))
    return made


@lru_cache(maxsize=4096)
def _layout(height: int, width: int, side: int) -> TileLayout:
    pinpoints = generate_pinpoints(MAX_TILES, side * PATCH)
    return layout_for(height, width, select_grid(height, width, pinpoints, side * PATCH), side)


def real_config() -> AmaliaVLConfig:
    """AMALIA-VL's sizes, for the shares of its work."""
    return AmaliaVLConfig(
        vision_config=_vision(1152, 4304, 27, 16, REAL_SIDE),
        text_config=_text(4096, 12288, 42, 32, REAL_VOCABULARY),
        image_token_id=REAL_VOCABULARY - 1,
    )


def stock_config() -> LlavaNextConfig:
    """The scaled model; stock's tower has no layer or head that it would compute in vain."""
    return LlavaNextConfig(
        vision_config=_vision(96, 360, 4, 4, SIDE),
        text_config=_text(384, 1152, 6, 8, VOCABULARY),
        image_token_index=IMAGE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[list(size) for size in generate_pinpoints(MAX_TILES, SIDE * PATCH)],
    )


def _vision(width: int, inner: int, layers: int, heads: int, side: int) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=side * PATCH,
        patch_size=PATCH,
        vision_use_head=False,
    )


def _text(width: int, inner: int, layers: int, heads: int, vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        max_position_embeddings=16384,
    )


def models() -> tuple[AmaliaVLForConditionalGeneration, LlavaNextForConditionalGeneration]:
    """Ours and stock, with the same weights and TRL's head."""
    config = stock_config()
    torch.manual_seed(0)
    stock = LlavaNextForConditionalGeneration(config)
    ours = AmaliaVLForConditionalGeneration(AmaliaVLConfig(**from_llava_next(config.to_dict())))
    weights = stock.state_dict()
    ours.load_state_dict({key: weights[key.replace("newline.weight", "newline")] for key in ours.state_dict()})
    take_packed_rows(ours)
    for model in (ours, stock):
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))  # as SFTTrainer does
    return ours, stock


class Sample(NamedTuple):
    """A conversation's tensors."""

    ids: torch.Tensor  # (tokens,)
    labels: torch.Tensor  # (tokens,)
    tiles: torch.Tensor | None  # (tiles, 3, S, S)
    made: Conversation


def samples(mix: Iterable[Conversation]) -> list[Sample]:
    """Random words, the image after the first two, and the last 60 % of them an answer."""
    made = []
    for one in mix:
        words = torch.randint(5, IMAGE, (one.words,))
        ids = torch.cat((words[:2], torch.full((one.length - one.words,), IMAGE), words[2:]))
        answer = torch.arange(one.length) >= one.length - max(1, int(0.6 * one.words))
        tiles = torch.randn(one.layout.num_tiles, 3, SIDE * PATCH, SIDE * PATCH) if one.layout else None
        made.append(Sample(ids, ids.masked_fill(~answer, -100), tiles, one))
    return made


def packed_row(row: list[Sample]) -> Inputs:
    """One row, as `PackedConversationCollator` makes it."""
    labels = torch.cat([one.labels for one in row])
    scored = (labels[1:] != -100).nonzero()[:, 0]
    lengths = [len(one.ids) for one in row]
    inputs = {
        "input_ids": torch.cat([one.ids for one in row])[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "segments": segment_lengths(lengths),
        "scored": scored,
        "shift_labels": labels[None, scored + 1],
    }
    tiles = [one.tiles for one in row if one.tiles is not None]
    if tiles:
        layouts = [one.made.layout for one in row if one.made.layout for _ in range(one.made.layout.num_tiles)]
        inputs |= {"pixel_values": torch.cat(tiles), "tile_layouts": torch.tensor(layouts)}
    return inputs


def padded_batch(batch: list[Sample]) -> Inputs:
    """A batch as TRL's collator and stock's processor make it: texts and images padded to the largest."""
    inputs = {
        "input_ids": pad_sequence([one.ids for one in batch], batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one.ids) for one in batch], batch_first=True),
        "labels": pad_sequence([one.labels for one in batch], batch_first=True, padding_value=-100),
    }
    tiles = [one.tiles for one in batch if one.tiles is not None]
    if tiles:
        sizes = [one.made.size for one in batch if one.made.size]
        inputs |= {"pixel_values": pad_sequence(tiles, batch_first=True), "image_sizes": torch.tensor(sizes)}
    return inputs


def packed_rows(step: list[Sample], config: AmaliaVLConfig) -> list[Inputs]:
    """The rows of a step that our sampler lays out."""
    lengths = np.array([one.made.length for one in step])
    tiles = np.array([0 if one.tiles is None else len(one.tiles) for one in step])
    costs = CostModel.of(config).conversations(lengths, tiles)
    options = {"conversations": len(step), "ranks": 1, "max_length": MAX_LENGTH, "steps": 1, "seed": 0}
    [rows] = plan_rows(lengths, costs, **options)
    return [packed_row([step[one] for one in row]) for row in rows]


class Way(NamedTuple):
    """A way to train on the conversations of a step."""

    model: torch.nn.Module
    batches: list[Inputs]
    labelled_only: bool = True


def train_in_turns(ways: dict[str, Way], words: int) -> dict[str, tuple[float, float]]:
    """Forward and backward of one step in each way, a few batches of one after a few of the other.

    Returns:
        CPU seconds and loss of each.
    """
    seconds, losses = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    turns = min(len(way.batches) for way in ways.values())
    for turn in range(turns):
        for name, way in ways.items():
            with labelled_only() if way.labelled_only else nullcontext():
                start = time.process_time()
                for index in np.array_split(range(len(way.batches)), turns)[turn]:
                    loss = -way.model(**way.batches[index], fused_lm_head=True).log_probs.sum() / words
                    loss.backward()
                    losses[name] += loss.item()
                seconds[name] += time.process_time() - start
            way.model.zero_grad(set_to_none=True)
    return {name: (seconds[name], losses[name]) for name in ways}


def labelled_only() -> Any:
    """Make TRL's head on a CPU score what it scores on a GPU."""
    return patch("trl.trainer.utils._use_triton", return_value=True)


def measure(mix: list[Conversation]) -> dict[str, float]:
    """Useful tokens a CPU second of each way to train on some steps' conversations."""
    ours, stock = (model.train() for model in models())
    seconds: Counter[str] = Counter()
    warm_up = mix[:BATCH]
    for made in (warm_up, *(mix[start : start + STEP] for start in range(0, len(mix), STEP))):
        step = samples(made)
        padded = [padded_batch(step[start : start + BATCH]) for start in range(0, len(step), BATCH)]
        ways = {
            "packed": Way(ours, packed_rows(step, ours.config)),
            "one at a time": Way(ours, [packed_row([one]) for one in step]),
            "stock, labelled": Way(stock, padded),
            "stock, CPU": Way(stock, padded, labelled_only=False),
        }
        taken = train_in_turns(ways, sum(int((one.labels != -100).sum()) for one in step))
        losses = [loss for _, loss in taken.values()]
        torch.testing.assert_close(losses, [losses[0]] * len(losses), rtol=1e-4, atol=0)
        if made is not warm_up:
            seconds.update({name: spent for name, (spent, _) in taken.items()})
    tokens = sum(one.length for one in mix)
    return {name: tokens / spent for name, spent in seconds.items()}


def shares(config: AmaliaVLConfig, side: int, vocabulary: int) -> dict[str, float]:
    """Share of each part in the work of a forward pass of the mix, the head at every position."""
    mix = length_mix(1024, side)
    lengths = np.array([one.length for one in mix], dtype=np.float64)
    tiles = sum(one.layout.num_tiles for one in mix if one.layout)
    costs = CostModel.of(config)
    work = {
        "tower": costs.tile * tiles,
        "decoder": costs.token * lengths.sum(),
        "attention": costs.pair * (lengths**2).sum(),
        "head": 2 * config.text_config.hidden_size * vocabulary * lengths.sum(),
    }
    return {part: value / sum(work.values()) for part, value in work.items()}


def main() -> None:
    """Print the tables and the JSON line."""
    scaled = AmaliaVLConfig(**from_llava_next(stock_config().to_dict()))
    print(f"{'share of the work':<20}{'AMALIA-VL':>10}{'here':>8}")
    here = shares(scaled, SIDE, VOCABULARY)
    for part, share in shares(real_config(), REAL_SIDE, REAL_VOCABULARY).items():
        print(f"{part:<20}{share:>10.1%}{here[part]:>8.1%}")
    mix = length_mix(STEP * ROUNDS, SIDE, SEED)
    lengths = np.array([one.length for one in mix]).reshape(-1, BATCH)
    useful = lengths.sum() / (BATCH * lengths.max(axis=1).sum())
    print(
        f"{len(mix)} conversations, {lengths.mean():.0f} tokens on average; a padded batch of 4 is {useful:.0%} useful"
    )
    rates = measure(mix)
    results = {}
    print(f"\n{'packed against':<42}{'ours':>8}{'other':>8}{'ratio':>8}  unit")
    labels = {
        "stock, labelled": "TRL stock, batch 4, labelled positions",
        "stock, CPU": "TRL stock, batch 4, as it runs on a CPU",
        "one at a time": "ours, one conversation at a time",
    }
    for name, label in labels.items():
        ratio = rates["packed"] / rates[name]
        unit = "useful tokens / CPU s"
        results[f"packed training against {label}"] = {
            "ours": rates["packed"],
            "stock": rates[name],
            "ratio": ratio,
            "unit": unit,
        }
        print(f"{label:<42}{rates['packed']:>8.0f}{rates[name]:>8.0f}{ratio:>8.2f}  {unit}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
