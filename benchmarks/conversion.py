"""Importing a large checkpoint against `cp -r` of it, and against loading and saving: time, CPU and peak memory.

The checkpoint is made: the 9.6 B model's tensors, in as many decoder layers as its size allows, bf16, in 4 GB shards.
Every run is a process of its own, over files that were read through just before, after all earlier writes have reached
the disk, and ends when its own have: conversion syncs what it writes by itself, the others are followed by `sync`.
Conversion and copy take turns, the one that goes first changing, on one pinned core, after a turn each that does not
count: the first finds the disk busy with the checkpoint. Times are medians, without the imports of Python. CPU time is
user's and system's, of the process and of those it starts.

Memory is told in two ways. Private is what only the process itself can free, its anonymous pages, looked at every
10 ms. Resident is the kernel's own high-water mark; it also counts pages of mapped files, which safetensors makes of
those that it loads, and which the kernel takes back when it needs them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, models
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from amalia_vl_hf.conversion.checkpoints import empty_model, own_shapes
from amalia_vl_hf.conversion.rules import STOCK_RULES, rename
from amalia_vl_hf.conversion.shards import LazyTensor, write_shards
from amalia_vl_hf.modeling.configuration_amalia_vl import AMALIA_9B, SIGLIP2_SO400M_PATCH16_384
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints

IMAGE = 128000
NOISE = torch.randint(-(2**15), 2**15, (2**19,), dtype=torch.int16)  # 1 MiB of bits that no disk compresses
IMPORT, COPY, LOAD_AND_SAVE = "import_checkpoint", "cp -r", "from_pretrained + save_pretrained"
# Imports, which are not timed, and the work.
SYNC = 'subprocess.run(["sync", *Path(sys.argv[2]).iterdir(), sys.argv[2]], check=True)'
WAYS = {
    IMPORT: (
        "from amalia_vl_hf.conversion.llava_next import import_checkpoint",
        "import_checkpoint(*sys.argv[1:])",
    ),
    COPY: ("", f'subprocess.run(["cp", "-r", *sys.argv[1:]], check=True)\n{SYNC}'),
    LOAD_AND_SAVE: (
        "from amalia_vl_hf import AmaliaVLForConditionalGeneration as Model, AmaliaVLProcessor as Processor",
        'Model.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2], max_shard_size="4GB")\n'
        f"Processor.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])\n{SYNC}",
    ),
}
CHILD = """
import os, subprocess, sys, time
from pathlib import Path
{imports}
start, before = time.perf_counter(), os.times()
{work}
seconds, after = time.perf_counter() - start, os.times()
resident = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, sum(after[:4]) - sum(before[:4]), resident)
"""
TICK = 0.01  # s between two looks at a process's memory


class Run(NamedTuple):
    """What one run took."""

    seconds: float
    cpu: float  # s
    private: float  # GB
    resident: float  # GB


def stock_config(layers: int, width: int) -> LlavaNextConfig:
    """The published model's shape, with fewer decoder layers, and narrower where `width` is."""
    text = {**AMALIA_9B, "hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers}
    return LlavaNextConfig(
        text_config=LlamaConfig(**text),
        vision_config=SiglipVisionConfig(**SIGLIP2_SO400M_PATCH16_384),
        image_token_index=IMAGE,
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[list(size) for size in generate_pinpoints(12, 384)],
        dtype="bfloat16",
    )


def noise(size: int) -> Iterator[torch.Tensor]:
    """Give `size` bf16 values of random bits without infinities, block by block."""
    block = (NOISE & 0x3FFF).view(torch.bfloat16)
    for start in range(0, size, len(block)):
        yield block[: min(len(block), size - start)]


def make_checkpoint(folder: Path, size: float, width: int) -> int:
    """Write a `llava_next` checkpoint of about `size` GB with legacy names; gives its bytes."""
    by_layers = [bytes_of(stock_config(layers, width)) for layers in (1, 2)]
    layers = max(1, 1 + round((size * 1e9 - by_layers[0]) / (by_layers[1] - by_layers[0])))
    config = stock_config(layers, width)
    shapes = own_shapes(empty_model(LlavaNextForConditionalGeneration, config))
    tensors = {
        rename(STOCK_RULES, name): LazyTensor("BF16", shape, lambda shape=shape: noise(torch.Size(shape).numel()))
        for name, shape in shapes.items()
    }
    folder.mkdir()
    write_shards(tensors, folder, max_shard_size="4GB", advance=lambda _: None)
    config.architectures = ["LlavaNextForConditionalGeneration"]
    config.save_pretrained(folder)
    write_processor(folder)
    return sum(tensor.size for tensor in tensors.values())


def bytes_of(config: LlavaNextConfig) -> int:
    """Bytes of a model's weights in bf16."""
    shapes = own_shapes(empty_model(LlavaNextForConditionalGeneration, config))
    return sum(2 * torch.Size(shape).numel() for shape in shapes.values())


def write_processor(folder: Path) -> None:
    """A processor of the published kind over a vocabulary of special tokens alone."""
    words = {word: index for index, word in enumerate(("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"))}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({**words, "<image>": IMAGE}, unk_token="<unk>")),
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="</s>",
    )
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 384},
        crop_size=384,
        image_grid_pinpoints=[list(size) for size in generate_pinpoints(12, 384)],
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    LlavaNextProcessor(images, tokenizer, patch_size=16, vision_feature_select_strategy="full").save_pretrained(folder)


