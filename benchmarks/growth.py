"""How checking, measuring and planning grow with the rows: CPU time, and memory that one process adds.

Rows are of text, as long as those of Table 1's mixture; the tokenizer is of EuroLLM's kind and trained here on the
package's own texts, so that a token has about four characters. Its own time over the same texts is the least that
measuring can take. `data check` and `data mix` are timed over as many rows
as fit into a few minutes, once alone and once with two workers, of which the CPU time of all processes counts. What
larger sets take is that figure times the rows, and says so: nothing in the work depends on what came before, but for a
table of digests, whose memory is measured at full size. Plans of rows are made of lengths alone, at every size.
A row with an image is held to the decoding of it.

`python benchmarks/growth.py 100000` times as many rows.
"""

import io
import itertools
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from amalia_vl_hf.processing.image_loading_amalia_vl import load_image
from amalia_vl_hf.processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.checking import check
from amalia_vl_hf.samples.lengths import measure_all
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.mixture import draw_mixture, load_mixture
from amalia_vl_hf.samples.workers import CHUNK
from amalia_vl_hf.training.batches.balance import CostModel
from amalia_vl_hf.training.batches.row_plan import plan_rows

SIZES = (10_000, 100_000, 1_000_000, 4_700_000)  # rows; the last is Table 1's mixture
ROWS = 10_000  # that are timed
PHOTOS = 24
BATCH, MAX_LENGTH = 128, 16384  # conversations a step and tokens a row: stage 2 (paper, Table 2)
AMALIA = CostModel(tile=0.54e12, token=16.2e9, pair=344e3)
TEXTS = Path(__file__).parents[1] / "src" / "amalia_vl_hf" / "data"
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<image>")


