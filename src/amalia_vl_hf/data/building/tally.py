"""What a build made of the samples it was asked for, and why it made the others not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from ...disk import write_file
from ..steps import Rejected
from .diversity import Spread, measure
from .pipeline import SOURCE, Pipeline, StageCount, count_of
from .recipe import BuildRecipe

REJECTED = "rejected"
FAR_OFF = 0.15  # between a step's yield and the paper's


class StageYield(NamedTuple):
    """What a stage made of its items, all shards together.

    Args:
        name: Of the stage.
        items: What became of them.
        paper: Share of the items that stay, in the paper, where it says so.
    """

    name: str
    items: StageCount
    paper: float | None = None

    @property
    def share(self) -> float:
        """Give the share of the items that were not rejected."""
        return 1 - self.items.rejected.total() / max(self.items.given, 1)

    @property
    def warning(self) -> str | None:
        """Say that it is far from the paper's."""
        if self.paper is None or not self.items.given or abs(self.share - self.paper) <= FAR_OFF:
            return None
        return f"{self.name} keeps {self.share:.0%} of its items, in the paper {self.paper:.0%}"


class Tally(NamedTuple):
    """How many samples there are, and how often there was which reason not to make one.

    Args:
        made: Rows; where a build stopped at a stage, its items.
        rejected: Reasons.
        yields: What each stage made, of a dataset that models write.
        diversity: How varied the rows are.
    """

    made: int
    rejected: Counter[str]
    yields: tuple[StageYield, ...] = ()
    diversity: Mapping[str, Spread] = {}

    def table(self) -> str:
        """Write it for people: samples made, then reasons, the most frequent first; how varied; then the stages."""
        reasons = [(count, f"  {reason}") for reason, count in self.rejected.most_common()]
        varied = [
            (spread.distinct, f"{kind}, the most frequent {spread.share:.1%} of {spread.total}")
            for kind, spread in self.diversity.items()
        ]
        lines = [(self.made, "made"), (self.rejected.total(), "rejected"), *reasons, *varied]
        table = [f"{count:>8}  {name}" for count, name in lines]
        for entry in self.yields:
            items = entry.items
            table.append(f"{entry.name:<24} {items.given:>9} -> {items.made:>9}, {items.rejected.total()} rejected")
        return "\n".join([*table, *(f"far off: {entry.warning}" for entry in self.yields if entry.warning)])


def write_rejected(recipe: BuildRecipe, out: Path, shard: int, rejected: Iterable[Rejected]) -> None:
    """Write which samples of a shard were not made, and why; a shard without any has an empty file."""
    path = out / REJECTED / f"{shard:05}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for entry in rejected:
        name = {"id": entry.id} if recipe.is_written else {"index": int(entry.id)}
        line = {**name, "reason": entry.reason, "detail": entry.detail}
        lines.append((entry.id, json.dumps(line, ensure_ascii=False)))
    write_file(path, "".join(f"{line}\n" for _, line in sorted(lines)))


def read_tally(pipeline: Pipeline, files: Sequence[Path]) -> Tally:
    """Count the rows of the shards, the reasons beside them, and what the rows are made of."""
    yields = stage_yields(pipeline)
    rejected = sum((entry.items.rejected for entry in yields), Counter[str]())
    made = sum(pq.read_metadata(file).num_rows for file in files)
    return Tally(made, rejected, yields if pipeline.recipe.is_written else (), measure(files))


def stage_yields(pipeline: Pipeline, until: str | None = None) -> tuple[StageYield, ...]:
    """Count what each stage made, up to one."""
    names = pipeline.names
    names = names[: names.index(until) + 1] if until else names
    return tuple(_stage_yield(pipeline, name) for name in names if name != SOURCE)


def _stage_yield(pipeline: Pipeline, name: str) -> StageYield:
    counts = [count_of(file.path) for shard, file in pipeline.files(name).items() if shard < pipeline.recipe.shards]
    whole = StageCount(
        given=sum(count.given for count in counts),
        made=sum(count.made for count in counts),
        failed=sum(count.failed for count in counts),
        rejected=sum((count.rejected for count in counts), Counter[str]()),
    )
    step = pipeline.step(name)
    return StageYield(name, whole, step.paper_yield if step else None)
