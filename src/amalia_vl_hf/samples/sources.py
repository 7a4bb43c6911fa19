"""Where rows come from: JSON files, parquet files and Hub datasets, read one row at a time, never decoded."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from datasets import Dataset, load_dataset

from ..fields import missing


class Rows(Protocol):
    """Rows of one dataset."""

    def __len__(self) -> int:
        """Count the rows."""

    def __getitem__(self, row: int) -> Any:
        """Read a row; raises ValueError where it is not readable."""

    def name(self, row: int) -> str:
        """Say where a row stands, for errors."""


@dataclass(frozen=True)
class Source:
    """One dataset of a mixture, and what is known of all its samples.

    Args:
        name: How counts, logs and errors call it.
        path: A JSON, JSONL or parquet file, or a folder with one of them.
        hub: The dataset's id on the Hub, in the place of `path`.
        subset: The Hub dataset's configuration.
        split: The Hub dataset's split.
        revision: The Hub dataset's commit, tag or branch.
        images: Folder that image paths are relative to; that of the file when left out.
        columns: New names of columns, by their old ones.
        language: Of every sample that does not say its own.
        category: The task, as Table 1 of the paper calls it.
    """

    name: str
    path: str | None = None
    hub: str | None = None
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    images: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    category: str | None = None

    @cached_property
    def folder(self) -> Path:
        """Where relative image paths start."""
        if self.images is not None:
            return Path(self.images)
        path = Path(self.path or ".")
        return path if path.is_dir() else path.parent


def open_rows(source: Source) -> Rows:
    """Open the rows of a source.

    Raises:
        FileNotFoundError: Its path does not exist.
        ValueError: A folder holds neither parquet nor exactly one JSON file, or a file is of another kind.
    """
    if source.path is None:
        data = load_dataset(source.hub, source.subset, split=source.split, revision=source.revision)
        return DatasetRows(data.with_format("arrow"), f"{source.hub} {source.subset or ''}".strip())
    files = files_of(source)
    path = files[0]
    if path.suffix == ".parquet":
        data = Dataset.from_parquet([str(file) for file in files])
        return DatasetRows(data.with_format("arrow"), source.path)
    if path.suffix not in (".json", ".jsonl"):
        raise ValueError(f"{path}: neither JSON, JSONL nor parquet")
    return JsonLines(path) if _is_lines(path) else JsonList(path)


def files_of(source: Source) -> list[Path]:
    """List the files that hold the rows of a source; none for a dataset of the Hub.

    Raises:
        FileNotFoundError: Its path does not exist.
        ValueError: A folder holds neither parquet nor exactly one JSON file.
    """
    if source.path is None:
        return []
    path = Path(source.path)
    if not path.exists():
        named = "" if source.name in (path.stem, path.name) else f"{source.name}: "
        raise FileNotFoundError(f"{named}{missing(path)}")
    if path.is_dir():
        return sorted(path.rglob("*.parquet")) or [_only_json(path)]
    return [path]


class JsonLines:
    """A file with a JSON value on each line; only where its lines start is held in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts, self._numbers = array("q"), array("q")
        start = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._starts.append(start)
                    self._numbers.append(number)
                start += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> Any:
        with self.path.open("rb") as file:
            file.seek(self._starts[row])
            line = file.readline()
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8, and brackets by the thousand
            raise ValueError(f"{self.name(row)}: not JSON ({error})") from error

    def name(self, row: int) -> str:
        """Name the line, as editors count it."""
        return f"{self.path}, line {self._numbers[row]}"


class JsonList:
    """A file that is one JSON list, as LLaVA's are; it is held in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._entries = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON ({error})") from error

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, row: int) -> Any:
        return self._entries[row]

    def name(self, row: int) -> str:
        """Name the entry, counted from 1."""
        return f"{self.path}, entry {row + 1}"


@dataclass(frozen=True)
class DatasetRows:
    """Rows of a Hugging Face dataset, memory-mapped.

    Images stay as they are stored, since a corrupt one must fail where it can be replaced.

    Args:
        data: The dataset in Arrow's format, which decodes nothing.
        origin: Where it comes from, for errors.
    """

    data: Dataset
    origin: str

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> Any:
        return self.data[row].to_pylist()[0]

    def name(self, row: int) -> str:
        """Name the row, counted from 1."""
        return f"{self.origin}, row {row + 1}"


def _only_json(folder: Path) -> Path:
    """Find a folder's data: `samples.jsonl`, as this package writes it, or the one JSON file there is."""
    if (folder / "samples.jsonl").is_file():
        return folder / "samples.jsonl"
    files = sorted(file for file in folder.iterdir() if file.suffix in (".json", ".jsonl"))
    if len(files) != 1:
        held = ", ".join(file.name for file in files) or "none"
        raise ValueError(f"{folder}: needs parquet files or exactly one JSON file, but holds {held}")
    return files[0]


def _is_lines(path: Path) -> bool:
    """Tell lines of JSON from one list, by the first character: a line is an object."""
    with path.open("rb") as file:
        return path.suffix == ".jsonl" or not file.read(4096).lstrip().startswith(b"[")
