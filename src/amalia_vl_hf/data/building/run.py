"""Build a dataset: stages one after the other, shards of parquet at the end, each row checked, on one machine or many.

datatrove runs one task a shard and stage, here, on Slurm or on Ray; a stage that sees all shards is one task. Without
a model, what a shard holds depends on the seed and its number alone, so the same recipe gives the same bytes on any
number of workers. What a stage makes appears under its name only when it is complete, so a build that was killed goes
on where it was; a recipe that was changed goes on from the first stage that it changes.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from datatrove.executor.base import PipelineExecutor
from tqdm import tqdm  # type: ignore[import-untyped]

from ...disk import PARTIAL, write_json
from .card import write_card
from .executors import LOGS, SlurmJob, executors
from .pipeline import PROGRESS, RECORD, ROWS, STAGES, Pipeline
from .preview import write_preview
from .recipe import BuildRecipe
from .shards import ShardTask, require_shards
from .tally import Tally, read_tally, stage_yields

POLL = 0.5  # seconds between two looks at how far a build is
GOES_ON = ("count", "endpoint", "roles", "settings", "source", "embed_images", "generator", "model", "prompt_hash")


def build(
    recipe: BuildRecipe,
    out: Path,
    executor: str = "local",
    workers: int = 1,
    slurm: SlurmJob | None = None,
    preview: int = 0,
    until: str | None = None,
    retry_failed: bool = False,
) -> Tally | None:
    """Build a dataset, or go on with it.

    Args:
        recipe: What is built.
        out: Its folder, new or begun by the same recipe, or by one of a smaller count, other prompts or other models.
        executor: `"local"`, `"slurm"` or `"ray"`. Slurm gets the tasks and this call ends; the same call finishes
            the folder once they are done.
        workers: Tasks at a time.
        slurm: Where Slurm runs them.
        preview: Samples on the sheet `preview.html`; none is written for 0.
        until: The last stage that is run; all when left out.
        retry_failed: Ask again for what got no answer before.

    Returns:
        How many samples were made, and why others were not; None where Slurm has not made them yet.

    Raises:
        ValueError: The folder is of another recipe or damaged, a row is not what its picture shows, or the executor
            is not there.
        RuntimeError: Shards are missing though every task ended, or the model's server stays away.
    """
    pipeline = Pipeline(recipe, out)
    names = _until(pipeline, until)
    make = executors(executor, workers, slurm)
    _begin(recipe, out)
    before: PipelineExecutor | None = None
    for name in names:
        again = retry_failed and pipeline.step(name) is not None
        stale = pipeline.stale(name, again)
        if executor == "slurm":
            before = make(ShardTask(recipe, out, name, again), stale, before)
        elif stale:
            with _progress(pipeline, name, stale):
                make(ShardTask(recipe, out, name, again), stale, None).run()
            _require_whole(pipeline, name)
    late = pipeline.stale(names[-1])
    if executor == "slurm" and before is not None and (late or retry_failed):
        before.run()  # and those it waits for
        late = pipeline.stale(names[-1])
    if late:
        return None
    return _finish(pipeline, preview) if names[-1] == ROWS else _pause(pipeline, names[-1])


def _until(pipeline: Pipeline, until: str | None) -> list[str]:
    """List the stages that are run."""
    names = pipeline.names
    if until is None:
        return names
    if until not in names:
        raise ValueError(f"{pipeline.recipe.name} has no stage {until}; there are {', '.join(names)}")
    return names[: names.index(until) + 1]


def _require_whole(pipeline: Pipeline, name: str) -> None:
    if late := pipeline.stale(name):
        out = pipeline.out
        where = f"{len(late)} of {pipeline.recipe.shards} shards are missing in {out}"
        raise RuntimeError(f"{where}; see {out / LOGS / name}")


def _begin(recipe: BuildRecipe, out: Path) -> None:
    """Write the recipe's record into a new folder, or hold the one that is there to what cannot change."""
    record = recipe.record()
    if out.exists() and any(not path.name.endswith(PARTIAL) for path in out.iterdir()):
        try:
            begun = json.loads((out / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{out} holds something else, no dataset that was begun; name another folder") from error
        fixed = [name for name in record if name not in GOES_ON and record[name] != begun.get(name)]
        if record["count"] < begun.get("count", 0):
            fixed.insert(0, "count")
        if fixed:
            differences = ", ".join(f"{name} {begun.get(name)} and not {record[name]}" for name in fixed)
            raise ValueError(f"{out} was begun with {differences}; name another folder, or remove this one")
        _rename_shards(recipe, out)
        if record == begun:
            return
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECORD, record)


def _rename_shards(recipe: BuildRecipe, out: Path) -> None:
    """Give shards of a smaller count the names that they have now."""
    data = out / "data"
    for path in sorted(data.iterdir()) if data.is_dir() else []:
        number = re.fullmatch(r"train-(\d{5,})-of-\d{5,}\.parquet", path.name)
        if number and path != recipe.shard_path(out, int(number[1])):
            path.rename(recipe.shard_path(out, int(number[1])))


@contextmanager
def _progress(pipeline: Pipeline, name: str, stale: Collection[int]) -> Iterator[None]:
    """Show how many items are done while tasks run in other processes: one look at one file each time."""
    recipe, ended = pipeline.recipe, threading.Event()
    left = pipeline.count(name, stale)
    done = pipeline.count(name, set(range(recipe.shards)) - set(stale))
    path = pipeline.out / STAGES / name / PROGRESS
    path.unlink(missing_ok=True)

    def watch() -> None:
        with tqdm(total=done + left, initial=done, desc=f"{recipe.name}: {name}", unit="item") as bar:
            while not ended.wait(POLL):
                bar.update(max(min(progress(path), left) + done - bar.n, 0))
            bar.update(max(min(progress(path), left) + done - bar.n, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def progress(path: Path) -> int:
    """Count the items that are settled since a stage was begun."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _pause(pipeline: Pipeline, name: str) -> Tally:
    """Count what there is after a stage."""
    yields = stage_yields(pipeline, name)
    rejected: Counter[Any] = sum((entry.items.rejected for entry in yields), Counter())
    return Tally(yields[-1].items.made if yields else pipeline.recipe.count, rejected, yields)


def _finish(pipeline: Pipeline, preview: int) -> Tally:
    """Write the card and the sheet, of shards that are as they were written."""
    require_shards(pipeline)
    recipe, out = pipeline.recipe, pipeline.out
    files = [recipe.shard_path(out, shard) for shard in range(recipe.shards)]
    tally = read_tally(pipeline, files)
    write_card(out / "README.md", recipe, files, tally)
    if preview:
        boxes = None if recipe.is_written else getattr(recipe.dataset, "boxes", None)
        write_preview(out, recipe.title, boxes, files, preview, tally)
    return tally
