"""Training samples: JSONL files of conversations or preference pairs, with paths of their images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

# What a sample of each training method holds beside its images.
FIELDS: Mapping[str, tuple[str, ...]] = {"sft": ("messages",), "dpo": ("prompt", "chosen", "rejected")}


def load_samples(path: str | Path, method: str) -> Dataset:
    """Read a JSONL file into a dataset whose every row names its origin in `sample`.

    A line holds `images` (paths relative to the file's folder; may be left out or empty) and either `messages`
    (`method="sft"`) or `prompt`, `chosen` and `rejected` (`method="dpo"`), each a list of `role` / `content` turns.
    Further keys are left out.

    Raises:
        ValueError: A line is no JSON object, lacks a field or names an image that is not there; or no line at all.
    """
    rows = [_row(line, Path(path), number, FIELDS[method]) for number, line in _lines(Path(path))]
    if not rows:
        raise ValueError(f"{path} holds no samples")
    return Dataset.from_list(rows)


def conversation(turns: list[dict[str, Any]], images: list[Any], sample: str) -> list[dict[str, Any]]:
    """Put each image into its slot of the conversation.

    Slots are `{"type": "image"}` parts. A conversation without a single slot gets its images at the start of the
    first user turn, as TRL's `images` column means it.

    Args:
        turns: `role` / `content` turns; contents are text or lists of parts.
        images: Paths or images, in the order of the slots.
        sample: Where the conversation comes from, for errors.

    Returns:
        New turns with typed contents.

    Raises:
        ValueError: As many slots as images are needed.
    """
    typed = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in turns]
    slots = [part for turn in typed for part in turn["content"] if part["type"] == "image"]
    users = [turn for turn in typed if turn["role"] == "user"]
    if not slots and images and users:
        slots = [{"type": "image"} for _ in images]
        users[0]["content"] = slots + users[0]["content"]
    if len(slots) != len(images):
        raise ValueError(f"{sample}: {len(slots)} image slots in the conversation but {len(images)} images")
    for slot, image in zip(slots, images, strict=True):
        slot["image"] = image
    return typed


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    # A dataset column gives every part the keys of all parts, None where a part has none.
    return [{key: value for key, value in part.items() if value is not None} for part in content]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _row(line: str, path: Path, number: int, wanted: tuple[str, ...]) -> dict[str, Any]:
    sample = f"{path}, line {number}"
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{sample}: not JSON ({error})") from error
    if not isinstance(values, dict) or any(name not in values for name in wanted):
        found = ", ".join(values) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f"{sample}: needs {', '.join(wanted)} but holds {found}")
    images = [path.parent / image for image in values.get("images") or []]
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise ValueError(f"{sample}: no such image: {', '.join(missing)}")
    return {"sample": sample, "images": [str(image) for image in images], **{name: values[name] for name in wanted}}
