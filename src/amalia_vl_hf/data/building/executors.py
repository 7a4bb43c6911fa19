"""Where a build's tasks run: datatrove's executors, in processes here, on Slurm or on Ray."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.utils.stats import PipelineStats
from loguru import logger as datatrove_logger

from .pipeline import Pipeline
from .shards import ShardTask

LOGS = "logs"

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


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor, whose processes end with a build that is killed; its own leave a server behind."""

    def run(self) -> None:
        """Run the tasks that are left, each in one of as many processes as there are workers; one is this process."""
        task = self._run_for_rank
        ranks = self.get_incomplete_ranks()
        if self.workers == 1:
            for rank in ranks:
                task(rank)
            return
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([ShardTask.__module__])  # imported once, not once a worker
        _start_server(context)
        with context.Pool(min(self.workers, len(ranks))) as pool:
            for _ in pool.imap_unordered(task, ranks):
                pass

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        """Run a task. datatrove's own takes 0.1 s for a log, of which an exception here already tells everything."""
        for step in self.pipeline:
            step(None, rank, self.world_size)
        self.mark_rank_as_completed(rank)
        return PipelineStats()


def _start_server(context: ForkServerContext) -> None:
    """Start the process that workers are forked from, deaf to Ctrl-C as they are: this one hears it, and ends them."""
    resource_tracker.ensure_running()  # else the server would start it, which lets the signal in again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    first = context.Process(target=int, daemon=True)  # until it runs, the server imports
    first.start()
    first.join()


MakeExecutor = Callable[[ShardTask, Collection[int], PipelineExecutor | None], PipelineExecutor]


def executors(name: str, workers: int, slurm: SlurmJob | None) -> MakeExecutor:
    """Give what makes datatrove's executor of a task, for the shards that it has not made yet, after another one."""
    if name == "slurm":
        if slurm is None:
            raise ValueError("Slurm needs to know where: --partition NAME")
        if shutil.which("sbatch") is None:
            raise ValueError("no sbatch here: Slurm takes tasks from one of its login nodes")
        return lambda task, stale, before: SlurmPipelineExecutor(
            **_arguments(task, stale),
            workers=workers,
            depends=before,
            job_name=f"{task.recipe.name}-{task.stage}",
            time=slurm.time,
            partition=slurm.partition,
            env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',  # where datatrove's launcher is
            with_srun=False,  # each task of the array is one process
        )
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise ValueError("ray is not installed: pip install ray")
        # One after the other is how the build runs them here: datatrove looks at a dependency every two minutes.
        return lambda task, stale, _: RayPipelineExecutor(**_arguments(task, stale), workers=workers)
    return lambda task, stale, _: LocalExecutor(**_arguments(task, stale), workers=workers)


def _arguments(task: ShardTask, stale: Collection[int]) -> dict[str, Any]:
    """Give what every executor of a task needs: one task a shard, or one for all; those done are skipped."""
    task = replace(task, out=task.out.absolute())
    everything = Pipeline(task.recipe, task.out).sees_all(task.stage)
    logs = task.out / LOGS / task.stage
    completed = logs / "completions"
    for entry in list(os.scandir(completed)) if completed.is_dir() else []:
        # What datatrove saw end once never runs again; a shard that was lost, or is of another prompt, has to.
        if everything or (entry.name.isdecimal() and int(entry.name) in stale):
            (completed / entry.name).unlink(missing_ok=True)
    return {"pipeline": [task], "tasks": 1 if everything else task.recipe.shards, "logging_dir": str(logs)}
