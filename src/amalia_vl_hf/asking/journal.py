"""What was asked and what came back, a line for each as it happens: it outlives `kill -9`, and says what it cost.

{"asking": {"step": "caption", "role": "captioner", "model": ..., "price": [0.1, 0.4]}}   of the lines that follow
{"sent": KEY}                                         one try is on its way
{"heard": KEY, "tokens": [812, 95], "seconds": 1.2}   the server answered it, and counted
{"key": KEY, "text": ..., "problem": ..., "reasoning": ...}   what is made of it
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..disk import cut_last_line
from .replies import Reply, Usage


class Journal:
    """The file of one list of requests, written by one process at a time.

    Args:
        path: Of the file, which may be there.
        asking: Who is asked from now on, and for what.
    """

    def __init__(self, path: Path, asking: Mapping[str, Any]) -> None:
        self.path, self.asking = path, asking
        self.file: int | None = None

    def answers(self, keys: Collection[str]) -> dict[str, Reply]:
        """Read what is known of the requests of these keys, the last where it was asked again."""
        known: dict[str, Reply] = {}
        for line in read_journal(self.path):
            if line.get("key") in keys:
                known[line["key"]] = Reply(line["text"], line["problem"], reasoning=line["reasoning"])
        return known

    def __enter__(self) -> Journal:
        cut_last_line(self.path)
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._write({"asking": self.asking})
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            os.fsync(self.file)
            os.close(self.file)
            self.file = None

    def sent(self, name: str) -> None:
        """Note that a try is on its way."""
        self._write({"sent": name})

    def heard(self, name: str, usage: Usage, seconds: float) -> None:
        """Note what a try took."""
        self._write({"heard": name, "tokens": list(usage), "seconds": round(seconds, 4)})

    def keep(self, key: str, reply: Reply) -> None:
        """Note an answer, or why there is none."""
        self._write({"key": key, "text": reply.text, "problem": reply.problem, "reasoning": reply.reasoning})

    def _write(self, line: Mapping[str, Any]) -> None:
        """Write a line in one go: nothing that a kill could lose is kept in this process."""
        encoded = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        if self.file is None or os.write(self.file, encoded) != len(encoded):
            raise OSError(f"answers cannot be kept in {self.path}; is the disk full?")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a journal that are whole; none where there is no file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:  # torn by a kill, or no journal
                continue
            if isinstance(value, dict):
                yield value
