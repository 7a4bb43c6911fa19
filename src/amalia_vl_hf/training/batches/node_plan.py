"""The rows of a run, laid out once a machine: its first rank does it, and the others map what it wrote.

Every rank needs the whole plan, and for millions of conversations making it takes minutes and a GB.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list

from ..ranks import world_size
from .row_plan import RowPlan

logger = logging.getLogger(__name__)


def plan_once_a_node(make: Callable[[], RowPlan], args: Any) -> RowPlan:
    """Give every rank the plan that the first rank of its machine makes.

    It is handed over in a file of the machine's folder for temporary files, which is gone when all have mapped it. A
    rank that does not find it there makes the plan itself, which is the same.

    Args:
        make: Lays out the rows.
        args: The trainer's arguments, which know the ranks.

    Raises:
        ValueError: `make` does.
    """
    if world_size() == 1:
        return make()
    [name] = broadcast_object_list([secrets.token_hex(16)])  # the main process's: nobody else can guess it
    path = Path(tempfile.gettempdir()) / f"amalia-vl-rows-{name}.npy"
    first = args.local_process_index == 0
    try:
        with args.main_process_first(desc="laying out rows"):
            plan = make() if first else None
            if plan is not None:
                _hand_over(plan, path)
            if path.exists():
                plan = _mapped(path)
        if plan is None:
            plan = make()
        args.distributed_state.wait_for_everyone()
    finally:
        if first:
            path.unlink(missing_ok=True)
    return plan


def _hand_over(plan: RowPlan, path: Path) -> None:
    """Write a plan for the machine's other ranks; where there is no room, each of them makes its own."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.save(file, np.concatenate(([plan.rows, len(plan.stops)], plan.stops, plan.order)))
    except OSError as error:
        path.unlink(missing_ok=True)
        logger.warning("each rank lays out the rows for itself: %s", error)


def _mapped(path: Path) -> RowPlan:
    """Map a plan that was handed over."""
    numbers = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # a view: slices of it are plain arrays
    rows, stops = numbers[:2].tolist()
    return RowPlan(order=numbers[2 + stops :], stops=numbers[2 : 2 + stops], rows=rows)
