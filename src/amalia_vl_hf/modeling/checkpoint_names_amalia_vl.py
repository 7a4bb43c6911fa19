"""Names of weights: those of `llava_next`, read and written as those here; and none missing, none left over."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from .configuration_amalia_vl import AmaliaVLConfig

SHOWN = 30  # names in an error


class ReadOnlyRenaming(WeightRenaming):
    """A renaming of names that are read, but never written: its inverse renames nothing."""

    __slots__ = ()

    def reverse_transform(self) -> Self:
        return type(self)(r"(?!)", "never written")


def register_names(model: str, base: str, model_type: str) -> None:
    """Tell transformers the renamings by the classes' names, and PEFT by the model type."""
    for name in (model, model_type):
        register_checkpoint_conversion_mapping(name, _renamings("model."), overwrite=True)
    register_checkpoint_conversion_mapping(base, _renamings(""), overwrite=True)


def _renamings(prefix: str) -> list[WeightRenaming]:
    """Renamings of `llava_next` keys, to names with `prefix` before those of [`AmaliaVLModel`].

    The first ones are written as well (`save_original_format`): they are the names that the stock class saves.
    """
    written = [
        WeightRenaming(r"^language_model\.model\.", f"{prefix}language_model."),
        WeightRenaming(r"^image_newline(?!\.)", f"{prefix}image_newline.weight"),
    ]
    if prefix:
        written += [
            WeightRenaming(r"^language_model\.lm_head", "lm_head"),
            WeightRenaming(r"^vision_tower\.", f"{prefix}vision_tower."),
            WeightRenaming(r"^multi_modal_projector\.", f"{prefix}multi_modal_projector."),
        ]
    return [
        *written,
        ReadOnlyRenaming(r"^model\.image_newline(?!\.)", f"{prefix}image_newline.weight"),  # transformers 5's modules
        ReadOnlyRenaming(r"vision_tower\.vision_model\.", "vision_tower."),  # transformers 4
    ]


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
