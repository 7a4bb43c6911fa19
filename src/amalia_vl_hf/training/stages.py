"""The paper's three training stages as data, and what a stage does to a model's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

# Name prefixes of the three parts of the model that the paper trains at different rates (section 5).
MODULES: Mapping[str, tuple[str, ...]] = {
    "tower": ("model.vision_tower.",),
    "connector": ("model.connector.", "model.image_newline"),
    "decoder": ("model.language_model.", "lm_head."),
}


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

STAGES: Mapping[str, Stage] = {stage.name: stage for stage in (ALIGN, INSTRUCT, PREFER)}


def module_of(parameter_name: str) -> str:
    """Name the module a parameter belongs to.

    >>> module_of("model.image_newline")
    'connector'

    Raises:
        ValueError: The parameter belongs to none, so no stage could say whether to train it.
    """
    for module, prefixes in MODULES.items():
        if parameter_name.startswith(prefixes):
            return module
    raise ValueError(f"parameter {parameter_name} belongs to none of the modules {', '.join(MODULES)}")


def named_parameters_by_module(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Yield module, parameter name and parameter; tied parameters once, as `named_parameters` does."""
    for name, parameter in model.named_parameters():
        yield module_of(name), name, parameter


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Count the parameters of each module."""
    counts = dict.fromkeys(MODULES, 0)
    for module, _, parameter in named_parameters_by_module(model):
        counts[module] += parameter.numel()
    return counts


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
    for wanted, learning_rate in learning_rates.items():
        for decays in (True, False):
            params = [
                parameter
                for module, _, parameter in named_parameters_by_module(model)
                if module == wanted and parameter.requires_grad and (parameter.ndim > 1) == decays
            ]
            if params:
                decay = weight_decay if decays else 0.0
                groups.append({"params": params, "lr": learning_rate, "weight_decay": decay, "module": wanted})
    return groups
