"""What a build would ask and cost: of a few samples where they were built already, roughly where they were not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ...asking.roles import Endpoint
from ..dataset import RejectedError
from ..prompts import read_prompt
from ..steps import Item, Step, StepRequest
from .cost import read_costs, total
from .pipeline import SOURCE, Pipeline
from .stages import requests_of

LOOKED_AT = 20  # items, for how much is asked of one
LETTERS = 3.5  # a token, of Portuguese
PICTURE = 1000  # tokens a picture, roughly: servers count what their models see


class StageEstimate(NamedTuple):
    """What a stage would ask.

    Args:
        step: It.
        role: Whom.
        calls: Requests.
        prompt: Tokens of them.
        completion: Tokens of the answers: at most, unless it is measured.
        measured: Whether that is what calls of this folder took.
        first: The first request, where the items that it is made from are there.
    """

    step: Step
    role: Endpoint
    calls: float
    prompt: float
    completion: float
    measured: bool
    first: StepRequest | RejectedError | None

    @property
    def money(self) -> float:
        """Give the price."""
        return self.role.price.of(self.prompt, self.completion)

    def shown(self, number: int, dataset: str) -> str:
        """Write it for people, with the first prompt, or the file that it will be filled from."""
        how = "as measured here" if self.measured else "at most"
        lines = [
            f"step {number}, {self.step.name}: up to {self.calls:.0f} requests to {self.role.model}",
            f"  {self.prompt:.0f} tokens of prompts, {self.completion:.0f} of answers ({how}), money {self.money:.2f}",
        ]
        if isinstance(self.first, RejectedError):
            return "\n".join([*lines, f"  nothing is asked of the first: {self.first}"])
        if self.first is None:
            files = [read_prompt(dataset, name).template for name in self.step.prompt_files]
            return "\n".join([*lines, *files])
        pictures = [f"[image {image[:16]}]" for image in self.first.images]
        return "\n".join([*lines, *pictures, *([self.first.system] if self.first.system else []), self.first.text])


def estimate(pipeline: Pipeline) -> Iterator[StageEstimate]:
    """Say what each stage that asks a model would ask."""
    recipe = pipeline.recipe
    for step in pipeline.steps:
        role = recipe.roles.get(step.role or "") or (recipe.endpoint if step.role else None)
        if role is None:
            continue
        asked = [_requests(step, item) for item in _first_items(pipeline, step.name)]
        first = asked[0] if asked else None
        found = [requests for requests in asked if isinstance(requests, list)]
        each = [request for requests in found for request in requests]
        calls, prompt, completion, measured = _of_one(pipeline, step, role, each, len(asked))
        yield StageEstimate(
            step,
            role,
            calls * recipe.count,
            calls * recipe.count * prompt,
            calls * recipe.count * completion,
            measured,
            first[0] if isinstance(first, list) and first else first if isinstance(first, RejectedError) else None,
        )


def _of_one(
    pipeline: Pipeline, step: Step, role: Endpoint, requests: list[StepRequest], items: int
) -> tuple[float, float, float, bool]:
    """Give calls an entry of the source, tokens a call, and whether they are measured."""
    cost = total([cost for cost in read_costs(pipeline.out) if cost.step == step.name])
    heard = cost.calls - cost.unheard
    entries = sum(
        len(pipeline.recipe.rows(shard)) for shard in pipeline.files(step.name) if shard < pipeline.recipe.shards
    )
    if heard and entries:
        return cost.calls / entries, cost.prompt / heard, cost.completion / heard, True
    direct = pipeline.before(step.name) in (None, SOURCE)  # else an item is not an entry
    calls = sum(request.candidates for request in requests) / items if requests and direct else step.calls
    sizes = [_tokens(request) for request in requests] or [_tokens(StepRequest(_template(pipeline, step)))]
    return calls, sum(sizes) / len(sizes), float(role.max_tokens), False


def _template(pipeline: Pipeline, step: Step) -> str:
    return "\n".join(read_prompt(pipeline.recipe.name, name).template for name in step.prompt_files)


def _tokens(request: StepRequest) -> float:
    letters = (
        len(request.text) + len(request.system or "") + sum(len(turn) for pair in request.earlier for turn in pair)
    )
    return letters / LETTERS + PICTURE * len(request.images)


def _requests(step: Step, item: Item) -> list[StepRequest] | RejectedError:
    try:
        return requests_of(step, item)
    except RejectedError as error:
        return error


def _first_items(pipeline: Pipeline, name: str) -> list[Item]:
    """Give the first items that a stage gets, as far as no model has to be asked for them."""
    before = pipeline.before(name)
    if before is None or pipeline.files(before).get(0):
        return list(islice(pipeline.items(name, [0]), LOOKED_AT))
    if before == SOURCE:
        stop = min(LOOKED_AT, pipeline.recipe.count)
        entries = pipeline.recipe.written.source(pipeline.recipe).read(0, stop)
        return [Item(f"{number:08}", data) for number, data in enumerate(entries)]
    step = pipeline.step(before)
    if step is None or step.work is None:
        return []
    items = _first_items(pipeline, before)
    return [outcome for outcome in step.work(items) if isinstance(outcome, Item)] if items else []
