"""How tensors are named on either side: tables of rules, and the plan that holds them against what is there.

A rule either renames or drops, and says why. Every source tensor must match exactly one rule, and the plan must give
every tensor of the target once, in its shape: a checkpoint that is other than its config says does not get through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .shards import LazyTensor
from .tensor_files import FLOATS

Shapes = Mapping[str, tuple[int, ...]]

SHOWN = 5  # tensors that an error names
TIED_HEAD = "is the input embeddings again"


class TensorRule(NamedTuple):
    """What becomes of the source tensors whose whole name matches `pattern`."""

    pattern: str
    target: str | None  # name in the target, groups as \1; None drops the tensor
    reason: str = ""  # why it is dropped


class TensorPlan(NamedTuple):
    """What a conversion will do, before it does anything."""

    copied: dict[str, str]  # target name -> source name
    dropped: dict[str, str]  # source name -> why


def import_rules(kept_layers: int, source_layers: int, *, tied: bool) -> tuple[TensorRule, ...]:
    """Make the rules from `llava_next` to `amalia_vl`.

    Source names are the legacy ones (`language_model.model.`, `vision_tower.vision_model.`), those that transformers 5
    saves (`vision_tower.`), or those of its modules (`model.language_model.`, `lm_head.`).

    Args:
        kept_layers: Layers of the tower up to its feature layer.
        source_layers: Layers of the tower in the source.
        tied: Whether head and input embeddings are one.
    """
    decoder = r"(?:language_model\.model|model\.language_model)"
    return (
        *_decoder_rules(decoder, r"(?:language_model\.)?lm_head", tied=tied),
        TensorRule(r"(?:model\.)?multi_modal_projector\.(linear_[12]\..+)", r"model.multi_modal_projector.\1"),
        TensorRule(r"(?:model\.)?image_newline", "model.image_newline.weight"),
        *_tower_rules(r"(?:model\.)?vision_tower\.(?:vision_model\.)?", kept_layers, source_layers),
    )


EXPORT_RULES = (
    TensorRule(r"lm_head\.weight", "language_model.lm_head.weight"),
    TensorRule(r"model\.language_model\.(.+)", r"language_model.model.\1"),
    TensorRule(r"model\.(multi_modal_projector\..+)", r"\1"),
    TensorRule(r"model\.image_newline\.weight", "image_newline"),
    TensorRule(r"model\.vision_tower\.(.+)", r"vision_tower.vision_model.\1"),
)

# From the names of LlavaNextForConditionalGeneration's modules to the legacy ones.
STOCK_RULES = (
    TensorRule(r"lm_head\.weight", "language_model.lm_head.weight"),
    TensorRule(r"model\.language_model\.(.+)", r"language_model.model.\1"),
    TensorRule(r"model\.(multi_modal_projector\..+|image_newline)", r"\1"),
    TensorRule(r"model\.vision_tower\.(.+)", r"vision_tower.vision_model.\1"),
)

# Weights that llava_next's classes hold although nothing that they compute is used: what leaves its input unchanged.
NEUTRAL = {
    "vision_tower.vision_model.post_layernorm.weight": 1.0,
    "vision_tower.vision_model.post_layernorm.bias": 0.0,
}


def compose_rules(kept_layers: int, source_layers: int, *, tied: bool) -> tuple[TensorRule, ...]:
    """Make the rules from a SigLIP checkpoint (`vision:`) and a causal language model's (`text:`) to `amalia_vl`.

    Arguments as in `import_rules`; the vision checkpoint holds the vision tower alone or both towers.
    """
    return (
        *_tower_rules(r"vision:(?:vision_model\.)?", kept_layers, source_layers),
        TensorRule(r"vision:(?:text_model\..+|logit_scale|logit_bias)", None, "SigLIP's text side"),
        *_decoder_rules("text:model", "text:lm_head", tied=tied),
    )


def _tower_rules(prefix: str, kept_layers: int, source_layers: int) -> tuple[TensorRule, ...]:
    kept, beyond = _layers(range(kept_layers)), _layers(range(kept_layers, source_layers))
    return (
        TensorRule(rf"{prefix}embeddings\.((?:patch|position)_embedding\..+)", r"model.vision_tower.embeddings.\1"),
        TensorRule(rf"{prefix}embeddings\.position_ids", None, "is computed from the config"),
        TensorRule(rf"{prefix}({kept}.+)", r"model.vision_tower.\1"),
        TensorRule(rf"{prefix}{beyond}.+", None, "past the feature layer"),
        TensorRule(rf"{prefix}post_layernorm\..+", None, "past the feature layer"),
        TensorRule(rf"{prefix}head\..+", None, "past the feature layer"),
    )


def _decoder_rules(prefix: str, head: str, *, tied: bool) -> tuple[TensorRule, ...]:
    return (
        TensorRule(rf"{head}\.weight", None if tied else "lm_head.weight", TIED_HEAD),
        TensorRule(rf"{prefix}\.((?!.*rotary_emb\.inv_freq).+)", r"model.language_model.\1"),
        TensorRule(rf"{prefix}\..*rotary_emb\.inv_freq", None, "is computed from the config"),
    )


def _layers(layers: range) -> str:
    """Write the pattern of these layers alone; none of them matches nothing."""
    return rf"encoder\.layers\.(?:{'|'.join(map(str, layers))})\." if layers else r"(?!)"


def plan_tensors(rules: Sequence[TensorRule], source: Mapping[str, LazyTensor]) -> TensorPlan:
    """Match every source tensor with its rule.

    Args:
        rules: A table of this module.
        source: What the source holds.

    Raises:
        ValueError: A tensor matches no rule or several, two tensors become one, or a tensor that is copied does not
            hold plain floats.
    """
    matches = {name: _matches(rules, name) for name in source}
    if unmatched := [f"{name} ({len(matching)} rules)" for name, matching in matches.items() if len(matching) != 1]:
        raise ValueError(f"{_some(unmatched)}: a tensor must match exactly one rule; does the config fit the weights?")
    copied: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for name, ((rule, target),) in matches.items():
        if target is None:
            dropped[name] = rule.reason
        elif target in copied:
            raise ValueError(f"{copied[target]} and {name} would both become {target}")
        else:
            copied[target] = name
    if other := [
        f"{name} is {source[name].dtype}" for name in sorted(copied.values()) if source[name].dtype not in FLOATS
    ]:
        raise ValueError(f"{_some(other)}: weights are {', '.join(FLOATS)}; is the checkpoint quantised?")
    return TensorPlan(copied, dropped)


def _matches(rules: Sequence[TensorRule], name: str) -> list[tuple[TensorRule, str | None]]:
    """List the rules that a name matches, and what each makes of it."""
    matches = ((rule, re.fullmatch(rule.pattern, name)) for rule in rules)
    return [(rule, rule.target and match.expand(rule.target)) for rule, match in matches if match]


def rename(rules: Sequence[TensorRule], name: str) -> str:
    """Rename one tensor by a table that drops nothing."""
    ((_, target),) = _matches(rules, name)
    return str(target)


def require_complete(actual: Shapes, expected: Shapes) -> None:
    """Hold the tensors that a plan gives against those of the target model.

    Raises:
        ValueError: Some are missing, too many, or of another shape.
    """
    if missing := sorted(expected.keys() - actual.keys()):
        raise ValueError(f"the source does not give {_some(missing)}; is a shard missing, or does the config not fit?")
    if unknown := sorted(actual.keys() - expected.keys()):
        raise ValueError(f"the model has no place for {_some(unknown)}; does the config fit the weights?")
    if other := sorted(name for name in expected if actual[name] != expected[name]):
        shapes = [f"{name} has shape {list(actual[name])}, not {list(expected[name])}" for name in other]
        raise ValueError(f"{_some(shapes)}: the config does not fit the weights")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
