"""Several processes that train together, through `accelerate launch`: start them, and say how they ended.

The command itself is the launcher. The processes it starts watch it, so that none of them trains on when it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from ..fields import recipe_file
from .ranks import Sharing, check_batch, planned_sharing
from .recipe import Recipe

PARENT = "AMALIA_VL_PARENT"  # environment variable: process id of who started this process, and whom it watches
_LAUNCHED = "AMALIA_VL_LAUNCHED"  # environment variable: set inside processes that a launcher started
_POLL = 0.5  # s


class LaunchError(RuntimeError):
    """One of the processes that train together ended before its work was done."""


def needs_launcher(recipe: Recipe, options: Sequence[str]) -> bool:
    """Whether this process has to start others; never inside one that a launcher started.

    Args:
        recipe: It may name several processes, or a config of accelerate.
        options: Of `accelerate launch`, which ask for it as well.
    """
    if _LAUNCHED in os.environ or "LOCAL_RANK" in os.environ:
        return False
    return bool(options) or recipe.accelerate is not None or (recipe.processes or 1) > 1


def start(recipe: Recipe, options: Sequence[str], arguments: Sequence[str]) -> None:
    """Run the command again in each of the recipe's processes, and wait for them.

    Args:
        recipe: With the processes, the config and the precision to start them with.
        options: More words for `accelerate launch`, such as `--machine_rank 1`.
        arguments: Of the `amalia-vl` command.

    Raises:
        RecipeError: The processes do not give the global batch that the recipe names.
        LaunchError: A process ended before its work was done; all have ended then.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    sharing = planned_sharing(recipe)
    check_batch(recipe, sharing.ranks)
    os.environ[PARENT], os.environ[_LAUNCHED] = str(os.getpid()), "1"
    words = [*_launch_words(recipe, sharing, options), "-m", "amalia_vl_hf.cli", *arguments]
    try:
        launch_command(launch_command_parser().parse_args(words))
    except ChildFailedError as error:
        raise LaunchError(_cause(error)) from error
    except CalledProcessError as error:
        raise LaunchError(f"the training process ended with exit code {error.returncode}") from error
    except SignalException as error:
        if error.sigval == signal.SIGINT:  # Ctrl-C, which is told like anywhere else
            raise KeyboardInterrupt from error
        raise LaunchError(f"stopped by {signal.Signals(error.sigval).name}; {_AGAIN}") from error
    finally:
        del os.environ[PARENT], os.environ[_LAUNCHED]


def watch_parent() -> None:
    """End this process when the one that started it is gone, however it went; without one named, do nothing."""
    if PARENT not in os.environ:
        return
    parent = int(os.environ[PARENT])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os.kill(os.getpid(), signal.SIGKILL)  # whatever the other threads wait for

    threading.Thread(target=watch, name="watch_parent", daemon=True).start()


def tell_launcher(message: str) -> None:
    """Leave the launcher a line on why this process ends, where torch's launcher looks for it."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        rank = os.environ.get("RANK", "0")
        record = {"message": f"rank {rank}: {message}", "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps(record), encoding="utf-8")


_AGAIN = "the same command goes on from the last checkpoint"


def _launch_words(recipe: Recipe, sharing: Sharing, options: Sequence[str]) -> list[str]:
    words = ["--num_processes", str(sharing.ranks)]
    words += ["--mixed_precision", "bf16" if recipe.precision == "bf16" else "no"]
    if recipe.accelerate is not None:
        words += ["--config_file", str(recipe_file(recipe.accelerate))]
    elif sharing.ranks > 1:
        words += ["--multi_gpu", "--num_machines", "1"]
    if recipe.accelerate is None and "--main_process_port" not in options:
        words += ["--main_process_port", "0"]  # any free one
    return [*words, *options]


def _cause(error: Any) -> str:
    """Name the process that ended first, and why; what the others died of is mostly its absence."""
    rank, failure = min(error.failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].timestamp))
    if failure.exitcode < 0:
        return f"rank {rank} was ended by {failure.signal_name()}; {_AGAIN}"
    if failure.error_file != "<N/A>" and isinstance(failure.message, str):  # it left a line, see tell_launcher
        return failure.message
    return f"rank {rank} ended with exit code {failure.exitcode}; its own words are above; {_AGAIN}"
