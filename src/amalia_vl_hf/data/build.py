"""Build a rendered dataset: shards of parquet with embedded pictures, each row checked, on one machine or many.

datatrove runs one task a shard, here, on Slurm or on Ray. What a shard holds depends on the seed and its number alone,
so the same plan gives the same bytes on any number of workers; a shard appears under its name only when it is complete
and checked, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import random
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from loguru import logger as datatrove_logger
from tqdm import tqdm  # type: ignore[import-untyped]

from ..training.samples import fingerprint
from . import invoice_qa, pt_ocr, render_text
from .dataset_rows import FEATURES, Materials, Rendered, Row
from .dataset_sheet import write_card, write_sheet
from .passages import read_passages, write_passage
from .typefaces import find_typefaces

DATASETS: dict[str, Rendered] = {module.NAME: module for module in (invoice_qa, pt_ocr, render_text)}
PLAN, LOGS, PARTIAL = "plan.json", "logs", "partial"
OWN_LICENCE = "Apache-2.0"  # of pictures made of the package's own texts
POLL = 0.5  # seconds between two looks at how far a build is
ROW_GROUP = 100  # rows; trainers read one at a time

# Its lines would break the progress bar; what fails reaches the user as an exception, on Slurm in the job's log.
datatrove_logger.disable("datatrove")


@dataclass(frozen=True)
class Plan:
    """What is built, and all that its bytes depend on.

    Args:
        name: The dataset, one of `DATASETS`.
        count: Samples.
        seed: Of everything drawn.
        shard_size: Samples a file.
        fonts: Folder of fonts to draw with, beside the package's own.
        texts: The user's texts, `.txt` or `.parquet`; the package's own when left out.
        licence: Of the user's texts.
    """

    name: str
    count: int
    seed: int
    shard_size: int = 500
    fonts: str | None = None
    texts: str | None = None
    licence: str = OWN_LICENCE

    def __post_init__(self) -> None:
        if self.name not in DATASETS:
            raise ValueError(f"no dataset {self.name}; there are {', '.join(sorted(DATASETS))}")
        if self.count < 1 or self.shard_size < 1:
            raise ValueError(f"{self.count} samples in shards of {self.shard_size}: both must be 1 or more")
        given = {"fonts": self.fonts, "texts": self.texts}
        if idle := [name for name in given if given[name] and name not in DATASETS[self.name].USES]:
            raise ValueError(f"{self.name} is not made of {' and '.join(idle)} of the user's")

    @property
    def shards(self) -> int:
        """Count the files."""
        return -(-self.count // self.shard_size)

    def rows(self, shard: int) -> range:
        """Number the samples of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def shard_path(self, out: Path, shard: int) -> Path:
        """Name a shard's file, as Hub datasets do."""
        return out / "data" / f"train-{shard:05}-of-{self.shards:05}.parquet"

    @property
    def generator(self) -> str:
        """Say what makes the samples, to tell versions apart."""
        return f"amalia-vl-hf {version('amalia-vl-hf')}, {self.name} {DATASETS[self.name].VERSION}"

    def record(self) -> dict[str, Any]:
        """Give everything that decides on the bytes, with fingerprints of the user's files."""
        inputs = {name: path and fingerprint(path) for name, path in (("fonts", self.fonts), ("texts", self.texts))}
        return {**asdict(self), **inputs, "generator": self.generator}


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
class ShardTask:
    """One step of datatrove: writes the shard whose number is the task's rank.

    Args:
        plan: What is built.
        out: Its folder.
    """

    plan: Plan
    out: Path

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Write the shard, read it back, and let it appear if every row is right."""
        write_shard(self.plan, self.out, rank)


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
) -> int:
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
        Samples that are there; all of them but on Slurm.

    Raises:
        ValueError: The folder is of another plan, a row is not what its picture shows, or the executor is not there.
        RuntimeError: Shards are missing though every task ended.
    """
    _begin(plan, out)
    done = _shards_there(plan, out)
    if done < plan.shards:
        running = _executor(plan, out, executor, workers, slurm)
        with _progress(plan, out):
            running.run()
        done = _shards_there(plan, out)
    if done == plan.shards:
        _finish(plan, out, preview)
    elif executor != "slurm":
        raise RuntimeError(f"{plan.shards - done} of {plan.shards} shards are missing in {out}; see {out / LOGS}")
    return sum(len(plan.rows(shard)) for shard in range(plan.shards) if plan.shard_path(out, shard).exists())