def measure(way: str, source: Path, out: Path) -> Run:
    """Run one way of making `out` from `source`, and remove it again."""
    for path in source.iterdir():
        read_through(path)
    os.sync()
    imports, work = WAYS[way]
    core = str(max(os.sched_getaffinity(0)))
    command = [
        "taskset",
        "-c",
        core,
        sys.executable,
        "-c",
        CHILD.format(imports=imports, work=work),
        str(source),
        str(out),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        private = 0
        while process.poll() is None:
            private = max(private, anonymous_memory(process.pid))
            time.sleep(TICK)
        output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{way} ended with exit code {process.returncode}")
    shutil.rmtree(out)
    seconds, cpu, resident = output.splitlines()[-1].split()  # imports may have printed before
    print(f"{way}: {float(seconds):.1f} s, {float(cpu):.2f} s of CPU", file=sys.stderr, flush=True)
    return Run(float(seconds), float(cpu), private / 1e9, int(resident) * 1024 / 1e9)


def anonymous_memory(process: int) -> int:
    """Bytes of memory that belong to a process alone; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0)


def read_through(path: Path) -> None:
    """Bring a file into the disk cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(2**24):
            pass


def take_turns(source: Path, out: Path, pairs: int) -> dict[str, list[Run]]:
    """Import and copy in turn, first one first and then the other, and load and save once."""
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for way in (COPY, IMPORT):
        measure(way, source, out)
    for pair in range(pairs):
        for way in (IMPORT, COPY) if pair % 2 else (COPY, IMPORT):
            runs[way].append(measure(way, source, out))
    runs[LOAD_AND_SAVE].append(measure(LOAD_AND_SAVE, source, out))
    return runs


def main() -> None:
    """Print what every way takes, and what it is of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gigabytes", type=float, default=8.0, help="of weights (%(default)s); twice that on the disk"
    )
    parser.add_argument("--width", type=int, default=4096, help="of the decoder; less than the model's for a trial")
    parser.add_argument("--pairs", type=int, default=3, help="imports and copies (%(default)s)")
    parser.add_argument("--folder", help="where the checkpoints are written: a local disk")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = Path(folder, "source")
        size = make_checkpoint(source, arguments.gigabytes, arguments.width)
        shard = max(path.stat().st_size for path in source.iterdir())
        runs = take_turns(source, Path(folder, "out"), arguments.pairs)
    report(size / 1e9, shard / 1e9, runs)


def report(size: float, shard: float, runs: dict[str, list[Run]]) -> None:
    """Print the table, the ratios wanted, and the line for programs; `size` and `shard` are in GB."""
    print(f"{size:.2f} GB of weights, largest shard {shard:.2f} GB")
    print(f"{'':<34}{'seconds':>9}{'CPU s':>8}{'private GB':>12}{'resident GB':>13}  every run, s")
    median = {way: Run(*map(statistics.median, zip(*each, strict=True))) for way, each in runs.items()}
    for way, run in median.items():
        memory = f"{'':>25}" if way == COPY else f"{run.private:>12.2f}{run.resident:>13.2f}"
        each = ", ".join(f"{one.seconds:.1f}" for one in runs[way])
        print(f"{way:<34}{run.seconds:>9.1f}{run.cpu:>8.2f}{memory}  {each}")
    ours, copied, naive = median[IMPORT], median[COPY], median[LOAD_AND_SAVE]
    print(f"time {ours.seconds / copied.seconds:.2f} of cp -r (wanted: at most 1.3)")
    print(f"CPU {ours.cpu / copied.cpu:.2f} of cp -r (wanted: at most 1.1)")
    print(f"resident {ours.resident:.2f} GB (wanted: at most the largest shard + 1.07)")
    figures = {
        "conversion_time": (ours.seconds, copied.seconds, "s"),
        "conversion_cpu": (ours.cpu, copied.cpu, "s of CPU"),
        "conversion_time_naive": (ours.seconds, naive.seconds, "s"),
        "conversion_memory": (ours.private, naive.private, "GB private"),
        "conversion_resident": (ours.resident, naive.resident, "GB resident"),
    }
    print(
        json.dumps(
            {
                name: {"ours": own, "stock": stock, "ratio": own / stock, "unit": unit}
                for name, (own, stock, unit) in figures.items()
            }
        )
    )


if __name__ == "__main__":
    main()
