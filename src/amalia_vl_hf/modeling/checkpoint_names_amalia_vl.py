"""Names of weights: those of `llava_next`, read and written as those here; and none missing, none left over."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from .configuration_amalia_vl import AmaliaVLConfig

SHOWN = 30  # names in an error


# Names here, and in `llava_next` checkpoints as transformers 4 wrote them, which everything reads.
LLAVA_NEXT_NAMES = {
    "lm_head.": "language_model.lm_head.",
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.image_newline.weight": "image_newline",
}


class AmaliaVLReadRenaming(WeightRenaming):
    """A renaming of names that are read, but never written: its inverse renames nothing.

    What inverts the renamings of a model (transformers, compressed-tensors) so ends with the names here, which fit the
    config that is saved beside them.
    """

    __slots__ = ()

    def reverse_transform(self) -> Self:
        """Gives a renaming that matches no name."""
        return type(self)(r"(?!)", "never written")


def register_names(model: str, base: str, model_type: str) -> None:
    """Tell transformers the renamings by the classes' names, and PEFT by the model type."""
    for name in (model, model_type):
        register_checkpoint_conversion_mapping(name, _renamings("model."), overwrite=True)
    register_checkpoint_conversion_mapping(base, _renamings(""), overwrite=True)


def _renamings(prefix: str) -> list[WeightRenaming]:
    """Renamings of `llava_next` keys, of transformers 4 and 5, to names with `prefix` before those of the base."""
    return [
        AmaliaVLReadRenaming(r"^language_model\.lm_head", "lm_head"),
        AmaliaVLReadRenaming(r"^language_model\.model\.", f"{prefix}language_model."),
        AmaliaVLReadRenaming(r"^vision_tower\.(vision_model\.)?", f"{prefix}vision_tower."),
        AmaliaVLReadRenaming(r"^(model\.)?multi_modal_projector\.", f"{prefix}multi_modal_projector."),
        AmaliaVLReadRenaming(r"^(model\.)?image_newline(?!\.)", f"{prefix}image_newline.weight"),
    ]


def llava_next_weights(weights: Mapping[str, torch.Tensor], *, tied: bool) -> dict[str, torch.Tensor]:
    """Write a model's weights as `llava_next` has them.

    Args:
        weights: By the names here, of the whole model or of the one without its head.
        tied: Whether the head is the input embeddings again, and left out.

    Returns:
        By the names of `llava_next`, with the norm past the features, which its class holds and nothing uses.
    """
    renamed = {}
    for name, weight in weights.items():
        own = name if name.startswith(("lm_head.", "model.")) else f"model.{name}"
        (start,) = (start for start in LLAVA_NEXT_NAMES if own.startswith(start))
        if not (tied and start == "lm_head."):
            renamed[LLAVA_NEXT_NAMES[start] + own.removeprefix(start)] = weight
    width = renamed["vision_tower.vision_model.embeddings.patch_embedding.bias"]
    renamed["vision_tower.vision_model.post_layernorm.weight"] = torch.ones_like(width)
    renamed["vision_tower.vision_model.post_layernorm.bias"] = torch.zeros_like(width)
    return renamed


def tower_keys_left_behind(config: AmaliaVLConfig) -> list[str]:
    """Patterns of a `llava_next` tower's weights that do not reach the features.

    Exact, so that a tower deeper than its config says is still reported.
    """
    source_layers = getattr(config, "source_vision_layers", None)
    if source_layers is None:
        return []
    beyond = range(config.vision_config.num_hidden_layers, source_layers)
    layers = [rf"vision_tower\.encoder\.layers\.{layer}\." for layer in beyond]
    return [*layers, r"vision_tower\.post_layernorm\.", r"vision_tower\.head\."]


def require_whole(source: object, report: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that is not the model's own.

    Args:
        source: Where the weights come from, for the error.
        report: What `from_pretrained` gives with `output_loading_info=True`.

    Raises:
        ValueError: Weights are missing, or there are some without a place in the model.
    """
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    faults = []
    if missing:
        faults.append(f"{source} lacks {_some(missing)}, which would be made up; is a file missing?")
    if unexpected:
        faults.append(f"{source} holds {_some(unexpected)}, for which this model has no place; is it another model's?")
    if faults:
        raise ValueError(" ".join(faults))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{len(names)} weights ({shown}{', ...' if len(names) > SHOWN else ''})"


__all__ = ["register_names", "require_whole", "tower_keys_left_behind"]
