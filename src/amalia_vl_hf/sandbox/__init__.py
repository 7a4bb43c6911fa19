"""Runs code that a model wrote, so that its output can be recorded: in a sandbox, or not at all.

Two backends, the first that works is taken. `bubblewrap` (Linux): own namespaces, no network, no host files but the
interpreter's, a list of the system calls that are allowed, limits of the kernel. `wasm`: CPython 3.15 compiled to
WebAssembly, for where user namespaces are blocked. A snippet has the standard library, no input, no file it can write
and one process, in `bubblewrap` with threads. A data set should be made with one backend: what Python prints changes a
little from version to version.
"""

import time
from typing import Literal, NamedTuple, get_args

from . import bubblewrap, wasm
from .limits import SnippetLimits, Status

__all__ = ["SandboxBackend", "SandboxUnavailableError", "SnippetLimits", "SnippetResult", "Status", "run_snippet"]

SandboxBackend = Literal["bubblewrap", "wasm"]

MAX_CODE_BYTES = 64 * 1024  # a function of at most 50 lines (paper, section 5.1) and its calls are far below
_MODULES = {"bubblewrap": bubblewrap, "wasm": wasm}


class SandboxUnavailableError(RuntimeError):
    """No sandbox works on this machine; the snippet was not run."""


class SnippetResult(NamedTuple):
    """What a snippet did.

    Attributes:
        status: `ok`: ended by itself, with the same stdout in every run. `failed`: an exception, or an exit code that
            is not 0. `killed`: by a signal. `timeout`: wall or processor time ran out. `too_much_output`: a stream
            went over the limit. `unstable`: other stdout, or another end, under another hash seed.
        stdout: Of the first run, at most `output_bytes` of it; bytes that are not UTF-8 are replaced.
        stderr: Likewise.
        seconds: Wall time of all runs.
    """

    status: Status
    stdout: str
    stderr: str
    seconds: float


def run_snippet(
    code: str, limits: SnippetLimits | None = None, backend: SandboxBackend | None = None, seeds: int = 2
) -> SnippetResult:
    """Run Python code in a sandbox, once for each hash seed.

    The output of a set, of `hash`, of `id` or of a clock is not a fact about the code: what ended well is run again
    under other hash seeds and must print the same.

    Args:
        code: Python source, run as a script.
        limits: What each run may use; None: the defaults.
        backend: The sandbox; None: the first that works here.
        seeds: Runs that must agree. Under 2 seeds, the order of a set of two strings is the same half of the time,
            under 8 once in 128.

    Returns:
        How it ended and what it printed.

    Raises:
        TypeError: The code is not text.
        ValueError: The code has NUL characters or lone surrogates, is too long, or an argument is out of range.
        SandboxUnavailableError: No sandbox works here; the message says what to install.
    """
    source = _checked_source(code)
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: a snippet runs at least once")
    sandbox = _MODULES[_working_backend(backend)]
    limits = limits or SnippetLimits()
    start = time.monotonic()
    first = sandbox.run(source, 0, limits)
    status = first.status
    others = (sandbox.run(source, seed, limits) for seed in range(1, seeds))
    if status == "ok" and any((run.status, run.stdout) != (status, first.stdout) for run in others):
        status = "unstable"
    seconds = time.monotonic() - start
    return SnippetResult(status, first.stdout.decode(errors="replace"), first.stderr.decode(errors="replace"), seconds)


def _checked_source(code: str) -> bytes:
    if not isinstance(code, str):
        raise TypeError(f"the snippet is {type(code).__name__}, not str: give Python source as text")
    if "\0" in code:
        raise ValueError(f"the snippet has a NUL character at {code.index(chr(0))}; Python source cannot have one")
    try:
        source = code.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the snippet is no valid Unicode at {error.start}: a lone surrogate; was it decoded wrongly?"
        ) from None
    if len(source) > MAX_CODE_BYTES:
        raise ValueError(f"the snippet has {len(source)} bytes, at most {MAX_CODE_BYTES} are run")
    return source


def _working_backend(backend: SandboxBackend | None) -> SandboxBackend:
    if backend is not None and backend not in _MODULES:
        raise ValueError(f"no sandbox {backend!r}; there are {', '.join(_MODULES)}")
    problems = []
    for name in get_args(SandboxBackend) if backend is None else (backend,):
        if (problem := _MODULES[name].problem()) is None:
            return name
        problems.append(f"{name}: {problem}")
    raise SandboxUnavailableError(f"the snippet was not run, no sandbox works here. {'; '.join(problems)}")
