"""From a recipe to TRL's trainer: model, reference, processor, adapters, collator and training arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from trl import DPOConfig, SFTConfig

from ..modeling.modeling_amalia_vl import AmaliaVLForConditionalGeneration
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from .collation import ConversationCollator, PreferenceCollator
from .recipe import Recipe
from .samples import load_samples
from .stages import linear_layers
from .trainers import StageDPOTrainer, StageSFTTrainer
from .world import deepspeed_asked


def build_trainer(recipe: Recipe, checkpoints: Path) -> StageSFTTrainer | StageDPOTrainer:
    """Build the TRL trainer of a recipe.

    Args:
        recipe: The stage, its data and its values.
        checkpoints: Directory for checkpoints to resume from.
    """
    stage = recipe.training_stage
    options = _training_options(recipe, checkpoints)
    # Before the model: ZeRO-3 spreads weights over the ranks while they are read, once it knows of the arguments.
    args = SFTConfig(**options) if stage.method == "sft" else DPOConfig(**options, beta=recipe.beta)
    model = load_model(recipe)
    processor = load_processor(recipe)
    shared = {
        "stage": stage,
        "args": args,
        "processing_class": processor,
        "train_dataset": load_samples(recipe.data, stage.method),
        "peft_config": lora_config(recipe, model),
    }
    if stage.method == "sft":
        collator = ConversationCollator(processor, stage.max_tiles, recipe.max_length)
        return StageSFTTrainer(model, data_collator=collator, **shared)
    # Never left to TRL, which reads it from the path that the model's config names, whatever became of the model.
    # With adapters there is none: the reference is the model with its adapters turned off.
    reference = None if recipe.lora else load_model(recipe).requires_grad_(False).eval()
    pairs = PreferenceCollator(processor, stage.max_tiles, recipe.max_length)
    return StageDPOTrainer(model, ref_model=reference, data_collator=pairs, **shared)


def load_model(recipe: Recipe) -> AmaliaVLForConditionalGeneration:
    """Load the model that training begins with, in the type its weights are kept in.

    Trained weights are kept in fp32 (bf16 is for the arithmetic); under adapters, which are fp32, the others in bf16.
    """
    frozen_in_bf16 = recipe.lora is not None and recipe.precision == "bf16"
    dtype = torch.bfloat16 if frozen_in_bf16 else torch.float32
    return AmaliaVLForConditionalGeneration.from_pretrained(recipe.model, dtype=dtype)


def load_processor(recipe: Recipe) -> AmaliaVLProcessor:
    """Load the processor, with the recipe's way to resize images: it is saved with the trained model."""
    processor = AmaliaVLProcessor.from_pretrained(recipe.model)
    if recipe.resampler is not None:
        processor.image_processor.resampler = recipe.resampler
    return processor


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


def _training_options(recipe: Recipe, checkpoints: Path) -> dict[str, Any]:
    stage = recipe.training_stage
    duration = {"max_steps": recipe.steps} if recipe.steps else {"num_train_epochs": recipe.epochs}
    return {
        **duration,
        **_device_options(recipe),
        "output_dir": str(checkpoints),
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulation,
        "learning_rate": max(stage.learning_rates.values()),  # for display; the groups carry their own
        "lr_scheduler_type": stage.schedule,
        "warmup_steps": recipe.warmup,  # below 1: a share of all steps
        "weight_decay": recipe.weight_decay,
        "adam_beta1": recipe.adam_betas[0],
        "adam_beta2": recipe.adam_betas[1],
        "adam_epsilon": recipe.adam_eps,
        "max_grad_norm": recipe.max_grad_norm,
        "max_length": None,  # the collator refuses what is too long; TRL would cut it
        "seed": recipe.seed,
        "logging_steps": recipe.log_steps,
        "logging_first_step": True,
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "dataloader_num_workers": recipe.workers,
        "remove_unused_columns": False,  # the collator reads the dataset's own columns
        "accelerator_config": {"dispatch_batches": False},  # tiles and texts of a batch differ in their first size
        "ddp_find_unused_parameters": False,  # text-only batches touch every module as well
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "report_to": list(recipe.report_to) or "none",
    }


def _device_options(recipe: Recipe) -> dict[str, Any]:
    """Say what trains: an accelerator when there is one, else the CPU, where gloo joins the ranks."""
    # accelerate would read it from its own config, and DeepSpeed from there; the recipe is the one owner.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if recipe.precision == "bf16" else "no"
    options = {"bf16": recipe.precision == "bf16", "dataloader_pin_memory": torch.accelerator.is_available()}
    if torch.accelerator.is_available():
        return options
    if deepspeed_asked():
        _join_deepspeed_by_gloo()
        return {**options, "ddp_backend": "gloo"}
    return {**options, "use_cpu": True}  # else several processes on CPUs train apart, not together


def _join_deepspeed_by_gloo() -> None:
    """Keep DeepSpeed from compiling collectives for CPUs: it takes minutes, and gloo has them."""
    os.environ["DS_ACCELERATOR"] = "cpu"  # before it is imported
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
