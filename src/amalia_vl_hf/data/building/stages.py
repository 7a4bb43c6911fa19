"""One stage of a build on one shard, or on all: a model is asked, answers are read, items are worked on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from ...asking.inference import ModelAnswer, ModelRequest, answer_all
from ...asking.pictures import Locate
from ...asking.replies import AGAIN
from ...asking.roles import Endpoint
from ..dataset import RejectedError
from ..steps import NO_ANSWER, AskAgainError, Item, Outcome, Rejected, Step, StepAnswer, StepRequest
from .gathering import work_on_all
from .pipeline import ASKED, PROGRESS, SOURCE, STAGES, Pipeline, write_stage

Settled = Callable[[], None]
Entry = TypeVar("Entry")


class _Slot(NamedTuple):
    """One answer that is wanted: of which item, request and candidate, at which attempt."""

    item: int
    request: int
    candidate: int
    attempt: int = 1


def run_stage(pipeline: Pipeline, name: str, shard: int, again: bool = False) -> None:
    """Make a stage's file of a shard, or of all shards where it sees all; what is there already is left.

    Raises:
        RuntimeError: The stage before has not made what this one needs.
        EndpointError: The model's server stays away.
    """
    step = pipeline.step(name)
    everything = pipeline.sees_all(name)
    if not pipeline.stale(name, again, None if everything else [shard]):
        return
    source = _wanted(pipeline, name, shard)
    with settling(pipeline, name) as settled:
        if step is not None and everything:
            work_on_all(pipeline, step, source, settled)
            return
        items = list(pipeline.items(name, [shard])) if name != SOURCE else []
        outcomes = _outcomes(pipeline, name, shard, items, again, settled)
    write_stage(pipeline.out / STAGES / name, shard, source, len(items) or len(outcomes), outcomes)


def _outcomes(
    pipeline: Pipeline, name: str, shard: int, items: list[Item], again: bool, settled: Settled
) -> list[Outcome]:
    recipe, step = pipeline.recipe, pipeline.step(name)
    if step is None:
        rows = recipe.rows(shard)
        entries = each_settled(recipe.written.source(recipe).read(rows.start, rows.stop), settled)
        return [Item(f"{rows.start + number:08}", data) for number, data in enumerate(entries)]
    if step.work is not None:
        return list(step.work(each_settled(items, settled)))
    return _Asking(pipeline, step, shard, items).run(again, settled)


def requests_of(step: Step, item: Item) -> list[StepRequest]:
    """List what a step asks of an item.

    Raises:
        RejectedError: There is nothing to ask.
    """
    if step.ask is None:
        raise ValueError(f"step {step.name} asks nobody")
    return list(step.ask(item))


def messages_of(request: StepRequest, one_entry: bool = False) -> list[dict[str, Any]]:
    """Write a request as chat messages; pictures are named by their ids, and come before the text.

    Raises:
        ValueError: The model's template takes one entry alone, and the step has none for it.
    """
    if one_entry:
        if request.entry is None:
            raise ValueError("a role with one_entry translates, and this step asks for something else")
        return [{"role": "user", "content": [dict(request.entry)]}]
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    for user, assistant in request.earlier:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    content: Any = request.text
    if request.images:
        pictures = [{"type": "image", "image": image} for image in request.images]
        content = [*pictures, {"type": "text", "text": request.text}]
    return [*messages, {"role": "user", "content": content}]


class _Asking:
    """A step that asks a model, on one shard.

    Args:
        pipeline: Of the build.
        step: The step.
        shard: Number of the shard.
        items: What it gets.
    """

    def __init__(self, pipeline: Pipeline, step: Step, shard: int, items: Sequence[Item]) -> None:
        self.pipeline, self.step, self.shard, self.items = pipeline, step, shard, items
        self.requests: dict[int, list[StepRequest]] = {}
        self.outcomes: dict[int, list[Outcome]] = {}
        self.answers: dict[tuple[int, int, int], StepAnswer] = {}

    @property
    def role(self) -> Endpoint:
        recipe = self.pipeline.recipe
        endpoint = recipe.roles.get(self.step.role or "") or recipe.endpoint
        if endpoint is None:
            raise ValueError(f"{recipe.name}: the step {self.step.name} asks a model, and the plan names none")
        return endpoint

    def run(self, again: bool, settled: Settled) -> list[Outcome]:
        """Ask for every item, as often as the role allows, and read the answers."""
        for number, item in enumerate(self.items):
            try:
                self.requests[number] = requests_of(self.step, item)
            except RejectedError as error:
                self._reject(number, error)
                settled()
        slots = [
            _Slot(number, place, candidate)
            for number, requests in self.requests.items()
            for place, request in enumerate(requests)
            for candidate in range(request.candidates)
        ]
        self._check_candidates()
        count = _Countdown((self.items[slot.item].id for slot in slots), settled)
        attempts = dict.fromkeys(self.requests, 1)
        unread = set(self.requests)
        while unread:
            cut = self._ask(slots, again, count) if slots else []
            waiting = {slot.item for slot in cut}
            slots = cut
            for number in sorted(unread - waiting):
                unread.discard(number)
                if self._read(number, attempts[number] < self.role.attempts):
                    continue
                attempts[number] += 1
                unread.add(number)
                slots = [*slots, *self._slots(number, attempts[number])]
        return [outcome for number in range(len(self.items)) for outcome in self.outcomes[number]]

    def _ask(self, slots: Sequence[_Slot], again: bool, count: _Countdown) -> list[_Slot]:
        """Ask, and give what is to be asked again: answers that were cut short, or that were none."""
        requests = [self._model_request(slot) for slot in slots]
        answers = answer_all(
            requests,
            self.role,
            self.pipeline.out / ASKED / self.step.name,
            f"{self.shard:05}",
            locate=self._locate(),
            asking={"step": self.step.name, "role": self.step.role},
            again=again,
            settled=count.settled,
        )
        for slot, answer in zip(slots, answers, strict=True):
            self.answers[slot[:3]] = self._answer(slot, answer)
        return [
            slot._replace(attempt=slot.attempt + 1)
            for slot, answer in zip(slots, answers, strict=True)
            if answer.problem in AGAIN and slot.attempt < self.role.attempts
        ]

    def _read(self, number: int, may_ask_again: bool) -> bool:
        """Read an item's answers; False where it is to be asked again."""
        item = self.items[number]
        answers = [self.answers[slot[:3]] for slot in self._slots(number, 1)]
        try:
            if self.step.read is not None:
                self.outcomes[number] = list(self.step.read(item, answers))
        except AskAgainError as error:
            if may_ask_again:
                return False
            self._reject(number, error)
        except RejectedError as error:
            self._reject(number, error)
        return True

    def _slots(self, number: int, attempt: int) -> list[_Slot]:
        requests = enumerate(self.requests[number])
        return [_Slot(number, place, c, attempt) for place, request in requests for c in range(request.candidates)]

    def _model_request(self, slot: _Slot) -> ModelRequest:
        request = self.requests[slot.item][slot.request]
        name = f"{self.items[slot.item].id} {slot.request} {slot.candidate}"
        return ModelRequest(
            name, messages_of(request, self.role.one_entry), slot.attempt, slot.candidate, request.candidates
        )

    def _answer(self, slot: _Slot, answer: ModelAnswer) -> StepAnswer:
        candidates = self.requests[slot.item][slot.request].candidates
        seed = self.role.record(slot.attempt, slot.candidate, candidates)["seed"]
        return StepAnswer(answer.text, answer.problem, answer.reasoning, slot.request, seed)

    def _reject(self, number: int, error: RejectedError) -> None:
        failed = error.reason == NO_ANSWER
        self.outcomes[number] = [Rejected(self.items[number].id, error.reason, error.detail, failed)]

    def _locate(self) -> Locate | None:
        """Find the images that are asked about: in the manifest's rows of this shard, as a rule."""
        ids = {image for requests in self.requests.values() for request in requests for image in request.images}
        if not ids:
            return None
        return self.pipeline.recipe.manifest.paths(ids, self.pipeline.recipe.rows(self.shard)).__getitem__

    def _check_candidates(self) -> None:
        most = max((request.candidates for requests in self.requests.values() for request in requests), default=1)
        if most > 1 and self.role.temperature == 0:
            raise ValueError(f"step {self.step.name} wants {most} candidates, and at temperature 0 they are one")


