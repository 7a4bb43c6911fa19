"""A mixture's samples, drawn once and written down: a parquet file of sources and row numbers.

The file holds `source` and `row`, and `length` and `tiles` where they were measured; its metadata hold the sources, so
that the file alone says everything that training reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import Dataset
from pyarrow import compute

from ..disk import whole_file
from .sources import Source

MEASURED = ("length", "tiles")
_KEY = b"amalia_vl_manifest"
_TYPES = {"source": pyarrow.int32(), "row": pyarrow.int64(), "length": pyarrow.int32(), "tiles": pyarrow.int32()}


def write_manifest(
    path: str | Path, columns: Mapping[str, Sequence[int]], sources: Sequence[Source], origin: Mapping[str, Any]
) -> None:
    """Write a manifest; it appears under its name only when it is complete.

    Args:
        path: The parquet file.
        columns: `source` (position in `sources`), `row`, and maybe `length` and `tiles`.
        sources: Where rows come from.
        origin: What the samples follow from: the seed and the mixture's own file.
    """
    arrays = {name: pyarrow.array(values, _TYPES[name]) for name, values in columns.items()}
    facts = {"sources": [asdict(source) for source in sources], **origin}
    table = pyarrow.table(arrays).replace_schema_metadata({_KEY: json.dumps(facts, ensure_ascii=False)})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(Path(path)) as scratch:
        pyarrow.parquet.write_table(table, scratch)


def is_manifest(path: str | Path) -> bool:
    """Tell a manifest from other parquet files."""
    path = Path(path)
    return path.is_file() and path.suffix == ".parquet" and _KEY in (pyarrow.parquet.read_schema(path).metadata or {})


def read_manifest(path: str | Path) -> tuple[Dataset, list[Source]]:
    """Read a manifest.

    Returns:
        Its columns, and the sources that its column `source` counts.

    Raises:
        ValueError: Its columns are others, its sources cannot be read, or it counts sources or rows that there are
            not; how many rows a source has is seen when it is opened.
    """
    table = pyarrow.parquet.read_table(path)
    columns = {name: table.schema.field(name).type for name in table.schema.names}
    if not {"source", "row"} <= columns.keys() or any(_TYPES.get(name) != kind for name, kind in columns.items()):
        listed = ", ".join(f"{name} ({kind})" for name, kind in list(columns.items())[:8])
        raise ValueError(f"{path}: a manifest has the columns {', '.join(_TYPES)}, not {listed}")
    try:
        facts = json.loads(table.schema.metadata[_KEY])
        sources = [Source(**source) for source in facts["sources"]]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"{path}: its sources cannot be read ({type(error).__name__}: {str(error)[:200]})") from None
    if any(table[name].null_count for name in columns):
        raise ValueError(f"{path}: a manifest has a number in every row of every column")
    for name, end in {"source": len(sources), "row": 2**63}.items() if table.num_rows else ():
        extent = compute.min_max(table[name]).as_py()
        if extent["min"] < 0 or extent["max"] >= end:
            span = f"{extent['min']} to {extent['max']}"
            raise ValueError(f"{path}: column {name} has {span}, of sources or rows that there are not")
    return Dataset(table.replace_schema_metadata(None)), sources
