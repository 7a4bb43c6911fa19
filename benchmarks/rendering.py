"""Samples a second a core of each rendered dataset: drawn, written to parquet, read back and checked.

A round builds one shard of each on one thread, in this process; stock is the time of drawing alone, so that the ratio
says what writing and checking every row costs. Processor time, that of snippets in the sandbox with it; median of the
rounds.
"""

import ctypes
import json
import statistics
import tempfile
from pathlib import Path

from sandbox import PR_SET_CHILD_SUBREAPER, processor_seconds

from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.shards import draw_row, materials_of, write_shard
from amalia_vl_hf.data.code.program_runs import run_checked
from amalia_vl_hf.data.dataset import FAMILIES

SAMPLES, ROUNDS = 60, 3


def measure(name: str, seed: int) -> tuple[float, float, float]:
    """Processor seconds a sample of a whole shard and of drawing alone, and kilobytes a sample on disk."""
    recipe = BuildRecipe(name, SAMPLES, seed, shard_size=SAMPLES)
    materials = materials_of(recipe)
    with tempfile.TemporaryDirectory() as folder:
        start = processor_seconds()
        write_shard(recipe, Path(folder), 0)
        run_checked.cache_clear()
        middle = processor_seconds()
        for index in recipe.rows(0):
            draw_row(recipe, index, materials)
        end = processor_seconds()
        size = recipe.shard_path(Path(folder), 0).stat().st_size
    return (middle - start) / SAMPLES, (end - middle) / SAMPLES, size / SAMPLES / 1000


def main() -> None:
    """Build the datasets in turn, round after round; print the medians."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # or the sandbox's inner process is not counted
    rounds = [{name: measure(name, seed) for name in FAMILIES} for seed in range(ROUNDS)]
    print(f"{SAMPLES} samples a round, {ROUNDS} rounds")
    print(f"{'':18}{'samples/s':>11}{'drawn/s':>10}{'kB/sample':>11}{'hours for 100,000 on 1 core':>30}")
    figures = {}
    for name in FAMILIES:
        whole, drawn, size = (statistics.median(found[name][part] for found in rounds) for part in range(3))
        print(f"{name:18}{1 / whole:11.1f}{1 / drawn:10.1f}{size:11.1f}{whole * 100_000 / 3600:30.2f}")
        line = {"ours": 1 / whole, "stock": 1 / drawn, "ratio": drawn / whole, "unit": "samples/s a core"}
        figures[f"build {name}"] = line
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
