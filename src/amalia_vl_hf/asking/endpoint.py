"""A language model behind an OpenAI-compatible server, asked one question at a time until there is an answer.

What fails is told apart: a try (ask again), a request (go on without its answer), or the server (end the run).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NoReturn, Protocol

# The HTTP client that huggingface_hub itself stands on.
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from .pictures import Locate, UnreadablePictureError, has_pictures, write_body
from .replies import Reply, Usage, parse, read_reply, read_usage
from .roles import Endpoint

__all__ = ["CallMeter", "Client", "Endpoint", "EndpointError", "Reply"]

TRIES = 6  # that a request is given for failures that may be its own
PAUSES = (0.5, 30.0)  # s, before the second try and at most; doubled each time
LONGEST_WAIT = 60.0  # s, however long a server asks to wait
CONNECT, TIMEOUT = 9.0, 300.0  # s, for a connection and for a whole answer
PATIENCE = 120.0  # s a server may be away, or answer nobody, before the run ends
AT_FIRST = 8.0  # s in which nobody listens at an address that has never answered: it is wrong, or nothing runs there
LARGEST = 2**24  # bytes of an answer
BAD_REQUEST = (400, 413, 422)  # what is asked is wrong, not how or whom
LATER = (408, 409, 425, 429)  # and every 5xx: another try may do
BUSY = (429, 503)  # say nothing about the request, so they cost it no try
SHOWN = 300  # characters of what a server says
GREETING = [{"role": "user", "content": "Olá"}]  # a question that every model can answer
WRITERS = 2  # bodies with pictures that are written at once: each takes several times its size meanwhile


class CallMeter(Protocol):
    """Whoever counts what is sent, and what comes back."""

    def sent(self, name: str) -> None:
        """Count one try of the request of that name; it is on its way now."""

    def heard(self, name: str, usage: Usage, seconds: float) -> None:
        """Count the tokens of an answer to it, whether or not that can be used."""


class EndpointError(OSError):
    """The server does not answer, or answers nobody: the run ends, and what it has got is kept."""


class _FailedTryError(Exception):
    """A try that came to nothing, though another may not.

    Args:
        reason: What went wrong.
        busy: The server was not there for it, so it says nothing about the request.
        wait: Seconds after which the server wants to be asked again.
        absent: Since when nobody listens at the address: when the try began.
    """

    def __init__(
        self, reason: str, busy: bool = False, wait: float | None = None, absent: float | None = None
    ) -> None:
        super().__init__(reason)
        self.busy = busy or absent is not None
        self.wait = wait
        self.absent = absent


class _RefusedRequestError(Exception):
    """The server will not answer this request, however often it is asked."""


class Client:
    """Asks an endpoint, within one event loop.

    Args:
        endpoint: What is asked.
        locate: Gives the files of pictures that messages name by their ids.
        meter: Who counts.
    """

    def __init__(self, endpoint: Endpoint, locate: Locate | None = None, meter: CallMeter | None = None) -> None:
        self.endpoint = endpoint
        self.locate = locate
        self.meter = meter
        self.key = endpoint.secret()
        self.timeout = endpoint.timeout or TIMEOUT
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=httpx.Timeout(self.timeout, connect=CONNECT),
            limits=httpx.Limits(max_connections=None),  # whoever asks keeps to `parallel`
            verify=_certificates(),
        )
        self.writing = asyncio.Semaphore(WRITERS)
        self.answered_at = -math.inf
        self.away_since = math.inf
        self.proving = asyncio.Lock()
        self.ended = False

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def ask(self, payload: Mapping[str, Any], name: str = "") -> Reply:
        """Ask until there is an answer, or a reason why there is none.

        Args:
            payload: The request's body: messages, model and sampling.
            name: Of the request, for the meter.

        Raises:
            EndpointError: The server is the reason. Only the first to see it raises; the others wait to be cancelled.
        """
        failures = tries = 0
        while failures < TRIES:
            try:
                return await self._try(payload, name)
            except UnreadablePictureError as error:
                return Reply(None, self._clean(str(error)))
            except _RefusedRequestError as refusal:
                if self.answered_at == -math.inf:
                    await self._prove(payload, -math.inf, name)
                return Reply(None, f"refused with {refusal}")
            except _FailedTryError as failure:
                failures, tries, last = failures + (not failure.busy), tries + 1, failure
                if failures < TRIES:
                    await self._pause(failure, tries)
        await self._prove(payload, time.monotonic(), name)
        return Reply(None, f"no answer after {tries} tries, the last: {last}")

    async def _try(self, payload: Mapping[str, Any], name: str) -> Reply:
        content = await self._write(payload)
        if self.meter:
            self.meter.sent(name)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                status, headers, body = await self._send("POST", "/chat/completions", content)
        except TimeoutError:
            raise _FailedTryError(f"no whole answer within {self.timeout:g} s") from None
        except httpx.RequestError as error:
            absent = begun if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else None
            said = f"within {CONNECT:g} s" if isinstance(error, httpx.ConnectTimeout) else error
            raise _FailedTryError(self._clean(f"{type(error).__name__}: {said}"), absent=absent) from error
        del content  # a picture, perhaps
        if status == 200:
            reply = self._read(body, name, time.monotonic() - begun)
            self.answered_at, self.away_since = time.monotonic(), math.inf
            return reply
        answer = f"{status}: {self._excerpt(body)}"
        if status in BAD_REQUEST:
            self.away_since = math.inf  # it is there, after all
            raise _RefusedRequestError(answer)
        if status in LATER or status >= 500:
            raise _FailedTryError(answer, busy=status in BUSY, wait=_seconds(headers.get("Retry-After", "")))
        await self._end(f"answers {answer}; {await self._advice()}")

    async def _write(self, payload: Mapping[str, Any]) -> bytes:
        """Write the body; with pictures in a thread of its own, few at a time."""
        if not has_pictures(payload):
            return write_body(payload, self.endpoint.images, None)
        async with self.writing:
            return await asyncio.to_thread(write_body, payload, self.endpoint.images, self.locate)

    def _read(self, body: bytes, name: str, seconds: float) -> Reply:
        try:
            said = parse(body)
            if self.meter:
                self.meter.heard(name, read_usage(said), seconds)
            return read_reply(said, self.endpoint.thinking)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _FailedTryError(f"an answer of another form: {type(error).__name__}: {error}"[:SHOWN]) from error

    async def _send(
        self, method: str, path: str, content: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Exchange one message with the server: status, headers and body."""
        kind = {"Content-Type": "application/json"} if content is not None else {}
        async with self.http.stream(method, self.endpoint.base + path, content=content, headers=kind) as response:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise _FailedTryError(f"an answer of more than {LARGEST} bytes")
            return response.status_code, response.headers, bytes(body)

    async def _pause(self, failure: _FailedTryError, tries: int) -> None:
        """Wait before the next try, or end the run where the server has been away for too long."""
        if failure.busy:
            self.away_since = min(self.away_since, time.monotonic() if failure.absent is None else failure.absent)
            if self._never_there(failure) and time.monotonic() - self.away_since > AT_FIRST:
                await self._end(f"is not there: {failure}; is the server running, and is that its address?")
            if time.monotonic() - self.away_since > PATIENCE:
                await self._end(f"has answered nobody for {PATIENCE:g} s; last {failure}")
        first, longest = PAUSES
        longest = min(longest, 1.0) if self._never_there(failure) else longest
        # Of different lengths, or requests that were turned away together would come back together.
        pause = min(first * 2 ** min(tries - 1, 30), longest) * random.uniform(0.5, 1)  # noqa: S311
        await asyncio.sleep(pause if failure.wait is None else min(failure.wait, LONGEST_WAIT))

    def _never_there(self, failure: _FailedTryError) -> bool:
        return failure.absent is not None and self.answered_at == -math.inf

    async def _prove(self, payload: Mapping[str, Any], since: float, name: str) -> None:
        """Find out whether the server still answers anybody, or end the run: it is not the request's fault then.

        Args:
            payload: What got no answer; the same is asked with other messages.
            since: Time of this process after which an answer to another request is proof enough.
            name: Of the request that wants to know.
        """
        async with self.proving:
            begun, tries = time.monotonic(), 0
            while self.answered_at <= since:
                try:
                    await self._try({**payload, "messages": GREETING, "max_tokens": 16}, name)
                except _RefusedRequestError as refusal:
                    await self._end(f"refuses any request with {refusal}; {await self._advice()}")
                except _FailedTryError as failure:
                    if time.monotonic() - begun > PATIENCE:
                        await self._end(f"has answered nobody for {PATIENCE:g} s, not even a greeting; last {failure}")
                    tries += 1
                    await self._pause(failure, tries)

    async def _end(self, reason: str) -> NoReturn:
        """End the run; whoever comes second waits to be cancelled, or each would report an error of its own."""
        if self.ended:
            await asyncio.Event().wait()
        self.ended = True
        raise EndpointError(f"{self.endpoint.base} {reason}. The answers so far are kept; the same call goes on.")

    async def _advice(self) -> str:
        """Say what to check when the server wants none of what it is asked."""
        key = f"{self.endpoint.key or 'the key'}, which {'is set' if self.key else 'is not set'}"
        return f"check the address, the model {self.endpoint.model}, and {key}; {await self._listing()}"

    async def _listing(self) -> str:
        """Say which models the server has."""
        try:
            async with asyncio.timeout(CONNECT):
                status, _, body = await self._send("GET", "/models")
            names = [str(model["id"]) for model in json.loads(body)["data"]]
        except (httpx.RequestError, TimeoutError, _FailedTryError):
            return "/models does not answer"
        except (ValueError, LookupError, TypeError, RecursionError):
            return f"/models gives {status}"
        return f"the server lists {self._clean(', '.join(names[:20]))}"

    def _excerpt(self, body: bytes) -> str:
        """Give the beginning of what a server said, its error message where there is one."""
        text = body.decode(errors="replace")
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            text = str(json.loads(text)["error"]["message"])
        return self._clean(text)

    def _clean(self, text: str) -> str:
        """Make a stranger's text a line that commands no terminal and does not hold the key."""
        if self.key:
            text = text.replace(self.key, "***")
        return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:SHOWN]


@lru_cache(maxsize=1)
def _certificates() -> Any:
    """Load whom to trust once, not once a shard: it takes 0.1 s."""
    return httpx.create_ssl_context()


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
