"""Processes without an interpreter's start: its imports take longer than what most tests do in it."""

import gc
import os
import traceback
from collections.abc import Callable
from typing import Any


def forked(work: Callable[[], Any]) -> int:
    """Start `work` in a fork of this process, in a process group of its own.

    Args:
        work: What it returns, if anything, is the exit code; with an exception, that is 1.

    Returns:
        The process id; whoever started it has to wait for it.
    """
    gc.collect()  # what has threads of its own, such as a frame of a video, is taken apart where they are
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()  # as a terminal does for what it starts
            code = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child
