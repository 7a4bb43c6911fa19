"""A server under load: 500 requests, 16 at once, a tenth of them hostile; every good one must be answered right.

    python -m benchmarks serving

The server is a process of its own with a tiny model, on loopback. What is compared is each answer with `generate`'s,
and the server's memory after the load with its memory after the first requests.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the prompts and the model are the tests' own

import psutil
from huggingface_hub.utils import httpx

from tests.serving.test_server import CHATS, LENGTH, expected
from tests.serving.tiny import served_parts

REQUESTS, AT_ONCE, HOSTILE = 500, 16, 0.1
LIMIT = 900  # seconds, of the whole load


def hostile(rng):
    """Write a request that no server should answer with anything but 400 or 413."""
    part = {"type": "image_url", "image_url": {"url": rng.choice(("/etc/passwd", "http://127.0.0.1:1/", "data:,x"))}}
    body = rng.choice(
        (
            {"messages": [{"role": "user", "content": [part]}]},
            {"messages": [{"role": "nobody", "content": "olá"}]},
            {"messages": CHATS[7], "max_tokens": 10**9},
            {"messages": CHATS[7], "generation_config": "{}"},
            {"messages": None},
        )
    )
    return json.dumps(body).encode() if rng.random() < 0.8 else b"{" * rng.randint(1, 10_000)


def memory(process):
    """Give the bytes that a process has in memory."""
    return psutil.Process(process.pid).memory_info().rss


def main():
    """Load the server, and print how it bore that."""
    model, processor = served_parts()
    answers = [expected((model, processor), chat)[0] for chat in CHATS]
    rng = random.Random(0)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        for part in (model, processor):
            part.save_pretrained(folder)
        command = [
            sys.executable,
            "-m",
            "amalia_vl_hf.cli",
            "serve",
            folder,
            "--engine",
            "transformers",
            "--port",
            "0",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                address = re.search(r"http://[\d.]+:\d+", process.stdout.readline())[0]
                client = httpx.Client(timeout=LIMIT, limits=httpx.Limits(max_connections=AT_ONCE))

                def ask(number, bad):
                    """Say whether a request had the reply that it should have, and what that took in seconds."""
                    began = time.monotonic()
                    if bad is not None:
                        reply = client.post(f"{address}/v1/chat/completions", content=bad)
                        return reply.status_code in (400, 413), time.monotonic() - began
                    chat = number % len(CHATS)
                    body = {"messages": CHATS[chat], "max_tokens": LENGTH, "temperature": 0}
                    reply = client.post(f"{address}/v1/chat/completions", json=body).json()
                    right = reply.get("choices", [{}])[0].get("message", {}).get("content") == answers[chat]
                    return right, time.monotonic() - began

                for number in range(len(CHATS)):
                    assert ask(number, None)[0]
                before, began = memory(process), time.monotonic()
                load = [(number, hostile(rng) if rng.random() < HOSTILE else None) for number in range(REQUESTS)]
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    replies = list(pool.map(lambda request: ask(*request), load))
                seconds, after = time.monotonic() - began, memory(process)
                assert ask(0, None)[0], "no request gets an answer any more"
            finally:
                process.terminate()
    bad = sum(request is not None for _, request in load)
    wrong = sum(not right for right, _ in replies)
    longest = max(seconds for _, seconds in replies)
    print(f"{REQUESTS} requests, {AT_ONCE} at once, {bad} hostile: {wrong} with another reply than they should have")
    print(f"{REQUESTS / seconds:.1f} a second, the longest {longest:.1f} s")
    print(f"memory {before / 1e6:.0f} to {after / 1e6:.0f} MB")
    figures = {"ours": wrong, "stock": None, "ratio": after / before, "unit": "wrong replies; memory after / before"}
    print(json.dumps({"serving_load": figures}))


if __name__ == "__main__":
    main()
