"""An OpenAI-compatible server on transformers' own request handling, for one model.

Taken from transformers: generation on one thread, the protocol's replies. Ours: how text is streamed (`streaming`),
and what a client may send. Local paths are refused, addresses go through the guarded loader, faults of a request are
400 with their reason, and nobody can make the server load or unload models.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.utils import Modality
from transformers.utils import logging as transformers_logging

from .messages import Message, read_messages
from .streaming import OneModel

GRACE = 30  # seconds that requests in flight are given to end after SIGTERM
BODY_LIMIT = 64 * 2**20  # bytes of a request; a data: URI takes 4/3 of its image
# What a client may set: its type, smallest and largest value. Everything else of the protocol is refused by name.
NUMBERS: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0.0, 100.0),
    "top_p": (float, 0.0, 1.0),
    "seed": (int, -(2**63), 2**63 - 1),
    "frequency_penalty": (float, -0.99, 100.0),
    "max_tokens": (int, 1, float("inf")),
    "max_completion_tokens": (int, 1, float("inf")),
}
TEMPLATE_OPTIONS = ("max_tiles",)  # of `chat_template_kwargs`
# Sent by clients as their own default; a value that asks for nothing is no request for what is not there.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False, None),
    "presence_penalty": (0, None),
    "response_format": ({"type": "text"}, None),
    "tools": ([], None),
    "logit_bias": ({}, None),
}
TAKEN = {"messages", "model", "stream", "stop", "chat_template_kwargs", "user", "stream_options", *NUMBERS}


class ChatHandler(ChatCompletionHandler):
    """Answers `/v1/chat/completions` with one model that is there already.

    Args:
        name: What clients call the model.
        model: It.
        processor: Its processor.
        hosts: Names that images may come from though they are not on the public internet.
    """

    def __init__(self, name: str, model: Any, processor: Any, hosts: tuple[str, ...] = ()) -> None:
        super().__init__(model_manager=self, generation_state=OneModel())
        self.name, self.model, self.processor, self.hosts = name, model, processor, hosts
        self.longest = model.config.get_text_config().max_position_embeddings

    async def handle_request(self, body: dict[str, Any], request_id: str) -> Response:
        """Answer, or say what is wrong with the request.

        Raises:
            HTTPException: 400 with the reason.
        """
        try:
            check_request(body, self.name, self.longest)
            loaded = await asyncio.to_thread(read_messages, body["messages"], self.hosts)
            options = {key: value for key, value in body.items() if key in TAKEN and value is not None}
            reply: Response = await super().handle_request({**options, "messages": loaded}, request_id)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return reply

    def _resolve_model(self, body: dict[str, Any]) -> tuple[str, Any, Any]:
        return self.name, self.model, self.processor

    def get_model_modality(self, model: Any, processor: Any) -> Modality:
        """Say that it sees images: transformers knows only its own models."""
        return Modality.VLM

    @staticmethod
    def get_processor_inputs_from_messages(messages: list[Message], modality: Modality) -> list[Message]:
        """Give the messages as they are: `read_messages` has read them."""
        return messages


def check_request(body: dict[str, Any], name: str, longest: int) -> None:
    """Hold everything but the messages to the protocol.

    Args:
        body: The request.
        name: What the model is called here.
        longest: Tokens that it can have in its context.

    Raises:
        ValueError: A field is not taken, or has a value that it cannot have.
    """
    if body.get("model", name) != name:
        raise ValueError(f"this server has {name!r}, not {body['model']!r}")
    for field, value in body.items():
        if field in HARMLESS and value in HARMLESS[field]:
            continue
        if field not in TAKEN:
            raise ValueError(f"{field} is not taken here; what can be set is {', '.join(sorted(TAKEN))}")
        if field in NUMBERS and value is not None:
            _check_number(field, value, longest)
    stop = body.get("stop")
    if stop is not None and not (isinstance(stop, str) or _are_texts(stop)):
        raise ValueError("stop must be a text or a list of texts")
    options = body.get("chat_template_kwargs") or {}
    if not isinstance(options, dict) or set(options) - set(TEMPLATE_OPTIONS):
        raise ValueError(f"chat_template_kwargs takes {', '.join(TEMPLATE_OPTIONS)}, not {options!r:.200}")
    if body.get("messages") is None:
        raise ValueError("messages are missing")


def _check_number(field: str, value: Any, longest: int) -> None:
    kind, low, high = NUMBERS[field]
    high = min(high, longest) if kind is int and field != "seed" else high
    right = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high:
        raise ValueError(f"{field} must be a number from {low:g} to {high:g}, not {value!r:.50}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


def build_app(name: str, model: Any, processor: Any, hosts: tuple[str, ...] = ()) -> FastAPI:
    """Build the application: `/v1/chat/completions`, `/v1/models`, `/health`; see `ChatHandler`."""
    app, handler = FastAPI(title="AMALIA-VL"), ChatHandler(name, model, processor, hosts)

    @app.middleware("http")
    async def limit_body(request: Request, call_next: Any) -> Response:
        length = request.headers.get("content-length", "")
        if request.method == "POST" and not (length.isdigit() and int(length) <= BODY_LIMIT):
            return problem(413, f"a request has a content-length of at most {BODY_LIMIT} bytes")
        reply: Response = await call_next(request)
        return reply

    @app.exception_handler(HTTPException)
    async def say_http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def say_invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(400, "the body must be a JSON object")

    @app.exception_handler(RecursionError)
    async def say_deep(_: Request, error: RecursionError) -> Response:
        return problem(400, "the body is nested too deeply")

    @app.exception_handler(Exception)
    async def say_defect(_: Request, error: Exception) -> Response:
        logging.getLogger(__name__).error("a request failed: %r", error)
        return problem(500, "the server failed; its log says why")

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise HTTPException(400, "the body must be a JSON object")
        return await handler.handle_request(body, f"chatcmpl-{id(request):x}")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "amalia-vl-hf", "created": 0}]}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def problem(status: int, message: str) -> JSONResponse:
    """Say what is wrong as the protocol does."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status_code=status)


def run_server(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight have `GRACE` seconds to end."""
    transformers_logging.set_verbosity_error()  # it would warn of every request
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE)
    uvicorn.Server(config).run(sockets=[listener])
