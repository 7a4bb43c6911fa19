"""Where a model runs, and what its layers keep in memory there, counted from its config: for answering and training.

A number is one element of a tensor; `h` is a layer's width, `i` its MLP's, `k` that of its keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BFLOAT16 = 2  # bytes of a number


def best_device() -> torch.device:
    """Give the accelerator that torch finds here (CUDA, MPS, XPU, ...), the CPU where there is none."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def head_size(text: Any) -> int:
    """Numbers of one attention head of a decoder, which its config may leave to be worked out."""
    size: int = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return size


def key_width(text: Any) -> int:
    """Numbers of a token's keys in one layer of a decoder, and as many of its values."""
    width: int = text.num_key_value_heads * head_size(text)
    return width


def cache_numbers(text: Any) -> int:
    """Numbers that a token's keys and values take in all layers of a decoder: `2k` a layer."""
    numbers: int = 2 * text.num_hidden_layers * key_width(text)
    return numbers


def prefill_numbers(text: Any) -> int:
    """Numbers of a token at the widest point of a prefill.

    An MLP's gate, other branch and product, beside the layer's input and its norm: `3i + 2h`.
    """
    numbers: int = 3 * text.intermediate_size + 2 * text.hidden_size
    return numbers


def decoder_layer_numbers(text: Any) -> int:
    """Numbers that a decoder layer keeps of a token for the backward pass.

    Two norms, q, k, v, the attention's output, the gated MLP: `7h + 2k + 4i`.
    """
    numbers: int = 7 * text.hidden_size + 2 * key_width(text) + 4 * text.intermediate_size
    return numbers


def tower_layer_numbers(vision: Any) -> int:
    """Numbers that a tower layer keeps of a patch for the backward pass: `8h + 2i`."""
    numbers: int = 8 * vision.hidden_size + 2 * vision.intermediate_size
    return numbers


def kept_numbers(width: int, layer: int, layers: int, checkpointing: bool) -> int:
    """Numbers that all layers keep of a token for the backward pass.

    Args:
        width: Of the layers.
        layer: What one layer keeps.
        layers: How many there are.
        checkpointing: Whether each keeps its input alone, `h`, and one at a time is computed again.
    """
    return layers * width + layer if checkpointing else layers * layer
