"""vLLM's server, a process of its own in the environment that `make test-vllm` makes, and what it counts."""

import os
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.utils import httpx

from tests.serving.tiny import NAME, listening

START = 300  # seconds that it may take, most of them imports
SETTINGS = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
# By what each is served: vLLM's own LLaVA-NeXT imports torchvision, which none of our environments has.
KINDS = {"ours": (), "export": ("--model-impl", "transformers")}


@contextmanager
def vllm_server(directory, *options):
    """Serve a checkpoint with the options of `vllm serve`; its address and its process."""
    listener, address = listening()
    listener.close()
    command = [
        *(str(Path(os.environ["VLLM"]) / "bin" / "vllm"), "serve", str(directory), "--served-model-name", NAME),
        *("--port", address.rpartition(":")[2], "--enforce-eager", "--max-model-len", "2048", *options),
    ]
    environment = {**os.environ, **SETTINGS}
    with subprocess.Popen(command, stdout=2, env=environment) as process:
        try:
            end = time.monotonic() + START
            while not is_up(address):
                assert process.poll() is None, "vLLM ended"
                assert time.monotonic() < end, f"vLLM did not start in {START} s"
                time.sleep(1)
            yield address, process
        finally:
            process.terminate()


def is_up(address):
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def counts(address):
    """Read its own counts: `prefix_cache_hits`, in tokens, and `mm_cache_hits`, in images, among them."""
    lines = httpx.get(f"{address}/metrics").text
    found = re.findall(r"^vllm:(\w+)_total\{[^}]*\} (\S+)$", lines, re.MULTILINE)
    return {name: float(value) for name, value in found}
