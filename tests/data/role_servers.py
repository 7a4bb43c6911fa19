"""Loopback servers of several models, each of which answers by a function of what it is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from amalia_vl_hf.data.image_manifest import ImageManifest, index_images

from ..asking.model_server import Fault, ModelServer, completion


class Asked(NamedTuple):
    """What a model was asked: the last text, pictures as data URLs, and the body."""

    text: str
    pictures: tuple[str, ...]
    body: dict[str, Any]


Answer = Callable[[Asked], str]


def asked_of(body: dict[str, Any]) -> Asked:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return Asked(content, (), body)
    text = " ".join(part["text"] for part in content if part["type"] == "text")
    return Asked(text, tuple(part["image_url"]["url"] for part in content if part["type"] == "image_url"), body)


class RoleServer(ModelServer):
    """A server whose one model says what a function of the whole body gives."""

    def __init__(self, model: str, answer: Answer) -> None:
        super().__init__((model,), keep_bodies=True)
        self.answer = answer

    def _say(self, raw, authorization):
        said = super()._say(raw, authorization)
        if said.status != 200:
            return said
        import json

        return Fault(body=completion(self.answer(asked_of(json.loads(raw)))))

    @property
    def asked_texts(self) -> list[Asked]:
        return [asked_of(body) for body in self.bodies]


@contextlib.contextmanager
def serving(**roles: Answer) -> Iterator[dict[str, RoleServer]]:
    """Serve a model of each role, named after it."""
    with contextlib.ExitStack() as stack:
        yield {role: stack.enter_context(RoleServer(f"model-{role}", answer)) for role, answer in roles.items()}


def roles_of(servers: dict[str, RoleServer], **more: Any) -> dict[str, Any]:
    """Write the roles of a recipe."""
    return {role: {"url": server.url, "model": server.models[0], **more} for role, server in servers.items()}


def draw_images(folder, count: int) -> ImageManifest:
    """Draw pictures of shapes, each another, and list them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = Image.new("RGB", (64, 48), (number * 53 % 256, number * 101 % 256, number * 29 % 256))
        ImageDraw.Draw(picture).ellipse((number % 20, 5, 30 + number % 30, 40), fill=(255 - number % 200, 80, 40))
        picture.save(folder / f"{number:05}.png")
    return index_images(folder, folder.parent / "images.parquet", "CC0-1.0", "shapes")
