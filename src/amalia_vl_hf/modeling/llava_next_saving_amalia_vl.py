"""Saving in the original format: what the stock LLaVA-NeXT classes read, names and config together."""

from typing import Any

import torch
from transformers import LlavaNextForConditionalGeneration, LlavaNextModel, PreTrainedModel

from .checkpoint_names_amalia_vl import llava_next_weights
from .configuration_amalia_vl import to_llava_next

MAX_TILES = 12  # of the paper's processor, whose canvases a llava_next config names


def save_as_llava_next(model: PreTrainedModel, save_directory: Any, *args: Any, **kwargs: Any) -> None:
    """Save a model as a `llava_next` checkpoint: names and config, neither without the other.

    Args:
        model: The whole model, or the one without its head.
        save_directory: Where to.
        args: As `save_pretrained` takes them.
        kwargs: As `save_pretrained` takes them.
    """
    config, size = model.config, model.config.vision_config.image_size
    sides = range(1, MAX_TILES + 1)
    canvases = [(rows * size, cols * size) for rows in sides for cols in sides if rows * cols <= MAX_TILES]
    stock_config = to_llava_next(config, getattr(config, "source_grid_pinpoints", None) or canvases)
    stock_config.dtype = model.dtype
    whole = hasattr(model, "lm_head")
    with torch.device("meta"):  # the class that writes; the weights are ours
        stock = (LlavaNextForConditionalGeneration if whole else LlavaNextModel)(stock_config)
    stock = stock.to(model.dtype)
    if whole:
        stock.generation_config = model.generation_config
    weights = kwargs.pop("state_dict", None) or model.state_dict()
    kwargs["state_dict"] = llava_next_weights(weights, tied=config.tie_word_embeddings)
    stock.save_pretrained(save_directory, *args, save_original_format=False, **kwargs)


__all__ = ["save_as_llava_next"]
