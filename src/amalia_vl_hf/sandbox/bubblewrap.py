"""The sandbox of Linux namespaces: bubblewrap, a seccomp filter and the kernel's limits.

The snippet's only process (threads yes, children no) is bound by its address space, so no cgroup is needed to bound
the memory of several. Its file system is the interpreter and the system's libraries, read only, and nothing it can
write; no /proc, /sys or terminal.
"""

import contextlib
import functools
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from .limits import SandboxRun, SnippetLimits, Status, plain_user
from .process import CommandEnd, run_bounded
from .syscalls import seccomp_program

SNIPPET = "/snippet.py"
THREADS = 32
OPEN_FILES = 64
ALONE = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"),
    *("--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),  # the same output whoever runs it
)
LIBRARY_ONLY = ("-s", "-P", "-S")  # no user's, script's or site's packages; -I would also ignore PYTHONHASHSEED
_EXIT_BY_SIGNAL = 128  # what bubblewrap adds to the number of the signal that ended the snippet


def run(source: bytes, seed: int, limits: SnippetLimits) -> SandboxRun:
    """Run a snippet once under the hash seed.

    Args:
        source: Python source, UTF-8.
        seed: For PYTHONHASHSEED; 0 turns randomisation off.
        limits: What it may use.

    Returns:
        How it ended.
    """
    with _readable(seccomp_program()) as program, _readable(source) as snippet:
        command = [*_namespaces(program, snippet), "--setenv", "PYTHONHASHSEED", str(seed), *_interpreter(limits)]
        ended = run_bounded(command, (program, snippet), limits)
    return SandboxRun(_status(ended), ended.stdout, ended.stderr)


@functools.cache
def problem() -> str | None:
    """Say why this backend cannot run here, None where it can: it has to print in the sandbox once."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux, this is {sys.platform}"
    missing = [name for name in ("bwrap", "prlimit", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found; install bubblewrap and util-linux (apt install bubblewrap)"
    if not _python().is_file():
        return f"no {_python()}, the interpreter that a snippet is shown (apt install python3)"
    try:
        trial = run(b"print('works')", 0, SnippetLimits(wall_seconds=60))
    except (ImportError, RuntimeError) as error:
        return f"{error}; pip install pyseccomp (extra `data`), apt install libseccomp2"
    except OSError as error:
        return f"cannot start it: {error}"
    if trial != SandboxRun("ok", b"works\n", b""):
        return f"a trial run ended as {trial.status}: {trial.stderr.decode(errors='replace').strip()[-300:]}"
    return None


def _namespaces(program: int, snippet: int) -> list[str]:
    """Give bubblewrap and what the snippet sees; the numbers are file descriptors."""
    user = plain_user()  # for root, whom no limit on processes binds
    rights = [] if user is None else [_program("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    command = [*rights, _program("bwrap"), *ALONE, "--seccomp", str(program)]
    for path in _visible():
        command += ["--ro-bind", path, path]
    for path in ("/lib", "/lib64"):
        if Path(path).is_symlink():
            command += ["--symlink", str(Path(path).readlink()), path]
    for device in ("/dev/null", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    return [*command, "--ro-bind-data", str(snippet), SNIPPET, "--remount-ro", "/", "--chdir", "/"]


@functools.cache
def _visible() -> tuple[str, ...]:
    """List the host's paths that are shown, read only: two programs and the libraries."""
    python = _python()
    libraries = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", str(python.parent.parent / "lib"))
    folders = [path for path in libraries if Path(path).is_dir() and not Path(path).is_symlink()]
    return tuple(dict.fromkeys([str(python), _program("prlimit"), *folders]))


def _interpreter(limits: SnippetLimits) -> list[str]:
    """Give the interpreter under the kernel's limits, set inside: the user's other processes do not count there."""
    bounds = {
        "as": limits.memory_bytes,
        "cpu": f"{limits.cpu_seconds}:{limits.cpu_seconds + 1}",  # SIGXCPU, then SIGKILL
        "nproc": THREADS + 1,  # bubblewrap's own process counts
        "nofile": OPEN_FILES,
        "fsize": 0,
        "core": 0,
    }
    limited = [_program("prlimit"), *(f"--{name}={bound}" for name, bound in bounds.items())]
    return [*limited, str(_python()), *LIBRARY_ONLY, SNIPPET]


def _program(name: str) -> str:
    return os.path.realpath(shutil.which(name) or name)


@functools.cache
def _python() -> Path:
    """Find the interpreter to show: the one that runs this if the system's folder has it, else the system's own."""
    here = Path(sys.executable).resolve()
    return here if here.is_relative_to("/usr") else Path("/usr/bin/python3").resolve()


def _status(ended: CommandEnd) -> Status:
    if ended.stopped is not None:
        return ended.stopped
    if ended.code == _EXIT_BY_SIGNAL + signal.SIGXCPU:
        return "timeout"
    if ended.code > _EXIT_BY_SIGNAL:
        return "killed"
    return "failed" if ended.code else "ok"


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[int]:
    """Give a file descriptor, in memory and read from the start, for bubblewrap to take the content from."""
    descriptor = os.memfd_create("sandbox")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
