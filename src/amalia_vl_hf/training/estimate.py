"""What training by a recipe would take, said before a weight is loaded: parameters, batches, steps, tokens, memory.

Memory of a GPU, in bytes, for `p` parameters of which `t` are trained:

- weights: `p` times 4 (fp32), or 6 (bf16 autocast casts a copy), or 2 (ZeRO in bf16, and what adapters leave frozen),
  or 0.5625 (nf4: the decoder's layers under adapters); hpZ keeps 2 more of each, spread over a machine;
- gradients: `t` times 4, or 2 (ZeRO in bf16);
- optimiser: `t` times 8, AdamW's two moments in fp32, or 12 (ZeRO in bf16 keeps the fp32 weights there);
- reference: the weights once more, in DPO without adapters;
- activations: what the layers keep for the backward pass of each token (`memory` counts it), at 4 or 2 bytes a number.

Weights, gradients and optimiser states are divided by the ranks that share them. Activations are those of the largest
batch there can be: every sample `max_length` long, every image cut into `max_tiles`. The allocator's own waste, NCCL's
buffers and the layers that ZeRO-3 gathers are not in it: leave a tenth of the memory free, as the line `fits` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import PreTrainedConfig

from ..evaluation.sources import open_tasks
from ..memory import decoder_layer_numbers, kept_numbers, tower_layer_numbers
from ..processing.tiling_amalia_vl import TileLayout, num_visual_tokens, video_tokens
from ..quantisation import NF4_BYTES, in_blocks
from ..samples.checking import DROPPED, SampleCheck, check
from ..samples.loading import load_samples
from .models import empty_model, load_config, load_processor, lora_config, text_config_of
from .ranks import Sharing, check_batch, count_save_steps, count_steps, planned_sharing
from .recipe import Recipe, RecipeError, require_trackers
from .stages import count_parameters, freeze

GIB = 2**30
CARDS = (24, 48, 64, 80, 141)  # GiB, as their makers call them
FREE = 0.1  # of a card, for what the estimate leaves out
LOOKED_AT = 100  # samples, evenly over all of them: images are decoded, and this is to take seconds
_NAMED = 3  # findings
_ENDS = tuple(kind for kind in DROPPED if kind != "duplicate")  # what training stops at
_AHEAD = 2  # batches that a worker of torch's DataLoader prepares


@dataclass(frozen=True)
class Memory:
    """Bytes that one GPU needs, by what they are for."""

    weights: float
    gradients: float
    optimiser: float
    reference: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.reference + self.activations


def describe_training(recipe: Recipe) -> str:
    """Say what training by a recipe would do and take, without loading a weight.

    Raises:
        RecipeError: The ranks do not give the global batch that the recipe names, no sample can be trained on, a
            tracker is not installed, or the validation task cannot be followed.
    """
    require_trackers(recipe)
    sharing = planned_sharing(recipe)
    model = model_without_weights(recipe)
    data = load_samples(recipe.data, recipe.training_stage.method, False, recipe.images)
    return "\n".join(
        [
            *_stage_lines(recipe, model),
            *_data_lines(recipe, data),
            *_validation_lines(recipe),
            *_batch_lines(recipe, sharing, len(data)),
            *_packing_lines(recipe, sharing),
            *_memory_lines(estimate_memory(recipe, model, sharing), sharing),
            *_shared_memory_lines(recipe, sharing),
            f"output     {recipe.output}",
        ]
    )


def model_without_weights(recipe: Recipe) -> torch.nn.Module:
    """Build the recipe's model without memory for its weights, frozen and with adapters as training would have it."""
    model: torch.nn.Module = empty_model(recipe)
    freeze(model, recipe.training_stage.trainable)
    adapters = lora_config(recipe, model)
    if adapters is None:
        return model
    with torch.device("meta"):
        return get_peft_model(model, adapters)


