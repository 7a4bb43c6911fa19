"""The folder of the Hub Space: its card is what the Hub reads, and its page starts."""

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from huggingface_hub import RepoCard, SpaceCardData
from huggingface_hub.utils import httpx

from tests.serving.tiny import served_parts

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "spaces"


def test_the_card_is_what_the_hub_reads():
    card = RepoCard.load(SPACE / "README.md", repo_type="space")
    facts = yaml.safe_load(card.content.split("---")[1])
    assert (facts["sdk"], facts["license"]) == ("gradio", "apache-2.0")
    assert (SPACE / facts["app_file"]).is_file()
    assert len(facts["short_description"]) <= 60  # the Hub refuses longer ones
    assert {facts["colorFrom"], facts["colorTo"]} <= {
        "red",
        "yellow",
        "green",
        "blue",
        "indigo",
        "purple",
        "pink",
        "gray",
    }
    assert SpaceCardData(**facts).to_dict().items() >= facts.items()
    pinned = re.search(r"^gradio==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is None or facts["sdk_version"] == pinned[1]


def test_what_it_installs_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (line,) = (SPACE / "requirements.txt").read_text().splitlines()
    assert re.fullmatch(r"amalia-vl-hf\[(.*)\]", line)[1] in extras


@pytest.mark.slow
def test_its_page_starts(tmp_path):
    pytest.importorskip("gradio")
    for part in served_parts():
        part.save_pretrained(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    settings = {"MODEL": str(tmp_path / "model"), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": port}
    command = [sys.executable, SPACE / "app.py"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE) as process:
        try:
            assert "AMALIA-VL" in first_page(process, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def first_page(process, address, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read()
        try:
            return httpx.get(address, timeout=30).raise_for_status().text
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError("the page did not start")
