"""A strict server of language models on loopback, with everything that goes wrong with one.

An answer says by whom and how it was made: JSON of the request's body, but for the messages, of which it has the last.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
OPTIONAL = {"chat_template_kwargs": dict, "top_k": int, "response_format": dict, "repetition_penalty": float}
LANGUAGES = {"source_lang_code", "target_lang_code"}  # of a text part, where the model is TranslateGemma
LONG = 2**16  # bytes of a body that is kept by its digest
GREETING = "Olá"  # what the client asks to see whether anybody is answered; counted apart
ANSWER = object()  # to a fault's question what to say: the right answer


@contextlib.contextmanager
def silent_address() -> Iterator[str]:
    """Give an address where whoever connects hears nothing: its queue is full."""
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


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


Script = Callable[[Any, int], Fault | None]  # the last message's content, how often it was asked before -> what to say


def completion(
    text: Any, finish_reason: str = "stop", tokens: tuple[int, int] = (1, 1), **message: Any
) -> dict[str, Any]:
    """Make a body as OpenAI's chat completions have it; `message` is said beside the content: reasoning."""
    message = {"role": "assistant", "content": text, **message}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
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
        keep_bodies: Whether `bodies` has what was asked, pictures included.
    """

    def __init__(
        self,
        models: tuple[str, ...] = ("amalia",),
        script: Script | None = None,
        key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_bodies: bool = False,
    ) -> None:
        self.models = models
        self.script = script or (lambda _text, _count: None)
        self.key = key
        self.asked: Counter[str] = Counter()  # by body, or a long one's digest, whatever was said
        self.paths: Counter[str] = Counter()
        self.greetings = 0
        self.posts = 0  # whatever was asked, and whatever was said
        self.tokens = [0, 0]  # of prompts and completions, as the server counts them
        self.keep_bodies = keep_bodies
        self.bodies: list[dict[str, Any]] = []  # where they are kept, in the order they came
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
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # whoever asked was stopped on the way
                    return
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
        said = self._say(raw, authorization)
        usage = said.body.get("usage", {}) if isinstance(said.body, dict) and said.status == 200 else {}
        with self.lock:
            self.posts += 1
            self.tokens[0] += usage.get("prompt_tokens", 0)
            self.tokens[1] += usage.get("completion_tokens", 0)
        return said

    def _say(self, raw: bytes, authorization: str | None) -> Fault:
        if self.key and authorization != f"Bearer {self.key}":
            return Fault(401, error(f"Incorrect API key provided: {authorization}"))
        body = json.loads(raw)
        if problem := self.problem(body):
            return problem
        text = body["messages"][-1]["content"]
        with self.lock:
            if self.keep_bodies:
                self.bodies.append(body)
            name = raw.decode() if len(raw) < LONG else hashlib.sha256(raw).hexdigest()
            before = self.asked[name]
            if text == GREETING:
                self.greetings += 1
            else:
                self.asked[name] += 1
        said = self.script(text, before) or Fault()
        if said.body is not ANSWER:
            return said
        how = {name: value for name, value in body.items() if name != "messages"}
        return said._replace(body=completion(json.dumps({**how, "text": text}, ensure_ascii=False)))

    def problem(self, body: dict[str, Any]) -> Fault | None:
        """Find what is wrong with a body."""
        if missing := FIELDS.keys() - body.keys():
            return Fault(400, error(f"missing: {', '.join(sorted(missing))}"))
        if unknown := body.keys() - FIELDS.keys() - OPTIONAL.keys():
            return Fault(400, error(f"unknown: {', '.join(sorted(unknown))}"))
        kinds = {**FIELDS, **{name: kind for name, kind in OPTIONAL.items() if name in body}}
        if wrong := [name for name, kind in kinds.items() if type(body[name]) is not kind]:
            return Fault(400, error(f"of another type: {', '.join(wrong)}"))
        if body["model"] not in self.models:
            return Fault(404, error(f"The model `{body['model']}` does not exist"))
        if any(message.keys() != {"role", "content"} for message in body["messages"]) or not body["messages"]:
            return Fault(400, error("messages have role and content"))
        contents = [message["content"] for message in body["messages"]]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        if any(part.get("type") not in ("text", "image_url") or len(part.keys() - LANGUAGES) != 2 for part in parts):
            return Fault(400, error("parts are text or image_url"))
        return None


def text_of(content: Any) -> str:
    """Give the text of a message's content."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def pictures_of(body: dict[str, Any]) -> list[bytes]:
    """Give the bytes of the pictures that a request shows within it."""
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    urls = [part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(",")[2]) for url in urls if url.startswith("data:image/")]


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
