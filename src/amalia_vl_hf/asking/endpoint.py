"""A language model behind an OpenAI-compatible server, asked one question at a time until there is an answer.

What fails is told apart: a try (ask again), a request (go on without its answer), or the server (end the run).
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

# The HTTP client that huggingface_hub itself stands on.
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

TRIES = 6  # that a request is given for failures that may be its own
PAUSES = (0.5, 30.0)  # s, before the second try and at most; doubled each time
LONGEST_WAIT = 60.0  # s, however long a server asks to wait
CONNECT, TIMEOUT = 10.0, 300.0  # s, for a connection and for a whole answer
PATIENCE = 120.0  # s a server may be away, or answer nobody, before the run ends
LARGEST = 2**24  # bytes of an answer
BAD_REQUEST = (400, 413, 422)  # what is asked is wrong, not how or whom
LATER = (408, 409, 425, 429)  # and every 5xx: another try may do
BUSY = (429, 503)  # say nothing about the request, so they cost it no try
SHOWN = 300  # characters of what a server says
ENDINGS = {"length": "cut short at the token limit", "content_filter": "held back by the server's content filter"}
GREETING = [{"role": "user", "content": "Olá"}]  # a question that every model can answer


@dataclass(frozen=True)
class Endpoint:
    """A model, and how answers are drawn from it.

    The key, where the server wants one, is read from the environment variable `OPENAI_API_KEY` and kept nowhere.

    Args:
        url: OpenAI-compatible address, with or without its `/v1`.
        model: Its name there.
        temperature: Of the sampling, 0 for the likeliest token.
        top_p: Probability that the tokens drawn from make up.
        max_tokens: Of an answer.
        seed: Of the sampling, where the server has one.
        parallel: Requests at once.
    """

    url: str
    model: str
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    seed: int = 0
    parallel: int = 16

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not self.model:
            raise ValueError(f"{self.url}: no model is named")
        sampling = f"temperature {self.temperature}, top_p {self.top_p}, {self.max_tokens} tokens"
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and self.max_tokens >= 1):
            raise ValueError(f"{sampling}: needed are temperature >= 0, 0 < top_p <= 1 and at least 1 token")
        if self.parallel < 1:
            raise ValueError(f"{self.parallel} requests at once: needed is 1 or more")

    @property
    def base(self) -> str:
        """Give the address that `/chat/completions` follows: one without a version gets `/v1`."""
        url = self.url.rstrip("/")
        return url if re.search(r"/v\d[^/]*(/|$)", urlsplit(url).path) else f"{url}/v1"

    def record(self) -> dict[str, Any]:
        """Give what decides on answers; it is sent with each request, word for word."""
        return {
            "model": self.model,
            "temperature": float(self.temperature),
            "top_p": float(self.top_p),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }


class EndpointError(OSError):
    """The server does not answer, or answers nobody: the run ends, and what it has got is kept."""


class Reply(NamedTuple):
    """What came back for a request.

    Args:
        text: The answer, None where there is none.
        problem: Why there is none.
        words: What the model did say, where that is no whole answer: cut at the token limit, or nothing at all. None
            where it said nothing that is meant for the user.
    """

    text: str | None
    problem: str | None = None
    words: str | None = None


class _FailedTryError(Exception):
    """A try that came to nothing, though another may not.

    Args:
        reason: What went wrong.
        busy: The server was not there for it, so it says nothing about the request.
        wait: Seconds after which the server wants to be asked again.
    """

    def __init__(self, reason: str, busy: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.busy = busy
        self.wait = wait


class _RefusedRequestError(Exception):
    """The server will not answer this request, however often it is asked."""


class Client:
    """Asks an endpoint, within one event loop.

    Args:
        endpoint: What is asked.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.key = _key()
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=httpx.Timeout(TIMEOUT, connect=CONNECT),
            limits=httpx.Limits(max_connections=None),  # whoever asks keeps to `parallel`
        )
        self.answered_at = -math.inf
        self.away_since = math.inf
        self.proving = asyncio.Lock()
        self.ended = False

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def ask(self, payload: Mapping[str, Any]) -> Reply:
        """Ask until there is an answer, or a reason why there is none.

        Args:
            payload: The request's body: messages, model and sampling.

        Raises:
            EndpointError: The server is the reason. Only the first to see it raises; the others wait to be cancelled.
        """
        failures = tries = 0
        while failures < TRIES:
            try:
                return await self._try(payload)
            except _RefusedRequestError as refusal:
                if self.answered_at == -math.inf:
                    await self._prove(payload, -math.inf)
                return Reply(None, f"refused with {refusal}")
            except _FailedTryError as failure:
                failures, tries, last = failures + (not failure.busy), tries + 1, failure
                if failures < TRIES:
                    await self._pause(failure, tries)
        await self._prove(payload, time.monotonic())
        return Reply(None, f"no answer after {tries} tries, the last: {last}")

    async def _try(self, payload: Mapping[str, Any]) -> Reply:
        try:
            async with asyncio.timeout(TIMEOUT):
                status, headers, body = await self._send("POST", "/chat/completions", payload)
        except TimeoutError:
            raise _FailedTryError(f"no whole answer within {TIMEOUT:g} s") from None
        except httpx.RequestError as error:
            absent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise _FailedTryError(self._clean(f"{type(error).__name__}: {error}"), busy=absent) from error
        if status == 200:
            reply = _read(body)
            self.answered_at, self.away_since = time.monotonic(), math.inf
            return reply
        answer = f"{status}: {self._excerpt(body)}"
        if status in BAD_REQUEST:
            self.away_since = math.inf  # it is there, after all
            raise _RefusedRequestError(answer)
        if status in LATER or status >= 500:
            raise _FailedTryError(answer, busy=status in BUSY, wait=_seconds(headers.get("Retry-After", "")))
        await self._end(f"answers {answer}; {await self._advice()}")

    async def _send(
        self, method: str, path: str, payload: Mapping[str, Any] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Exchange one message with the server: status, headers and body."""
        async with self.http.stream(method, self.endpoint.base + path, json=payload) as response:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise _FailedTryError(f"an answer of more than {LARGEST} bytes")
            return response.status_code, response.headers, bytes(body)

    async def _pause(self, failure: _FailedTryError, tries: int) -> None:
        """Wait before the next try, or end the run where the server has been away for too long."""
        if failure.busy:
            self.away_since = min(self.away_since, time.monotonic())
            if time.monotonic() - self.away_since > PATIENCE:
                await self._end(f"has answered nobody for {PATIENCE:g} s; last {failure}")
        first, longest = PAUSES
        # Of different lengths, or requests that were turned away together would come back together.
        pause = min(first * 2 ** min(tries - 1, 30), longest) * random.uniform(0.5, 1)  # noqa: S311
        await asyncio.sleep(pause if failure.wait is None else min(failure.wait, LONGEST_WAIT))

    async def _prove(self, payload: Mapping[str, Any], since: float) -> None:
        """Find out whether the server still answers anybody, or end the run: it is not the request's fault then.

        Args:
            payload: What got no answer; the same is asked with other messages.
            since: Time of this process after which an answer to another request is proof enough.
        """
        async with self.proving:
            begun, tries = time.monotonic(), 0
            while self.answered_at <= since:
                try:
                    await self._try({**payload, "messages": GREETING, "max_tokens": 16})
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
        key = "is set" if self.key else "is not set"
        return (
            f"check the address, the model {self.endpoint.model}, and OPENAI_API_KEY, which {key}; "
            f"{await self._listing()}"
        )

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


def _key() -> str:
    """Read the key; one that is no header would be shown in the HTTP client's error."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("OPENAI_API_KEY holds characters that no key has")
    return key


def _check_url(url: str) -> None:
    """Hold an address to what requests can be sent to."""
    try:
        parts = urlsplit(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"{url} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is no address of a server; it begins with http:// or https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{parts.scheme}://{parts.hostname}...: a key belongs into OPENAI_API_KEY, not into the url")


def _read(body: bytes) -> Reply:
    """Read an answer as OpenAI's chat completions give it."""
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        text: str = message["content"] or ""
        text.encode()  # half of a surrogate pair is JSON, but no text
        problem = ENDINGS.get(choice["finish_reason"])
        reasoned = bool(message.get("reasoning_content") or message.get("reasoning"))
        silent = (
            message["content"] is not None and choice["finish_reason"] == "stop" and not (text.strip() or reasoned)
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _FailedTryError(f"an answer of another form: {type(error).__name__}: {error}"[:SHOWN]) from error
    if problem is None and not text.strip():
        problem = "answer without text"
    words = text if silent or (text.strip() and choice["finish_reason"] == "length") else None
    return Reply(None, problem, words) if problem else Reply(text)


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
