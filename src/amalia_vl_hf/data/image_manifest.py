"""Which images a dataset is made of: a line each, named by the SHA-256 of the file, and never their bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..disk import digests, fingerprint, whole_file
from ..fields import missing
from ..processing.decoding_amalia_vl import SUFFIXES
from ..samples.images import located

LARGEST = 2**26  # bytes of an image; larger files are left out
ROW_GROUP = 10_000  # rows; those of one shard lie in one or two groups
SCHEMA = pa.schema({
    "image_id": pa.string(), "where": pa.string(), "size": pa.int64(), "licence": pa.string(), "source": pa.string(),
})  # fmt: skip


class ImageManifest:
    """Images in the order of the file, and where each of them is.

    Args:
        path: A parquet file with the columns of `SCHEMA`: `image_id` is the SHA-256 of the file, `where` its path
            below the manifest's folder, `size` its bytes.

    Raises:
        ValueError: It is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise FileNotFoundError(missing(path)) from None
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path} is no manifest of images: {error}") from error
        if lost := [name for name in SCHEMA.names if name not in self.file.schema_arrow.names]:
            raise ValueError(f"{path} is no manifest of images: it has no column {', '.join(lost)}")

    def __len__(self) -> int:
        return int(self.file.metadata.num_rows)

    def read(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Give what items begin with: `image`, which is the image's id, its `licence` and `source`."""
        for row in self._rows(start, stop, ["image_id", "licence", "source"]).to_pylist():
            yield {"image": row["image_id"], "licence": row["licence"], "source": row["source"]}

    def fingerprint(self) -> str:
        """Tell the manifest from another."""
        return fingerprint(self.path)

    def paths(self, ids: Iterable[str], near: range = range(0)) -> dict[str, Path]:
        """Find images.

        Args:
            ids: Whose.
            near: Rows where they probably are; the whole file is read for the others.

        Raises:
            ValueError: The manifest does not have one, or its path leaves the manifest's folder.
        """
        wanted, columns = set(ids), ["image_id", "where"]
        found = _chosen(self._rows(near.start, near.stop, columns), wanted) if near else {}
        if wanted - found.keys():
            for batch in self.file.iter_batches(ROW_GROUP, columns=columns):
                found |= _chosen(pa.Table.from_batches([batch]), wanted)
        if lost := sorted(wanted - found.keys()):
            raise ValueError(f"{self.path} has no image {', '.join(lost[:3])}")
        return {image: Path(located(where, self.path.parent)) for image, where in found.items()}

    def _rows(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Read some rows, of the row groups that hold them alone."""
        stop = min(stop, len(self))
        groups = [number for number, (low, high) in enumerate(self._bounds) if low < stop and start < high]
        if not groups:
            return self.file.schema_arrow.empty_table().select(list(columns))
        table = self.file.read_row_groups(groups, columns=list(columns))
        return table.slice(start - self._bounds[groups[0]][0], stop - start)

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """List the first row of each row group, and the one after its last."""
        bounds, low = [], 0
        for number in range(self.file.metadata.num_row_groups):
            high = low + self.file.metadata.row_group(number).num_rows
            bounds.append((low, high))
            low = high
        return bounds


def index_images(folder: Path, manifest: Path, licence: str, source: str) -> ImageManifest:
    """Write the manifest of a folder's images: each once, in the order of their paths.

    Args:
        folder: Of the images; the manifest's own folder, or one below it.
        manifest: File to write.
        licence: Of all of them.
        source: Where they are from.

    Raises:
        ValueError: There is no image, or the manifest lies elsewhere.
    """
    root, folder = manifest.parent.resolve(), folder.resolve()
    if not folder.is_relative_to(root):
        raise ValueError(f"{manifest} names paths below its own folder, and {folder} is elsewhere")
    files = sorted(_images_in(folder))
    if not files:
        raise ValueError(f"{folder} has no image of {', '.join(SUFFIXES)}")
    seen: dict[str, None] = {}
    with whole_file(manifest) as scratch, pq.ParquetWriter(scratch, SCHEMA) as writer:
        for first in range(0, len(files), ROW_GROUP):
            block = files[first : first + ROW_GROUP]
            rows = []
            for path, digest in zip(block, digests(block), strict=True):
                if digest is not None and digest not in seen:
                    seen[digest] = None
                    where, size = str(Path(path).relative_to(root)), Path(path).stat().st_size
                    rows.append(dict(zip(SCHEMA.names, (digest, where, size, licence, source), strict=True)))
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    return ImageManifest(manifest)


def _images_in(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in SUFFIXES and path.is_file() and 0 < path.stat().st_size <= LARGEST:
                yield str(path)


def _chosen(rows: pa.Table, wanted: set[str]) -> dict[str, str]:
    """Give where the wanted images of some rows are."""
    kept = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(sorted(wanted), pa.string())))
    return dict(zip(kept["image_id"].to_pylist(), kept["where"].to_pylist(), strict=True))
