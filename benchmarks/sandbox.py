"""Runs a second of the sandboxes, beside a plain interpreter, which is no sandbox.

A run is one start of an interpreter, a short snippet, and its output read; `run_snippet` makes two (two hash seeds).
Wall time on all cores, and, because it depends on what else they do, processor time of all processes of a run,
from which follows what two idle cores give.
"""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from amalia_vl_hf.sandbox import SnippetLimits, bubblewrap, wasm

RUNS, ROUNDS = 100, 5
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LIMITS = SnippetLimits(wall_seconds=60)
SNIPPET = b"""
def conta(texto):
    return {letra: texto.count(letra) for letra in sorted(set(texto))}

print(conta("o rato roeu a rolha"))
"""


def plain(number: int) -> None:
    """An interpreter without a sandbox, started as the bubblewrap backend starts it."""
    command = [str(bubblewrap._python()), *bubblewrap.LIBRARY_ONLY, "-c", SNIPPET]
    subprocess.run(command, stdout=subprocess.PIPE, check=True)


def namespaces(number: int) -> None:
    """One run in namespaces."""
    assert bubblewrap.run(SNIPPET, number, LIMITS).status == "ok"


def webassembly(number: int) -> None:
    """One run in WebAssembly."""
    assert wasm.run(SNIPPET, number % 8, LIMITS).status == "ok"


def measure(run: Callable[[int], None], cores: int) -> tuple[float, float]:
    """Wall and processor seconds a run, one thread a core."""
    start, busy = time.perf_counter(), processor_seconds()
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        list(pool.map(run, range(RUNS)))
    return (time.perf_counter() - start) / RUNS, (processor_seconds() - busy) / RUNS


def processor_seconds() -> float:
    """Of this process, the workers it keeps, and all that ended; bubblewrap's inner process is reaped here."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    kept = [psutil.Process(worker.process.pid).cpu_times() for worker in wasm._idle]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(times.user + times.system for times in kept)


def main() -> None:
    """Time rounds of each, interleaved; print the medians."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    cores = len(os.sched_getaffinity(0))
    cases = {"plain interpreter": plain, "bubblewrap": namespaces, "wasm": webassembly}
    problems = {"bubblewrap": bubblewrap.problem(), "wasm": wasm.problem()}
    if any(problems.values()):
        sys.exit(f"a sandbox does not work here: {problems}")
    print(f"{RUNS} runs a round, {ROUNDS} rounds, {cores} cores, load {os.getloadavg()[0]:.1f}")
    rounds = [{name: measure(run, cores) for name, run in cases.items()} for _ in range(ROUNDS)]
    print(f"{'':20}{'runs/s':>9}{'CPU ms/run':>12}{'runs/s of 2 idle cores':>24}")
    line = {}
    for name in cases:
        wall, busy = (statistics.median(found[name][kind] for found in rounds) for kind in (0, 1))
        print(f"{name:20}{1 / wall:9.0f}{busy * 1000:12.1f}{2 / busy:24.0f}")
        line[name] = 2 / busy
    plain_rate = line.pop("plain interpreter")
    figures = {
        f"sandbox, {name}": {"ours": rate, "stock": plain_rate, "ratio": rate / plain_rate, "unit": "runs/s, 2 cores"}
        for name, rate in line.items()
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
