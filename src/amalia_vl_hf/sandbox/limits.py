"""What a snippet may use, how a run ended, and the plain user that runs it: shared by the sandbox's backends."""

import math
import os
from dataclasses import dataclass
from typing import Literal, NamedTuple

Status = Literal["ok", "failed", "killed", "timeout", "too_much_output", "unstable"]

MIB = 2**20
LEAST_MEMORY = 64 * MIB  # below, the bare interpreter does not start and every snippet would look like a failure
PLAIN_USER = 65534  # `nobody`: root gives its rights up before anything of the snippet is read


@dataclass(frozen=True)
class SnippetLimits:
    """What one run of a snippet may use.

    Args:
        wall_seconds: From start to end, sleeping included.
        cpu_seconds: Whole seconds of processor time, all threads together.
        memory_bytes: Address space of the only process a snippet has; in WebAssembly, its linear memory. 64 MiB at
            least.
        output_bytes: Of stdout and of stderr, each.

    Raises:
        ValueError: A limit that is not a positive number, or less memory than an interpreter takes.
    """

    wall_seconds: float = 10.0
    cpu_seconds: int = 5
    memory_bytes: int = 512 * MIB
    output_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        wall = self.wall_seconds
        if not isinstance(wall, int | float) or isinstance(wall, bool) or not 0 < wall < math.inf:
            raise ValueError(f"wall_seconds={wall!r}: expected a number of seconds above 0")
        for name in ("cpu_seconds", "memory_bytes", "output_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{name}={value!r}: expected a whole number above 0")
        if self.memory_bytes < LEAST_MEMORY:
            raise ValueError(
                f"memory_bytes={self.memory_bytes}: the interpreter alone takes more; give at least {LEAST_MEMORY}"
            )


class SandboxRun(NamedTuple):
    """How one run in a sandbox ended; the streams are cut at the limit."""

    status: Status
    stdout: bytes
    stderr: bytes


def plain_user() -> int | None:
    """Give the user id to take on, None where this process is no root."""
    return PLAIN_USER if os.geteuid() == 0 else None
