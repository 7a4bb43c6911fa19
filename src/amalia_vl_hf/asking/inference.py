"""Asks language models many things, once each, and goes on where it was killed.

Each answer is a line of a journal as soon as it is there, under a key of all that decides on it: the request, the
model, the sampling. So nothing is asked twice, and no answer is taken for that of another model, prompt or seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..disk import in_turn
from .endpoint import Client, Endpoint, EndpointError
from .journal import Journal
from .pictures import Locate
from .replies import Reply

__all__ = ["Endpoint", "EndpointError", "ModelAnswer", "ModelRequest", "answer_all"]


class ModelRequest(NamedTuple):
    """What is asked.

    Args:
        id: A name of its own among the requests of a call.
        messages: OpenAI chat messages; a content is text or a list of parts. A picture is `{"type": "image", "image":
            ID}`: its bytes are read when the request is sent, and only the id decides on what is asked.
        attempt: Number of the attempt at the same thing, from 1.
        candidate: Number of the answer among those that are wanted.
        candidates: How many are; each has a seed of its own.
    """

    id: str
    messages: list[dict[str, Any]]
    attempt: int = 1
    candidate: int = 0
    candidates: int = 1


class ModelAnswer(NamedTuple):
    """What came back.

    Args:
        id: The request's.
        text: The model's words without its reasoning, None where there are none.
        problem: Why there are none.
        reasoning: What it thought before, where that can be told.
    """

    id: str
    text: str | None
    problem: str | None
    reasoning: str | None = None


def answer_all(
    requests: Sequence[ModelRequest],
    endpoint: Endpoint,
    folder: Path,
    name: str,
    locate: Locate | None = None,
    asking: Mapping[str, Any] | None = None,
    again: bool = False,
    settled: Callable[[str], None] | None = None,
) -> list[ModelAnswer]:
    """Ask for all; killed, the same call goes on and repeats at most what was in flight.

    What `folder/name.jsonl` has of these requests, this model and this sampling is not asked again.

    Args:
        requests: What is asked.
        endpoint: Whom.
        folder: Of the answers, made if it is not there.
        name: Of the file; two calls with one name wait for each other.
        locate: Gives the files of pictures that messages name by their ids.
        asking: What the file says of the tries that follow, for the count of what they cost.
        again: Ask again for what got no answer before.
        settled: Is called with a request's id when it has its answer, or none.

    Returns:
        One answer a request, in the same order.

    Raises:
        ValueError: Two requests have one id, or messages are no JSON.
        EndpointError: The server does not answer, or answers nobody. What it answered before is kept.
        OSError: Answers could not be kept.
    """
    keys = _keys(requests, endpoint)
    journal = Journal(folder / f"{name}.jsonl", {**(asking or {}), **_price(endpoint)})
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder / f"{name}.lock"):  # a process that outlived a killed build may ask for the same
        known = journal.answers(set(keys))
        if again:
            known = {key: reply for key, reply in known.items() if reply.text is not None}
        missing = [(key, request) for key, request in zip(keys, requests, strict=True) if key not in known]
        if settled:
            for request in _but(requests, missing):
                settled(request.id)
        if missing:
            with journal:
                known |= asyncio.run(_ask_all(missing, endpoint, journal, locate, settled))
    return [
        ModelAnswer(request.id, known[key].text, known[key].problem, known[key].reasoning)
        for request, key in zip(requests, keys, strict=True)
    ]


async def _ask_all(
    missing: Sequence[tuple[str, ModelRequest]],
    endpoint: Endpoint,
    journal: Journal,
    locate: Locate | None,
    settled: Callable[[str], None] | None,
) -> dict[str, Reply]:
    """Ask, as many at once as the endpoint takes."""
    client, left, replies = Client(endpoint, locate, journal), iter(missing), {}

    async def work() -> None:
        for key, request in left:
            replies[key] = await client.ask(_body(request, endpoint), key)
            journal.keep(key, replies[key])
            if settled:
                settled(request.id)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(endpoint.parallel, len(missing))):
                group.create_task(work())
    except* (OSError, ValueError) as errors:  # what ended the run
        raise errors.exceptions[0] from None
    finally:
        await client.close()
    return replies


def _body(request: ModelRequest, endpoint: Endpoint) -> dict[str, Any]:
    sampling = endpoint.record(request.attempt, request.candidate, request.candidates)
    return {"messages": request.messages, **sampling}


def _price(endpoint: Endpoint) -> dict[str, Any]:
    return {"model": endpoint.model, "price": [endpoint.price.prompt, endpoint.price.completion]}


def _but(requests: Sequence[ModelRequest], missing: Collection[tuple[str, ModelRequest]]) -> Iterator[ModelRequest]:
    names = {request.id for _, request in missing}
    return (request for request in requests if request.id not in names)


def _keys(requests: Sequence[ModelRequest], endpoint: Endpoint) -> list[str]:
    """Name each request by all that decides on its answer."""
    ids = Counter(request.id for request in requests)
    if duplicates := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"{len(duplicates)} ids are asked for more than once: {', '.join(duplicates[:5])}")
    keys, scaled = [], endpoint.images.longest_side
    for request in requests:
        try:
            keys.append(_digest([request.id, scaled, _body(request, endpoint)]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"request {request.id!r}: its messages are no JSON: {error}") from error
    return keys


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