def estimate_memory(recipe: Recipe, model: torch.nn.Module, sharing: Sharing) -> Memory:
    """Estimate what one GPU needs, by the formula at the top of this file.

    Args:
        recipe: Its precision, batch and lengths count.
        model: As `model_without_weights` builds it.
        sharing: Ranks, and what they share.
    """
    every, trained = (sum(count_parameters(model, only).values()) for only in (False, True))
    in_bf16 = recipe.precision == "bf16"
    zero = sharing.kind.startswith("ZeRO") and in_bf16
    weight_bytes = 2 if in_bf16 and (zero or recipe.lora) else 6 if in_bf16 else 4
    weights = every * weight_bytes / sharing.shards["weights"]
    if recipe.lora is not None and recipe.lora.quantised is not None:
        weights -= in_blocks(model) * (weight_bytes - NF4_BYTES)
    if sharing.kind == "ZeRO-3" and sharing.group:
        weights += every * 2 / sharing.group
    needs_reference = recipe.training_stage.method == "dpo" and recipe.lora is None
    return Memory(
        weights=weights,
        gradients=trained * (2 if zero else 4) / sharing.shards["gradients"],
        optimiser=trained * (12 if zero else 8) / sharing.shards["optimiser"],
        reference=weights if needs_reference else 0,
        activations=_activations(recipe, load_config(recipe)),
    )


def _activations(recipe: Recipe, config: PreTrainedConfig) -> float:
    """Bytes of the largest batch's activations."""
    stage = recipe.training_stage
    samples = 1 if recipe.packing else recipe.batch_size
    conversations = samples * (2 if stage.method == "dpo" else 1)
    images = samples if recipe.shared_prompt else conversations
    text = text_config_of(config)
    layers = (text.hidden_size, decoder_layer_numbers(text), text.num_hidden_layers)
    numbers = kept_numbers(*layers, recipe.gradient_checkpointing) * conversations * recipe.max_length
    if "tower" in stage.trainable:
        vision = config.vision_config
        patches = config.patches_per_side**2 * max(1 + stage.max_tiles, _frames(recipe, config))
        layers = (vision.hidden_size, tower_layer_numbers(vision), vision.num_hidden_layers)
        numbers += kept_numbers(*layers, recipe.gradient_checkpointing) * images * patches
    return float(numbers * (2 if recipe.precision == "bf16" else 4))


