"""Steps of the three stages on one GPU, at the real width: speed, MFU and peak memory.

Ours (packed rows, shared prompts) against TRL's losses on stock LLaVA-NeXT (batches of four, whole conversations),
the latter with sdpa and, where flash_attn is importable, with flash attention. As many of the 42 decoder layers are
built as fit: weights, gradients and AdamW's states in bf16, for on a node of many ranks each holds only a part. Layers
are checkpointed on both sides. MFU counts what each way has to compute for its tokens without padding: nothing twice,
and a shared prompt once. Stage 1 has no tiles; stock cannot leave them off and gets the fewest, one.

Without a GPU nothing is measured. `--tiny` runs the same code on a CPU with tiny sizes; its figures mean nothing.
"""

import argparse
import copy
import gc
import json
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import LlavaNextForConditionalGeneration
from transformers.utils import is_flash_attn_2_available
from trl.trainer.utils import add_fused_lm_head, get_peak_flops

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.processing.tiling_amalia_vl import UNTILED, TileLayout, num_visual_tokens
from amalia_vl_hf.training.batches.balance import CostModel
from amalia_vl_hf.training.batches.packing import take_packed_rows
from amalia_vl_hf.training.batches.row_plan import plan_rows
from amalia_vl_hf.training.batches.shared_prompt import share_prompts

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script sees its own folder alone
from benchmarks import packing, preference
from benchmarks.preference import LAYOUT, REAL, Sizes

TINY = Sizes(64, 128, 4, 2, 300, 32, 64, 4, 2, 2, 4, 5, 3)
CONVERSATIONS, PAIRS, BATCH = 16, 2, 4  # of a step; rows of stock's padded batch
BYTES_A_PARAMETER = 10  # bf16: weight, gradient, two states of AdamW, and the reference's weight
ACTIVATIONS = 0.3  # share of the memory left to them


class Stage(NamedTuple):
    """What differs between the stages."""

    name: str
    unit: str
    max_length: int  # tokens of a packed row at the real geometry; paper, Table 2
    tower_passes: int  # forward passes' worth of work: backward counts twice, and only towards what is trained
    decoder_passes: int


STAGES = (
    Stage("1 align", "conversations / s", 2048, 1, 2),
    Stage("2 instruct", "useful tokens / s", 16384, 3, 3),
    Stage("3 prefer", "pairs / s", 16384, 4, 4),  # three of the policy, one of the reference
)


class Way(NamedTuple):
    """A model and how its decoder attends."""

    name: str
    ours: bool
    attention: str


class Step(NamedTuple):
    """An optimiser step to time."""

    run: Callable[[], float]  # returns the loss
    amount: int  # in the stage's unit
    flops: float


class Figures(NamedTuple):
    """What was measured."""

    rate: float
    mfu: float | None
    peak: float  # GiB
    loss: float


def ways() -> list[Way]:
    """Ours, and stock with each attention that is there."""
    stock = ["sdpa", *(["flash_attention_2"] if is_flash_attn_2_available() else [])]
    return [Way("ours", True, "sdpa"), *(Way(f"stock, {attention}", False, attention) for attention in stock)]


def layers_that_fit(memory: int) -> int:
    """Decoder layers of the real width whose training fits into `memory` bytes, at most all of them."""
    weights = [preference.own_config(REAL._replace(layers=layers)) for layers in (1, 2)]
    with torch.device("meta"):
        one, two = (AmaliaVLForConditionalGeneration(config).num_parameters() for config in weights)
    room = memory * (1 - ACTIVATIONS) / BYTES_A_PARAMETER - one
    return max(1, min(REAL.layers, 1 + int(room / (two - one))))