class _Countdown:
    """Tells when all that is asked of an item has its answer, so that each item counts once.

    Args:
        items: Id of the item of each request.
        settled: What is told.
    """

    def __init__(self, items: Iterable[str], settled: Settled) -> None:
        self.left = Counter(items)
        self.tell = settled

    def settled(self, name: str) -> None:
        """Count an answer, by the id of its request."""
        item = name.partition(" ")[0]
        self.left[item] -= 1
        if self.left[item] == 0:
            self.tell()


def _wanted(pipeline: Pipeline, name: str, shard: int) -> str:
    source = pipeline.wanted(name, [shard]).get(shard)
    if source is None:
        raise RuntimeError(f"{name} needs shard {shard} of {pipeline.before(name)}, which is not there")
    return source


def each_settled(entries: Iterable[Entry], settled: Settled) -> Iterator[Entry]:
    """Give entries one after the other; each is settled when the next one is asked for."""
    for entry in entries:
        yield entry
        settled()


@contextmanager
def settling(pipeline: Pipeline, name: str) -> Iterator[Settled]:
    """Give what is called for each item that is settled: a byte in a file, whose size says how far the stage is."""
    folder = pipeline.out / STAGES / name
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / PROGRESS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def settled() -> None:
        with suppress(OSError):  # it is for people to look at
            os.write(file, b".")

    try:
        yield settled
    finally:
        os.close(file)
