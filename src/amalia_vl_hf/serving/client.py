"""Asks an OpenAI-compatible server about local images, as `amalia-vl ask --endpoint` and the chat page do.

Images go first and the text after them: the order changes the tokens, and with them the answer. Pixels arrive as they
are: a picture is never resized, since that changes how it is tiled.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openai
from PIL import Image

from ..processing.image_loading_amalia_vl import load_image
from .presets import worded

JPEG_LIMIT = 8 * 2**20  # bytes of a JPEG that is sent as it is
QUALITIES = (95, 90, 80, 70)  # tried in turn where it is larger
TIMEOUT = 600.0  # seconds; a long answer on a CPU takes minutes
CONNECT = 2.5  # seconds for a connection, which is tried three times: an address where nobody is says nothing at all
SENT_AS_THEY_ARE = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}

Chat = list[dict[str, Any]]


def user_turn(question: str, images: Sequence[str | Path | bytes | Image.Image], preset: str | None = None) -> Chat:
    """Write one turn of the user: images, then the question, in the words of a preset where one is named.

    Raises:
        ValueError: An image cannot be used, or there is no such preset.
    """
    text = worded(question, preset)
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def data_url(image: str | Path | bytes | Image.Image) -> str:
    """Encode an image: PNG and JPEG files byte for byte, JPEG above 8 MiB at less quality, others as PNG.

    Raises:
        ValueError: It cannot be used.
    """
    encoded = Path(image).read_bytes() if isinstance(image, str | Path) and Path(image).is_file() else image
    if isinstance(encoded, bytes):
        kind = next((kind for start, kind in SENT_AS_THEY_ARE.items() if encoded.startswith(start)), None)
        if kind == "image/png" or (kind == "image/jpeg" and len(encoded) <= JPEG_LIMIT):
            return _url(encoded, kind)
        if kind == "image/jpeg":
            return _url(_smaller_jpeg(load_image(encoded, 0)), kind)
    buffer = io.BytesIO()
    load_image(image, 0).save(buffer, "PNG", compress_level=1)
    return _url(buffer.getvalue(), "image/png")


class Piece(NamedTuple):
    """A piece of an answer.

    Args:
        text: What comes next.
        prompt_tokens: Of the whole prompt, images included; with the last piece alone, and where the server says it.
    """

    text: str
    prompt_tokens: int | None = None


def stream_answer(endpoint: str, chat: Chat, model: str | None = None, **options: Any) -> Iterator[Piece]:
    """Ask, and give the answer in pieces as they come; leaving the iterator ends the request.

    Args:
        endpoint: Address of the server, with or without `/v1`; `OPENAI_API_KEY` is sent where it is set.
        chat: Messages as `user_turn` writes them, with earlier turns before.
        model: What the server calls it; the only one it has when left out.
        options: Of the protocol: `max_tokens`, `temperature`, `extra_body`, ...

    Raises:
        ValueError: The server refuses, fails, or has several models and none was named.
        OSError: Nobody answers there.
    """
    try:
        client = connect(endpoint)
        name = model or only_model(client)
        create: Any = client.chat.completions.create
        with create(model=name, messages=chat, stream=True, **options) as chunks:
            for chunk in chunks:
                text = chunk.choices[0].delta.content if chunk.choices else None
                if text or chunk.usage:
                    yield Piece(text or "", chunk.usage and chunk.usage.prompt_tokens)
    except openai.APIStatusError as error:
        raise ValueError(f"{endpoint} refuses ({error.status_code}): {_reason(error)}") from error
    except openai.APIConnectionError as error:
        raise OSError(f"nobody answers at {endpoint} ({error.__cause__ or error}); is the server running?") from error
    except openai.OpenAIError as error:
        raise ValueError(f"{endpoint} gave no answer: {error}") from error


def connect(endpoint: str) -> openai.OpenAI:
    """Make the client of a server; a closed connection is tried again, as servers close it after an error."""
    address = endpoint.rstrip("/")
    base = address if address.endswith("/v1") else f"{address}/v1"
    timeout = openai.Timeout(TIMEOUT, connect=CONNECT)
    return openai.OpenAI(base_url=base, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=timeout)


def only_model(client: openai.OpenAI) -> str:
    """Give the name of the model of a server that has one.

    Raises:
        ValueError: It has none, or several.
    """
    names = [model.id for model in client.models.list()]
    if len(names) != 1:
        raise ValueError(f"the server has {', '.join(names) or 'no model'}; say which with --model")
    return names[0]


def _smaller_jpeg(picture: Image.Image) -> bytes:
    for quality in QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
        if buffer.tell() <= JPEG_LIMIT:
            break
    return buffer.getvalue()


def _url(encoded: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"


def _reason(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or error.message)
