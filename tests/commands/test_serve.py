"""`amalia-vl serve` as a process of its own, and `ask --endpoint`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from huggingface_hub.utils import httpx

from amalia_vl_hf import cli
from tests.serving.test_server import CHATS, LENGTH, expected, picture
from tests.serving.tiny import served_parts


@pytest.fixture(scope="module")
def parts():
    return served_parts()


@pytest.fixture(scope="module")
def saved(parts, tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    for part in parts:
        part.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def serving(saved):
    """The process, and its address, which it says itself."""
    command = [
        sys.executable,
        "-m",
        "amalia_vl_hf.cli",
        "serve",
        str(saved),
        "--engine",
        "transformers",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    with process:
        line = process.stdout.readline()
        yield process, re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        process.kill()


def test_ask_asks_a_server_and_draws_no_box_that_is_not_there(parts, saved, serving, tmp_path, capsys):
    _, address = serving
    picture(64, 64).save(tmp_path / "a.png")
    words = ["ask", str(tmp_path / "a.png"), "que cor tem?", "--endpoint", address, "--max-new-tokens", str(LENGTH)]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"{expected(parts, CHATS[0])[0]}\n"
    assert cli.main([*words, "--boxes", str(tmp_path / "boxes.png")]) == 2
    assert "the answer names no box" in capsys.readouterr().err
    assert not (tmp_path / "boxes.png").exists()


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(capsys):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        assert cli.main(["serve", "organisation/name", "--engine", "transformers", "--port", str(port)]) == 2
    assert re.search(rf"cannot listen on 127\.0\.0\.1:{port} .*name another one with --port", capsys.readouterr().err)


def test_sigterm_ends_it_after_the_request_in_flight(serving):
    process, address = serving
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    body = {"messages": CHATS[0], "max_tokens": 300, "temperature": 0, "stream": True}
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert chunks[-1]["usage"]["completion_tokens"] == 300
    assert process.wait(30) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/health")
