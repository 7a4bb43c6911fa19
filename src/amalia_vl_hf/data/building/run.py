"""Build a rendered dataset: shards of parquet with embedded pictures, each row checked, on one machine or many.

datatrove runs one task a shard, here, on Slurm or on Ray: one executor for each step that asks a model, and one that
draws. Without a model, what a shard holds depends on the seed and its number alone, so the same recipe gives the same
bytes on any number of workers. A shard appears under its name only when it is complete and checked, so a build that
was killed goes on where it was.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datatrove.executor.base import PipelineExecutor
from tqdm import tqdm  # type: ignore[import-untyped]

from ...disk import PARTIAL, write_json
from .card import write_card, write_sheet
from .executors import LOGS, SlurmJob, executors
from .recipe import BuildRecipe
from .shards import ShardTask
from .tally import Tally, read_tally

RECORD = "plan.json"  # what a folder is held to when a build goes on
POLL = 0.5  # seconds between two looks at how far a build is


def build(
    recipe: BuildRecipe,
    out: Path,
    executor: str = "local",
    workers: int = 1,
    slurm: SlurmJob | None = None,
    preview: int = 0,
) -> Tally | None:
    """Build a dataset, or go on with it.

    Args:
        recipe: What is built.
        out: Its folder, new or begun by the same recipe.
        executor: `"local"`, `"slurm"` or `"ray"`. Slurm gets the tasks and this call ends; the same call finishes
            the folder once they are done.
        workers: Tasks at a time.
        slurm: Where Slurm runs them.
        preview: Samples on the sheet `preview.html`; none is written for 0.

    Returns:
        How many samples were made, and why others were not; None where Slurm has not made them yet.

    Raises:
        ValueError: The folder is of another recipe, a row is not what its picture shows, or the executor is not there.
        RuntimeError: Shards are missing though every task ended, or the model's server stays away.
    """
    _begin(recipe, out)
    tasks = [*(ShardTask(recipe, out, step.name) for step in recipe.steps), ShardTask(recipe, out)]
    rows = tasks[-1]
    if rows.done() < recipe.shards:
        make = executors(executor, workers, slurm)
        before: PipelineExecutor | None = None
        for task in tasks:
            before = make(task, before)
            if executor != "slurm" and task.done() < recipe.shards:
                with _progress(task):
                    before.run()
        if executor == "slurm" and before is not None:
            before.run()  # and those it waits for
    if (done := rows.done()) == recipe.shards:
        return _finish(recipe, out, preview)
    if executor == "slurm":
        return None
    raise RuntimeError(f"{recipe.shards - done} of {recipe.shards} shards are missing in {out}; see {out / LOGS}")


def _begin(recipe: BuildRecipe, out: Path) -> None:
    """Write the recipe's record into a new folder, or hold the one that is there to it."""
    record = recipe.record()
    if out.exists() and any(not path.name.endswith(PARTIAL) for path in out.iterdir()):
        try:
            begun = json.loads((out / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{out} holds something else, no dataset that was begun; name another folder") from error
        if differing := [name for name in record if record[name] != begun.get(name)]:
            differences = ", ".join(f"{name} {begun.get(name)} and not {record[name]}" for name in differing)
            raise ValueError(f"{out} was begun with {differences}; name another folder, or remove this one")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECORD, record)


@contextmanager
def _progress(task: ShardTask) -> Iterator[None]:
    """Show how many samples are done while tasks run in other processes."""
    recipe, ended = task.recipe, threading.Event()

    def watch() -> None:
        doing = f"asking for {task.step}" if task.step else f"building {recipe.name}"
        with tqdm(total=recipe.count, desc=doing, unit="sample") as bar:
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


def _finish(recipe: BuildRecipe, out: Path, preview: int) -> Tally:
    """Write the card and the sheet."""
    files = [recipe.shard_path(out, shard) for shard in range(recipe.shards)]
    tally = read_tally(out, files)
    write_card(out / "README.md", recipe, files, tally)
    if preview:
        write_sheet(out / "preview.html", recipe.dataset, files, preview)
    return tally
