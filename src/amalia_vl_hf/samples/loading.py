"""Training samples: rows of any known dataset, or of a mixture of them, read when they are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from .formats import language_of, read_record
from .images import each_cell, is_address, is_there, located, recorded_root, require_stored
from .manifest import MEASURED, is_manifest, read_manifest
from .sources import DatasetRows, Rows, Source, open_rows

# What a sample of each training method holds beside its images.
FIELDS: Mapping[str, tuple[str, ...]] = {"sft": ("messages",), "dpo": ("prompt", "chosen", "rejected")}


def load_samples(path: str | Path, method: str, every_row: bool = True, images: str | Path | None = None) -> Dataset:
    """Open a data file, a folder of parquet files or a mixture's manifest as samples.

    A sample has `index` (its position), `sample` (its origin, for errors), `source`, `language`, `category`, `images`
    and, if it has any, `videos` (paths or encoded cells, in the order of their slots), `messages` (`method="sft"`) or
    `prompt`, `chosen` and `rejected` (`method="dpo"`), and, from a manifest that was measured, `length` and `tiles`.

    Args:
        path: JSONL, JSON or parquet file in a format of `readers`, a folder with one of them, or a manifest.
        method: `"sft"` or `"dpo"`.
        every_row: Whether a faulty row is an error, in a JSON file at once, elsewhere when it is used. If not, it has
            the reason in `fault`, and neither images nor texts, for `bad_samples` to replace.
        images: Folder that image paths are relative to, and must not leave; that of the file when left out. A manifest
            names those of its sources itself.

    Raises:
        ValueError: The file is empty or a mixture's YAML; it records that its images are elsewhere, and `images` does
            not say so; its columns are of no known format; with `every_row`, a row
            is no JSON, not of its format, or names an image that is not there.
    """
    if Path(path).suffix in (".yaml", ".yml"):
        raise ValueError(f"{path} describes a mixture; draw its samples first: amalia-vl data mix {path} --out FILE")
    if is_manifest(path):
        if images is not None:
            raise ValueError(
                f"{path} is a mixture's manifest: it names the folders of its images itself, not {images}"
            )
        table, sources = read_manifest(path)
        _require_some(len(table), path)
        reader = SampleReader(sources, method, strict=every_row)
        return table.add_column("index", range(len(table))).with_transform(reader)
    source = Source(Path(path).stem, path=str(path), images=_root(Path(path), images))
    reader = SampleReader([source], method, strict=every_row)
    rows = reader.rows(0)
    _require_some(len(rows), path)
    numbers = range(len(rows))
    if every_row:  # rows of parquet have one type: the first shows whether its format is known
        for row in numbers[:1] if isinstance(rows, DatasetRows) else numbers:
            require_readable(reader.read(row, 0, row))
    return Dataset.from_dict({"index": numbers, "source": [0] * len(rows), "row": numbers}).with_transform(reader)


class SampleReader:
    """Turn rows of a manifest, of numbers alone, into samples; what it opens stays open in its process only.

    Args:
        sources: What the column `source` counts.
        method: `"sft"` or `"dpo"`.
        strict: Whether a faulty row is an error where samples are indexed.
    """

    def __init__(self, sources: Sequence[Source], method: str, strict: bool = False) -> None:
        self.sources = list(sources)
        self.method = method
        self.strict = strict
        self._rows: dict[int, Rows] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": {}}

    def rows(self, source: int) -> Rows:
        """Open a source, once."""
        if source not in self._rows:
            self._rows[source] = open_rows(self.sources[source])
        return self._rows[source]

    def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        """Read the samples of a batch of manifest rows; `datasets` calls this where rows are indexed."""
        entries = zip(batch["index"], batch["source"], batch["row"], strict=True)
        samples = [self.read(*entry) for entry in entries]
        if self.strict:
            for sample in samples:
                require_readable(sample)
        names = dict.fromkeys(name for sample in samples for name in sample)  # some may have videos
        read = {name: [sample.get(name, []) for sample in samples] for name in names}
        return {**read, **{name: list(batch[name]) for name in MEASURED if name in batch}}

    def read(self, index: int, source: int, row: int) -> dict[str, Any]:
        """Read one sample; what is wrong with it goes into `fault`."""
        rows, origin = self.rows(source), self.sources[source]
        if not 0 <= row < len(rows):
            raise ValueError(f"row {row} of {origin.name}, which has {len(rows)}: has it changed since it was drawn?")
        known = {"source": origin.name, "language": origin.language, "category": origin.category}
        sample: dict[str, Any] = {"index": index, "sample": rows.name(row), **known, "images": [], "fault": None}
        try:
            values = rows[row]
            if not isinstance(values, Mapping):
                raise ValueError(f"{rows.name(row)}: needs {FIELDS[self.method][0]} but holds {type(values).__name__}")
            values = {origin.columns.get(name, name): value for name, value in values.items()}
            values["language"] = language_of(values, rows.name(row)) or origin.language
            record = read_record(values, self.method, rows.name(row))
            for kind in ("image", "video"):
                if cells := record.get(f"{kind}s"):
                    record[f"{kind}s"] = [_located(cell, origin.folder, rows.name(row), kind) for cell in cells]
        except ValueError as error:
            return {**sample, **dict.fromkeys(FIELDS[self.method]), "fault": str(error)}
        return {**sample, **record, "language": values["language"]}


def sources_of(samples: Dataset) -> list[Source]:
    """Give the sources that the column `source` of opened samples counts."""
    reader: SampleReader = samples.format["format_kwargs"]["transform"]
    return reader.sources


def require_readable(sample: Mapping[str, Any]) -> None:
    """Hold a sample to what can be seen without decoding its images and videos.

    Raises:
        ValueError: The row could not be read, or an image or a video is a missing file or a URL.
    """
    if sample.get("fault"):
        raise ValueError(sample["fault"])
    for kind in ("image", "video"):
        cells = sample.get(f"{kind}s") or []
        for cell in cells:
            try:
                require_stored(cell, kind)
            except ValueError as error:
                raise ValueError(f"{sample['sample']}: {error}") from None
        paths = [cell for cell in each_cell(cells) if isinstance(cell, str | Path)]
        if addresses := [path for path in paths if is_address(path)]:
            raise ValueError(f"{sample['sample']}: {addresses[0]} is not fetched yet; run amalia-vl data fetch first")
        if missing := [str(path) for path in paths if not is_there(path)]:
            raise ValueError(f"{sample['sample']}: no such {kind}: {', '.join(missing)}")


def conversation(
    turns: list[dict[str, Any]], images: list[Any], sample: str, videos: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Put each image and each video into its slot of the conversation.

    Slots are `{"type": "image"}` and `{"type": "video"}` parts. A conversation without a single slot gets its images,
    or videos, at the start of the first user turn, as TRL's `images` column means it; as many `<image>` or `<video>`
    placeholders that open that turn's plain text stand for them and are dropped. Any other one is text like any word.

    Args:
        turns: `role` / `content` turns; contents are text or lists of parts.
        images: Paths or images, in the order of the slots.
        sample: Where the conversation comes from, for errors.
        videos: Paths or videos, in the order of the slots.

    Returns:
        New turns with typed contents.

    Raises:
        ValueError: As many slots as images and videos are needed.
    """
    typed = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in turns]
    users = [turn for turn in typed if turn["role"] == "user"]
    for kind, media in (("video", videos), ("image", images)):
        slots = [part for turn in typed for part in turn["content"] if part["type"] == kind]
        if not slots and media and users:
            slots = [{"type": kind} for _ in media]
            users[0]["content"] = slots + _without_placeholders(users[0]["content"], f"<{kind}>", len(media))
        if len(slots) != len(media):
            raise ValueError(f"{sample}: {len(slots)} {kind} slots in the conversation but {len(media)} {kind}s")
        for slot, cell in zip(slots, media, strict=True):
            slot[kind] = cell
    return typed


