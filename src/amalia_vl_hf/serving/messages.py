"""Messages of the OpenAI protocol, as clients send them, turned into what the processor takes; all of it is hostile.

Images come by `data:` URI or by http(s) address, which the guarded loader fetches. A path on the server's disk, which
transformers' own server opens, is refused. Texts are texts: special tokens in them stay plain text in the processor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PIL import Image

from ..processing.addresses_amalia_vl import DownloadLimits, FetchError, download
from ..processing.image_loading_amalia_vl import load_image

TEXT_TYPES = ("text", "input_text", "output_text")
IMAGE_TYPES = ("image_url", "input_image")
MOST_IMAGES = 64  # of a request; at 5,000 tokens each no context holds more

LIMITS = DownloadLimits(max_bytes=20_000_000, seconds=20.0, attempts=1)  # of an image's address

Message = dict[str, Any]


def read_messages(messages: Any, hosts: tuple[str, ...] = ()) -> list[Message]:
    """Check messages and load their images.

    Args:
        messages: The request's `messages`, from JSON.
        hosts: Names that images may come from though they are not on the public internet.

    Returns:
        Chat messages with typed parts; images are decoded.

    Raises:
        ValueError: Something is not of the protocol, or an image cannot be used; the message is named.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list with at least one message")
    checked = [_read_message(message, number) for number, message in enumerate(messages)]
    pictures = [part for message in checked for part in message["content"] if part["type"] == "image"]
    if len(pictures) > MOST_IMAGES:
        raise ValueError(f"{len(pictures)} images in a request; at most {MOST_IMAGES} are taken")
    for number, part in enumerate(pictures):
        part["image"] = _load(part["image"], number, replace(LIMITS, hosts=hosts))
    return checked


def _load(address: str, number: int, limits: DownloadLimits) -> Image.Image:
    if address.startswith("data:"):
        return load_image(address, number)
    try:
        return load_image(download(address, limits), number)
    except FetchError as error:
        raise ValueError(f"image {number} ({address[:100]}) cannot be fetched: {error}") from error


def _read_message(message: Any, number: int) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"message {number} must be an object with a role")
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"message {number} must have content: a text, or a list of parts")
    return {"role": message["role"], "content": [_read_part(part, number) for part in parts]}


def _read_part(part: Any, number: int) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in TEXT_TYPES and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind in IMAGE_TYPES:
        address = part.get("image_url")
        address = address.get("url") if isinstance(address, dict) else address
        if not isinstance(address, str) or not address.startswith(("data:", "http://", "https://")):
            raise ValueError(f"message {number}: an image comes by data: URI or http(s) address, never by a path")
        return {"type": "image", "image": address}
    raise ValueError(f"message {number}: a part of type {kind!r} is not taken; texts and image_url are")
