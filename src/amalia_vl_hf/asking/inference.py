"""Asks a language model many things, once each, and goes on where it was killed.

Stands on datatrove's `InferenceRunner`, whose cache and checkpoints outlive `kill -9`, and mends from outside what
stands in the way: its `EndpointServer` fails on the first retry, waits for a server at `/v1/v1/models` and never asks
again after 429; its cache does not know the model; its readers, which read checkpoints as well, drop documents without
text; one exception ends all; and what has ended once never runs again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from datatrove.data import Document
from datatrove.pipeline.inference.checkpointing import CheckpointManager
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.inference.servers import InferenceServer
from datatrove.pipeline.inference.types import InferenceResult, ServerError
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger as datatrove_logger

from ..disk import in_turn, write_file
from .endpoint import Client, Endpoint, EndpointError

__all__ = ["Endpoint", "EndpointError", "ModelAnswer", "ModelRequest", "answer_all", "under_way"]

CHECKPOINT = "00000/chunk_00000.jsonl"  # where datatrove keeps answers, one a line
ANSWERED = "stop"  # why an answer ended, where nothing is the matter with it

datatrove_logger.disable("datatrove")  # its lines would break the progress bar of a build

Generate = Callable[[dict[str, Any]], Awaitable[InferenceResult]]


class ModelRequest(NamedTuple):
    """What is asked.

    Args:
        id: A name of its own among the requests of a call.
        messages: OpenAI chat messages; a content is text or a list of parts.
    """

    id: str
    messages: list[dict[str, Any]]


class ModelAnswer(NamedTuple):
    """What came back.

    Args:
        id: The request's.
        text: The model's words, None where there are none.
        problem: Why there are none.
    """

    id: str
    text: str | None
    problem: str | None


def answer_all(requests: Sequence[ModelRequest], endpoint: Endpoint, folder: Path, name: str) -> list[ModelAnswer]:
    """Ask for all; killed, the same call goes on and repeats at most what was in flight.

    `folder/name.jsonl` appears when every request has its answer or a reason why there is none. One that is there
    already is returned if it belongs to these requests, this model and this sampling, and replaced otherwise.

    Args:
        requests: What is asked.
        endpoint: Whom.
        folder: Of the answers, made if it is not there.
        name: Of the file; two calls with one name wait for each other.

    Returns:
        One answer a request, in the same order.

    Raises:
        ValueError: Two requests have one id, or messages are no JSON.
        EndpointError: The server does not answer, or answers nobody. What it answered before is kept.
        OSError: Answers could not be kept.
    """
    keys = _keys(requests, endpoint)
    path = folder / f"{name}.jsonl"
    partial = folder / f"{name}.{_digest(keys)[:16]}.partial"  # no other model's answers get in here
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder / f"{name}.lock"):  # a process that outlived a killed build may ask for the same
        answers = _read(path, keys)
        if answers is None:
            partial.mkdir(exist_ok=True)
            answers = _run(requests, endpoint, partial)
            records = [{**answer._asdict(), "key": key} for answer, key in zip(answers, keys, strict=True)]
            write_file(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        for left in folder.glob(f"{escape(name)}.{'[0-9a-f]' * 16}.partial"):  # of other models, too
            shutil.rmtree(left, ignore_errors=True)
    return answers


def under_way(folder: Path) -> int:
    """Count the answers that calls of `answer_all` in a folder have got and not put in their files yet."""
    count = 0
    for path in folder.glob(f"*.partial/{CHECKPOINT}"):
        with suppress(FileNotFoundError):  # all of its answers are in their file by now
            count += path.read_bytes().count(b"\n")
    return count


class _Server(InferenceServer):
    """The endpoint, as the runner sees its server: somebody else has started it, and `Client` knows how to ask it.

    Args:
        config: The runner's.
        rank: The runner's.
        endpoint: What is asked.
    """

    def __init__(self, config: InferenceConfig, rank: int, endpoint: Endpoint) -> None:
        super().__init__(config, rank)
        self.client = Client(endpoint)

    async def start_server(self) -> None:
        """Start nothing."""

    async def monitor_health(self) -> None:
        """Watch nothing, until the run ends: each request finds out for itself."""
        await asyncio.Event().wait()

    async def is_ready(self) -> bool:
        """Send the requests; while nobody answers, they wait."""
        return True

    async def make_request(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask, and put a problem where the reason stands why an answer ended: the runner keeps that, but no errors."""
        try:
            reply = await self.client.ask(payload)
        except EndpointError as error:
            raise ServerError(error) from error  # the runner would ask again after any OSError
        return {"choices": [{"message": {"content": reply.text}, "finish_reason": reply.problem or ANSWERED}]}

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self.client.close()


