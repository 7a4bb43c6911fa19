"""The rows of a rendered dataset: encoded pictures, a conversation, where they come from, and what was drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from .passages import Source

Row = dict[str, Any]
Language = Literal["pt", "en"]
LANGUAGES: tuple[Language, ...] = ("pt", "en")

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
        "model": Value("string"),
        "prompt_hash": Value("string"),
        "licence": Value("string"),
    }
)


class RejectedError(Exception):
    """A sample that is not made: a model's answer is not what was asked for, or what it is made of is no good.

    Args:
        reason: In the same words for all such samples; a line of the yield table.
        detail: The case.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Materials(NamedTuple):
    """What samples are made from.

    Args:
        typefaces: Font files.
        passages: Texts to draw.
        functions: Python functions; None for the seeded ones.
        invoices: Annotated invoices; None for those that are set here.
        answers: What a model said for this sample, by the step's name; nothing when built without a model.
    """

    typefaces: tuple[Path, ...]
    passages: Source
    functions: Callable[[Random, int], Any] | None = None
    invoices: Callable[[Random, int], Any] | None = None
    answers: Mapping[str, str] = {}


class Step(NamedTuple):
    """One thing a model is asked for each sample.

    Args:
        name: Its prompt is the file `prompts/DATASET/name.md`, with gaps as `string.Template` has them.
        ask: Fills the gaps, from the same generator state as `draw`, the number and the materials, which hold the
            answers of earlier steps. It may raise `RejectedError`: nothing is asked then.
    """

    name: str
    ask: Callable[[Random, int, Materials], Mapping[str, str]]


class Exchange(NamedTuple):
    """What the user says, and what the assistant should say."""

    question: str
    answer: str


class Drawn(NamedTuple):
    """One sample as a dataset draws it.

    Args:
        picture: Encoded, PNG or JPEG.
        exchanges: The conversation about it.
        task: Which of the dataset's tasks it is.
        truth: What the picture shows and what was asked, for the validator; JSON values alone.
        language: Of the conversation.
    """

    picture: bytes
    exchanges: tuple[Exchange, ...]
    task: str
    truth: Mapping[str, Any]
    language: Language = "pt"


class Rendered(Protocol):
    """A module that makes a dataset; `render_text` and `pt_ocr` are two."""

    NAME: str  # on the command line and of its folder
    TITLE: str  # in the paper's Table 1
    VERSION: int  # counts changes of what a seed gives
    USES: tuple[str, ...]  # of the user's: "fonts", "texts", "functions", "invoices"
    SUMMARY: str  # for the dataset card, and help
    STEPS: tuple[Step, ...]  # what a model is asked, in order, if there is one

    def draw(self, rng: Random, index: int, materials: Materials) -> Drawn:
        """Draw a sample; the same generator state, number and materials give the same bytes.

        Raises:
            RejectedError: It cannot be made, of a model's answer above all.
        """

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


def write_row(dataset: Rendered, drawn: Drawn, index: int, **provenance: Any) -> Row:
    """Write a sample as a row, with where it comes from: the columns of `FEATURES` after `index`."""
    suffix = "png" if drawn.picture.startswith(b"\x89PNG") else "jpg"
    turns = [turn for said in drawn.exchanges for turn in zip(("user", "assistant"), said, strict=True)]
    return {
        "images": [{"bytes": drawn.picture, "path": f"{dataset.NAME}-{index:08}.{suffix}"}],
        "messages": [{"role": role, "content": text} for role, text in turns],
        "source": dataset.TITLE,
        "language": drawn.language,
        "task": drawn.task,
        "truth": json.dumps(drawn.truth, ensure_ascii=False),
        "index": index,
        **provenance,
    }


def exchanges(row: Row) -> list[Exchange]:
    """Give the conversation of a row.

    Raises:
        ValueError: The turns are not the user's and the assistant's, one after the other.
    """
    turns = row["messages"]
    if not turns or [turn["role"] for turn in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise ValueError(f"sample {row['index']}: turns of {', '.join(turn['role'] for turn in turns) or 'nobody'}")
    texts = [turn["content"] for turn in turns]
    return [Exchange(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)]


def exchange(row: Row) -> Exchange:
    """Give the only exchange of a row.

    Raises:
        ValueError: Its turns are others.
    """
    found = exchanges(row)
    if len(found) != 1:
        raise ValueError(f"sample {row['index']}: {len(found)} exchanges, expected one")
    return found[0]


def truth_of(row: Row) -> dict[str, Any]:
    """Read what the picture of a row shows."""
    truth: dict[str, Any] = json.loads(row["truth"])
    return truth
