"""From a recipe to TRL's trainer: model, reference, processor, adapters, data and training arguments."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PreTrainedModel
from trl import DPOConfig, SFTConfig

from ..memory import best_device
from ..modeling.raw_pixels_amalia_vl import take_normalisation
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..samples.loading import load_samples
from .batches.bad_samples import BadSamples, ReplacingCollator
from .batches.balance import CostModel
from .batches.collation import ConversationCollator, Encoder, PreferenceCollator
from .batches.node_plan import plan_once_a_node
from .batches.packing import PackedBatchSampler, PackedConversationCollator, conversation_sizes, take_packed_rows
from .batches.reference_log_probs import ReferenceLogProbs
from .batches.row_plan import RowPlan, plan_rows
from .batches.segments import use_installed_flash_attention
from .batches.shared_prompt import SharedPromptCollator, share_prompts
from .models import load_config, load_model, load_processor, lora_config
from .origin import NEUTRAL, record_of
from .progress import GroupedCollator, Meter, groups_of
from .ranks import count_save_steps, count_steps, uses_deepspeed, world_size
from .recipe import Recipe, RecipeError
from .stages import is_decoder_alone
from .trainers import StageDPOTrainer, StageSFTTrainer

Collator = Callable[[Sequence[Any]], dict[str, Any]]


def build_trainer(
    recipe: Recipe, checkpoints: Path, origin: Mapping[str, Any] | None = None
) -> StageSFTTrainer | StageDPOTrainer:
    """Build the TRL trainer of a recipe.

    Args:
        recipe: The stage, its data and its values.
        checkpoints: Directory for checkpoints to resume from.
        origin: What the weights follow from, see [`origin.record_of`]; the main process's counts, and is worked out
            where it is left out.
    """
    build = _conversation_trainer if recipe.training_stage.method == "sft" else _preference_trainer
    use_installed_flash_attention()
    with _recipes_precision(recipe):
        data = _Data.of(recipe)
        trainer = build(recipe, checkpoints, data, origin)
    if recipe.validation is not None:
        _add_validation(trainer, recipe, data.encoder(recipe))
    return trainer


def _add_validation(trainer: StageSFTTrainer | StageDPOTrainer, recipe: Recipe, encoder: Encoder) -> None:
    """Put the recipe's validation task to the model before each checkpoint.

    Raises:
        RecipeError: Several ranks share the model, or the task cannot be followed.
        ValueError: The task's rows cannot be read.
    """
    from .validation import ValidationTask

    if world_size() > 1:
        raise RecipeError(f"validation={recipe.validation} runs in one process, but there are {world_size()} ranks")
    task = ValidationTask(str(recipe.validation), encoder, trainer.args.save_steps)
    task.trainer = trainer
    trainer.add_callback(task)


@contextmanager
def _recipes_precision(recipe: Recipe) -> Iterator[None]:
    """Let accelerate, and DeepSpeed through it, take the precision from the recipe, not from a config of its own.

    It reads the environment while a trainer is built; left there, the precision would be every later trainer's, too.
    """
    name = "ACCELERATE_MIXED_PRECISION"
    earlier = os.environ.get(name)
    os.environ[name] = "bf16" if recipe.precision == "bf16" else "no"
    try:
        yield
    finally:
        os.environ.pop(name)
        if earlier is not None:
            os.environ[name] = earlier


@dataclass(frozen=True)
class _Data:
    """What a recipe trains on, and how it is prepared."""

    dataset: Dataset
    processor: AmaliaVLProcessor
    groups: tuple[str, ...]
    bad_samples: BadSamples | None

    @classmethod
    def of(cls, recipe: Recipe) -> _Data:
        method, share = recipe.training_stage.method, recipe.max_bad_share
        dataset = load_samples(recipe.data, method, every_row=not share, images=recipe.images)
        bad_samples = BadSamples(dataset, share) if share else None
        return cls(dataset, load_processor(recipe), groups_of(dataset), bad_samples)

    def encoder(self, recipe: Recipe) -> Encoder:
        """Make samples into tensors, with the recipe's way to resize images: the saved processor keeps its own."""
        processor = copy.copy(self.processor)
        processor.image_processor = copy.copy(self.processor.image_processor)
        if recipe.resampler is not None:
            processor.image_processor.resampler = recipe.resampler
        return Encoder(processor, recipe.training_stage.max_tiles, recipe.max_length, recipe.pixels)

    def model(self, recipe: Recipe) -> PreTrainedModel:
        """Load the model; one that sees normalises pixels as the processor does, and still does when it is saved."""
        model = load_model(recipe)
        if not is_decoder_alone(model):
            take_normalisation(model.config, self.processor.image_processor)
        return model

    def collator(self, collator: Collator) -> Collator:
        """Let the batches say which group each sample is of, and replace bad samples where the recipe lets them be."""
        grouped = GroupedCollator(collator, self.groups)
        return grouped if self.bad_samples is None else ReplacingCollator(grouped, self.bad_samples)

    def shared(self, recipe: Recipe, args: Any, model: torch.nn.Module) -> dict[str, Any]:
        """Arguments that both trainers take."""
        slots = (self.processor.image_token_id, getattr(self.processor, "video_token_id", None))
        return {
            "stage": recipe.training_stage,
            "args": args,
            "processing_class": self.processor,
            "train_dataset": self.dataset,
            "peft_config": lora_config(recipe, model),
            "meter": Meter(self.groups, [slot for slot in slots if slot is not None], self.bad_samples),
        }


