"""The rows of a rendered dataset: encoded pictures, a conversation, where they come from, and what was drawn."""

from __future__ import annotations

import io
import json
from typing import Any

from datasets import Features, Image, List, Value
from PIL import Image as Pictures

from .dataset import DatasetRow, DrawnSample, Exchange, RenderedDataset

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


def open_picture(row: DatasetRow) -> Pictures.Image:
    """Decode the one picture of a row."""
    (cell,) = row["images"]
    return Pictures.open(io.BytesIO(cell["bytes"])).convert("RGB")


def open_pictures(row: DatasetRow) -> list[Pictures.Image]:
    """Decode the pictures of a row, as they are."""
    return [Pictures.open(io.BytesIO(cell["bytes"])) for cell in row["images"]]


def write_row(dataset: RenderedDataset, drawn: DrawnSample, index: int, **provenance: Any) -> DatasetRow:
    """Write a sample as a row, with where it comes from: the columns of `FEATURES` after `index`."""
    pictures = [drawn.picture, *drawn.more]
    names = [f"{dataset.NAME}-{index:08}{f'-{page}' if page else ''}" for page in range(len(pictures))]
    turns = [turn for pair in drawn.exchanges for turn in zip(("user", "assistant"), pair, strict=True)]
    return {
        "images": [
            {"bytes": picture, "path": f"{name}.{_suffix(picture)}"}
            for name, picture in zip(names, pictures, strict=True)
        ],
        "messages": [{"role": role, "content": text} for role, text in turns],
        "source": dataset.TITLE,
        "language": drawn.language,
        "task": drawn.task,
        "truth": json.dumps(drawn.truth, ensure_ascii=False),
        "index": index,
        **provenance,
    }


def _suffix(picture: bytes) -> str:
    return "png" if picture.startswith(b"\x89PNG") else "jpg"


def exchanges(row: DatasetRow) -> list[Exchange]:
    """Give the conversation of a row.

    Raises:
        ValueError: The turns are not the user's and the assistant's, one after the other.
    """
    turns = row["messages"]
    if not turns or [turn["role"] for turn in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise ValueError(f"sample {row['index']}: turns of {', '.join(turn['role'] for turn in turns) or 'nobody'}")
    texts = [spoken(turn["content"]) for turn in turns]
    return [Exchange(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)]


def spoken(content: str | list[dict[str, Any]]) -> str:
    """Give the text of a turn, whose content is a text or parts."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part.get("text"))


def exchange(row: DatasetRow) -> Exchange:
    """Give the only exchange of a row.

    Raises:
        ValueError: Its turns are others.
    """
    conversation = exchanges(row)
    if len(conversation) != 1:
        raise ValueError(f"sample {row['index']}: {len(conversation)} exchanges, expected one")
    return conversation[0]


def truth_of(row: DatasetRow) -> dict[str, Any]:
    """Read what the picture of a row shows."""
    truth: dict[str, Any] = json.loads(row["truth"])
    return truth
