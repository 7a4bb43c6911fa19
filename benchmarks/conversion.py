"""Importing a large checkpoint against `cp -r` of it, and against loading and saving: wall time and peak memory.

The checkpoint is made: the 9.6 B model's tensors, in as many decoder layers as its size allows, bf16, in 4 GB shards.
Each way runs in a process of its own, over files that were read before, after earlier writes have reached the disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
from amalia_vl_hf.conversion.shards import NewTensor, write_shards
from amalia_vl_hf.modeling.configuration_amalia_vl import AMALIA_9B, SIGLIP2_SO400M_PATCH16_384
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints

IMAGE = 128000
NOISE = torch.randint(-(2**15), 2**15, (2**19,), dtype=torch.int16)  # 1 MiB of bits that no disk compresses
IMPORT, LOAD_AND_SAVE, COPY, COPY_AND_SYNC = (
    "ours: import_checkpoint",
    "from_pretrained + save_pretrained",
    "cp -r",
    "cp -r, then sync",
)
# Imports, which are not timed, and the work.
WAYS = {
    COPY: ("import subprocess", 'subprocess.run(["cp", "-r", *sys.argv[1:]], check=True)'),
    IMPORT: (
        "from amalia_vl_hf.conversion.llava_next import import_checkpoint",
        "import_checkpoint(*sys.argv[1:])",
    ),
    COPY_AND_SYNC: (
        "import subprocess",
        'subprocess.run(["cp", "-r", *sys.argv[1:]], check=True)\n'
        'subprocess.run(["sync", "-f", sys.argv[2]], check=True)',
    ),
    LOAD_AND_SAVE: (
        "from amalia_vl_hf import AmaliaVLForConditionalGeneration as Model, AmaliaVLProcessor as Processor",
        'Model.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2], max_shard_size="4GB")\n'
        "Processor.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])",
    ),
}
# The process reports its own peak: the one that its parent is told would count the parent's memory too.
CHILD = """
import sys, time
{imports}
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
print(seconds, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


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
        rename(STOCK_RULES, name): NewTensor("BF16", shape, lambda shape=shape: noise(torch.Size(shape).numel()))
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


def measure(way: str, source: Path, out: Path) -> tuple[float, float]:
    """Run one way: seconds without its imports, and peak resident memory of its process in GB."""
    os.sync()
    imports, work = WAYS[way]
    code = CHILD.format(imports=imports, work=work)
    command = [sys.executable, "-c", code, str(source), str(out)]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    shutil.rmtree(out)
    seconds, peak = said.split()
    return float(seconds), int(peak) * 1024 / 1e9


def main() -> None:
    """Print what every way takes, and two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=8.0, help="GB of weights (%(default)s)")
    parser.add_argument("--width", type=int, default=4096, help="of the decoder; less than the model's for a trial")
    parser.add_argument("--folder", help="where the checkpoints are written: a local disk with room for two of them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = Path(folder, "source")
        size = make_checkpoint(source, arguments.size, arguments.width)
        for path in source.iterdir():
            path.read_bytes() if path.stat().st_size < 2**20 else read_through(path)
        found = {way: measure(way, source, Path(folder, "out")) for way in WAYS}
    print(f"{size / 1e9:.2f} GB of weights\n{'':<36}{'seconds':>9}{'peak GB':>9}")
    for way, (seconds, memory) in found.items():
        print(f"{way:<36}{seconds:>9.1f}{'' if way.startswith('cp') else f'{memory:.2f}':>9}")
    ours, copied, naive = found[IMPORT], found[COPY], found[LOAD_AND_SAVE]
    print(f"time {ours[0] / copied[0]:.2f} of cp -r (wanted: at most 2)")
    print(f"peak {ours[1]:.2f} GB (wanted: at most the largest shard + 1.07)")
    figures = {
        "conversion_time": {"ours": ours[0], "stock": copied[0], "ratio": ours[0] / copied[0], "unit": "s"},
        "conversion_memory": {"ours": ours[1], "stock": naive[1], "ratio": ours[1] / naive[1], "unit": "GB"},
        "conversion_time_naive": {"ours": ours[0], "stock": naive[0], "ratio": ours[0] / naive[0], "unit": "s"},
    }
    print(json.dumps(figures))


def read_through(path: Path) -> None:
    """Bring a file into the disk cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(2**24):
            pass


if __name__ == "__main__":
    main()
