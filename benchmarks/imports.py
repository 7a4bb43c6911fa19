"""Importing the package against importing what it uses of transformers: whole processes, in turn."""

import ast
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import amalia_vl_hf

OURS = """
import amalia_vl_hf
from amalia_vl_hf import (
    AmaliaVLConfig, AmaliaVLForConditionalGeneration, AmaliaVLImageProcessor, AmaliaVLModel, AmaliaVLProcessor,
)
"""
PACKAGE = Path(amalia_vl_hf.__file__).parent
RUNS = 9


def used_of_others() -> str:
    """Collect the imports of other packages from the files that importing ours runs."""
    files = [
        PACKAGE / "__init__.py",
        *PACKAGE.glob("modeling/*_amalia_vl.py"),
        *PACKAGE.glob("processing/*_amalia_vl.py"),
    ]
    nodes = [node for file in files for node in ast.parse(file.read_text()).body]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(sorted({ast.unparse(node) for node in imports if not getattr(node, "level", 0)}))


def seconds(code: str) -> float:
    """Time one interpreter from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and the median ratio of the pairs."""
    used = used_of_others()
    seconds(used), seconds(OURS)  # byte-compile and fill the disk cache
    pairs = [(seconds(OURS), seconds(used)) for _ in range(RUNS)]
    ours, stock = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(own / other for own, other in pairs)
    print(f"{'import':<42}{'seconds':>10}")
    print(f"{'amalia_vl_hf':<42}{ours:>10.2f}")
    print(f"{'the classes it uses of others':<42}{stock:>10.2f}")
    print(f"ratio, median of {RUNS} pairs: {ratio:.2f} (wanted: at most 1.10)")
    print(json.dumps({"import": {"ours": ours, "stock": stock, "ratio": ratio, "unit": "s"}}))


if __name__ == "__main__":
    main()
