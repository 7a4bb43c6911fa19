"""The model that a recipe starts from: an AMALIA-VL or a plain language model, its processor and its adapters."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..quantisation import check_layers, quantisation_settings
from ..samples.text_processor import load_processor_of, reads_text_alone
from .ranks import planned_sharing
from .recipe import Recipe, RecipeError
from .stages import linear_layers


def load_config(recipe: Recipe) -> PreTrainedConfig:
    """Read the configuration of a recipe's model.

    Raises:
        RecipeError: The stage trains what the model does not have.
    """
    if not reads_text_alone(recipe.model):
        return AmaliaVLConfig.from_pretrained(recipe.model, trust_remote_code=False)
    trainable = recipe.training_stage.trainable
    if missing := [module for module in trainable if module != "decoder"]:
        raise RecipeError(
            f"stage {recipe.stage} trains {', '.join(missing)}, but {recipe.model} is a language model alone; "
            "text_instruct and text_prefer train those"
        )
    return AutoConfig.from_pretrained(recipe.model, trust_remote_code=False)


def text_config_of(config: PreTrainedConfig) -> Any:
    """Give the decoder's part of a configuration, which may be all of it."""
    return getattr(config, "text_config", config)


def model_class(recipe: Recipe) -> Any:
    """Give the class that a recipe's model is loaded by."""
    return AutoModelForCausalLM if reads_text_alone(recipe.model) else AmaliaVLForConditionalGeneration


def empty_model(recipe: Recipe) -> PreTrainedModel:
    """Build the recipe's model without memory for its weights."""
    config = load_config(recipe)
    with torch.device("meta"):
        if isinstance(config, AmaliaVLConfig):
            return AmaliaVLForConditionalGeneration(config)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return model


def load_model(recipe: Recipe) -> PreTrainedModel:
    """Load the model that training begins with, in the type its weights are kept in.

    Trained weights are kept in fp32 (bf16 is for the arithmetic); under adapters, which are fp32, the others in bf16,
    and those of the decoder's layers in 4 bits where the recipe says so.

    Raises:
        RecipeError: The stage trains what the model does not have, or the ranks would take quantised weights apart.
        ImportError: A package that the recipe asks for is not installed.
    """
    load_config(recipe)
    frozen_in_bf16 = recipe.lora is not None and recipe.precision == "bf16"
    dtype = torch.bfloat16 if frozen_in_bf16 else torch.float32
    options: dict[str, Any] = {"dtype": dtype}
    if recipe.lora is not None and recipe.lora.quantised is not None:
        _require_whole_weights(recipe)
        options |= quantised_options(recipe.lora.quantised)
    model: PreTrainedModel = model_class(recipe).from_pretrained(recipe.model, trust_remote_code=False, **options)
    if "quantization_config" in options:
        check_layers(model)
    if recipe.liger:
        use_liger(model)
    return model


def load_to_merge(recipe: Recipe) -> PreTrainedModel:
    """Load the weights that trained adapters are added to: the ones they were trained on, in the type on disk.

    Quantised ones are dequantised, to bf16, so that the merged model is the one that was trained.
    """
    quantised = recipe.lora.quantised if recipe.lora else None
    options = {"dtype": "auto"} if quantised is None else {"dtype": torch.bfloat16, **quantised_options(quantised)}
    model: PreTrainedModel = model_class(recipe).from_pretrained(recipe.model, trust_remote_code=False, **options)
    return model if quantised is None else model.dequantize(torch.bfloat16)


def quantised_options(method: str) -> dict[str, Any]:
    """Give what loads a model quantised, on this rank's device."""
    return {"quantization_config": quantisation_settings(method), "device_map": {"": PartialState().device}}


def _require_whole_weights(recipe: Recipe) -> None:
    sharing = planned_sharing(recipe)
    if sharing.shards["weights"] > 1:
        raise RecipeError(
            f"lora.quantised={recipe.lora and recipe.lora.quantised}: {sharing.kind} would take the quantised weights "
            "apart; train on one GPU, or with accelerate=accelerate/ddp.yaml"
        )


def use_liger(model: PreTrainedModel) -> None:
    """Put Liger's kernels in the place of the decoder's norms, rotary embeddings and gated MLPs.

    Liger looks a model up by its type and leaves ours alone without a word, so it is given the decoder.

    Raises:
        RecipeError: Liger is not installed, or knows no such decoder.
    """
    decoder = getattr(model.base_model, "language_model", model.base_model)
    try:
        from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
    except ImportError:
        raise RecipeError("liger: true needs the package liger-kernel: pip install liger-kernel") from None
    _apply_liger_kernel_to_instance(model=decoder, fused_linear_cross_entropy=False, cross_entropy=False)
    if "forward" not in vars(decoder.norm):
        raise RecipeError(f"liger: true changes nothing in a decoder of type {decoder.config.model_type}")


def load_processor(recipe: Recipe) -> AmaliaVLProcessor:
    """Load the processor that is saved with the trained model."""
    return load_processor_of(recipe.model)


def lora_config(recipe: Recipe, model: torch.nn.Module) -> LoraConfig | None:
    """Say which layers of a model get adapters, and of what size; None when the recipe asks for none."""
    if recipe.lora is None:
        return None
    return LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=linear_layers(model, recipe.training_stage.trainable),
        task_type="CAUSAL_LM",
    )