def _conversation_trainer(
    recipe: Recipe, checkpoints: Path, data: _Data, origin: Mapping[str, Any] | None
) -> StageSFTTrainer:
    # Before the model: ZeRO-3 spreads weights over the ranks while they are read, once it knows of the arguments.
    args = SFTConfig(**_training_options(recipe, checkpoints, len(data.dataset)))
    encoder = data.encoder(recipe)
    if not recipe.packing:
        model = data.model(recipe)
        collator = data.collator(ConversationCollator(encoder))
        return StageSFTTrainer(model, data_collator=collator, **data.shared(recipe, args, model))
    sampler = _packed_rows(recipe, checkpoints, data, args, origin)
    args.max_steps = count_steps(recipe, len(data.dataset), world_size())
    args.per_device_train_batch_size, args.gradient_accumulation_steps = 1, sampler.rows
    model = data.model(recipe)
    take_packed_rows(model)
    collator = data.collator(PackedConversationCollator(encoder))
    return StageSFTTrainer(model, data_collator=collator, rows=sampler, **data.shared(recipe, args, model))


def _preference_trainer(
    recipe: Recipe, checkpoints: Path, data: _Data, origin: Mapping[str, Any] | None
) -> StageDPOTrainer:
    losses = {"loss_type": list(recipe.loss), "loss_weights": list(recipe.loss.values())} if recipe.loss else {}
    args = DPOConfig(**_training_options(recipe, checkpoints, len(data.dataset)), beta=recipe.beta, **losses)
    model = data.model(recipe)
    # Never left to TRL, which reads it from the path that the model's config names, whatever became of the model.
    # With adapters there is none: the reference is the model with its adapters turned off.
    frozen = None if recipe.lora else data.model(recipe).requires_grad_(False).eval()
    encoder = data.encoder(recipe)
    known = None
    if recipe.precompute_reference:
        known = ReferenceLogProbs(checkpoints / "reference", _content(recipe, origin))
    if recipe.shared_prompt:
        for one in (model, frozen) if frozen is not None else (model,):
            share_prompts(one)
        collator = data.collator(SharedPromptCollator(encoder, reference=known))
    else:
        collator = data.collator(PreferenceCollator(encoder))
    shared = data.shared(recipe, args, model)
    return StageDPOTrainer(model, ref_model=frozen, data_collator=collator, reference=known, **shared)


def _packed_rows(
    recipe: Recipe, checkpoints: Path, data: _Data, args: Any, origin: Mapping[str, Any] | None
) -> PackedBatchSampler:
    """Lay out the rows of the whole run; lengths that are not in the data are measured once, by one rank."""
    content = _content(recipe, origin)
    digest = hashlib.sha256(repr([content[f"{name}_sha256"] for name in ("rows", "images", "model")]).encode())
    with args.main_process_first(local=False):
        lengths, tiles = conversation_sizes(
            data.dataset,
            data.processor,
            recipe.training_stage.max_tiles,
            cache=checkpoints / f"lengths-{digest.hexdigest()[:16]}.npz",
            stand_in=recipe.max_length if recipe.max_bad_share else None,
            workers=recipe.workers,
        )
    if data.bad_samples is not None:
        data.bad_samples.lengths = lengths  # what takes a bad one's place must fit into its row
    ranks = world_size()

    def plan() -> RowPlan:
        return plan_rows(
            lengths,
            CostModel.of(load_config(recipe)).conversations(lengths, tiles),
            conversations=recipe.batch_size * recipe.accumulation * ranks,
            ranks=ranks,
            max_length=recipe.max_length,
            steps=count_steps(recipe, len(data.dataset), ranks),
            seed=recipe.seed,
        )

    return PackedBatchSampler(plan_once_a_node(plan, args), ranks)


def _content(recipe: Recipe, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give every rank what the values of all samples follow from, as the main process knows it."""
    if origin is None and os.environ.get("RANK", "0") == "0":
        origin = record_of(recipe)["origin"]
    shared = [origin]
    broadcast_object_list(shared)
    return {key: value for key, value in (shared[0] or {}).items() if key not in NEUTRAL}


def _training_options(recipe: Recipe, checkpoints: Path, samples: int) -> dict[str, Any]:
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
        "save_steps": count_save_steps(recipe, samples, world_size()),
        "save_total_limit": 2,
        "dataloader_num_workers": recipe.workers,
        "remove_unused_columns": False,  # the collator reads the dataset's own columns
        "accelerator_config": {"dispatch_batches": False},  # tiles and texts of a batch differ in their first size
        "ddp_find_unused_parameters": False,  # text-only batches touch every module as well
        _checkpointing_option(): recipe.gradient_checkpointing,
        "report_to": list(recipe.report_to) or "none",
    }


def _checkpointing_option() -> str:
    """Name what asks for gradient checkpointing: newer transformers warn of the older name."""
    known = {field.name for field in fields(SFTConfig)}
    return next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known)


def _device_options(recipe: Recipe) -> dict[str, Any]:
    """Say what trains: an accelerator when there is one, else the CPU, where gloo joins the ranks."""
    device = best_device().type
    pins = device not in ("cpu", "mps")  # the latter shares the host's memory, and warns of pinning
    options = {"bf16": recipe.precision == "bf16", "dataloader_pin_memory": pins}
    if uses_deepspeed():
        os.environ["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = "auto"  # the trainer's; the launcher says 1
    if device != "cpu":
        return options
    if uses_deepspeed():
        # Else it compiles collectives for CPUs, which takes minutes, and gloo has them.
        os.environ["DS_ACCELERATOR"] = "cpu"  # before it is imported
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        return {**options, "ddp_backend": "gloo"}
    return {**options, "use_cpu": True}  # else several processes on CPUs train apart, not together