def dialogues_of(sample: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Give the turns of a sample's conversation, or of a pair's prompt with each of its answers."""
    if "messages" in sample:
        return [sample["messages"]]
    return [sample["prompt"] + sample[answer] for answer in ("chosen", "rejected")]


def _require_some(count: int, path: str | Path) -> None:
    if not count:
        raise ValueError(f"{path} holds no samples")


def _without_placeholders(parts: list[dict[str, Any]], mark: str, count: int) -> list[dict[str, Any]]:
    """Drop the run of placeholders that opens a text, if they are exactly so many."""
    place = next((place for place, part in enumerate(parts) if part["type"] == "text"), None)
    opening = None if place is None else re.match(rf"(?:{mark}\s*)+", parts[place]["text"])
    if place is None or opening is None or opening[0].count(mark) != count:
        return parts
    return [*parts[:place], {**parts[place], "text": parts[place]["text"][opening.end() :]}, *parts[place + 1 :]]


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    # A dataset column gives every part the keys of all parts, None where a part has none.
    return [{key: value for key, value in part.items() if value is not None} for part in content]


def _root(data: Path, images: str | Path | None) -> str | None:
    """Give the folder of a file's images that the user names.

    Raises:
        ValueError: The user names none, but whoever wrote the file recorded one.
    """
    recorded = recorded_root(data)
    if images is None and recorded is not None and Path(recorded) != data.resolve().parent:
        raise ValueError(
            f"{data}: its images are in {recorded}, as whoever wrote it recorded; if you trust that, say so with "
            f"images: {recorded} in the recipe, or --images {recorded} of data check"
        )
    return None if images is None else str(images)


def _located(cell: Any, folder: Path, name: str, kind: str) -> Any:
    try:
        return located(cell, folder, kind)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
