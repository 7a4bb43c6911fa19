"""What a build made of the samples it was asked for, and why it made the others not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from ...disk import write_file
from ..dataset import RejectedError

REJECTED = "rejected"


class Tally(NamedTuple):
    """How many samples there are, and how often there was which reason not to make one."""

    made: int
    rejected: Counter[str]

    def table(self) -> str:
        """Write it for people: samples made, then reasons, the most frequent first."""
        reasons = [(count, f"  {reason}") for reason, count in self.rejected.most_common()]
        lines = [(self.made, "made"), (self.rejected.total(), "rejected"), *reasons]
        return "\n".join(f"{count:>8}  {name}" for count, name in lines)


def write_rejected(out: Path, shard: int, rejected: Mapping[int, RejectedError]) -> None:
    """Write which samples of a shard were not made, and why; a shard without any has an empty file."""
    path = out / REJECTED / f"{shard:05}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [
        json.dumps({"index": index, "reason": error.reason, "detail": error.detail}, ensure_ascii=False)
        for index, error in rejected.items()
    ]
    write_file(path, "".join(f"{line}\n" for line in lines))


def read_tally(out: Path, files: Sequence[Path]) -> Tally:
    """Count the rows of the shards, and the reasons beside them."""
    lines = [line for path in sorted((out / REJECTED).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    return Tally(
        made=sum(pq.read_metadata(file).num_rows for file in files),
        rejected=Counter(json.loads(line)["reason"] for line in lines),
    )
