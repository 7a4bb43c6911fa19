"""Figures from answers that are there already: counted anew, and two runs against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .results import read_run, write_results
from .run import ITEMS, MANIFEST, SCORES, RunSettings, score_again
from .statistics import compare
from .tasks import PROTOCOLS, Benchmark, Columns


def recount(out: Path) -> dict[str, Any]:
    """Count a finished run's answers anew, as this version of the package counts.

    Raises:
        FileNotFoundError: The folder holds no finished run.
    """
    read_run(out)
    run = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["run"]
    settings = RunSettings(out, run["limit"], run["seed"])
    for path in sorted(out.glob(f"*/{ITEMS}")):
        scores = json.loads(path.with_name(SCORES).read_text(encoding="utf-8"))
        score_again(read_benchmark(scores), read_items(path), scores, settings)
    return write_results(out)


def compare_runs(first: Path, second: Path) -> str:
    """Compare two runs task by task.

    Returns:
        A table: both figures, and the second minus the first with its paired 95 % interval.

    Raises:
        ValueError: The runs have no task in common, or not the same rows.
        FileNotFoundError: One of them is not finished.
    """
    names = [[score["task"] for score in read_run(out)["tasks"]] for out in (first, second)]
    common = [name for name in names[0] if name in names[1]]
    if not common:
        raise ValueError(f"no task in common: {first} has {', '.join(names[0])}; {second} has {', '.join(names[1])}")
    lines = [f"{'task':<28}{'protocol':<11}{'A':>9}{'B':>9}{'B - A':>9}  95 % interval   units"]
    for name in common:
        task = read_benchmark(json.loads((first / name / SCORES).read_text(encoding="utf-8")))
        pair = [read_items(out / name / ITEMS) for out in (first, second)]
        lines += [_comparison_line(task, pair, protocol) for protocol in PROTOCOLS]
    return "\n".join(lines)


def _comparison_line(task: Benchmark, pair: Sequence[Sequence[Mapping[str, Any]]], protocol: Any) -> str:
    first, second = ([{**item, "score": item["scores"][protocol]} for item in items] for items in pair)
    both = compare(task, first, second, protocol)
    low, high = task.points * both.difference.low, task.points * both.difference.high
    figures = "".join(f"{task.points * value:>9.2f}" for value in (both.first, both.second, both.difference.value))
    return f"{task.name:<28}{protocol:<11}{figures}  [{low:.2f}, {high:.2f}]   {both.difference.units}"


def read_items(path: Path) -> list[dict[str, Any]]:
    """Read a task's items."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def read_benchmark(scores: Mapping[str, Any]) -> Benchmark:
    """Read the benchmark that a run's figures are of, as it was then."""
    values = dict(scores["benchmark"])
    values["columns"] = Columns(**{name: _frozen(value) for name, value in values["columns"].items()})
    return Benchmark(
        **{entry.name: _frozen(values[entry.name]) for entry in fields(Benchmark) if entry.name in values}
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value
