"""Which layers a model keeps in fewer bits, and by what settings: for checkpoints, and for training adapters on them.

Quantised are the linear layers of the decoder's blocks alone: the tower, the connector, the newline and the head stay
as they are. `int8` is torchao's (weights in 8 bits), `nf4` bitsandbytes' (normal floats of 4 bits); `fp8` (floats of
8 bits, activations too) and `w4a16` (integers of 4 bits in groups of 128) are llm-compressor's, kept by
compressed-tensors.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

# What a method's checkpoints need to be loaded.
LIBRARIES = {
    "int8": "torchao",
    "nf4": "bitsandbytes",
    "fp8": "compressed-tensors",
    "w4a16": "compressed-tensors",
}
METHODS = tuple(LIBRARIES)
GROUP = 128  # weights of a row that share a scale in `w4a16`
SCHEMES = {"fp8": "FP8_DYNAMIC", "w4a16": "W4A16"}  # of compressed-tensors; llm-compressor has to write them
NF4_BYTES = 0.5 + 4 / 64  # of a weight, with the fp32 scale of each block of 64
# Full names: short ones match nothing in bitsandbytes, silently.
KEPT = ("model.vision_tower", "model.multi_modal_projector", "model.image_newline", "lm_head")
_BLOCKS = ("model.language_model.layers.", "model.layers.")  # of a decoder in an AMALIA-VL, and of one alone


def quantisation_settings(method: str) -> Any:
    """Give the `quantization_config` that `from_pretrained` takes.

    Args:
        method: `int8` or `nf4`; no setting of `from_pretrained` makes the others.

    Raises:
        ImportError: The method's library is not installed.
    """
    if method == "int8":
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=list(KEPT))
    import bitsandbytes  # noqa: F401  transformers would say that it is missing in ten lines
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=list(KEPT),
    )


def check_layers(model: PreTrainedModel) -> dict[str, int]:
    """Hold every linear layer to where it stands: quantised in the decoder's blocks, and nowhere else.

    Returns:
        How many there are of each kind of weight, in the blocks.

    Raises:
        ValueError: One of them is not as it should be.
    """
    kinds: Counter[str] = Counter()
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        kind = _kind(layer)
        if (kind is None) == name.startswith(_BLOCKS):
            raise ValueError(
                f"{name} is {'quantised' if kind else 'not quantised'}; only the decoder's blocks should be"
            )
        if kind is not None:
            kinds[kind] += 1
    return dict(kinds)


def check_widths(model: PreTrainedModel) -> None:
    """Hold the layers of the decoder's blocks to what `w4a16` can take.

    Raises:
        ValueError: One of them has rows that are no whole groups.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and name.startswith(_BLOCKS) and layer.in_features % GROUP:
            raise ValueError(
                f"{name} is {layer.in_features} wide, and w4a16 takes groups of {GROUP}; int8, nf4 and fp8 take any"
            )


def _kind(layer: nn.Linear) -> str | None:
    """Name the kind of weight that a layer keeps in fewer bits; None where it is a plain one.

    compressed-tensors leaves the class as it is and gives it a scheme; the first forward unpacks the weights.
    """
    scheme = getattr(layer, "quantization_scheme", None)
    if scheme is not None and scheme.weights is not None:
        return f"{scheme.weights.type}{scheme.weights.num_bits}"
    plain = type(layer) is nn.Linear and type(layer.weight) is nn.Parameter
    return None if plain else type(layer.weight).__name__


def in_blocks(model: nn.Module) -> int:
    """Count the weights that are quantised: those of the linear layers in the decoder's blocks, adapters left out."""
    layers = ((name.removeprefix("base_model.model."), layer) for name, layer in model.named_modules())
    inner = ((name, layer) for name, layer in layers if isinstance(layer, nn.Linear) and "lora_" not in name)
    return sum(layer.weight.numel() for name, layer in inner if name.startswith(_BLOCKS))
