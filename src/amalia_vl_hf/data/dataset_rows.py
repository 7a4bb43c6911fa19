"""The rows of a rendered dataset: encoded pictures, a conversation, where they come from, and what was drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from .passages import Source

Row = dict[str, Any]

FEATURES = Features(
    {
        "images": List(Image()),
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "source": Value("string"),
        "language": Value("string"),
        "task": Value("string"),
        "truth": Value("string"),
        "index": Value("int64"),
        "seed": Value("int64"),
        "generator": Value("string"),
        "licence": Value("string"),
    }
)


class Materials(NamedTuple):
    """What pictures are drawn from: font files, and texts."""

    typefaces: tuple[Path, ...]
    passages: Source


class Drawn(NamedTuple):
    """One sample as a dataset draws it.

    Args:
        picture: Encoded, PNG or JPEG.
        question: What the user says.
        answer: What the assistant should say.
        task: Which of the dataset's tasks it is.
        truth: What the picture shows and what was asked, for the validator; JSON values alone.
    """

    picture: bytes
    question: str
    answer: str
    task: str
    truth: Mapping[str, Any]


class Rendered(Protocol):
    """A module that makes a dataset; `render_text` and `pt_ocr` are two."""

    NAME: str  # on the command line and of its folder
    TITLE: str  # in the paper's Table 1
    VERSION: int  # counts changes of what a seed gives
    USES: tuple[str, ...]  # of the user's: "fonts", "texts"
    SUMMARY: str  # for the dataset card, and help

    def draw(self, rng: Random, index: int, materials: Materials) -> Drawn:
        """Draw a sample; the same generator state and number give the same bytes."""

    def faults(self, row: Row) -> list[str]:
        """Say what is wrong with a row as it was written; nothing if its answer is what its picture shows."""


def png(picture: Pictures.Image) -> bytes:
    """Encode a picture without loss."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def jpeg(picture: Pictures.Image, quality: int) -> bytes:
    """Encode a picture with loss, its colours at full size."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def open_picture(row: Row) -> Pictures.Image:
    """Decode the one picture of a row."""
    (cell,) = row["images"]
    return Pictures.open(io.BytesIO(cell["bytes"])).convert("RGB")


def exchange(row: Row) -> tuple[str, str]:
    """Give the question and the answer of a row of one exchange.

    Raises:
        ValueError: Its turns are others.
    """
    turns = row["messages"]
    if [turn["role"] for turn in turns] != ["user", "assistant"]:
        raise ValueError(f"sample {row['index']}: turns of {', '.join(turn['role'] for turn in turns) or 'nobody'}")
    return turns[0]["content"], turns[1]["content"]


def truth_of(row: Row) -> dict[str, Any]:
    """Read what the picture of a row shows."""
    truth: dict[str, Any] = json.loads(row["truth"])
    return truth
