"""Build a rendered dataset: shards of parquet with embedded pictures, each row checked, on one machine or many.

datatrove runs one task a shard, here, on Slurm or on Ray: one executor for each step that asks a model, and one that
draws. Without a model, what a shard holds depends on the seed and its number alone, so the same plan gives the same
bytes on any number of workers. A shard appears under its name only when it is complete and checked, so a build that
was killed goes on where it was.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from loguru import logger as datatrove_logger
from tqdm import tqdm  # type: ignore[import-untyped]

from .asking.steps import answers_of, answers_path, answers_under_way, ask_model, read_answers
from .build_plan import INPUTS, Plan
from .dataset_rows import FEATURES, Materials, RejectedError, Row, write_row
from .dataset_sheet import write_card, write_sheet
from .dataset_yield import Yield, read_yield, refuse_brazilian, write_rejected
from .invoices.fatura import read_invoices
from .passages import read_passages, write_passage
from .programs.functions import read_functions
from .typefaces import find_typefaces

PLAN, LOGS, PARTIAL = "plan.json", "logs", "partial"
POLL = 0.5  # seconds between two looks at how far a build is
ROW_GROUP = 100  # rows; trainers read one at a time

# Its lines would break the progress bar; what fails reaches the user as an exception, on Slurm in the job's log.
datatrove_logger.disable("datatrove")


@dataclass(frozen=True)
class SlurmJob:
    """Where Slurm runs the tasks.

    Args:
        partition: Its name.
        time: Limit of a task, as `sbatch --time` takes it.
    """

    partition: str
    time: str = "04:00:00"


@dataclass(frozen=True)
class Task:
    """One step of datatrove: asks a model for the shard whose number is the task's rank, or draws it.

    Args:
        plan: What is built.
        out: Its folder.
        step: Name of the step that asks a model; None: draw.
    """

    plan: Plan
    out: Path
    step: str | None = None

    @property
    def name(self) -> str:
        """Name it in logs and on the progress bar."""
        return self.step or "rows"

    def product(self, shard: int) -> Path:
        """Name the file that is there when a shard is done."""
        return answers_path(self.out, self.step, shard) if self.step else self.plan.shard_path(self.out, shard)

    def done(self) -> int:
        """Count the shards that are done."""
        return sum(self.product(shard).exists() for shard in range(self.plan.shards))

    def samples(self) -> int:
        """Count the samples that are done, or answered for."""
        whole = self.done() * self.plan.shard_size
        under_way = answers_under_way(self.out, self.step) if self.step else 0
        return min(whole + under_way, self.plan.count)

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Ask for the shard's answers; or write the shard, read it back, and let it appear if every row is right."""
        if self.step is None:
            write_shard(self.plan, self.out, rank)
            return
        (step,) = (step for step in self.plan.steps if step.name == self.step)
        ask_model(self.plan, self.out, step, rank, materials_of(self.plan))


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor, whose processes end with a build that is killed; its own leave a server behind."""

    def run(self) -> None:
        """Run the tasks that are left, each in one of as many processes as there are workers; one is this process."""
        task = partial(self._run_for_rank, local_rank=1)  # what the task of local rank 0 does would be printed
        ranks = self.get_incomplete_ranks()
        if self.workers == 1:
            for rank in ranks:
                task(rank)
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])  # imported once, not once a worker
        with context.Pool(min(self.workers, len(ranks))) as pool:
            for _ in pool.imap_unordered(task, ranks):
                pass


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
        make = _executors(executor, workers, slurm)
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


def write_shard(plan: Plan, out: Path, shard: int) -> None:
    """Draw, write and check one shard.

    Raises:
        ValueError: A row, as it was written, is not what its picture shows.
    """
    # A process of its own in each name: one that outlived a killed build may still write the same shard.
    partial = out / PARTIAL / f"{shard:05}.{os.getpid()}"
    partial.parent.mkdir(exist_ok=True)
    materials, said = materials_of(plan), read_answers(plan, out, shard, plan.steps)
    rows, rejected = [], {}
    for index in plan.rows(shard):
        try:
            row = draw_row(plan, index, materials._replace(answers=answers_of(said, index)))
            refuse_brazilian(row)
        except RejectedError as error:
            rejected[index] = error
        else:
            rows.append(row)
    write_rejected(out, shard, rejected)
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema), partial, row_group_size=ROW_GROUP)
    check_shard(plan, partial)
    plan.shard_path(out, shard).parent.mkdir(exist_ok=True)
    partial.replace(plan.shard_path(out, shard))


def draw_row(plan: Plan, index: int, materials: Materials) -> Row:
    """Draw the sample of a number; it depends on nothing but the plan, the number and a model's answers.

    Raises:
        RejectedError: It cannot be made.
    """
    drawn = plan.dataset.draw(plan.rng(index), index, materials)
    return write_row(plan.dataset, drawn, index, **plan.provenance())


def check_shard(plan: Plan, path: Path) -> None:
    """Hold every row of a file to what its picture shows.

    Raises:
        ValueError: A row is wrong; the first one is named, with its faults.
    """
    for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP):
        for row in batch.to_pylist():
            if found := plan.dataset.faults(row):
                raise ValueError(f"{plan.name}, sample {row['index']} of seed {plan.seed}: {'; '.join(found)}")


def materials_of(plan: Plan) -> Materials:
    """Open what samples are made from."""
    return _materials(*(getattr(plan, name) for name in INPUTS))


@lru_cache(maxsize=1)
def _materials(fonts: str | None, texts: str | None, functions: str | None, invoices: str | None) -> Materials:
    return Materials(
        typefaces=find_typefaces(Path(fonts) if fonts else None),
        passages=read_passages(Path(texts)) if texts else write_passage,
        functions=read_functions(Path(functions)) if functions else None,
        invoices=read_invoices(Path(invoices)) if invoices else None,
    )


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


def _executors(
    name: str, workers: int, slurm: SlurmJob | None
) -> Callable[[Task, PipelineExecutor | None], PipelineExecutor]:
    """Give what makes datatrove's executor of a task, after another one."""
    if name == "slurm":
        if slurm is None:
            raise ValueError("Slurm needs to know where: --partition NAME")
        if shutil.which("sbatch") is None:
            raise ValueError("no sbatch here: Slurm takes tasks from one of its login nodes")
        return lambda task, before: SlurmPipelineExecutor(
            **_arguments(task),
            workers=workers,
            depends=before,
            job_name=f"{task.plan.name}-{task.name}",
            time=slurm.time,
            partition=slurm.partition,
            env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',  # where datatrove's launcher is
            with_srun=False,  # each task of the array is one process
        )
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise ValueError("ray is not installed: pip install ray")
        return lambda task, before: RayPipelineExecutor(**_arguments(task), workers=workers)
    return lambda task, before: LocalExecutor(**_arguments(task), workers=workers)


def _arguments(task: Task) -> dict[str, Any]:
    """Give what every executor of a task needs: one task a shard, and those done are skipped."""
    task = Task(task.plan, task.out.absolute(), task.step)
    logs = task.out / LOGS / task.name
    for shard in range(task.plan.shards):  # a shard that was lost is made again
        if not task.product(shard).exists():
            (logs / "completions" / f"{shard:05}").unlink(missing_ok=True)
    return {"pipeline": [task], "tasks": task.plan.shards, "logging_dir": str(logs)}


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
