"""Inputs that callers pass on purpose beside those that the models name; any other would be ignored, silently."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from transformers import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

# What models are passed and give as a cache of earlier tokens: transformers 5.24 renamed it.
CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"

KNOWN_INPUTS = {
    # transformers: what its decoders, its attention and its losses read
    *(
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "return_dict",
        "use_cache",
        "logits_to_keep",
    ),
    *("num_items_in_batch", "shift_labels", "ignore_index", "is_causal", "seq_idx", "cache_position"),
    *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "block_sequence_ids"),
    *("tokenizer", "assistant_tokenizer"),  # transformers' `generate` hands them on to each forward
    # a cache of earlier tokens, by both its names; before 5.24, `cache` is of those who batch continuously
    *("past_key_values", "cache"),
    # transformers, batching continuously
    *("read_index", "write_index", "block_table", "logits_indices", "logits_processor_args"),
    "token_type_ids",  # TRL, where a tokenizer gives them
    "adapter_names",  # PEFT, batches of several adapters
    "attention_instances",  # vLLM
    *("segments", "scored", "answer_places"),  # this package, packed rows and shared prompts
}


def refuse_unknown_inputs(inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that nothing would read.

    Args:
        inputs: What a model was called with, beside what it names itself.

    Raises:
        ValueError: There are inputs, other than None, that neither the models nor what they are made of know.
    """
    unknown = sorted(name for name, value in inputs.items() if name not in KNOWN_INPUTS and value is not None)
    if unknown:
        raise ValueError(
            f"nothing reads {', '.join(unknown)}; images come as pixel_values and tile_layouts of AmaliaVLProcessor, "
            "videos as pixel_values_videos and video_frames: are these another processor's, or is a name misspelt?"
        )


def cached_tokens(cache: Cache | None) -> int:
    """Count the tokens of a sequence that a cache holds."""
    return 0 if cache is None else int(cache.get_seq_length())


__all__ = ["CACHE", "cached_tokens", "refuse_unknown_inputs"]
