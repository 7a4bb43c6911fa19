"""Who is asked: a model, how answers are drawn from it, how it gets pictures, and what it costs."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

# The HTTP client that huggingface_hub itself stands on.
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

KEY = "OPENAI_API_KEY"  # environment variable, unless a role names another
OWN = ("messages", "model", "temperature", "top_p", "max_tokens", "seed", "n", "stream")  # not for `extra` to say
WARMEST = 2.0  # temperature that OpenAI's servers take
_SENT = ("data", "file")


@dataclass(frozen=True)
class ImagePolicy:
    """How a model gets pictures.

    Args:
        longest_side: Pixels; larger pictures are scaled down and sent as JPEG. None: as they are.
        by: `"data"`, the bytes within the request; `"file"`, a `file://` address, for a server that sees the same
            files and was told so (vLLM's `--allowed-local-media-path`): no byte passes through the client.
    """

    longest_side: int | None = None
    by: str = "data"

    def __post_init__(self) -> None:
        if self.by not in _SENT:
            raise ValueError(f"images go by {' or '.join(_SENT)}, not by {self.by!r}")
        if self.longest_side is not None and self.longest_side < 1:
            raise ValueError(f"a longest side of {self.longest_side} pixels: needed is 1 or more")
        if self.longest_side is not None and self.by == "file":
            raise ValueError("images that go by file are sent as they are; leave longest_side out, or send data")


@dataclass(frozen=True)
class TokenPrice:
    """Money for a million tokens, in whatever currency; that of a server of one's own is its hours by its speed."""

    prompt: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        if not min(self.prompt, self.completion) >= 0:
            raise ValueError(f"prices of {self.prompt} and {self.completion}: needed is 0 or more")

    def of(self, prompt: float, completion: float) -> float:
        """Give the price of tokens."""
        return (prompt * self.prompt + completion * self.completion) / 1e6


@dataclass(frozen=True)
class Endpoint:
    """A model, and how answers are drawn from it.

    The key, where the server wants one, is read from an environment variable and kept nowhere.

    Args:
        url: OpenAI-compatible address, with or without its `/v1`.
        model: Its name there.
        temperature: Of the sampling, 0 for the likeliest token.
        top_p: Probability that the tokens drawn from make up.
        max_tokens: Of an answer.
        seed: Of the sampling, where the server has one.
        parallel: Requests at once.
        timeout: Seconds for a whole answer.
        thinking: Switches the reasoning of models that can both on or off; None leaves it to the server.
        extra: Further keys of each request's body.
        images: How it gets pictures.
        one_entry: Its chat template takes one entry with both languages and the bare text, and writes the rest of the
            prompt itself, as TranslateGemma's does.
        attempts: How often one thing is asked whose answer is cut short, empty, or no good.
        warmer: What each further attempt adds to the temperature, against loops.
        price: What tokens cost.
        key: Environment variable with the server's key; no key is sent where it is empty.
    """

    url: str
    model: str
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    seed: int = 0
    parallel: int = 16
    timeout: float | None = None
    thinking: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    images: ImagePolicy = ImagePolicy()
    one_entry: bool = False
    attempts: int = 1
    warmer: float = 0.2
    price: TokenPrice = TokenPrice()
    key: str = KEY

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not self.model:
            raise ValueError(f"{self.url}: no model is named")
        sampling = f"temperature {self.temperature}, top_p {self.top_p}, {self.max_tokens} tokens"
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and self.max_tokens >= 1):
            raise ValueError(f"{sampling}: needed are temperature >= 0, 0 < top_p <= 1 and at least 1 token")
        if self.parallel < 1:
            raise ValueError(f"{self.parallel} requests at once: needed is 1 or more")
        if self.attempts < 1 or not 0 <= self.warmer < math.inf:
            raise ValueError(
                f"{self.attempts} attempts, each {self.warmer} warmer: needed are 1 or more, and 0 or more"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"a timeout of {self.timeout} s: needed is more than 0")
        _check_extra(self.extra)

    @property
    def base(self) -> str:
        """Give the address that `/chat/completions` follows: one without a version gets `/v1`."""
        url = self.url.rstrip("/")
        return url if re.search(r"/v\d[^/]*(/|$)", urlsplit(url).path) else f"{url}/v1"

    def record(self, attempt: int = 1, candidate: int = 0, candidates: int = 1) -> dict[str, Any]:
        """Give what decides on an answer; it is sent with each request, word for word.

        Args:
            attempt: Of the same request, from 1: each is warmer than the one before, and has other seeds.
            candidate: Number of the answer among those that are wanted.
            candidates: How many are.
        """
        template = {} if self.thinking is None else {"enable_thinking": self.thinking}
        given = self.extra.get("chat_template_kwargs", {})
        kwargs = {"chat_template_kwargs": {**given, **template}} if template else {}
        return {
            "model": self.model,
            "temperature": self._temperature(attempt),
            "top_p": float(self.top_p),
            "max_tokens": self.max_tokens,
            "seed": self.seed + (attempt - 1) * candidates + candidate,
            **self.extra,
            **kwargs,
        }

    def _temperature(self, attempt: int) -> float:
        """Give the temperature of an attempt, no warmer than servers take."""
        if attempt == 1:
            return float(self.temperature)
        return round(max(self.temperature, min(self.temperature + (attempt - 1) * self.warmer, WARMEST)), 6)

    def identity(self) -> dict[str, Any]:
        """Give all that decides on answers; not who gives them, how fast, and for how much."""
        repeated = {"attempts": self.attempts, "warmer": self.warmer} if self.attempts > 1 else {}
        scaled = {"longest_side": self.images.longest_side} if self.images.longest_side else {}
        form = {"one_entry": True} if self.one_entry else {}
        return {**self.record(), **form, **scaled, **repeated}

    def secret(self) -> str:
        """Read the key; one that is no header would be shown in the HTTP client's error.

        Raises:
            ValueError: It holds what no key has.
        """
        key = os.environ.get(self.key, "").strip() if self.key else ""
        if not (key.isascii() and key.isprintable()):
            raise ValueError(f"{self.key} holds characters that no key has")
        return key


def _check_extra(extra: Mapping[str, Any]) -> None:
    """Hold further keys of a body to JSON that says nothing which has a field of its own."""
    if named := sorted(set(OWN) & set(extra)):
        raise ValueError(f"extra: {', '.join(named)} is for the role itself to say, or the engine's own")
    if not isinstance(extra.get("chat_template_kwargs", {}), Mapping):
        raise ValueError("extra: chat_template_kwargs must hold `key: value` lines")
    try:
        json.dumps(dict(extra), allow_nan=False)
    except (TypeError, ValueError) as error:  # YAML has days, and numbers that are none
        raise ValueError(f"extra is no JSON: {error}") from error


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
        raise ValueError(f"{parts.scheme}://{parts.hostname}...: a key belongs into {KEY}, not into the url")
