"""How many tokens and tiles a sample takes, from its text and its images' and videos' headers: nothing is decoded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..processing.decoding_amalia_vl import read_header
from ..processing.image_loading_amalia_vl import orientation
from .loading import conversation, dialogues_of, require_readable

_SIDEWAYS = range(5, 9)  # EXIF orientations that swap height and width


def measure(sample: Mapping[str, Any], processor: Any, max_tiles: int) -> tuple[int, int]:
    """Count what the collator would make of a sample.

    Args:
        sample: A row of `samples.load_samples`.
        processor: The model's processor.
        max_tiles: Most tiles an image is cut into; 0 leaves only the thumbnail.

    Returns:
        Tokens, visual ones included, of the conversation, or of a pair's prompt with its longer answer; and the tiles
        of its images, thumbnails included, with the frames of its videos: as many pictures as the tower sees.

    Raises:
        ValueError: The sample cannot be read, or the header of an image or a video.
    """
    require_readable(sample)
    name, images = sample["sample"], processor.image_processor
    sizes = [_size(cell, name) for cell in sample["images"]]
    videos = sample.get("videos", ())
    frames = [_frames(cell, processor, name) for cell in videos]
    visual = sum(processor.image_tokens(sizes, max_tiles)) + sum(map(processor.num_video_tokens, frames))
    most = max_tiles if images.tile_several or len(sizes) == 1 else 0
    tiles = sum(images.tile_layout(*size, max_tiles=most).num_tiles for size in sizes) + sum(frames)
    chats = [conversation(turns, sizes, name, videos) for turns in dialogues_of(sample)]
    text = max(_text_tokens(turns, processor, name) for turns in chats)
    return text - len(sizes) - len(frames) + visual, tiles


def _frames(cell: Any, processor: Any, sample: str) -> int:
    """Count the frames that are taken of a video."""
    try:
        return len(processor.videos.sampled(cell).positions)
    except ValueError as error:
        raise ValueError(f"{sample}: {error}") from error


def _text_tokens(turns: list[dict[str, Any]], processor: Any, sample: str) -> int:
    """Count the tokens of a rendered chat, in which each image is one."""
    processor.literal_tokens(turns, sample)  # refuses by the sample's name what cannot be rendered
    return len(processor.encode_rendered([processor.apply_chat_template(turns, tokenize=False)])["input_ids"][0])


def _size(cell: Any, sample: str) -> tuple[int, int]:
    """Read the height and width, in pixels, that an image has when it stands upright."""
    if isinstance(cell, Image.Image):
        image = cell
    else:
        try:
            encoded = isinstance(cell, Mapping)
            image = read_header(io.BytesIO(cell["bytes"]) if encoded else Path(cell))
        except Exception as error:  # decoders meet hostile files with OSError, SyntaxError, struct.error, EOFError...
            raise ValueError(f"{sample}: an image has no readable header ({error})") from error
    with image:
        width, height = image.size
        return (width, height) if orientation(image) in _SIDEWAYS else (height, width)
