"""The rows that are translated: samples in any format that `samples` reads, images and videos left where they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import Dataset

from ...disk import digests
from ...samples.files import files_behind
from ...samples.images import is_address
from ...samples.loading import FIELDS, load_samples


class Originals:
    """Samples as the items of a build: their texts, and what is known of them.

    Args:
        path: As `load_samples` takes it.
        method: `"sft"` or `"dpo"`.
        images: Folder of the images that rows name, where it is not that of the file.
    """

    def __init__(self, path: str, method: str, images: str | None = None) -> None:
        self.path, self.method, self.images = path, method, images
        self.samples = _opened(path, method, images)

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Give the texts of samples; one that cannot be read says why, and costs the others nothing."""
        for number in range(start, stop):
            sample = self.samples[number]
            known = {name: sample[name] for name in ("sample", "source", "language", "category")}
            if sample.get("fault"):
                yield {**known, "fault": sample["fault"]}
            else:
                yield {**known, "record": {name: _plain(sample[name]) for name in FIELDS[self.method]}}

    def fingerprint(self) -> str:
        """Tell the rows from others, by the content of their files."""
        behind = files_behind(self.path, self.method, self.images)
        facts = [*sorted(filter(None, digests(behind.rows))), *behind.hub]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def media(self, number: int, embed: bool) -> dict[str, list[dict[str, Any]]]:
        """Give the cells of a sample's images and videos, with their bytes or with where they are.

        Raises:
            OSError: A file is not there.
            ValueError: A video is a list of frames, for which rows have no column.
        """
        sample = self.samples[number]
        return {name: [_cell(cell, embed) for cell in sample.get(name) or ()] for name in ("images", "videos")}


@lru_cache(maxsize=2)
def _opened(path: str, method: str, images: str | None) -> Dataset:
    return load_samples(path, method, every_row=False, images=images)


def _plain(turns: Any) -> list[dict[str, Any]]:
    """Give turns as JSON: parts without the keys that other parts have."""
    return [{"role": turn["role"], "content": _content(turn["content"])} for turn in turns]


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [{name: part[name] for name in ("type", "text") if part.get(name) is not None} for part in content]


def _cell(cell: Any, embed: bool) -> dict[str, Any]:
    if isinstance(cell, Mapping):
        return {"bytes": bytes(cell["bytes"]), "path": cell.get("path")}
    if isinstance(cell, list | tuple):
        raise ValueError(f"a video of {len(cell)} frames")
    if isinstance(cell, bytes | bytearray):
        return {"bytes": bytes(cell), "path": None}
    if is_address(cell) or not embed:
        return {"bytes": None, "path": str(cell)}
    return {"bytes": Path(cell).read_bytes(), "path": Path(cell).name}
