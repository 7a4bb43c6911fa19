"""Work on many samples, chunk by chunk in their order, in this process or in several: the results are the same."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

# Samples that are worked on at once. Their texts are tokenised together, and their images are in memory together.
CHUNK = 32

Result = TypeVar("Result")


def in_chunks(work: Callable[[Sequence[int]], list[Result]], numbers: Sequence[int], workers: int) -> Iterator[Result]:
    """Do what is to be done with each of some numbers, and give the results in their order.

    Args:
        work: Takes some of the numbers, one after the other in `numbers`, and gives a result for each. Processes are
            forked from this one, so that it may hold what is open here.
        numbers: Positions of samples, for instance.
        workers: Processes that work; 0 for none but this one.

    Raises:
        RuntimeError: One of the processes was killed.
    """
    # A generator of its own: else the loader would draw from the one that training uses.
    chunks = DataLoader(_Chunks(work, numbers), batch_size=None, num_workers=workers, generator=torch.Generator())
    with _ctrl_c_later():
        started = iter(chunks)
    try:
        yield from chain.from_iterable(started)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        ended = str(error).splitlines()[0].rstrip(". ")
        raise RuntimeError(f"{ended}; was the memory full? Fewer workers need less") from error


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Hear Ctrl-C when processes are forked, not on the way: what runs at a fork swallows it.

    The processes are deaf to it for good. This one hears it, and ends them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is heard there
        return
    heard: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if heard and callable(usual):
        usual(signal.SIGINT, None)


@dataclass(frozen=True)
class _Chunks(Dataset[list[Any]]):
    """Chunks of numbers, worked on where they are indexed."""

    work: Callable[[Sequence[int]], list[Any]]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return -(-len(self.numbers) // CHUNK)

    def __getitem__(self, chunk: int) -> list[Any]:
        return self.work(self.numbers[chunk * CHUNK : (chunk + 1) * CHUNK])
