"""What it costs to know that data, model and checkpoints are what they were.

Rows: a JSONL file whose every row names an image of its own. A run's first start lists the images, stamps and hashes
them; a later one lists and stamps, and reads again only what was touched. Images here are small, so that the figures
are those of opening a million files; what their content adds is the second table.

Content: digests of one large file in the page cache, by threads, beside writing such a file with `fsync`; a checkpoint
is hashed once when it is written, and once when a run goes on from it.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from amalia_vl_hf import disk
from amalia_vl_hf.samples.files import files_behind
from amalia_vl_hf.training.checkpoints import complete_checkpoint, newest_sound

BLOCK = 1 << 24  # bytes, of what a large file is written in


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def both_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Time one call, and the CPU time of all its threads, which other work on the machine does not stretch."""
    start = time.process_time()
    return seconds(work), time.process_time() - start


def write_rows(folder: Path, rows: int, size: int) -> Path:
    """Write rows, and an image's worth of bytes for each."""
    for number in range(256):
        (folder / f"{number:02x}").mkdir()
    with (folder / "data.jsonl").open("w", encoding="utf-8") as file:
        for row in range(rows):
            name = f"{row % 256:02x}/{row}.jpg"
            with (folder / name).open("wb", buffering=0) as image:
                image.write(row.to_bytes(8, "big") * (size // 8))
            turns = [{"role": "user", "content": "O que se vê?"}, {"role": "assistant", "content": f"{row} pontos"}]
            file.write(json.dumps({"images": [name], "messages": turns}) + "\n")
    return folder / "data.jsonl"


def measure_rows(folder: Path, rows: int, size: int) -> dict[str, tuple[float, float]]:
    """Give the seconds and the CPU seconds of each part."""
    data = write_rows(folder, rows, size)
    listed = []
    parts = {"list": both_seconds(lambda: listed.append(files_behind(data, "sft")))}
    images = listed[0].images
    assert len(images) == rows
    parts["stamp"] = both_seconds(lambda: disk.stamps(images))
    parts["hash"] = both_seconds(lambda: list(disk.digests(images)))
    return parts


def measure_content(folder: Path, size: int) -> dict[str, float]:
    """Give the GB/s of writing with fsync, of one thread, of all, and of completing and checking a checkpoint."""
    checkpoint = folder / "run" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    content = os.urandom(BLOCK)
    file = checkpoint / "model.safetensors"

    def write() -> None:
        with file.open("wb", buffering=0) as opened:
            for _ in range(size // BLOCK):
                opened.write(content)
            os.fsync(opened.fileno())

    def hash_alone() -> None:
        for piece in range(-(-size // disk.PIECE)):
            disk._hash_piece((file, piece, size))

    times = {"write and fsync": seconds(write), "hash, one thread": seconds(hash_alone)}
    times["hash, all threads"] = seconds(lambda: list(disk.digests([file])))
    times["complete a checkpoint"] = seconds(lambda: complete_checkpoint(checkpoint))
    times["check a checkpoint"] = seconds(lambda: newest_sound(folder / "run", folder / "aside"))
    return {name: size / 1e9 / value for name, value in times.items()}


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--image-bytes", type=int, default=4096)
    parser.add_argument("--megabytes", type=int, default=512, help="of the large file")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="identity-", dir=arguments.folder))
    try:
        parts = measure_rows(folder, arguments.rows, arguments.image_bytes)
        rates = measure_content(folder, arguments.megabytes * 1_000_000 // BLOCK * BLOCK)
    finally:
        shutil.rmtree(folder)
    again = tuple(map(sum, zip(parts["list"], parts["stamp"], strict=True)))
    first = tuple(map(sum, zip(*parts.values(), strict=True)))
    print(f"{arguments.rows:,} rows with an image of {arguments.image_bytes} bytes each")
    print(f"{'':<24}{'s':>8}{'CPU s':>8}{'CPU µs a row':>14}")
    for name, (wall, cpu) in {**parts, "first start": first, "nothing touched": again}.items():
        print(f"{name:<24}{wall:>8.1f}{cpu:>8.1f}{cpu / arguments.rows * 1e6:>14.1f}")
    print(f"\n{os.cpu_count()} cores, one file of {arguments.megabytes} MB\n{'':<24}{'GB/s':>8}{'s a GB':>10}")
    for name, rate in rates.items():
        print(f"{name:<24}{rate:>8.2f}{1 / rate:>10.2f}")
    million = {"ours": again[1] / arguments.rows * 1e6, "stock": first[1] / arguments.rows * 1e6}
    content = {"ours": rates["complete a checkpoint"], "stock": rates["write and fsync"]}
    results = {
        "a million rows, nothing touched / first start": {**million, "unit": "CPU s"},
        "complete a checkpoint / write it": {**content, "unit": "GB/s"},
    }
    print(json.dumps({name: {**row, "ratio": row["ours"] / row["stock"]} for name, row in results.items()}))


if __name__ == "__main__":
    main()
