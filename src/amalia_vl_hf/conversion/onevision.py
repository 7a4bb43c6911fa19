"""The processor of a `llava_onevision` checkpoint, written and run without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import transformers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessorPil,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from ..processing.processing_amalia_vl import AmaliaVLProcessor


class LlavaOnevisionProcessor(transformers.LlavaOnevisionProcessor):
    """The stock processor but for videos: that class cannot be made where torchvision is not installed.

    It has its name, and saves what it reads, a video processor included.

    Args:
        image_processor: Cuts images, with Pillow.
        tokenizer: Knows both tokens.
        num_image_tokens: Patches of a tile.
        vision_aspect_ratio: How large images are pooled, "anyres_max_9".
        chat_template: Jinja template of conversations.
        image_token: What stands for an image in text.
        video_token: What stands for a video in text.
        video_frames: Frames taken of a video, for who reads what is saved.
    """

    def __init__(
        self,
        image_processor: LlavaOnevisionImageProcessorPil,
        tokenizer: PreTrainedTokenizerBase,
        num_image_tokens: int,
        vision_aspect_ratio: str,
        chat_template: str | dict[str, str] | None = None,
        image_token: str = "<image>",
        video_token: str = "<video>",
        video_frames: int | None = None,
    ) -> None:
        self.num_image_tokens = num_image_tokens
        self.vision_feature_select_strategy = "full"
        self.vision_aspect_ratio = vision_aspect_ratio
        self.image_token, self.video_token = image_token, video_token
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids([image_token, video_token])
        self.video_frames = video_frames
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def to_dict(self) -> dict[str, Any]:
        """Give what is saved: the stock class's options, those of its video processor beside the images'."""
        options: dict[str, Any] = super().to_dict()
        images = options["image_processor"]
        shared = ("do_convert_rgb", "do_normalize", "do_rescale", "do_resize", "image_mean", "image_std")
        videos = {name: images[name] for name in (*shared, "resample", "rescale_factor", "size") if name in images}
        frames = options.pop("video_frames", None)
        videos |= {"do_sample_frames": frames is not None, "num_frames": frames}
        return options | {
            "vision_feature_select_strategy": self.vision_feature_select_strategy,
            "video_processor": {"video_processor_type": "LlavaOnevisionVideoProcessor", **videos},
        }


def onevision_processor(
    processor: AmaliaVLProcessor, config: LlavaOnevisionConfig, canvases: Sequence[Sequence[int]]
) -> LlavaOnevisionProcessor:
    """Give the stock processor that does what ours does.

    Args:
        processor: Ours, which tiles single images alone.
        config: Of the stock model.
        canvases: `(height, width)` of those that images can get, in the order that decides ties.
    """
    images = processor.image_processor
    size = images.size["height"]
    return LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessorPil(
            size={"height": size, "width": size},
            image_grid_pinpoints=[list(canvas) for canvas in canvases],
            resample=images.resample,
            image_mean=each_channel(images.image_mean),
            image_std=each_channel(images.image_std),
        ),
        processor.tokenizer,
        num_image_tokens=(size // images.patch_size) ** 2,
        vision_aspect_ratio=config.vision_aspect_ratio,
        chat_template=processor.chat_template,
        image_token=processor.image_token,
        video_token=str(processor.video_token),
        video_frames=processor.num_frames,
    )


def each_channel(value: float | list[float]) -> list[float]:
    """Give a mean or deviation as it is for each of the three channels."""
    return [float(value)] * 3 if isinstance(value, float | int) else value
