"""One shard of a build: its rows are drawn or taken, written, read back and checked before they appear."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...disk import whole_file
from ..brazilian import refuse_brazilian
from ..dataset import DatasetRow, Materials, RejectedError
from ..rows import FEATURES, write_row
from ..steps import Item, Rejected
from .materials import materials_of
from .pipeline import (
    ROWS,
    STAGES,
    Pipeline,
    count_of,
    counted,
    damaged,
    outcome_line,
    outcomes_of,
    put_stage,
)
from .recipe import BuildRecipe
from .stages import each_settled, run_stage, settling
from .tally import write_rejected

ROW_GROUP = 100  # rows; trainers read one at a time
UNDRAWN = "cannot be drawn"
HELD = 2**23  # bytes of images in memory at most, where rows are written with those of the manifest


@dataclass(frozen=True)
class ShardTask:
    """One step of datatrove: makes a stage's file of the shard whose number is the task's rank, or of all shards.

    Args:
        recipe: What is built.
        out: Its folder.
        stage: Its name.
        again: Whether what got no answer before is asked again.
    """

    recipe: BuildRecipe
    out: Path
    stage: str = ROWS
    again: bool = False

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Do it, if it is not done."""
        if self.stage == ROWS:
            write_shard(self.recipe, self.out, rank)
        else:
            run_stage(Pipeline(self.recipe, self.out), self.stage, rank, self.again)


def write_shard(recipe: BuildRecipe, out: Path, shard: int) -> None:
    """Draw or take the rows of one shard, write and check them.

    Raises:
        ValueError: A row, as it was written, is not what its picture shows.
    """
    pipeline = Pipeline(recipe, out)
    if not pipeline.stale(ROWS, among=[shard]):
        return
    source = pipeline.wanted(ROWS, [shard])[shard]
    items = list(pipeline.items(ROWS, [shard]))
    rejected: list[Rejected] = []
    with settling(pipeline, ROWS) as settled:
        groups = _groups(recipe, shard, each_settled(items, settled), rejected)
        first = next(groups)  # where samples cannot be made at all, no file is begun
        path = recipe.shard_path(out, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:  # a process that outlived a killed build may write the same shard
            _write_rows(recipe, chain([first], groups), scratch)
            check_shard(recipe, scratch)
    write_rejected(recipe, out, shard, [*_earlier(pipeline, shard), *rejected])
    counts = counted(len(items), len(items) - len(rejected), rejected) | {"bytes": path.stat().st_size}
    lines = [json.dumps(counts, ensure_ascii=False), *map(outcome_line, rejected)]
    put_stage(out / STAGES / ROWS, shard, source, "".join(f"{line}\n" for line in lines).encode())


def _groups(
    recipe: BuildRecipe, shard: int, items: Iterable[Item], rejected: list[Rejected]
) -> Iterator[list[DatasetRow]]:
    """Give the rows of items as they are written; those of a rendered dataset all at once, as they always were."""
    if recipe.is_written:
        return _grouped(_taken(recipe, shard, items, rejected))
    rows = [row for item in items if (row := _drawn(recipe, item, rejected)) is not None]
    if not rows and rejected and all(one.reason == UNDRAWN for one in rejected):
        raise ValueError(f"none of the samples can be drawn; the first one: {rejected[0].detail}")
    return iter([rows])


def _write_rows(recipe: BuildRecipe, groups: Iterable[list[DatasetRow]], path: Path) -> None:
    schema = recipe.written.FEATURES.arrow_schema if recipe.is_written else FEATURES.arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for rows in filter(None, groups):  # `datasets` reads no file with an empty row group
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=ROW_GROUP)


def _drawn(recipe: BuildRecipe, item: Item, rejected: list[Rejected]) -> DatasetRow | None:
    try:
        row = draw_row(recipe, item.root, materials_of(recipe)._replace(answers=item.data))
        refuse_brazilian(row)
    except RejectedError as error:
        rejected.append(item.rejected(error.reason, error.detail))
        return None
    except ValueError as error:  # a word wider than its panel, a user's picture that is none: it costs no other sample
        rejected.append(item.rejected(UNDRAWN, str(error)))
        return None
    return row


