"""A stage that sees the items of all shards, one after the other; what it gives goes back to where it came from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ...disk import PARTIAL
from ..steps import Item, Outcome, Rejected, Step
from .pipeline import STAGES, Pipeline, counted, outcome_line, put_stage

HELD = 2**26  # bytes of outcomes in memory at most


def work_on_all(pipeline: Pipeline, step: Step, source: str, settled: Callable[[], None]) -> None:
    """Run a step over all items, and write its file of each shard; memory does not grow with the items.

    Raises:
        ValueError: What it gives comes from no item of the source, or an id is there twice.
    """
    folder = pipeline.out / STAGES / step.name
    spool = _Spool(folder / f".all{PARTIAL}", pipeline.recipe.shard_size, pipeline.recipe.shards)
    given: Counter[int] = Counter()

    def items() -> Iterator[Item]:
        for item in pipeline.items(step.name, range(pipeline.recipe.shards)):
            given[item.root // pipeline.recipe.shard_size] += 1
            settled()
            yield item

    if step.work is not None:
        for outcome in step.work(items()):
            spool.add(outcome)
    for shard in range(pipeline.recipe.shards):
        put_stage(folder, shard, source, spool.content(shard, given[shard]))
    spool.close()


class _Spool:
    """Outcomes by shard, on the disk as soon as they are many."""

    def __init__(self, folder: Path, shard_size: int, shards: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # of a killed build
        folder.mkdir(parents=True)
        self.folder, self.shard_size, self.shards = folder, shard_size, shards
        self.lines: dict[int, bytearray] = {}
        self.held = 0

    def add(self, outcome: Outcome) -> None:
        """Take an outcome."""
        shard = int(outcome.id.partition("/")[0]) // self.shard_size
        if not 0 <= shard < self.shards:
            raise ValueError(f"item {outcome.id} comes from no entry of the source")
        line = f"{outcome_line(outcome)}\n".encode()
        self.lines.setdefault(shard, bytearray()).extend(line)
        self.held += len(line)
        if self.held > HELD:
            self._flush()

    def content(self, shard: int, given: int) -> bytes:
        """Give what a shard's file holds."""
        self._flush()
        path = self.folder / str(shard)
        lines = path.read_bytes() if path.is_file() else b""
        outcomes = [json.loads(line) for line in lines.splitlines()]
        ids = Counter(entry["id"] for entry in outcomes if "data" in entry)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise ValueError(
                f"items {', '.join(twice[:3])} are there more than once; children have names of their own"
            )
        rejected = (Rejected(**entry) for entry in outcomes if "data" not in entry)
        return (json.dumps(counted(given, len(ids), rejected), ensure_ascii=False) + "\n").encode() + lines

    def close(self) -> None:
        """Remove what was on the disk."""
        shutil.rmtree(self.folder)

    def _flush(self) -> None:
        for shard, lines in self.lines.items():
            with (self.folder / str(shard)).open("ab") as file:
                file.write(lines)
        self.lines, self.held = {}, 0
