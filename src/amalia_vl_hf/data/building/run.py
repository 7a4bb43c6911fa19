"""Build a rendered dataset: shards of parquet with embedded pictures, each row checked, on one machine or many.

datatrove runs one task a shard, here, on Slurm or on Ray: one executor for each step that asks a model, and one that
draws. Without a model, what a shard holds depends on the seed and its number alone, so the same plan gives the same
bytes on any number of workers. A shard appears under its name only when it is complete and checked, so a build that
was killed goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datatrove.executor.base import PipelineExecutor
from tqdm import tqdm  # type: ignore[import-untyped]

from .card import write_card, write_sheet
from .executors import LOGS, SlurmJob, executors
from .recipe import Plan
from .shards import PARTIAL, Task
from .tally import Yield, read_yield

PLAN = "plan.json"
POLL = 0.5  # seconds between two looks at how far a build is


def build(
    plan: Plan, out: Path, executor: str = "local", workers: int = 1, slurm: SlurmJob | None = None, preview: int = 0
) -> Yield | None:
    """Build a dataset, or go on with it.

    Args:
        plan: What is built.
        out: Its folder, new or begun by the same plan.
        executor: `"local"`, `"slurm"` or `"ray"`. Slurm gets the tasks and this call ends; the same call finishes
            the folder once they are done.
        workers: Tasks at a time.
        slurm: Where Slurm runs them.
        preview: Samples on the sheet `preview.html`; none is written for 0.

    Returns:
        How many samples were made, and why others were not; None where Slurm has not made them yet.

    Raises:
        ValueError: The folder is of another plan, a row is not what its picture shows, or the executor is not there.
        RuntimeError: Shards are missing though every task ended, or the model's server stays away.
    """
    _begin(plan, out)
    tasks = [*(Task(plan, out, step.name) for step in plan.steps), Task(plan, out)]
    rows = tasks[-1]
    if rows.done() < plan.shards:
        make = executors(executor, workers, slurm)
        before: PipelineExecutor | None = None
        for task in tasks:
            before = make(task, before)
            if executor != "slurm":
                _run(before, task)
        if executor == "slurm" and before is not None:
            before.run()  # and those it waits for
    if (done := rows.done()) == plan.shards:
        return _finish(plan, out, preview)
    if executor == "slurm":
        return None
    raise RuntimeError(f"{plan.shards - done} of {plan.shards} shards are missing in {out}; see {out / LOGS}")


def _begin(plan: Plan, out: Path) -> None:
    """Write the plan into a new folder, or hold the one that is there to it."""
    record = plan.record()
    if out.exists() and any(out.iterdir()):
        try:
            begun = json.loads((out / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{out} holds something else, no dataset that was begun; name another folder") from error
        if differing := [name for name in record if record[name] != begun.get(name)]:
            told = ", ".join(f"{name} {begun.get(name)} and not {record[name]}" for name in differing)
            raise ValueError(f"{out} was begun with {told}; name another folder, or remove this one")
        return
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f"{PLAN}.partial"
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(out / PLAN)


def _run(executor: PipelineExecutor, task: Task) -> None:
    """Run what is left of a task, and show how far it is."""
    if task.done() < task.plan.shards:
        with _progress(task):
            executor.run()


@contextmanager
def _progress(task: Task) -> Iterator[None]:
    """Show how many samples are done while tasks run in other processes."""
    plan, ended = task.plan, threading.Event()

    def watch() -> None:
        doing = f"asking for {task.step}" if task.step else f"building {plan.name}"
        with tqdm(total=plan.count, desc=doing, unit="sample") as bar:
            while not ended.wait(POLL):
                bar.update(max(task.samples() - bar.n, 0))
            bar.update(max(task.samples() - bar.n, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _finish(plan: Plan, out: Path, preview: int) -> Yield:
    """Write the card and the sheet, and drop what killed runs left."""
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    files = [plan.shard_path(out, shard) for shard in range(plan.shards)]
    made = read_yield(out, files)
    write_card(out / "README.md", plan, files, made)
    if preview:
        write_sheet(out / "preview.html", plan.dataset, files, preview)
    return made