def _frames(recipe: Recipe, config: PreTrainedConfig) -> int:
    """Frames of videos that fit into a sample, each a tile to the tower; none where the model takes no videos."""
    if config.video_token_id is None:
        return 0
    return int(recipe.max_length // (video_tokens(1, config.patches_per_side) - 1))


def _data_lines(recipe: Recipe, samples: Dataset) -> Iterator[str]:
    """Say what a share of the samples looks like to the stage.

    Args:
        recipe: The stage, its lengths and tiles.
        samples: All of them, opened so that faulty rows say so.

    Raises:
        RecipeError: None of those that were looked at can be trained on.
    """
    looked_at = list(_look(recipe, samples))
    findings = [finding for one in looked_at for finding in one.findings if finding.kind in _ENDS]
    usable = len(looked_at) - len(findings)
    if not usable:
        raise RecipeError(
            f"{recipe.data}: none of {len(looked_at)} samples can be trained on in stage {recipe.stage}; the first: "
            f"{findings[0].reason}"
        )
    lengths = [one.size[0] for one in looked_at if one.size]
    longest = f"; longest {max(lengths):,} of at most {recipe.max_length:,} tokens" if lengths else ""
    yield f"data       {usable} of {len(looked_at)} samples looked at can be trained on{longest}"
    for finding in findings[:_NAMED]:
        yield f"           {finding.kind}: {finding.reason}"
    if findings and not recipe.max_bad_share:
        yield "           the first of them ends the run: `amalia-vl data check` lists all, or allow max_bad_share"


def _look(recipe: Recipe, samples: Dataset) -> Iterator[SampleCheck]:
    count = min(LOOKED_AT, len(samples))
    chosen = samples.select([len(samples) * number // count for number in range(count)])
    stage = recipe.training_stage
    return check(chosen, stage.method, load_processor(recipe), stage.max_tiles, recipe.max_length)


def _stage_lines(recipe: Recipe, model: torch.nn.Module) -> Iterator[str]:
    stage = recipe.training_stage
    tiles = "text" if recipe.stage.startswith("text_") else f"at most {stage.max_tiles} tiles an image"
    yield f"stage      {stage.name} ({stage.method}), {tiles}"
    every, trained = count_parameters(model), count_parameters(model, trained=True)
    for module, parameters in every.items():
        of_them = f" ({trained[module]:,} in adapters)" if recipe.lora and trained[module] else ""
        if not parameters:
            continue
        rate = stage.learning_rates.get(module)
        fate = f"learning rate {rate:g}{of_them}" if rate else "frozen"
        yield f"{module:<10} {parameters:>14,} parameters, {fate}"


def _batch_lines(recipe: Recipe, sharing: Sharing, samples: int) -> Iterator[str]:
    stage = recipe.training_stage
    batch = check_batch(recipe, sharing.ranks)
    steps = count_steps(recipe, samples, sharing.ranks)
    factors = f"{recipe.batch_size} a device x {recipe.accumulation} accumulated x {sharing.ranks} devices"
    yield f"batch      {batch} = {factors}"
    yield f"steps      {steps} over {samples} samples, schedule {stage.schedule}, warm-up {recipe.warmup:g}"
    saved = count_save_steps(recipe, samples, sharing.ranks)
    yield f"saved      every {saved} steps" if saved < steps else f"saved      at the end only: {saved} steps between"
    config, step = load_config(recipe), batch * recipe.max_length
    image = ""
    if hasattr(config, "vision_config"):
        column = TileLayout(stage.max_tiles, min(stage.max_tiles, 1), pad_rows=0, pad_cols=0)  # has the most newlines
        image = f"{num_visual_tokens(column, config.patches_per_side, config.pool_above_tiles):,} an image, "
    yield f"tokens     at most {image}{recipe.max_length:,} a sample, {step:,} a step"


def _validation_lines(recipe: Recipe) -> Iterator[str]:
    """Look at the task that the model is put to while it trains."""
    if recipe.validation is None:
        return
    if (recipe.processes or 1) > 1:
        raise RecipeError(f"validation={recipe.validation} runs in one process, not in {recipe.processes}")
    (questions,) = open_tasks([], [recipe.validation])
    yield f"validation {questions.task.name}: {len(questions.questions)} questions before each checkpoint"


def _packing_lines(recipe: Recipe, sharing: Sharing) -> Iterator[str]:
    """Say how many conversations share a row at most: every rank has at least one row in each step."""
    if not recipe.packing:
        return
    most = recipe.batch_size * recipe.accumulation
    yield f"packing    at most {most:.2f} conversations a row: {most * sharing.ranks} a step on {sharing.ranks} ranks"
    if most == 1:
        yield (
            "           so packing does nothing: a rank has one conversation a step; take fewer ranks (processes) and "
            "more batches each (accumulation), or a larger global_batch"
        )


def _memory_lines(memory: Memory, sharing: Sharing) -> Iterator[str]:
    parts = ("weights", "gradients", "optimiser", "reference", "activations")
    listed = " + ".join(f"{part} {getattr(memory, part) / GIB:.2f}" for part in parts)
    shared = "one GPU" if sharing.kind == "none" else f"each of {sharing.ranks} GPUs, {sharing.kind}"
    yield f"memory     {memory.total / GIB:.2f} GiB on {shared}: {listed}"
    fitting = [size for size in CARDS if memory.total <= size * GIB * (1 - FREE)]
    listed = ", ".join(f"{size} GB" for size in fitting)
    largest = f"not even on {CARDS[-1]} GB: more ranks that share it, adapters, or a shorter max_length"
    yield f"fits       {listed or largest}{', a tenth left free' if listed else ''}"


def _shared_memory_lines(recipe: Recipe, sharing: Sharing) -> Iterator[str]:
    """Say what the workers' batches take in /dev/shm, of which containers often have 64 MB."""
    config, stage = load_config(recipe), recipe.training_stage
    if not recipe.workers or not hasattr(config, "vision_config") or recipe.stage.startswith("text_"):
        return
    samples = 1 if recipe.packing else recipe.batch_size
    times = 2 if stage.method == "dpo" and not recipe.shared_prompt else 1
    several = max(recipe.max_length // config.patches_per_side**2, _frames(recipe, config))
    most = max(1 + stage.max_tiles, several)  # of one image, or of several and of videos
    tiles = samples * times * most
    number = 1 if recipe.pixels == "uint8" else 4
    batch = tiles * 3 * config.vision_config.image_size**2 * number
    need = batch * recipe.workers * _AHEAD
    beside = min(sharing.ranks, 8)  # on one machine
    together = f"; {need * beside / GIB:.2f} GiB for {beside} ranks" if beside > 1 else ""
    yield (
        f"shared     about {need / GIB:.2f} GiB of /dev/shm a rank: {recipe.workers} workers x {_AHEAD} batches "
        f"of {tiles} tiles, {batch / 1e6:.0f} MB in {recipe.pixels}{together}"
    )
