"""What programs print: many run in one go of the sandbox, each with names of its own, and none without end."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ...sandbox import SnippetLimits, run_snippet
from ..dataset import RejectedError

LIMITS = SnippetLimits(wall_seconds=10, cpu_seconds=3)  # of all programs of a run
MAX_BATCH = 50_000  # letters that are run in one go; the longest program that is drawn has half of it
MAX_STEPS = 2000  # statements that a program runs, far more than a reader follows; numbers that double stay small, too
MAX_OUTPUT = 1200  # letters, twice what any dataset shows
SEEDS = 8  # runs that must print the same: the order of a set of two strings passes once in 128
TOO_MUCH = "a program prints too much"

# Runs in the sandbox. A program's output is kept apart from the others', it cannot see their names, and it is stopped
# after so many steps, so that one that does not end does not take the others with it, and no clock decides.
WATCHING = Path(__file__).with_name("watching.py")
_DRIVER = "print(ascii(run_all({programs}, {steps}, {most})))"


def run_programs(programs: Iterable[str], seeds: int = SEEDS) -> list[str | RejectedError]:
    """Give what each program prints, or why it is of no use.

    Args:
        programs: Python sources.
        seeds: Hash seeds under which each must print the same; one will do for programs known to.
    """
    outputs: list[str | RejectedError] = []
    for batch in _batches(programs):
        outputs += _run(batch, seeds)
    return outputs


def run_script(code: str, seeds: int) -> str:
    """Run code in the sandbox, as a script of its own, and give what it prints.

    Raises:
        RejectedError: It does not end well, or prints something else under another hash seed.
    """
    result = run_snippet(code, LIMITS, seeds=seeds)
    if result.status != "ok":
        last = (result.stderr.strip().splitlines() or [""])[-1]
        raise RejectedError(f"a program ends as {result.status}", last[:80])
    return result.stdout


def run_watching(code: str, seeds: int) -> str:
    """Run code that has the names of `watching.py`, and give what it prints."""
    return run_checked(f"{_watching()}\n{code}", seeds)


@lru_cache(maxsize=256)
def run_checked(code: str, seeds: int) -> str:
    """Do as `run_script`, but what a sample asks again is not run again."""
    return run_script(code, seeds)


def _batches(programs: Iterable[str]) -> Iterator[list[str]]:
    """Part programs so that what runs them is not too long for the sandbox."""
    batch: list[str] = []
    for program in programs:
        if batch and len(ascii([*batch, program])) > MAX_BATCH:
            yield batch
            batch = []
        batch.append(program)
    yield batch


def _run(programs: Sequence[str], seeds: int) -> list[str | RejectedError]:
    """Run programs in one go; where one spoils that, in halves, until it is alone."""
    code = _DRIVER.format(programs=ascii(list(programs)), steps=MAX_STEPS, most=MAX_OUTPUT)
    try:
        return [_output(printed) for printed in _read_outputs(run_watching(code, seeds), len(programs))]
    except RejectedError as error:
        half = len(programs) // 2
        return _run(programs[:half], seeds) + _run(programs[half:], seeds) if half else [error]


@lru_cache
def _watching() -> str:
    return WATCHING.read_text(encoding="utf-8")


def _read_outputs(printed: str, count: int) -> list[str | int | None]:
    try:
        outputs = ast.literal_eval(printed)
    except (ValueError, SyntaxError):
        outputs = None
    if not isinstance(outputs, list) or len(outputs) != count:
        raise RejectedError("a program writes past print", printed[-80:])
    return outputs


def _output(printed: str | int | None) -> str | RejectedError:
    """Give what a program printed, as the driver says it, or why that is of no use."""
    if printed is None:
        return RejectedError("a program fails")
    return RejectedError(TOO_MUCH, f"{printed} letters") if isinstance(printed, int) else printed
