"""A `<video>` token for a model of images: where the training on videos begins (TowerVision paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping

from ..modeling.configuration_amalia_vl import AmaliaVLConfig
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from .compose import EMBEDDINGS, HEAD, VIDEO_TOKEN, padded_rows, with_mean_rows
from .shards import LazyTensor


def add_videos(
    config: AmaliaVLConfig, processor: AmaliaVLProcessor, tensors: Mapping[str, LazyTensor]
) -> tuple[AmaliaVLProcessor, dict[str, LazyTensor]]:
    """Let a model take videos.

    Args:
        config: Of the model; it gets the token's id and, where the vocabulary has no row left, a larger one.
        processor: Of the model; its tokenizer gets the token.
        tensors: The model's weights.

    Returns:
        The processor anew, and the weights, with rows that are the mean of the others where the vocabulary grew.

    Raises:
        ValueError: The model takes videos already.
    """
    if config.video_token_id is not None:
        raise ValueError(f"the model takes videos already: its {VIDEO_TOKEN} is token {config.video_token_id}")
    tokenizer, text = processor.tokenizer, config.text_config
    tokenizer.add_tokens([VIDEO_TOKEN], special_tokens=True)
    config.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
    rows, grown = text.vocab_size, dict(tensors)
    if len(tokenizer) > rows:
        text.vocab_size = padded_rows(len(tokenizer))
        for name in {EMBEDDINGS, HEAD} & grown.keys():
            grown[name] = with_mean_rows(grown[name], rows, text.vocab_size, grown[name].dtype)
    images, template = processor.image_processor, processor.chat_template
    return AmaliaVLProcessor(images, tokenizer, template, processor.image_token), grown
