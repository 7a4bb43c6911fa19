"""What starting costs: importing the package, and every help, against an empty interpreter. Fails past its bounds."""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator

from amalia_vl_hf import cli

IMPORT_BOUND, HELP_BOUND = 0.2, 0.3  # CPU s
RUNS = 5


def every_command(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Give the words of each command and subcommand; of `amalia-vl` itself there are none."""
    yield before
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from every_command(inner, (*before, name))


def cpu_seconds(words: tuple[str, ...]) -> float:
    """Take the least CPU time of several interpreters, start and end included: all that is above it is others'."""
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)  # byte-compiles, fills the cache
    times = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def main() -> int:
    """Print the costs, and return 1 if one is past its bound."""
    empty = cpu_seconds(("-c", "pass"))
    costs = {"import amalia_vl_hf": cpu_seconds(("-c", "import amalia_vl_hf"))}
    for words in (*((*words, "--help") for words in every_command(cli._parser())), ("--version",)):
        costs[" ".join(("amalia-vl", *words))] = cpu_seconds(("-m", "amalia_vl_hf.cli", *words))
    print(f"{'':<40}{'CPU s':>8}{'x empty':>9}\n{'an empty interpreter':<40}{empty:>8.3f}")
    bounds = {name: IMPORT_BOUND if name.startswith("import") else HELP_BOUND for name in costs}
    for name, cost in costs.items():
        past = f"  PAST {bounds[name]}" if cost > bounds[name] else ""
        print(f"{name:<40}{cost:>8.3f}{cost / empty:>9.1f}{past}")
    ours = costs.pop("import amalia_vl_hf")
    slowest = max(costs.values())
    row = {"stock": empty, "unit": "CPU s"}
    figures = {
        "import": {"ours": ours, "ratio": ours / empty, **row},
        "slowest_help": {"ours": slowest, "ratio": slowest / empty, **row},
    }
    print(json.dumps(figures))
    return int(ours > IMPORT_BOUND or slowest > HELP_BOUND)


if __name__ == "__main__":
    sys.exit(main())