def processor_of(words: list[str]) -> AmaliaVLProcessor:
    """Train a tokenizer on the words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=32_000, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator([" ".join(words)], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", pad_token="</s>", unk_token="<unk>"
    )
    return AmaliaVLProcessor(AmaliaVLImageProcessor(), fast)


def write_rows(path: Path, words: list[str], count: int) -> None:
    """Write conversations of 30 to 2,500 words, 180 at the median, no two alike."""
    generator = np.random.default_rng(0)
    totals = np.exp(generator.normal(5.2, 0.7, count)).clip(30, 2500).astype(int)
    starts = (generator.random(count) * (len(words) - totals)).astype(int)
    with path.open("w", encoding="utf-8") as file:
        for number, (start, total) in enumerate(zip(starts.tolist(), totals.tolist(), strict=True)):
            asked = " ".join([str(number), *words[start : start + total // 5]])
            answered = " ".join(words[start + total // 5 : start + total])
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")


def checked(path: Path, processor: AmaliaVLProcessor | None, workers: int) -> None:
    """Check all rows."""
    data = load_samples(path, "sft", every_row=False)
    for _ in check(data, "sft", processor, workers=workers):
        pass


def tokenised(path: Path, processor: AmaliaVLProcessor, workers: int) -> None:
    """Tokenise the texts of all rows, and do nothing else."""
    with path.open(encoding="utf-8") as file:
        for lines in iter(lambda: list(itertools.islice(file, CHUNK)), []):
            texts = ["\n".join(turn["content"] for turn in json.loads(line)["messages"]) for line in lines]
            processor.tokenizer.backend_tokenizer.encode_batch(texts)


def mixed(path: Path, processor: AmaliaVLProcessor, workers: int) -> None:
    """Draw and measure all rows."""
    count = sum(1 for _ in path.open(encoding="utf-8"))
    entry = {"name": "texts", "path": str(path), "samples": count, "category": "text"}
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps({"seed": 0, "datasets": [entry]}), encoding="utf-8")
    ruler = partial(measure_all, processor=processor, max_tiles=12)
    draw_mixture(load_mixture(file), path.with_suffix(".parquet"), ruler, workers)


def planned(count: int, ranks: int) -> None:
    """Lay out the rows of an epoch."""
    generator = np.random.default_rng(0)
    lengths = generator.lognormal(8.1, 0.55, count).clip(20, MAX_LENGTH).astype(np.int64)  # 3,800 on average
    tiles = (lengths // 600).clip(0, 13)
    options = {
        "conversations": BATCH,
        "ranks": ranks,
        "max_length": MAX_LENGTH,
        "steps": -(-count // BATCH),
        "seed": 0,
    }
    plan_rows(lengths, AMALIA.conversations(lengths, tiles), **options)


def digests(count: int) -> None:
    """Hold what `check` holds of each row that it has seen."""
    table: dict[bytes, int] = {}
    for number in range(count):
        table.setdefault(number.to_bytes(16, "little"), number)


def cost(work: Callable[[], None]) -> tuple[float, float, float]:
    """Do it in a process of its own.

    Returns:
        CPU seconds of it and its workers, seconds, and bytes that its memory grew by, at most.
    """
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)

    def run() -> None:
        before, began = resident("VmRSS"), time.perf_counter()
        cpu = -sum(cpu_seconds())
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # bars
            work()
        theirs.send((cpu + sum(cpu_seconds()), time.perf_counter() - began, resident("VmHWM") - before))
        os._exit(0)  # nothing of this process' is to be ended twice

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    theirs.close()
    found: tuple[float, float, float] = ours.recv()
    process.join()
    return found


def cpu_seconds() -> Iterator[float]:
    """Give the CPU time of this process, and of those that it waited for."""
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        yield used.ru_utime + used.ru_stime


def resident(name: str) -> float:
    """Read a line of the kernel's about this process' memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def rows_table(rows: int) -> dict[str, Any]:
    """Time what is done with each row, and print it with what it makes at every size."""
    words = " ".join(path.read_text(encoding="utf-8") for path in sorted(TEXTS.rglob("*.txt"))).split()
    processor, results = processor_of(words), {}
    extrapolated = "".join(f"{size:>12,}" for size in SIZES)
    print(f"{'text rows, CPU s':<34}{'us a row':>10}{'s':>8}{extrapolated}   (x us a row, but {rows:,}: timed)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, words, rows)
        tokens = np.mean([size[0] for size in first_sizes(path, processor)])
        for name, work in {
            "(the tokenizer alone)": partial(tokenised, path, processor),
            "check": partial(checked, path, None),
            "check --model": partial(checked, path, processor),
            "mix --model": partial(mixed, path, processor),
        }.items():
            for workers in (0,) if work.func is tokenised else (0, 2):
                cpu, seconds, _ = cost(partial(work, workers))
                label = f"data {name}" + (f" --workers {workers}" if workers else "")
                totals = "".join(f"{cpu / rows * size:>12,.0f}" for size in SIZES)
                print(f"{label:<34}{cpu / rows * 1e6:>10.0f}{seconds:>8.1f}{totals}", flush=True)
                results[f"growth: {label}"] = {"ours": cpu / rows * 1e6, "unit": "CPU us a row"}
    print(f"{tokens:.0f} tokens a row on average")
    return results


def first_sizes(path: Path, processor: AmaliaVLProcessor) -> list[tuple[int, int]]:
    """Measure some rows."""
    samples = itertools.islice(load_samples(path, "sft", every_row=False), 500)
    return [size for size in measure_all(list(samples), processor, 12) if not isinstance(size, ValueError)]


def images_table() -> dict[str, Any]:
    """Hold the check of rows with an image to what decoding it costs, the two in turns, and print it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rows = [{"image": write_photo(path.with_name(f"{number}.jpg"), number)} for number in range(PHOTOS)]
        turns = [{"role": "user", "content": "O que é?"}, {"role": "assistant", "content": "Uma foto."}]
        path.write_text("\n".join(json.dumps({**row, "messages": turns}) for row in rows), encoding="utf-8")
        cpu = {checked_photos: 0.0, decoded_photos: 0.0}
        for _ in range(3):
            for work in cpu:
                start = time.process_time()
                work(path)
                cpu[work] += (time.process_time() - start) / PHOTOS / 3 * 1e3
    ours, decoding = cpu.values()
    print(f"\ndata check, a photo of 1920x1080 a row: {ours:.1f} CPU ms; decoding alone {decoding:.1f}", flush=True)
    return {
        "growth: data check, photos": {"ours": ours, "stock": decoding, "ratio": ours / decoding, "unit": "CPU ms"}
    }


def write_photo(path: Path, seed: int) -> str:
    """Write a JPEG with as much detail as photos have: about half a megabyte."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 255, (27, 48, 3), dtype=np.uint8)).resize((1920, 1080))
    grain = generator.integers(-12, 13, (1080, 1920, 1))
    Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path.name


def checked_photos(path: Path) -> None:
    """Check the rows."""
    assert all(not result.findings for result in check(load_samples(path, "sft", every_row=False), "sft"))


def decoded_photos(path: Path) -> None:
    """Decode the images, as the check and the training do."""
    for number in range(PHOTOS):
        load_image(str(path.with_name(f"{number}.jpg")), number)


def sizes_table() -> dict[str, Any]:
    """Measure what is done with numbers alone, at every size."""
    results = {}
    print(f"\n{'':<34}" + "".join(f"{size:>20,}" for size in SIZES) + "   CPU s, MB added")
    for name, work in {
        "plan of rows, 1 rank": partial(planned, ranks=1),
        "plan of rows, 8 ranks": partial(planned, ranks=8),
        "digests of data check": digests,
    }.items():
        print(f"{name:<34}", end="", flush=True)
        for size in SIZES:
            cpu, _, added = cost(partial(work, size))
            print(f"{cpu:>11.1f}{added / 1e6:>9,.0f}", end="", flush=True)
            results[f"growth: {name}, {size}"] = {"ours": cpu, "memory": added / 1e6, "unit": "CPU s, MB"}
        print()
    return results


def main(rows: int) -> None:
    """Print the tables and the JSON line."""
    print(json.dumps({**rows_table(rows), **images_table(), **sizes_table()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
