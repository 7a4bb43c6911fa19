"""What a build made of the samples it was asked for, and why it made the others not."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from ...variety import judge
from ...variety.filter import dialogue
from ..dataset import RejectedError, Row

REJECTED = "rejected"
BRAZILIAN = "judged Brazilian Portuguese"
# Under this score a conversation is refused. A name, a price and a short question often score under 0.5, in our own
# European texts, too: of 1,200 samples of three datasets, 281 did, and none scored under 0.05. Of held-out software's
# strings, eight joined, 67 % of the Brazilian ones do, and 0.4 % of the European ones; four joined, 44 % and 0.6 %.
SURELY_BRAZILIAN = 0.05


class Yield(NamedTuple):
    """Samples that are there, and how often there was which reason not to make one."""

    made: int
    rejected: Counter[str]

    def table(self) -> str:
        """Write it for people: samples made, then reasons, the most frequent first."""
        lines = [(self.made, "made"), (self.rejected.total(), "rejected"), *_reasons(self.rejected)]
        return "\n".join(f"{count:>8}  {name}" for count, name in lines)


def refuse_brazilian(row: Row) -> None:
    """Judge the variety of a whole conversation in Portuguese.

    Raises:
        RejectedError: It is surely Brazilian; its detail says by what.
    """
    if row["language"] != "pt":
        return
    verdict = judge(dialogue(row), SURELY_BRAZILIAN)
    if verdict.is_pt_pt is False:
        raise RejectedError(BRAZILIAN, "; ".join(verdict.reasons))


def write_rejected(out: Path, shard: int, rejected: Mapping[int, RejectedError]) -> None:
    """Write which samples of a shard were not made, and why; a shard without any has an empty file."""
    path = out / REJECTED / f"{shard:05}.jsonl"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    lines = [
        json.dumps({"index": index, "reason": error.reason, "detail": error.detail}, ensure_ascii=False)
        for index, error in rejected.items()
    ]
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)


def read_yield(out: Path, files: Sequence[Path]) -> Yield:
    """Count the rows of the shards, and the reasons beside them."""
    lines = [line for path in sorted((out / REJECTED).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    return Yield(
        made=sum(pq.read_metadata(file).num_rows for file in files),
        rejected=Counter(json.loads(line)["reason"] for line in lines),
    )


def _reasons(rejected: Counter[str]) -> list[tuple[int, str]]:
    return [(count, f"  {reason}") for reason, count in rejected.most_common()]
