"""vLLM's throughput with our type and with its export, the same weights, on the CPU.

    VLLM=FOLDER python -m benchmarks vllm_serving

The environment is the one that `make test-vllm` makes. Both are served by vLLM's transformers backend, and take turns
of `REQUESTS` requests, `AT_ONCE` at a time, about pictures that neither has seen, so that no cache helps. The model is
small, its pictures are cut as AMALIA-VL cuts them: what is compared is what a type costs a request, not a decoder. CPU
seconds are of all the processes of a server.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # the model and the server are the tests' own

import numpy as np
import psutil
from huggingface_hub.utils import httpx
from PIL import Image

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.conversion.llava_next import export_checkpoint
from tests.serving.test_server import image_part, text_part
from tests.serving.tiny import NAME
from tests.serving.vllm_process import KINDS, vllm_server
from tests.tiny import tiny_config, tiny_model, tiny_text_config, tiny_tokenizer, tiny_vision_config

SIZES = {"640 x 400": (640, 400), "1600 x 1000": (1600, 1000)}  # width, height
REQUESTS, AT_ONCE, TURNS, LENGTH = 8, 8, 3, 32
OPTIONS = ("--dtype", "float32", "--max-model-len", "16384", "--max-num-batched-tokens", "8192")


class Turn(NamedTuple):
    """What one turn took, and what came of it."""

    cpu: float
    seconds: float
    prompt_tokens: int
    answers: list[list[int]]


def write_checkpoints(folder: Path) -> None:
    """Write a small model with tiles of AMALIA-VL's size, as our type and exported."""
    images = AmaliaVLImageProcessor(size=384, patch_size=16, max_tiles=12)
    processor = AmaliaVLProcessor(images, tiny_tokenizer())
    text = tiny_text_config(
        vocab_size=len(processor.tokenizer),
        hidden_size=128,
        intermediate_size=256,
        head_dim=64,
        max_position_embeddings=16384,
    )
    vision = tiny_vision_config(image_size=384, patch_size=16)
    for part in (tiny_model(tiny_config(text, vision, image_token_id=processor.image_token_id)), processor):
        part.save_pretrained(folder / "ours")
    export_checkpoint(folder / "ours", folder / "export")


def requests(size: tuple[int, int], turn: int) -> list[dict[str, object]]:
    """Write the requests of a turn, the same for both servers; each is about a picture of its own."""
    rng = np.random.default_rng(turn)
    width, height = size
    bodies = []
    for _ in range(REQUESTS):
        picture = Image.fromarray(rng.integers(0, 256, (height // 20, width // 20, 3), np.uint8)).resize(size)
        chat = [{"role": "user", "content": [image_part(picture), text_part("o que se vê aqui?")]}]
        options = {"max_tokens": LENGTH, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
        bodies.append({"model": NAME, "messages": chat, **options})
    return bodies


def cpu_seconds(server: psutil.Process) -> float:
    """Add up the CPU time of a server's processes."""
    return sum(sum(process.cpu_times()[:2]) for process in [server, *server.children(recursive=True)])


def take_turn(address: str, server: psutil.Process, bodies: list[dict[str, object]]) -> Turn:
    """Send the requests of a turn."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        before, began = cpu_seconds(server), time.monotonic()
        url = f"{address}/v1/chat/completions"
        replies = list(pool.map(lambda body: httpx.post(url, json=body, timeout=600).json(), bodies))
        cpu, seconds = cpu_seconds(server) - before, time.monotonic() - began
    tokens = sum(reply["usage"]["prompt_tokens"] for reply in replies)
    return Turn(cpu, seconds, tokens, [reply["choices"][0]["token_ids"] for reply in replies])


def main() -> None:
    """Measure, and print the table."""
    if "VLLM" not in os.environ:
        print("no environment with vLLM is named (VLLM=FOLDER, which `make test-vllm` makes): nothing measured")
        print(json.dumps({}))
        return
    turns: dict[tuple[str, str], list[Turn]] = {(name, kind): [] for name in SIZES for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_checkpoints(Path(folder))
        servers = {}
        for kind, options in KINDS.items():
            address, process = stack.enter_context(vllm_server(Path(folder) / kind, *OPTIONS, *options))
            servers[kind] = address, psutil.Process(process.pid)
        for name, size in SIZES.items():
            for turn in range(TURNS + 1):  # the first one warms up
                bodies = requests(size, turn)
                for kind in sorted(KINDS, reverse=turn % 2 == 1):
                    turns[name, kind].append(take_turn(*servers[kind], bodies))
    results = {}
    print(f"{'picture':<13}{'type':<8}{'tokens':>7}{'CPU s a request':>17}{'requests/s':>12}{'prompt tokens/s':>17}")
    for name in SIZES:
        cpu = {}
        for kind in KINDS:
            kept = turns[name, kind][1:]
            cpu[kind] = statistics.median(turn.cpu for turn in kept) / REQUESTS
            tokens = kept[0].prompt_tokens / REQUESTS
            rate = REQUESTS / statistics.median(turn.seconds for turn in kept)
            print(f"{name:<13}{kind:<8}{tokens:>7.0f}{cpu[kind]:>17.2f}{rate:>12.2f}{tokens * rate:>17.0f}")
        pairs = zip(turns[name, "ours"], turns[name, "export"], strict=True)
        equal = [
            ours == theirs for one, other in pairs for ours, theirs in zip(one.answers, other.answers, strict=True)
        ]
        print(f"{name}: {sum(equal)} of {len(equal)} answers equal")
        results[f"vllm {name}"] = {
            "ours": round(cpu["ours"], 3),
            "stock": round(cpu["export"], 3),
            "ratio": round(cpu["ours"] / cpu["export"], 3),
            "unit": "CPU s a request",
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
