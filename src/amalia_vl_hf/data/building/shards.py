"""One shard of a build: its samples are drawn, written, read back and checked before it appears under its name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...disk import whole_file
from ..brazilian import refuse_brazilian
from ..code.functions import read_functions
from ..dataset import DatasetRow, Materials, RejectedError
from ..invoices.fatura import read_invoices
from ..rows import FEATURES, write_row
from ..text.passages import read_passages, write_passage
from ..typefaces import find_typefaces
from .recipe import INPUTS, BuildRecipe
from .stages import answers_of, answers_path, answers_under_way, ask_model, read_answers
from .tally import write_rejected

ROW_GROUP = 100  # rows; trainers read one at a time


@dataclass(frozen=True)
class ShardTask:
    """One step of datatrove: asks a model for the shard whose number is the task's rank, or draws it.

    Args:
        recipe: What is built.
        out: Its folder.
        step: Name of the step that asks a model; None: draw.
    """

    recipe: BuildRecipe
    out: Path
    step: str | None = None

    @property
    def name(self) -> str:
        """Name it in logs and on the progress bar."""
        return self.step or "rows"

    def product(self, shard: int) -> Path:
        """Name the file that is there when a shard is done."""
        return answers_path(self.out, self.step, shard) if self.step else self.recipe.shard_path(self.out, shard)

    def done(self) -> int:
        """Count the shards that are done."""
        return sum(self.product(shard).exists() for shard in range(self.recipe.shards))

    def samples(self) -> int:
        """Count the samples that are done, or answered for."""
        whole = self.done() * self.recipe.shard_size
        under_way = answers_under_way(self.out, self.step) if self.step else 0
        return min(whole + under_way, self.recipe.count)

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Ask for the shard's answers; or write the shard, read it back, and let it appear if every row is right."""
        if self.step is None:
            write_shard(self.recipe, self.out, rank)
            return
        (step,) = (step for step in self.recipe.steps if step.name == self.step)
        ask_model(self.recipe, self.out, step, rank, materials_of(self.recipe))


def write_shard(recipe: BuildRecipe, out: Path, shard: int) -> None:
    """Draw, write and check one shard.

    Raises:
        ValueError: A row, as it was written, is not what its picture shows.
    """
    materials, answers = materials_of(recipe), read_answers(out, shard, recipe.steps)
    rows, rejected = [], {}
    for index in recipe.rows(shard):
        try:
            row = draw_row(recipe, index, materials._replace(answers=answers_of(answers, index)))
            refuse_brazilian(row)
        except RejectedError as error:
            rejected[index] = error
        else:
            rows.append(row)
    write_rejected(out, shard, rejected)
    path = recipe.shard_path(out, shard)
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as scratch:  # a process that outlived a killed build may write the same shard
        pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema), scratch, row_group_size=ROW_GROUP)
        check_shard(recipe, scratch)


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
    for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP):
        for row in batch.to_pylist():
            if faults := recipe.dataset.faults(row):
                raise ValueError(f"{recipe.name}, sample {row['index']} of seed {recipe.seed}: {'; '.join(faults)}")


def materials_of(recipe: BuildRecipe) -> Materials:
    """Open what samples are made from."""
    return _materials(*(getattr(recipe, name) for name in INPUTS))


@lru_cache(maxsize=1)
def _materials(fonts: str | None, texts: str | None, functions: str | None, invoices: str | None) -> Materials:
    return Materials(
        typefaces=find_typefaces(Path(fonts) if fonts else None),
        passages=read_passages(Path(texts)) if texts else write_passage,
        functions=read_functions(Path(functions)) if functions else None,
        invoices=read_invoices(Path(invoices)) if invoices else None,
    )
