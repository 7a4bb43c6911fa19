"""`amalia-vl chat`: a page in the browser to talk with a model about images."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING

from .arguments import add_command, at_least, require_model
from .failures import UsageError
from .serve import listen

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = """\
  amalia-vl chat --model runs/demo/3_prefer
  amalia-vl chat --endpoint http://127.0.0.1:8000"""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Open a page to talk with a model about images, in European Portuguese."
    parser = add_command(commands, "chat", purpose, EXAMPLES, run)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="directory or Hub id of an amalia_vl or llava_next model, served here")
    source.add_argument("--endpoint", metavar="URL", help="address of a server that has it already")
    parser.add_argument("--name", help="what the endpoint calls the model (the only one that it has)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on: this machine alone (%(default)s)")
    parser.add_argument(
        "--port", type=at_least(0, 65535), default=7860, metavar="N", help="port of the page (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    if arguments.name and not arguments.endpoint:
        raise UsageError("--name is what an endpoint calls its model; with --model leave it out")
    if arguments.model:
        require_model(arguments.model)
    listen(arguments.host, arguments.port).close()  # the page listens itself; that the port is free has been seen
    from ..serving.page import build_page, open_page

    endpoint, image_processor = arguments.endpoint, None
    if arguments.model:
        from ..serving.loading import load_model
        from ..serving.server import build_app, run_server

        model, processor = load_model(arguments.model)
        listener, image_processor = listen("127.0.0.1", 0), processor.image_processor
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = build_app(arguments.model, model, processor)
        threading.Thread(target=run_server, args=(app, listener), daemon=True).start()
    page = build_page(endpoint, arguments.name, image_processor)
    print(f"http://{arguments.host}:{arguments.port}", flush=True)
    open_page(page, arguments.host, arguments.port)
