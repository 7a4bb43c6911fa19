"""Where a build's tasks run: datatrove's executors, in processes here, on Slurm or on Ray."""

from __future__ import annotations

import importlib.util
import multiprocessing
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from loguru import logger as datatrove_logger

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
        task = partial(self._run_for_rank, local_rank=1)  # what the task of local rank 0 does would be printed
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


def executors(
    name: str, workers: int, slurm: SlurmJob | None
) -> Callable[[ShardTask, PipelineExecutor | None], PipelineExecutor]:
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
            job_name=f"{task.recipe.name}-{task.name}",
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


def _arguments(task: ShardTask) -> dict[str, Any]:
    """Give what every executor of a task needs: one task a shard, and those done are skipped."""
    task = ShardTask(task.recipe, task.out.absolute(), task.step)
    logs = task.out / LOGS / task.name
    for shard in range(task.recipe.shards):  # a shard that was lost is made again
        if not task.product(shard).exists():
            (logs / "completions" / f"{shard:05}").unlink(missing_ok=True)
    return {"pipeline": [task], "tasks": task.recipe.shards, "logging_dir": str(logs)}