def write_shard(plan: Plan, out: Path, shard: int) -> None:
    """Draw, write and check one shard.

    Raises:
        ValueError: A row, as it was written, is not what its picture shows.
    """
    # A process of its own in each name: one that outlived a killed build may still write the same shard.
    partial = out / PARTIAL / f"{shard:05}.{os.getpid()}"
    partial.parent.mkdir(exist_ok=True)
    materials = _materials(plan.fonts, plan.texts)
    table = pa.Table.from_pylist(
        [draw_row(plan, index, materials) for index in plan.rows(shard)], schema=FEATURES.arrow_schema
    )
    pq.write_table(table, partial, row_group_size=ROW_GROUP)
    check_shard(plan, partial)
    plan.shard_path(out, shard).parent.mkdir(exist_ok=True)
    partial.replace(plan.shard_path(out, shard))


def draw_row(plan: Plan, index: int, materials: Materials) -> Row:
    """Draw the sample of a number; it depends on nothing but the plan and the number."""
    dataset = DATASETS[plan.name]
    drawn = dataset.draw(random.Random(f"{plan.seed} {plan.name} {index}"), index, materials)  # noqa: S311
    turns = (("user", drawn.question), ("assistant", drawn.answer))
    suffix = "png" if drawn.picture.startswith(b"\x89PNG") else "jpg"
    return {
        "images": [{"bytes": drawn.picture, "path": f"{plan.name}-{index:08}.{suffix}"}],
        "messages": [{"role": role, "content": text} for role, text in turns],
        "source": dataset.TITLE,
        "language": "pt",
        "task": drawn.task,
        "truth": json.dumps(drawn.truth, ensure_ascii=False),
        "index": index,
        "seed": plan.seed,
        "generator": plan.generator,
        "licence": plan.licence,
    }


def check_shard(plan: Plan, path: Path) -> None:
    """Hold every row of a file to what its picture shows.

    Raises:
        ValueError: A row is wrong; the first one is named, with its faults.
    """
    for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP):
        for row in batch.to_pylist():
            if found := DATASETS[plan.name].faults(row):
                raise ValueError(f"{plan.name}, sample {row['index']} of seed {plan.seed}: {'; '.join(found)}")


@lru_cache(maxsize=1)
def _materials(fonts: str | None, texts: str | None) -> Materials:
    passages = read_passages(Path(texts)) if texts else write_passage
    return Materials(find_typefaces(Path(fonts) if fonts else None), passages)


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


def _executor(plan: Plan, out: Path, name: str, workers: int, slurm: SlurmJob | None) -> PipelineExecutor:
    """Make datatrove's executor of one task a shard; those done are skipped."""
    out = out.absolute()
    for shard in range(plan.shards):  # a shard that was lost is built again
        if not plan.shard_path(out, shard).exists():
            (out / LOGS / "completions" / f"{shard:05}").unlink(missing_ok=True)
    tasks: dict[str, Any] = {"pipeline": [ShardTask(plan, out)], "tasks": plan.shards, "logging_dir": str(out / LOGS)}
    if name == "slurm":
        if slurm is None:
            raise ValueError("Slurm needs to know where: --partition NAME")
        if shutil.which("sbatch") is None:
            raise ValueError("no sbatch here: Slurm takes tasks from one of its login nodes")
        return SlurmPipelineExecutor(
            **tasks,
            workers=workers,
            job_name=plan.name,
            time=slurm.time,
            partition=slurm.partition,
            env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',  # where datatrove's launcher is
            with_srun=False,  # each task of the array is one process
        )
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise ValueError("ray is not installed: pip install ray")
        return RayPipelineExecutor(**tasks, workers=workers)
    return LocalExecutor(**tasks, workers=workers)


@contextmanager
def _progress(plan: Plan, out: Path) -> Iterator[None]:
    """Show how many samples are done while tasks run in other processes."""
    ended = threading.Event()

    def watch() -> None:
        with tqdm(total=plan.count, desc=f"building {plan.name}", unit="sample") as bar:
            while not ended.wait(POLL):
                bar.update(min(_shards_there(plan, out) * plan.shard_size, plan.count) - bar.n)
            bar.update(min(_shards_there(plan, out) * plan.shard_size, plan.count) - bar.n)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _shards_there(plan: Plan, out: Path) -> int:
    return sum(plan.shard_path(out, shard).exists() for shard in range(plan.shards))


def _finish(plan: Plan, out: Path, preview: int) -> None:
    """Write the card and the sheet, and drop what killed runs left."""
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    files = [plan.shard_path(out, shard) for shard in range(plan.shards)]
    dataset = DATASETS[plan.name]
    write_card(out / "README.md", dataset, files, plan.generator, plan.seed, plan.licence)
    if preview:
        write_sheet(out / "preview.html", dataset, files, preview)
