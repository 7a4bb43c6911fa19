"""The paper's three training stages and AMALIA's two as data, and what a stage does to a model's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn
from transformers import PreTrainedConfig

# Name prefixes of the three parts of the model that the paper trains at different rates (section 5).
MODULES: Mapping[str, tuple[str, ...]] = {
    "tower": ("model.vision_tower.",),
    "connector": ("model.multi_modal_projector.", "model.image_newline."),
    "decoder": ("model.language_model.", "lm_head."),
}
_PEFT_PREFIX = "base_model.model."  # which a model with adapters puts before every name


@dataclass(frozen=True)
class Stage:
    """What one training stage trains, how fast, and on how many tiles.

    Args:
        name: How recipes call it.
        method: `"sft"` learns the answer; `"dpo"` learns to prefer the chosen answer to the rejected one.
        learning_rates: Peak learning rate of each trained module; modules left out are frozen.
        schedule: Name of the learning-rate schedule, as `transformers` calls it.
        max_tiles: Most tiles an image is cut into; 0 leaves only the thumbnail.
    """

    name: str
    method: Literal["sft", "dpo"]
    learning_rates: Mapping[str, float]
    schedule: str
    max_tiles: int

    @property
    def trainable(self) -> tuple[str, ...]:
        """Modules the stage trains."""
        return tuple(self.learning_rates)


# Table 2 of the paper, row by row.
ALIGN = Stage("align", "sft", {"connector": 1e-3}, schedule="constant", max_tiles=0)
INSTRUCT = Stage(
    "instruct", "sft", {"tower": 2e-5, "connector": 1e-4, "decoder": 2e-5}, schedule="cosine", max_tiles=12
)
PREFER = Stage("prefer", "dpo", {"tower": 1e-6, "connector": 1e-6, "decoder": 1e-6}, schedule="cosine", max_tiles=12)

# AMALIA's own post-training (AMALIA paper, sections 4.2 and 4.3): the decoder alone, on text. DPO there is linear.
TEXT_INSTRUCT = Stage("text_instruct", "sft", {"decoder": 1e-5}, schedule="cosine", max_tiles=0)
TEXT_PREFER = Stage("text_prefer", "dpo", {"decoder": 1e-6}, schedule="linear", max_tiles=0)

STAGES: Mapping[str, Stage] = {stage.name: stage for stage in (ALIGN, INSTRUCT, PREFER, TEXT_INSTRUCT, TEXT_PREFER)}


def module_of(parameter_name: str) -> str:
    """Name the module a parameter belongs to, in a model with or without adapters.

    >>> module_of("model.image_newline.weight")
    'connector'

    Raises:
        ValueError: The parameter belongs to none, so no stage could say whether to train it.
    """
    name = parameter_name.removeprefix(_PEFT_PREFIX)
    for module, prefixes in MODULES.items():
        if name.startswith(prefixes):
            return module
    raise ValueError(f"parameter {parameter_name} belongs to none of the modules {', '.join(MODULES)}")


def is_decoder_alone(model: nn.Module) -> bool:
    """Tell a plain language model, all of which is a decoder, from one that sees."""
    config = getattr(model, "config", None)
    return isinstance(config, PreTrainedConfig) and not hasattr(config, "vision_config")


def named_parameters_by_module(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Yield module, parameter name and parameter; tied parameters once, as `named_parameters` does."""
    alone = is_decoder_alone(model)
    for name, parameter in model.named_parameters():
        yield "decoder" if alone else module_of(name), name, parameter


def count_parameters(model: nn.Module, trained: bool = False) -> dict[str, int]:
    """Count the parameters of each module.

    Args:
        model: The model; ZeRO-3 may have spread it over the ranks, all of it is counted.
        trained: Whether only those with gradients count.
    """
    counts = dict.fromkeys(MODULES, 0)
    for module, _, parameter in named_parameters_by_module(model):
        if parameter.requires_grad or not trained:
            counts[module] += getattr(parameter, "ds_numel", parameter.numel())
    return counts


def linear_layers(model: nn.Module, modules: tuple[str, ...]) -> str:
    """Write the pattern that matches the linear layers of `modules`, head excluded, as LoRA configs take it.

    Raises:
        ValueError: One of the modules has no linear layer.
    """
    alone = is_decoder_alone(model)
    layers: dict[str, set[str]] = {module: set() for module in modules}
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear) or name == "lm_head":
            continue
        if (module := "decoder" if alone else module_of(f"{name}.")) in layers:
            layers[module].add(name.rpartition(".")[2])
    if empty := [module for module, names in layers.items() if not names]:
        raise ValueError(f"modules {empty} have no linear layer to adapt; there are {layers}")
    # A module's first prefix is its submodule, with a dot at the end: `model.multi_modal_projector.`.
    prefixes = {module: "" if alone else re.escape(MODULES[module][0]) for module in modules}
    return "|".join(rf"{prefixes[module]}(.*\.)?({'|'.join(sorted(layers[module]))})" for module in modules)


def freeze(model: nn.Module, trainable: tuple[str, ...]) -> None:
    """Leave gradients only to the parameters of the `trainable` modules.

    Raises:
        ValueError: A module matches no parameter of the model, so that training it would silently do nothing.
    """
    counts = count_parameters(model)
    empty = [module for module in trainable if not counts.get(module)]
    if empty:
        raise ValueError(f"modules {empty} match no parameter; parameters by module: {counts}")
    for module, _, parameter in named_parameters_by_module(model):
        parameter.requires_grad_(module in trainable)


def parameter_groups(
    model: nn.Module, learning_rates: Mapping[str, float], weight_decay: float
) -> list[dict[str, object]]:
    """Group the trained parameters by module and weight decay, for the optimiser.

    Matrices decay; vectors (biases, norms, the newline) do not. Empty groups are left out.

    Args:
        model: The model, already frozen where the stage freezes it.
        learning_rates: Peak learning rate of each trained module.
        weight_decay: Of the matrices.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `module`.
    """
    groups: list[dict[str, object]] = []
    for module, learning_rate in learning_rates.items():
        trained = [one for owner, _, one in named_parameters_by_module(model) if owner == module and one.requires_grad]
        matrices: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        for parameter in trained:
            shape = getattr(parameter, "ds_shape", parameter.shape)  # ZeRO-3 leaves an empty vector in its place
            (matrices if len(shape) > 1 else vectors).append(parameter)
        for params, decay in ((matrices, weight_decay), (vectors, 0.0)):
            if params:
                groups.append({"params": params, "lr": learning_rate, "weight_decay": decay, "module": module})
    return groups
