"""What training by a recipe would take, said before a weight is loaded: parameters, batches, steps, tokens, memory.

Memory of a GPU, in bytes, for `p` parameters of which `t` are trained:

- weights: `p` times 4 (fp32), or 6 (bf16 autocast casts a copy), or 2 (ZeRO in bf16, and what adapters leave frozen);
- gradients: `t` times 4, or 2 (ZeRO in bf16);
- optimiser: `t` times 8, AdamW's two moments in fp32, or 12 (ZeRO in bf16 keeps the fp32 weights there);
- reference: the weights once more, in DPO without adapters;
- activations: what the layers keep for the backward pass of each token (`memory` counts it), at 4 or 2 bytes a number.

Weights, gradients and optimiser states are divided by the ranks that share them. Activations are those of the largest
batch there can be: every sample `max_length` long, every image cut into `max_tiles`. The allocator's own waste, NCCL's
buffers and the layers that ZeRO-3 gathers are not in it: leave a tenth of the memory free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from peft import get_peft_model

from ..memory import decoder_layer_numbers, kept_numbers, tower_layer_numbers
from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.tiling_amalia_vl import TileLayout, num_visual_tokens
from ..samples.loading import load_samples
from .building import lora_config
from .ranks import Sharing, check_batch, count_steps, planned_sharing
from .recipe import Recipe
from .stages import count_parameters, freeze

GIB = 2**30


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
        RecipeError: The ranks do not give the global batch that the recipe names.
    """
    sharing = planned_sharing(recipe)
    model = model_without_weights(recipe)
    samples = len(load_samples(recipe.data, recipe.training_stage.method, False, recipe.images))
    return "\n".join(
        [
            *_stage_lines(recipe, model),
            *_batch_lines(recipe, sharing, samples),
            *_memory_lines(estimate_memory(recipe, model, sharing), sharing),
            f"output     {recipe.output}",
        ]
    )


def model_without_weights(recipe: Recipe) -> torch.nn.Module:
    """Build the recipe's model without memory for its weights, frozen and with adapters as training would have it."""
    with torch.device("meta"):
        model = AmaliaVLForConditionalGeneration(AmaliaVLConfig.from_pretrained(recipe.model, trust_remote_code=False))
        freeze(model, recipe.training_stage.trainable)
        adapters = lora_config(recipe, model)
        return model if adapters is None else get_peft_model(model, adapters)


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
    needs_reference = recipe.training_stage.method == "dpo" and recipe.lora is None
    return Memory(
        weights=weights,
        gradients=trained * (2 if zero else 4) / sharing.shards["gradients"],
        optimiser=trained * (12 if zero else 8) / sharing.shards["optimiser"],
        reference=weights if needs_reference else 0,
        activations=_activations(recipe, AmaliaVLConfig.from_pretrained(recipe.model, trust_remote_code=False)),
    )


def _activations(recipe: Recipe, config: AmaliaVLConfig) -> float:
    """Bytes of the largest batch's activations."""
    stage = recipe.training_stage
    samples = 1 if recipe.packing else recipe.batch_size
    conversations = samples * (2 if stage.method == "dpo" else 1)
    images = samples if recipe.shared_prompt else conversations
    text, vision = config.text_config, config.vision_config
    layers = (text.hidden_size, decoder_layer_numbers(text), text.num_hidden_layers)
    numbers = kept_numbers(*layers, recipe.gradient_checkpointing) * conversations * recipe.max_length
    if "tower" in stage.trainable:
        patches = config.patches_per_side**2 * (1 + stage.max_tiles)
        layers = (vision.hidden_size, tower_layer_numbers(vision), vision.num_hidden_layers)
        numbers += kept_numbers(*layers, recipe.gradient_checkpointing) * images * patches
    return float(numbers * (2 if recipe.precision == "bf16" else 4))


def _stage_lines(recipe: Recipe, model: torch.nn.Module) -> Iterator[str]:
    stage = recipe.training_stage
    yield f"stage      {stage.name} ({stage.method}), at most {stage.max_tiles} tiles an image"
    every, trained = count_parameters(model), count_parameters(model, trained=True)
    for module, parameters in every.items():
        of_them = f" ({trained[module]:,} in adapters)" if recipe.lora and trained[module] else ""
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
    side = AmaliaVLConfig.from_pretrained(recipe.model, trust_remote_code=False).patches_per_side
    column = TileLayout(stage.max_tiles, min(stage.max_tiles, 1), pad_rows=0, pad_cols=0)  # has the most newlines
    image, step = num_visual_tokens(column, side), batch * recipe.max_length
    yield f"tokens     at most {image:,} an image, {recipe.max_length:,} a sample, {step:,} a step"


def _memory_lines(memory: Memory, sharing: Sharing) -> Iterator[str]:
    parts = ("weights", "gradients", "optimiser", "reference", "activations")
    listed = " + ".join(f"{part} {getattr(memory, part) / GIB:.2f}" for part in parts)
    shared = "one GPU" if sharing.kind == "none" else f"each of {sharing.ranks} GPUs, {sharing.kind}"
    yield f"memory     {memory.total / GIB:.2f} GiB on {shared}: {listed}"
