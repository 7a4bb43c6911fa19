"""The sandbox of WebAssembly: CPython for WASI in wasmtime, for where user namespaces are blocked.

A snippet can read the standard library and call clocks and random numbers, nothing else of the host. Runs happen in
worker processes of a plain user, each kept for the next run until a snippet has to be stopped.
"""

import collections
import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

from .limits import SandboxRun, SnippetLimits, plain_user
from .wasm_build import COMPILED, LIBRARY_FOLDER, compiled_interpreter, package_folder

WORKER = Path(__file__).with_name("wasm_worker.py")
_CHUNK = 64 * 1024

_idle: collections.deque["Worker"] = collections.deque()
os.register_at_fork(after_in_child=_idle.clear)  # a worker answers one process only


def run(source: bytes, seed: int, limits: SnippetLimits) -> SandboxRun:
    """Run a snippet once under the hash seed.

    Args:
        source: Python source, UTF-8.
        seed: What random numbers, and so the hash seed, follow from.
        limits: What it may use.

    Returns:
        How it ended.
    """
    job = {
        "code": source.decode(),
        "seed": seed,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "output_bytes": limits.output_bytes,
    }
    worker = _take()
    try:
        answer = worker.ask(job, limits.wall_seconds)
    except TimeoutError:
        worker.stop()
        return SandboxRun("timeout", b"", b"")
    except BaseException:  # Ctrl-C: the snippet must not run on
        worker.stop()
        raise
    if answer is None:
        return SandboxRun("timeout" if worker.stop() == -signal.SIGXCPU else "killed", b"", b"")
    if "code" in answer:
        _idle.append(worker)
    else:
        worker.stop()
    return _run(answer, limits.output_bytes)


def _run(answer: dict[str, Any], most: int) -> SandboxRun:
    stdout, stderr = (answer[name].encode("latin-1")[:most] for name in ("stdout", "stderr"))
    if "code" not in answer:
        return SandboxRun("too_much_output", stdout, stderr)
    if answer["code"] is None:
        return SandboxRun("killed", stdout, stderr)
    return SandboxRun("failed" if answer["code"] else "ok", stdout, stderr)


def _take() -> "Worker":
    while _idle:
        worker = _idle.pop()
        if worker.process.poll() is None:
            return worker
    return Worker()


class Worker:
    """A process that runs one snippet at a time; it ends when its stdin does, so with this process at the latest."""

    def __init__(self) -> None:
        folder, packages = compiled_interpreter(), package_folder("wasmtime").parent
        user = plain_user()
        paths = [str(path) for path in (WORKER, packages, folder / COMPILED, folder / LIBRARY_FOLDER)]
        self._unread = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", *paths, "" if user is None else str(user)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            start_new_session=True,  # Ctrl-C in the terminal is for us
        )
        if self._answer(None) is None:
            raise ChildProcessError(f"the WebAssembly worker ended at its start, exit code {self.stop()}")

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Run a job.

        Args:
            job: What the worker takes.
            seconds: Most to wait for, from where the snippet begins: the interpreter may have to be started first.

        Returns:
            The answer; None if the worker ended instead.

        Raises:
            TimeoutError: No answer in time; the worker still runs.
        """
        try:
            cast(IO[bytes], self.process.stdin).write(json.dumps(job).encode() + b"\n")
            cast(IO[bytes], self.process.stdin).flush()
        except BrokenPipeError:
            return None
        if self._answer(None) is None:
            return None
        return self._answer(time.monotonic() + seconds)

    def stop(self) -> int:
        """End the process and return its exit code."""
        self.process.kill()
        with self.process:
            return self.process.wait()

    def _answer(self, deadline: float | None) -> dict[str, Any] | None:
        stdout = cast(IO[bytes], self.process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(deadline and max(0.0, deadline - time.monotonic())):
                    raise TimeoutError("the worker did not answer in time")
                chunk = os.read(stdout.fileno(), _CHUNK)
                if not chunk:
                    return None
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


@functools.cache
def problem() -> str | None:
    """Say why this backend cannot run here, None where it can: it has to print in the sandbox once."""
    try:
        trial = run(b"print('works')", 0, SnippetLimits(wall_seconds=60))
    except (ImportError, ValueError, OSError) as error:
        return str(error)
    if trial != SandboxRun("ok", b"works\n", b""):
        return f"a trial run ended as {trial.status}: {trial.stderr.decode(errors='replace').strip()[-300:]}"
    return None