class _Checkpoints(CheckpointManager):
    """Keeps the answers until they are in their file; the runner's own are gone for a moment before they are there."""

    async def cleanup_last_chunk(self, rank: int, chunk_index: int) -> None:
        """Leave them; `answer_all` drops them."""


class _Runner(InferenceRunner):
    """datatrove's runner, for one model and one list of requests, all of them one chunk.

    Args:
        requests: What is asked.
        endpoint: Whom.
        folder: Of cache and checkpoints.
    """

    def __init__(self, requests: Sequence[ModelRequest], endpoint: Endpoint, folder: Path) -> None:
        super().__init__(
            rollout_fn=self.answer,
            config=InferenceConfig(
                server_type="endpoint",
                model_name_or_path=endpoint.model,
                max_concurrent_generations=endpoint.parallel,  # documents as well: no more can be lost by a kill
            ),
            output_writer=JsonlWriter(str(folder), "${rank}-${chunk_index}.jsonl", compression=None),
            checkpoints_local_dir=str(folder),
        )
        self.checkpoint_manager = _Checkpoints(str(folder), len(requests) + 1, self.request_cache)
        self.requests = requests
        self.endpoint = endpoint

    def _init_server(self, rank: int) -> InferenceServer:
        """Give our server: the runner chooses among its own by name here, and there is no other way in."""
        return _Server(self.config, rank, self.endpoint)

    async def answer(self, document: Document, generate: Generate) -> dict[str, str | None]:
        """Ask for one document; with model and sampling in the payload, they are part of the cache's key."""
        result = await generate({"messages": self.requests[int(document.id)].messages, **self.endpoint.record()})
        answered = result.finish_reason == ANSWERED
        return {"text": result.text if answered else None, "problem": None if answered else result.finish_reason}


def _run(requests: Sequence[ModelRequest], endpoint: Endpoint, folder: Path) -> list[ModelAnswer]:
    """Ask for what the folder does not know yet."""
    if not requests:
        return []
    runner = _Runner(requests, endpoint, folder)
    # A document without text would be dropped when it is read back; its number says all there is to know.
    documents = (Document(text=str(number), id=str(number)) for number in range(len(requests)))
    try:
        runner.run(documents)
    except ServerError as error:
        raise EndpointError(str(error.error)) from None
    return _collect(requests, folder / "00000-0.jsonl")


def _collect(requests: Sequence[ModelRequest], path: Path) -> list[ModelAnswer]:
    """Read what the runner wrote, in the order of the requests."""
    replies = {}
    for line in _lines(path) if path.is_file() else ():
        document = json.loads(line)
        replies[int(document["id"])] = document["metadata"]["rollout_results"][0]
    if missing := len(requests) - len(replies):  # the runner goes on when it cannot write
        raise OSError(f"{missing} of {len(requests)} answers could not be kept in {path.parent}; is the disk full?")
    return [ModelAnswer(request.id, **replies[number]) for number, request in enumerate(requests)]


def _keys(requests: Sequence[ModelRequest], endpoint: Endpoint) -> list[str]:
    """Name each request by all that decides on its answer."""
    ids = Counter(request.id for request in requests)
    if duplicates := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"{len(duplicates)} ids are asked for more than once: {', '.join(duplicates[:5])}")
    keys = []
    for request in requests:
        try:
            keys.append(_digest([request.id, request.messages, endpoint.record()]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"request {request.id!r}: its messages are no JSON: {error}") from error
    return keys


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, keys: Sequence[str]) -> list[ModelAnswer] | None:
    """Read a file of answers, if it is of the requests of these keys."""
    if not path.is_file():
        return None
    try:
        lines = [json.loads(line) for line in _lines(path)]
        if [line["key"] for line in lines] != list(keys):
            return None
        return [ModelAnswer(line["id"], line["text"], line["problem"]) for line in lines]
    except (ValueError, LookupError, TypeError):
        return None


def _lines(path: Path) -> list[str]:
    """Read lines; `splitlines` would cut them where a text has a line separator of Unicode's."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]