def _taken(recipe: BuildRecipe, shard: int, items: Iterable[Item], rejected: list[Rejected]) -> Iterator[DatasetRow]:
    """Take the rows of items, filled in and with their images."""
    provenance = {"source": recipe.written.TITLE, "language": "pt", "task": "", "truth": "", **recipe.provenance()}
    columns = set(recipe.written.FEATURES)
    for item in items:
        try:
            row = recipe.written.row(item, recipe)
        except RejectedError as error:
            rejected.append(item.rejected(error.reason, error.detail))
            continue
        filled = {"index": item.root, **{name: provenance[name] for name in provenance if name in columns}, **row}
        filled["images"] = _pictures(recipe, shard, row.get("images", []))
        yield {name: value for name, value in filled.items() if name in columns}


def _pictures(recipe: BuildRecipe, shard: int, images: list[Any]) -> list[dict[str, Any]]:
    """Give the cells of images, by the manifest; those of a source that has its own are cells already."""
    if not images or isinstance(images[0], dict):
        return images
    paths = recipe.manifest.paths(images, recipe.rows(shard))
    if recipe.embed_images:
        return [{"bytes": paths[image].read_bytes(), "path": paths[image].name} for image in images]
    return [{"bytes": None, "path": str(paths[image])} for image in images]


def _grouped(rows: Iterable[DatasetRow]) -> Iterator[list[DatasetRow]]:
    """Group rows as they are written: few enough for a reader, and for the memory."""
    group: list[DatasetRow] = []
    held = 0
    for row in rows:
        group.append(row)
        held += sum(len(cell["bytes"] or b"") for cell in row.get("images", []))
        if len(group) == ROW_GROUP or held > HELD:
            yield group
            group, held = [], 0
    yield group  # the last may be empty: the file has its columns nevertheless


def draw_row(recipe: BuildRecipe, index: int, materials: Materials) -> DatasetRow:
    """Draw the sample of a number; it depends on nothing but the recipe, the number and a model's answers.

    Raises:
        RejectedError: It cannot be made.
    """
    drawn = recipe.dataset.draw(recipe.rng(index), index, materials)
    return write_row(recipe.dataset, drawn, index, **recipe.provenance())


def check_shard(recipe: BuildRecipe, path: Path) -> None:
    """Hold every row of a file to what its picture shows.

    Raises:
        ValueError: A row is wrong; the first one is named, with its faults.
    """
    dataset = recipe.written if recipe.is_written else recipe.dataset
    for row in rows_of(path):
        if faults := dataset.faults(row):
            name = row.get("index", "")
            raise ValueError(f"{recipe.name}, sample {name} of seed {recipe.seed}: {'; '.join(faults)}")


def require_shards(pipeline: Pipeline) -> None:
    """Hold the shards of a finished build to the sizes that they were written with.

    Raises:
        ValueError: One is larger or smaller: a copy that broke off, or a disk that lost its end.
    """
    for shard, file in sorted(pipeline.files(ROWS).items()):
        path, written = pipeline.recipe.shard_path(pipeline.out, shard), count_of(file.path).size
        if written is not None and (size := path.stat().st_size) != written:
            raise damaged(path, f"{size} bytes, not {written}")


def rows_of(path: Path) -> Iterator[DatasetRow]:
    """Read rows, a row group at a time: batches over all of them would hold the whole file."""
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        yield from file.read_row_group(number).to_pylist()


def _earlier(pipeline: Pipeline, shard: int) -> Iterator[Rejected]:
    """Read what earlier stages rejected of a shard."""
    for name in pipeline.names[:-1]:
        if file := pipeline.files(name, [shard]).get(shard):
            yield from (outcome for outcome in outcomes_of(file.path) if isinstance(outcome, Rejected))
