"""Runs a command for a bounded time and takes a bounded part of what it prints."""

import os
import selectors
import subprocess
import time
from typing import IO, Literal, NamedTuple, cast

from .limits import SnippetLimits

Stop = Literal["timeout", "too_much_output"]
_CHUNK = 64 * 1024


class CommandEnd(NamedTuple):
    """How a command ended.

    Attributes:
        stopped: Why we ended it, None if it ended by itself.
        code: Its exit code; minus the signal's number if a signal ended it.
        stdout: At most the limit.
        stderr: At most the limit.
    """

    stopped: Stop | None
    code: int
    stdout: bytes
    stderr: bytes


def run_bounded(command: list[str], pass_fds: tuple[int, ...], limits: SnippetLimits) -> CommandEnd:
    """Run a command without input or environment; it is killed when time or output run out.

    Args:
        command: Program and arguments. It must take its own children down when it is killed.
        pass_fds: File descriptors it inherits.
        limits: Its wall time and its output.

    Returns:
        How it ended.
    """
    # Without a user: that would copy this process's page tables, 15 ms where torch is loaded.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        pass_fds=pass_fds,
        start_new_session=True,
    )
    with process:
        try:
            stopped, stdout, stderr = _read(process, limits)
        finally:
            process.kill()
    return CommandEnd(stopped, process.returncode, stdout[: limits.output_bytes], stderr[: limits.output_bytes])


def _read(process: subprocess.Popen[bytes], limits: SnippetLimits) -> tuple[Stop | None, bytes, bytes]:
    """Read both streams to their ends and wait for the process, as long as it keeps to the limits."""
    deadline = time.monotonic() + limits.wall_seconds
    stdout, stderr = bytearray(), bytearray()
    stopped = _fill({process.stdout: stdout, process.stderr: stderr}, deadline, limits.output_bytes)
    if stopped is None:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # it closed its streams and lives on
            stopped = "timeout"
    return stopped, bytes(stdout), bytes(stderr)


def _fill(streams: dict[IO[bytes] | None, bytearray], deadline: float, most: int) -> Stop | None:
    with selectors.DefaultSelector() as selector:
        for stream, content in streams.items():
            selector.register(cast(IO[bytes], stream), selectors.EVENT_READ, content)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0.0))
            if left <= 0:
                return "timeout"
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                key.data.extend(chunk)
                if len(key.data) > most:
                    return "too_much_output"
                if not chunk:
                    selector.unregister(key.fileobj)
    return None
