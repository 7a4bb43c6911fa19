"""Streamed answers that are, joined, the text of all their tokens decoded at once, whatever the model writes.

transformers' own streamer ends a stream with an error at bytes that are no text, and swallows a character that is cut
off at the end.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from typing import Any

from transformers.cli.serving.utils import GenerateManager, GenerationState, _StreamError

BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # a token of a decoder with byte fallback
UNREADABLE = "\ufffd"  # what decoders write for bytes that are no text, or not yet


class TextStream:
    """Decodes tokens one by one.

    A run of bytes is held back until something else follows: one wrong byte makes all of them unreadable, also
    those that were characters before it came.

    Args:
        tokenizer: A fast tokenizer; what it calls special is not text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._context: list[int] = []  # tokens whose text is out: decoders treat a first token unlike the others
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """Take a token, and give what can be read now."""
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None or token in self._special:
            return ""
        self._held.append(token)
        return "" if BYTE.fullmatch(piece) else self._release()

    def end(self) -> str:
        """Give what was held back."""
        return self._release(at_end=True)

    def _release(self, at_end: bool = False) -> str:
        text = self._decode([*self._context, *self._held])
        if text.endswith(UNREADABLE) and not at_end:
            return ""
        fresh = text[len(self._decode(self._context)) :]
        self._context, self._held = self._held or self._context, []
        return fresh

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))


class Cancelled(Exception):  # noqa: N818  nothing went wrong
    """The client left."""


class Streamer:
    """What `generate` hands its tokens to.

    Args:
        tokenizer: See `TextStream`.
        send: Takes pieces of text, and None after the last.
    """

    def __init__(self, tokenizer: Any, send: Callable[[Any], None]) -> None:
        self.total_tokens = 0  # of the answer
        self._text, self._send = TextStream(tokenizer), send
        self._answering, self._cancelled = False, threading.Event()

    def put(self, tokens: Any) -> None:
        """Take the prompt, and then token after token.

        Raises:
            Cancelled: Nobody waits for them any more.
        """
        if self._cancelled.is_set():
            raise Cancelled
        if not self._answering:
            self._answering = True
            return
        for token in tokens.tolist():
            self.total_tokens += 1
            if text := self._text.push(token):
                self._send(text)

    def end(self) -> None:
        """Send the rest."""
        if text := self._text.end():
            self._send(text)
        self._send(None)

    def cancel(self) -> None:
        """Stop `generate` at its next token."""
        self._cancelled.set()


class Manager(GenerateManager):
    """Generates on one thread, a request after the other."""

    def generate_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, request_id: str, response_parser: Any = None
    ) -> tuple[asyncio.Queue[Any], Any]:
        """Begin to answer; see transformers' own. Templates that tell reasoning from answers are left to it."""
        if response_parser is not None:
            answer: tuple[asyncio.Queue[Any], Any] = super().generate_streaming(
                model, processor, inputs, gen_config, request_id, response_parser
            )
            return answer
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Any]()

        def send(item: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, item)

        streamer = Streamer(processor.tokenizer, send)

        def answer_all() -> None:
            try:
                model.generate(**inputs, streamer=streamer, generation_config=gen_config, tokenizer=processor)
            except Cancelled:
                send(None)
            except Exception as error:  # the stream has begun: it can only be said in it, inside a JSON string
                send(_StreamError(json.dumps(str(error))[1:-1]))

        self.submit(answer_all)
        return queue, streamer


class OneModel(GenerationState):
    """The state of a server with one model, and so one manager."""

    def __init__(self) -> None:
        super().__init__(continuous_batching=False)
        self.manager = Manager()

    def get_manager(self, model_id: str, use_cb: bool = False) -> Manager:
        """Give the only one."""
        return self.manager