def build(sizes: Sizes, way: Way, device: str) -> torch.nn.Module:
    """A model whose weights depend on their names alone, so that ours and stock have the same."""
    kind = AmaliaVLForConditionalGeneration if way.ours else LlavaNextForConditionalGeneration
    config = preference.own_config(sizes) if way.ours else preference.stock_config(sizes)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = kind._from_config(config, dtype=dtype, attn_implementation=way.attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or "newline" in name:
                seed = zlib.crc32(name.replace("newline.weight", "newline").encode())
                parameter.normal_(0, 0.02, generator=torch.Generator(device).manual_seed(seed))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def optimiser(model: torch.nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """AdamW on what the stage trains; the rest is frozen."""
    for name, parameter in model.named_parameters():
        connector = any(part in name for part in ("multi_modal_projector", "image_newline"))
        parameter.requires_grad_(connector or stage.tower_passes > 1)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=1e-6, fused=trained[0].is_cuda)


def conversations(stage: Stage, way: Way, sizes: Sizes) -> list[packing.Conversation]:
    """Table 1's mixture; in stage 1 without tiles, as far as the model can."""
    mix = packing.length_mix(CONVERSATIONS, sizes.side)
    if stage.tower_passes > 1:
        return mix
    layout = UNTILED if way.ours else TileLayout(1, 1, 0, 0)
    size, visual = (packing.PATCH * sizes.side,) * 2, num_visual_tokens(layout, sizes.side)
    words = [min(one.words, 150) for one in mix]  # captions
    return [packing.Conversation(size, layout, count, visual + count) for count in words]


def sample(one: packing.Conversation, sizes: Sizes) -> packing.Sample:
    """Random words, the image after the first two, and the last 60 % of them an answer."""
    image, pixels = sizes.vocab - 1, packing.PATCH * sizes.side
    words = torch.randint(5, image, (one.words,))
    ids = torch.cat((words[:2], torch.full((one.length - one.words,), image), words[2:]))
    answer = torch.arange(one.length) >= one.length - max(1, int(0.6 * one.words))
    tiles = torch.randn(one.layout.num_tiles, 3, pixels, pixels) if one.layout else None
    return packing.Sample(ids, ids.masked_fill(~answer, -100), tiles, one)


def move(batch: dict[str, Any], device: str) -> dict[str, Any]:
    """A batch on the device; pixels in the weights' dtype."""
    placed = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
    if device != "cpu" and "pixel_values" in placed:
        placed["pixel_values"] = placed["pixel_values"].bfloat16()
    return placed


def learn(stage: Stage, way: Way, sizes: Sizes, device: str) -> Step:
    """A step of stage 1 or 2 over `CONVERSATIONS` conversations."""
    model, mix = build(sizes, way, device), conversations(stage, way, sizes)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))  # as SFTTrainer does
    torch.manual_seed(0)
    samples = [sample(one, sizes) for one in mix]
    lengths = np.array([one.length for one in mix])
    tiles = np.array([one.layout.num_tiles if one.layout else 0 for one in mix])
    costs = CostModel.of(preference.own_config(sizes))
    if way.ours:
        take_packed_rows(model)
        options = {"conversations": len(mix), "ranks": 1, "steps": 1, "seed": 0}
        longest = max(stage.max_length * sizes.side**2 // REAL.side**2, int(lengths.max()))
        [rows] = plan_rows(lengths, costs.conversations(lengths, tiles), max_length=longest, **options)
        batches = [packing.packed_row([samples[one] for one in row]) for row in rows]
    else:
        batches = [packing.padded_batch(samples[start : start + BATCH]) for start in range(0, len(samples), BATCH)]
    placed, optimizer = [move(batch, device) for batch in batches], optimiser(model, stage)
    words = sum(int((one.labels != -100).sum()) for one in samples)

    def run() -> float:
        total = 0.0
        for batch in placed:
            loss = -model(**batch, fused_lm_head=True).log_probs.sum() / words
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        return total

    decoder = costs._replace(tile=0).conversations(lengths, tiles).sum()
    flops = stage.tower_passes * costs.tile * tiles.sum() + stage.decoder_passes * decoder
    return Step(run, len(mix) if stage.tower_passes == 1 else int(lengths.sum()), flops)


def prefer(stage: Stage, way: Way, sizes: Sizes, device: str, folder: str) -> Step:
    """A step of stage 3 over `PAIRS` pairs, one after the other."""
    model = build(sizes, way, device)
    reference = copy.deepcopy(model).requires_grad_(False).eval()
    if way.ours:
        share_prompts(model)
        share_prompts(reference)
    trainer = preference.trainer_of(model, reference, folder, use_cpu=device == "cpu")
    torch.manual_seed(0)
    pairs = [move(preference.batches(sizes)[0 if way.ours else 1], device) for _ in range(PAIRS)]
    optimizer = optimiser(model, stage)

    def run() -> float:
        total = 0.0
        for batch in pairs:
            loss = trainer.compute_loss(trainer.model, batch) / PAIRS
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        return total

    costs = CostModel.of(preference.own_config(sizes))
    lengths = np.array([sizes.prompt + sizes.chosen, sizes.prompt + sizes.rejected])
    flops = costs.conversations(lengths, np.array([LAYOUT.num_tiles] * 2)).sum()
    if way.ours:
        shared = np.array([sizes.prompt])
        flops -= costs.conversations(shared, np.array([LAYOUT.num_tiles])).sum()
    return Step(run, PAIRS, PAIRS * stage.decoder_passes * flops)


def measure(step: Step, device: str, steps: int) -> Figures:
    """Run a step once to warm up and `steps` times more; the median counts."""
    loss, seconds = step.run(), []
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(steps):
        start = time.perf_counter()
        step.run()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    taken = statistics.median(seconds)
    best = None if device == "cpu" else get_peak_flops(torch.cuda.get_device_name(), "bfloat16")
    peak = 0.0 if device == "cpu" else torch.cuda.max_memory_allocated() / 2**30
    return Figures(step.amount / taken, best and step.flops / taken / best, peak, loss)


def figures(stage: Stage, way: Way, sizes: Sizes, device: str, steps: int) -> Figures | None:
    """Build, measure and let go; None where the memory does not suffice."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            preferring = stage.name == "3 prefer"
            step = prefer(stage, way, sizes, device, folder) if preferring else learn(stage, way, sizes, device)
            return measure(step, device, steps)
    except torch.OutOfMemoryError:
        return None
    finally:
        step = None
        gc.collect()
        torch.cuda.empty_cache()


def run_stages(sizes: Sizes, device: str, steps: int) -> dict[str, dict[str, float | str]]:
    """Measure every stage in every way, print the table, and return what the JSON line holds."""
    results: dict[str, dict[str, float | str]] = {}
    print(f"{'stage':<12}{'way':<28}{'rate':>12}{'MFU':>8}{'peak GiB':>10}{'loss':>9}  unit")
    for stage in STAGES:
        found = {way.name: figures(stage, way, sizes, device, steps) for way in ways()}
        for name, one in found.items():
            if one is None:
                print(f"{stage.name:<12}{name:<28}  out of memory", flush=True)
                continue
            mfu = "" if one.mfu is None else f"{one.mfu:.1%}"
            columns = f"{one.rate:>12.3g}{mfu:>8}{one.peak:>10.1f}{one.loss:>9.4f}"
            print(f"{stage.name:<12}{name:<28}{columns}  {stage.unit}", flush=True)
        ours = found.pop("ours")
        for name, stock in found.items():
            if ours and stock:
                ratio = ours.rate / stock.rate
                row = {"ours": ours.rate, "stock": stock.rate, "ratio": ratio, "unit": stage.unit}
                results[f"GPU, stage {stage.name}, against {name}"] = row
    return results


def main() -> None:
    """Print the table and its JSON line."""
    parser = argparse.ArgumentParser(description="Training steps on a GPU, ours and stock.")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on the CPU, to see that it runs")
    parser.add_argument("--layers", type=int, help="decoder layers; as many as fit when left out")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    options = parser.parse_args()
    if options.tiny:
        results = run_stages(TINY, "cpu", options.steps)
    elif torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        layers = options.layers or layers_that_fit(memory)
        print(f"{torch.cuda.get_device_name()}, {memory / 2**30:.0f} GiB; {layers} of {REAL.layers} decoder layers")
        results = run_stages(REAL._replace(layers=layers), "cuda", options.steps)
    else:
        print("no GPU here: nothing measured")
        results = {}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
