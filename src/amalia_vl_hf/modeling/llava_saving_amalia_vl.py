"""Saving in the original format: what the stock LLaVA-NeXT or LLaVA-OneVision classes read, names and config."""

from typing import Any

import torch
from transformers import (
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextModel,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionModel,
    PreTrainedModel,
)

from .checkpoint_names_amalia_vl import llava_next_weights
from .configuration_amalia_vl import to_llava

MAX_TILES = 12  # of the paper's processor, whose canvases a stock config names


def save_as_llava(model: PreTrainedModel, save_directory: Any, *args: Any, **kwargs: Any) -> None:
    """Save a model as a `llava_next` checkpoint, or a `llava_onevision` one where it takes videos.

    Args:
        model: The whole model, or the one without its head.
        save_directory: Where to.
        args: As `save_pretrained` takes them.
        kwargs: As `save_pretrained` takes them.

    Raises:
        ValueError: Neither format can express the model.
    """
    config, size = model.config, model.config.vision_config.image_size
    sides = range(1, MAX_TILES + 1)
    canvases = [(rows * size, cols * size) for rows in sides for cols in sides if rows * cols <= MAX_TILES]
    stock_config = to_llava(config, getattr(config, "source_grid_pinpoints", None) or canvases)
    stock_config.dtype = model.dtype
    with torch.device("meta"):  # the class that writes; the weights are ours
        stock = stock_class(stock_config, whole=hasattr(model, "lm_head"))(stock_config)
    stock = stock.to(model.dtype)
    if hasattr(model, "lm_head"):
        stock.generation_config = model.generation_config
    weights = kwargs.pop("state_dict", None) or model.state_dict()
    kwargs["state_dict"] = llava_next_weights(weights, tied=config.tie_word_embeddings)
    stock.save_pretrained(save_directory, *args, save_original_format=False, **kwargs)


def stock_class(config: Any, *, whole: bool = True) -> type[PreTrainedModel]:
    """Give the class of transformers that a config of [`to_llava`] describes, with its head or without."""
    if isinstance(config, LlavaNextConfig):
        return LlavaNextForConditionalGeneration if whole else LlavaNextModel
    return LlavaOnevisionForConditionalGeneration if whole else LlavaOnevisionModel


__all__ = ["save_as_llava"]
