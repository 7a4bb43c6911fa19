"""Runs every benchmark, prints its table, and appends it to RESULTS.md with the date and the machine."""

import datetime
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGES = ("torch", "transformers", "pillow", "trl")


def main(names: list[str]) -> None:
    """Run the benchmarks named, all of them by default."""
    scripts = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("__"))
    chosen = [path for path in scripts if not names or path.stem in names]
    if unknown := set(names) - {path.stem for path in scripts}:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in scripts)}")
    for script in chosen:
        print(f"== {script.stem}", flush=True)
        output = run(script)
        with (FOLDER / "RESULTS.md").open("a", encoding="utf-8") as results:
            results.write(
                f"\n## {script.stem}, {datetime.date.today()}\n\n{machine()}\n\n```\n{output.strip()}\n```\n"
            )


def run(script: Path) -> str:
    """Run one benchmark; its last line must be the JSON that others read."""
    command = [sys.executable, str(script)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    print(process.stdout, flush=True)
    json.loads(process.stdout.splitlines()[-1])
    return process.stdout


def machine() -> str:
    """Describe where the figures were taken."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = models[0].split(":")[1].strip() if models else platform.processor()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{len(models) or '?'} x {cpu}; Python {platform.python_version()}, {packages}. `make bench`"


if __name__ == "__main__":
    main(sys.argv[1:])
