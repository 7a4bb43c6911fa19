"""`amalia-vl serve`: a model behind an OpenAI-compatible server, on vLLM where it is installed."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_command, at_least, require_model
from .failures import UsageError

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = """\
  amalia-vl serve runs/demo/3_prefer
  amalia-vl serve amalia-llm/AMALIA-VL-DPO --engine vllm --port 8001
  amalia-vl ask foto.jpg "O que se vê na imagem?" --endpoint http://127.0.0.1:8000"""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Serve a model to OpenAI-compatible clients, until Ctrl-C."
    parser = add_command(commands, "serve", purpose, EXAMPLES, run)
    parser.add_argument("model", metavar="MODEL", help="directory or Hub id of an amalia_vl or llava_next model")
    parser.add_argument(
        "--engine",
        choices=("auto", "vllm", "transformers"),
        default="auto",
        help="what serves: vLLM where it is installed, else transformers (%(default)s)",
    )
    parser.add_argument(
        "--image-hosts",
        nargs="+",
        default=(),
        metavar="NAME",
        help="hosts of your own network that clients may name images on (transformers; public ones always)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on: this machine alone (%(default)s)")
    parser.add_argument(
        "--port", type=at_least(0, 65535), default=8000, metavar="N", help="port to listen on (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    engine = arguments.engine
    if engine == "auto":
        engine = "transformers" if find_spec("vllm") is None else "vllm"
    if engine == "vllm" and find_spec("vllm") is None:
        raise UsageError("vLLM is not installed here; leave --engine out, or see docs/serve.md")
    with listen(arguments.host, arguments.port) as listener:
        require_model(arguments.model)
        if engine == "vllm":
            listener.close()  # it listens itself; that the port is free has been seen
            print(_welcome(engine, arguments.model, arguments.host, arguments.port), flush=True)
            where = ["--host", arguments.host, "--port", str(arguments.port)]
            command = str(Path(sys.executable).with_name("vllm"))  # of this environment, activated or not
            os.execv(command, [command, "serve", arguments.model, *where])  # noqa: S606  becomes vLLM's server
        from ..serving.loading import load_model
        from ..serving.server import build_app, run_server

        app = build_app(arguments.model, *load_model(arguments.model), tuple(arguments.image_hosts))
        print(_welcome(engine, arguments.model, arguments.host, listener.getsockname()[1]), flush=True)
        run_server(app, listener)


def listen(host: str, port: int) -> socket.socket:
    """Take a port before anything slow is loaded.

    Raises:
        UsageError: It is taken, or no port.
    """
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error}); name another one with --port") from error


def _welcome(engine: str, model: str, host: str, port: int) -> str:
    """Say what is served where, with a command that works."""
    body = {"model": model, "messages": [{"role": "user", "content": "Olá! Quem és?"}], "max_tokens": 64}
    return (
        f"{model} on {engine}, at http://{host}:{port}/v1; try:\n"
        f"  curl http://{host}:{port}/v1/chat/completions -H 'Content-Type: application/json' "
        f"-d '{json.dumps(body, ensure_ascii=False)}'"
    )
