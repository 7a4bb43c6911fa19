"""The files that samples are read from: those of their rows, and the images and videos that the rows name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.compute
from datasets import Dataset
from numpy.typing import NDArray

from .formats import IMAGE_COLUMNS, VIDEO_COLUMNS
from .images import each_cell, is_address, located
from .loading import SampleReader, load_samples
from .manifest import is_manifest
from .sources import DatasetRows, Source, files_of


class SampleFiles(NamedTuple):
    """What samples are read from.

    Args:
        rows: Files that hold rows, a manifest among them.
        images: Images and videos that samples name by path, each once and in the order of their paths; those inside
            rows are part of the rows' files, and addresses are none.
        hub: For each dataset of the Hub, what tells its content apart.
    """

    rows: list[Path]
    images: list[str]
    hub: list[str]


def files_behind(path: str | Path, method: str, images_in: str | Path | None = None) -> SampleFiles:
    """List the files that a data file, folder or manifest stands for.

    Args:
        path: As `load_samples` takes it.
        method: `"sft"` or `"dpo"`.
        images_in: Folder of the images, where it is not that of the data.
    """
    samples = load_samples(path, method, every_row=False, images=images_in)
    reader: SampleReader = samples.format["format_kwargs"]["transform"]
    columns = samples.with_format("numpy")[:]
    images: set[str] = set()
    hub = []
    for number, source in enumerate(reader.sources):
        numbers = columns["row"][columns["source"] == number]
        rows = reader.rows(number)
        if isinstance(rows, DatasetRows) and source.path is None:
            hub.append(f"{source.hub} {rows.data._fingerprint}")
        if isinstance(rows, DatasetRows) and (cells := _image_columns(rows.data, source)):
            paths = (path for cell in cells for path in _paths(rows.data, cell, numbers) if not is_address(path))
            images.update(name for path in paths if (name := _within(path, source.folder)) is not None)
        else:
            samples_of = (reader.read(row, number, row) for row in numbers.tolist())
            several = (each_cell((*sample["images"], *sample.get("videos", ()))) for sample in samples_of)
            images.update(
                cell for cells in several for cell in cells if isinstance(cell, str) and not is_address(cell)
            )
    manifest = [Path(path)] if is_manifest(path) else []
    return SampleFiles(
        rows=manifest + [file for source in reader.sources for file in files_of(source)],
        images=sorted(images),
        hub=hub,
    )


def _within(path: str, folder: Path) -> str | None:
    """Give the whole path of an image; None for one that training refuses, which may be a device that never ends."""
    try:
        return str(located(path, folder))
    except ValueError:
        return None


def _image_columns(data: Dataset, source: Source) -> list[str]:
    """Name the columns of a parquet file that hold images and videos; none where they may be inside its messages."""
    if any(f"{kind}: " in str(field.type) for field in data.data.schema for kind in ("image", "video")):
        return []
    media = (*IMAGE_COLUMNS, *VIDEO_COLUMNS)
    return [name for name in data.column_names if source.columns.get(name, name) in media]


def _paths(data: Dataset, column: str, rows: NDArray[np.int64]) -> Iterator[str]:
    """Yield the paths in a column of rows, without reading what is encoded in it.

    A cell is a path or `{"bytes": ..., "path": ...}`, of which the path counts where there are no bytes; or a list.
    """
    first = 0
    for chunk in data.data.column(column).chunks:
        parents = np.arange(first, first + len(chunk))
        first += len(chunk)
        while pyarrow.types.is_list(chunk.type) or pyarrow.types.is_large_list(chunk.type):
            parents = parents[pyarrow.compute.list_parent_indices(chunk).to_numpy()]
            chunk = chunk.flatten()
        taken = np.isin(parents, rows)
        if pyarrow.types.is_struct(chunk.type):
            fields = {field.name for field in chunk.type}
            if not {"bytes", "path"} <= fields:
                continue
            empty = pyarrow.compute.is_null(pyarrow.compute.struct_field(chunk, "bytes"))
            taken &= empty.to_numpy(zero_copy_only=False)
            chunk = pyarrow.compute.struct_field(chunk, "path")
        if pyarrow.types.is_string(chunk.type) or pyarrow.types.is_large_string(chunk.type):
            yield from chunk.filter(pyarrow.array(taken)).drop_null().to_pylist()
