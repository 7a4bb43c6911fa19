"""Runs attacks in a sandbox, as a process of its own, so that it can be another user's.

Reads `{"backend", "attacks": {name: code}, "limits": {...}}` on stdin; writes `{name: [status, stdout, stderr]}`. It
holds what a snippet must not get: the environment variable and the open file it is given. The package's own
`__init__` is passed by, because it imports torch.
"""

import concurrent.futures
import importlib
import json
import os
import sys
import types
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "amalia_vl_hf"


def sandbox_module(name):
    package = types.ModuleType("amalia_vl_hf")
    package.__path__ = [str(SOURCES)]
    sys.modules["amalia_vl_hf"] = package
    return importlib.import_module(f"amalia_vl_hf.{name}")


def main() -> None:
    sandbox = sandbox_module("sandbox")
    os.set_inheritable(os.open(os.environ["SECRET_PATH"], os.O_RDONLY), True)
    job = json.load(sys.stdin)
    limits = sandbox.SnippetLimits(**job["limits"])

    def attack(code):
        return sandbox.run_snippet(code, limits, job["backend"], seeds=1)[:3]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = dict(zip(job["attacks"], pool.map(attack, job["attacks"].values()), strict=True))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
