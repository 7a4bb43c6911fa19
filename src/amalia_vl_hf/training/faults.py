"""What ends a training run from outside, in one line: memory or disk that is full, another rank that is gone."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import torch

from .launch import LaunchError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "File too large", "Disk quota exceeded", "failed writing file", "unexpected pos")
_MEMORY_WORDS = ("can't allocate memory", "out of memory", "Cannot allocate memory")
# Of gloo and NCCL, to the ranks that are left.
_PEER_WORDS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "remote worker crashing",
    "remote process exited",
)


def explain_fault(error: BaseException) -> str | None:
    """Say in one line what a full memory or disk, or a rank that is gone, means for the run; None for anything else.

    Safetensors and torch hide the system's error in words of their own, so those are looked at as well.
    """
    if isinstance(error, LaunchError):  # a rank has said so already, in the line that the launcher passes on
        return None
    for cause in _chain(error):
        text = str(cause)
        if (isinstance(cause, OSError) and cause.errno in _FULL) or any(words in text for words in _FULL_WORDS):
            return f"the disk is full ({_first_line(cause)}): make room; the last whole checkpoint is sound"
        if isinstance(cause, RuntimeError) and any(words in text for words in _PEER_WORDS):
            return f"the connection to another rank was lost ({_first_line(cause)}); why it ended is in its own words"
        memory = isinstance(cause, MemoryError | torch.OutOfMemoryError)
        if memory or any(words in text for words in _MEMORY_WORDS):
            return (
                f"out of memory ({_first_line(cause)}): lower batch_size (and raise accumulation), max_length or "
                "max_tiles, or set gradient_checkpointing: true; --dry-run estimates what is needed"
            )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
