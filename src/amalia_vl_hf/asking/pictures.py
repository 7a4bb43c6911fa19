"""Pictures as a server gets them: read when their request is sent, and held for no longer than that takes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..processing.decoding_amalia_vl import load_pixels, read_header
from .roles import ImagePolicy

Locate = Callable[[str], Path]  # gives the file of an image id
LARGEST_FILE = 2**26  # bytes
QUALITY = 92  # of the JPEG that a picture is scaled down into
_KINDS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


class UnreadablePictureError(ValueError):
    """A picture that cannot be sent; the message names it."""


def write_body(payload: Mapping[str, Any], policy: ImagePolicy, locate: Locate | None) -> bytes:
    """Write a request's body, with the pictures where its messages name them by `{"type": "image", "image": ID}`.

    Raises:
        UnreadablePictureError: A picture is not there, is another one by now, or cannot be scaled.
    """
    messages = [
        {**message, "content": _content(message["content"], policy, locate)} for message in payload["messages"]
    ]
    return json.dumps({**payload, "messages": messages}, ensure_ascii=False, allow_nan=False).encode()


def has_pictures(payload: Mapping[str, Any]) -> bool:
    """Tell whether messages name pictures."""
    contents = [message["content"] for message in payload["messages"]]
    return any(is_picture(part) for content in contents if isinstance(content, list) for part in content)


def is_picture(part: Any) -> bool:
    """Tell whether a part of a message is a picture by its id."""
    return isinstance(part, Mapping) and part.get("type") == "image"


def _content(content: Any, policy: ImagePolicy, locate: Locate | None) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"type": "image_url", "image_url": {"url": picture_url(part["image"], policy, locate)}}
        if is_picture(part)
        else part
        for part in content
    ]


def picture_url(image_id: str, policy: ImagePolicy, locate: Locate | None) -> str:
    """Give a picture's address: a `data:` URL with its bytes, or `file://`.

    Raises:
        UnreadablePictureError: It cannot be given.
    """
    try:
        if locate is None:
            raise ValueError("nobody said where pictures are")
        path = locate(image_id)
        if policy.by == "file":
            return path.resolve(strict=True).as_uri()
        encoded = _read(path, image_id)
        scaled = encoded if policy.longest_side is None else scale_down(encoded, policy.longest_side)
    except (
        OSError,
        ValueError,
        LookupError,
        SyntaxError,
        EOFError,
    ) as error:  # decoders meet hostile files with these
        raise UnreadablePictureError(f"image {image_id[:16]} cannot be sent: {error}") from error
    return f"data:image/{_kind(scaled)};base64,{base64.b64encode(scaled).decode()}"


def scale_down(encoded: bytes, longest_side: int) -> bytes:
    """Scale a picture down, upright and as JPEG; one that is small enough keeps its bytes.

    Raises:
        ValueError, OSError: It is no picture.
    """
    from PIL import Image, ImageOps

    picture = read_header(io.BytesIO(encoded))
    if max(picture.size) <= longest_side:
        return encoded
    picture.draft("RGB", (longest_side, longest_side))  # a JPEG is decoded at an eighth, a quarter or half
    upright = ImageOps.exif_transpose(load_pixels(picture)).convert("RGB")
    upright.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _read(path: Path, image_id: str) -> bytes:
    """Read a picture, and hold it to its id: an answer must be about what the manifest names."""
    if not path.is_file():  # opening a pipe would wait for whoever writes to it
        raise ValueError(f"{path} is no file")
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise ValueError(f"{path} has {size} bytes, at most {LARGEST_FILE} are sent")
    encoded = path.read_bytes()
    if (digest := hashlib.sha256(encoded).hexdigest()) != image_id:
        raise ValueError(f"{path} is another picture by now, {digest[:16]}")
    return encoded


def _kind(encoded: bytes) -> str:
    """Name the kind that a `data:` URL says; servers look at the bytes, so an unknown one is said to be JPEG."""
    return next((kind for start, kind in _KINDS.items() if encoded.startswith(start)), "jpeg")
