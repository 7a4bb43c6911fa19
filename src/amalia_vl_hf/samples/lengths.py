"""How many tokens and tiles a sample takes, from its text and its images' and videos' headers: nothing is decoded."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ..processing.decoding_amalia_vl import read_header
from ..processing.image_loading_amalia_vl import orientation
from .loading import conversation, dialogues_of, require_readable

Chat = list[dict[str, Any]]
Size = tuple[int, int]  # tokens and tiles

_SIDEWAYS = range(5, 9)  # EXIF orientations that swap height and width


def measure(sample: Mapping[str, Any], processor: Any, max_tiles: int) -> Size:
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
    [size] = measure_all([sample], processor, max_tiles)
    if isinstance(size, ValueError):
        raise size
    return size


def measure_all(samples: Sequence[Mapping[str, Any]], processor: Any, max_tiles: int) -> list[Size | ValueError]:
    """Count what the collator would make of each of some samples, whose texts are tokenised together.

    Args:
        samples: Rows of `samples.load_samples`.
        processor: As `measure` takes it.
        max_tiles: Likewise.

    Returns:
        What `measure` gives of each, or raises.
    """
    settings = processor.image_processor.settings({"max_tiles": max_tiles})
    shown = [_shown(sample, processor, settings) for sample in samples]
    named = [(chat, one.name) for one in shown if isinstance(one, _Shown) for chat in one.chats]
    counts = iter(_text_tokens([chat for chat, _ in named], [name for _, name in named], processor))
    return [one if isinstance(one, ValueError) else one.with_texts([next(counts) for _ in one.chats]) for one in shown]


class _Shown(NamedTuple):
    """A sample but for the tokens of its texts.

    Args:
        name: What it is called in errors.
        chats: Its conversation, or its two.
        slots: Tokens of images and videos in each text.
        visual: Tokens that they become.
        tiles: Of its images, with the frames of its videos.
    """

    name: str
    chats: list[Chat]
    slots: int
    visual: int
    tiles: int

    def with_texts(self, counts: list[int | ValueError]) -> Size | ValueError:
        """Give its size, by the tokens of each text."""
        faults = [count for count in counts if isinstance(count, ValueError)]
        longest = max(count for count in counts if isinstance(count, int)) if not faults else 0
        return faults[0] if faults else (longest - self.slots + self.visual, self.tiles)


def _shown(sample: Mapping[str, Any], processor: Any, settings: Any) -> _Shown | ValueError:
    try:
        require_readable(sample)
        name = sample["sample"]
        sizes = [_size(cell, name) for cell in sample["images"]]
        videos = sample.get("videos", ())
        frames = [_frames(cell, processor, name) for cell in videos]
        layouts = settings.layouts(sizes)
        return _Shown(
            name,
            [conversation(turns, sizes, name, videos) for turns in dialogues_of(sample)],
            len(sizes) + len(frames),
            sum(map(settings.tokens, layouts)) + sum(map(processor.num_video_tokens, frames)),
            sum(layout.num_tiles for layout in layouts) + sum(frames),
        )
    except ValueError as error:
        return error


def _frames(cell: Any, processor: Any, sample: str) -> int:
    """Count the frames that are taken of a video."""
    try:
        return len(processor.videos.sampled(cell).positions)
    except ValueError as error:
        raise ValueError(f"{sample}: {error}") from error


def _text_tokens(chats: list[Chat], names: list[str], processor: Any) -> list[int | ValueError]:
    """Count the tokens of chats, in which each image and each video is one."""
    try:
        return list(processor.count_tokens(chats, names)) if chats else []
    except ValueError as error:  # of one of them
        if len(chats) == 1:  # a template's own errors name no sample
            return [error if str(error).startswith(names[0]) else ValueError(f"{names[0]}: {error}")]
    return [_text_tokens([chat], [name], processor)[0] for chat, name in zip(chats, names, strict=True)]


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
