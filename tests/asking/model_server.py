"""A strict server of language models on loopback, with everything that goes wrong with one.

An answer says by whom and how it was made: JSON of the request's body, but for the messages, of which it has the last.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

FIELDS = {
    "model": str,
    "messages": list,
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "seed": int,
}
GREETING = "Olá"  # what the client asks to see whether anybody is answered; counted apart
ANSWER = object()  # to a fault's question what to say: the right answer


class Fault(NamedTuple):
    """What is said instead of an answer.

    Args:
        status: Of HTTP.
        body: Bytes that are sent, or a completion to be sent as JSON.
        headers: Of HTTP, beside the usual.
        cut: Bytes that the length promises and that do not come.
        pause: Seconds before anything is said.
    """

    status: int = 200
    body: Any = ANSWER
    headers: dict[str, str] = {}
    cut: int = 0
    pause: float = 0.0


Script = Callable[[str, int], Fault | None]  # the last message's text, how often it was asked before -> what to say


def completion(text: Any, finish_reason: str = "stop") -> dict[str, Any]:
    """Make a body as OpenAI's chat completions have it."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    } | {"usage": usage}


def error(message: str) -> dict[str, Any]:
    """Make an error as OpenAI gives it."""
    return {"error": {"message": message, "type": "invalid_request_error"}}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), OSError):  # whoever asked may be killed
            super().handle_error(request, client_address)


class ModelServer:
    """Answers `/v1/models` and `/v1/chat/completions`, and nothing else.

    Args:
        models: Their names.
        script: Faults; none by default.
        key: That requests must bring, where there is one.
        host: Where it listens; only 127.0.0.1 is loopback to datatrove.
        port: A free one by default.
    """

    def __init__(
        self,
        models: tuple[str, ...] = ("amalia",),
        script: Script | None = None,
        key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.models = models
        self.script = script or (lambda _text, _count: None)
        self.key = key
        self.asked: Counter[str] = Counter()  # by body, whatever was said
        self.paths: Counter[str] = Counter()
        self.greetings = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.paths[self.path] += 1
                if self.path == "/v1/models":
                    send(self, Fault(body={"object": "list", "data": [{"id": name} for name in server.models]}))
                else:
                    send(self, Fault(404, error(f"no {self.path} here")))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with server.lock:
                    server.paths[self.path] += 1
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                try:
                    said = server.say(self.path, body, self.headers.get("Authorization"))
                    time.sleep(said.pause)
                finally:
                    with server.lock:
                        server.at_once -= 1
                with contextlib.suppress(OSError):  # whoever asked may hang up
                    send(self, said)

        self.http = _Http((host, port), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.http.server_address[0]}:{self.http.server_address[1]}"

    @property
    def requests(self) -> int:
        """Count the requests for completions but for greetings."""
        return self.asked.total()

    def __enter__(self) -> ModelServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def say(self, path: str, raw: bytes, authorization: str | None) -> Fault:
        """Decide what to say to a request."""
        if path != "/v1/chat/completions":
            return Fault(404, error(f"no {path} here"))
        if self.key and authorization != f"Bearer {self.key}":
            return Fault(401, error(f"Incorrect API key provided: {authorization}"))
        body = json.loads(raw)
        if problem := self.problem(body):
            return problem
        text = body["messages"][-1]["content"]
        with self.lock:
            before = self.asked[raw.decode()]
            if text == GREETING:
                self.greetings += 1
            else:
                self.asked[raw.decode()] += 1
        said = self.script(text, before) or Fault()
        if said.body is not ANSWER:
            return said
        how = {name: value for name, value in body.items() if name != "messages"}
        return said._replace(body=completion(json.dumps({**how, "text": text}, ensure_ascii=False)))

    def problem(self, body: dict[str, Any]) -> Fault | None:
        """Find what is wrong with a body."""
        if missing := FIELDS.keys() - body.keys():
            return Fault(400, error(f"missing: {', '.join(sorted(missing))}"))
        if unknown := body.keys() - FIELDS.keys():
            return Fault(400, error(f"unknown: {', '.join(sorted(unknown))}"))
        if wrong := [name for name, kind in FIELDS.items() if type(body[name]) is not kind]:
            return Fault(400, error(f"of another type: {', '.join(wrong)}"))
        if body["model"] not in self.models:
            return Fault(404, error(f"The model `{body['model']}` does not exist"))
        if any(message.keys() != {"role", "content"} for message in body["messages"]) or not body["messages"]:
            return Fault(400, error("messages have role and content"))
        return None


def send(request: BaseHTTPRequestHandler, said: Fault) -> None:
    """Send a reply, or the part of it that is to arrive."""
    body = said.body if isinstance(said.body, bytes) else json.dumps(said.body, ensure_ascii=False).encode()
    request.send_response(said.status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **said.headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body[: len(body) - said.cut])
    if said.cut:
        request.close_connection = True
