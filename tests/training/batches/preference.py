"""Preference pairs, and TRL trainers over them, for the tests of shared prompts and of precomputed references."""

import copy

import torch
from datasets import Dataset
from torch import nn
from transformers import AutoModelForCausalLM
from trl import DPOConfig

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.training.batches.reference_log_probs import KnownReferenceTrainer
from amalia_vl_hf.training.batches.shared_prompt import share_prompts
from tests.tiny import tiny_text_config

# A window shorter than a prompt with its image: the rejected answer must not see all of the prompt either.
DECODERS = {"llama": {}, "gemma2": {"sliding_window": 40, "attn_logit_softcapping": 20.0}}
MPO = {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def pair(prompt, chosen, rejected, images=()):
    answers = {"chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
    return {
        "sample": f"{chosen} / {rejected}",
        "prompt": prompt,
        **answers,
        "images": [str(image) for image in images],
    }


def spread(model, seed=1):
    """Give a model weights so large that every token matters to every later one."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return model


def policy(parts, decoder="llama", max_tiles=4):
    """A tiny model, and its processor."""
    tower, _, tokenizer = parts
    text = AutoModelForCausalLM.from_config(tiny_text_config(decoder, vocab_size=len(tokenizer), **DECODERS[decoder]))
    model, processor = compose(tower, text, tokenizer, max_tiles=max_tiles, seed=0)
    return spread(model), processor


def trainer_for(model, processor, rows, collator, folder, *, shared=False, reference=None, adapters=None, **options):
    """A trainer on copies: of the model, and as its reference of the model with other weights, or without adapters."""
    trained, frozen = copy.deepcopy(model), spread(copy.deepcopy(model), seed=2).requires_grad_(False)
    for part in (trained, frozen) if shared else ():
        share_prompts(part)
    defaults = {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "bf16": False,
        "use_cpu": True,
        "max_length": None,
        "remove_unused_columns": False,
        "gradient_checkpointing": False,
        "accelerator_config": {"dispatch_batches": False},
    }
    return KnownReferenceTrainer(
        trained,
        None if adapters else frozen,
        args=DPOConfig(**{**defaults, **options}),
        data_collator=collator,
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        reference=reference,
        peft_config=adapters,
    )
