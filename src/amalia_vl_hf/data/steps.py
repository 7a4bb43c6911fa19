"""What models write, step by step: items pass from one step to the next, and a step makes others of them.

A step either asks a model of each item, or works on items without one, within a shard or over all of them:

    def _ask(item: Item) -> list[StepRequest]:
        text = read_prompt("pt-legendas", "describe").substitute(place=item.data["place"])
        return [StepRequest(text, images=(item.data["image"],), candidates=3)]

    def _read(item: Item, answers: Sequence[StepAnswer]) -> list[Item | Rejected]:
        captions = [answer.text.strip() for answer in answers]  # no answer: the item is rejected
        if len(set(captions)) == 1:
            raise AskAgainError("all captions are one", captions[0])  # asked again, warmer, if the role allows it
        return [item.child(f"c{number}", caption=caption) for number, caption in enumerate(captions)]

    def _longest(items: Iterable[Item]) -> Iterator[Item | Rejected]:
        for item in items:
            yield item if len(item.data["caption"]) > 20 else item.rejected("a short caption", item.data["caption"])

    STEPS = (
        Step("describe", role="captioner", ask=_ask, read=_read),
        Step("longest", work=_longest, scope="all"),
    )
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from .dataset import DatasetRow, RejectedError

if TYPE_CHECKING:
    from datasets import Features

    from .building.recipe import BuildRecipe

NO_ANSWER = "the model gave no answer"
_NAME = re.compile(r"[a-z][a-z0-9_]*")  # of steps and roles: they are names of folders and of columns


class Item(NamedTuple):
    """What passes from step to step.

    Args:
        id: Number of the source's entry, eight digits; those made of it add names: `00000017/q2/a0`.
        data: JSON values alone.
    """

    id: str
    data: Mapping[str, Any] = {}

    @property
    def root(self) -> int:
        """Give the number of the source's entry that it comes from; its shard follows from it."""
        return int(self.id.partition("/")[0])

    def child(self, name: str, **data: Any) -> Item:
        """Make one of several items of this one; `data` comes beside what this one holds."""
        return Item(f"{self.id}/{name}", {**self.data, **data})

    def having(self, **data: Any) -> Item:
        """Give this item with other or further data."""
        return Item(self.id, {**self.data, **data})

    def rejected(self, reason: str, detail: str = "") -> Rejected:
        """Say that this item goes no further, and why; the reason is in the same words for all such items."""
        return Rejected(self.id, reason, detail)


class Rejected(NamedTuple):
    """An item that goes no further.

    Args:
        id: Of the item.
        reason: In the same words for all such items; a line of the tally.
        detail: The case.
        failed: Its model gave no answer; `--retry-failed` asks again.
    """

    id: str
    reason: str
    detail: str = ""
    failed: bool = False


class StepRequest(NamedTuple):
    """One question to a model.

    Args:
        text: What the user says.
        images: What the user shows before it, by the `image_id` that the manifest has.
        candidates: Answers wanted: as many requests, each with a seed of its own.
        system: What the system says, where something is said.
        earlier: Exchanges before this one: what the user said, and what the assistant answered.
        entry: What a model gets in the place of all that whose template takes one entry alone (`Endpoint.one_entry`).
    """

    text: str
    images: tuple[str, ...] = ()
    candidates: int = 1
    system: str | None = None
    earlier: tuple[tuple[str, str], ...] = ()
    entry: Mapping[str, str] | None = None


@dataclass(frozen=True)
class StepAnswer:
    """What came back for one candidate of one request.

    Args:
        said: The model's words without its reasoning; None where there are none.
        problem: Why there are none.
        reasoning: What the model thought before, where its server says so.
        request: Number of the request among those of the item.
        seed: That it was drawn with.
    """

    said: str | None
    problem: str | None = None
    reasoning: str | None = None
    request: int = 0
    seed: int = 0

    @property
    def text(self) -> str:
        """Give the words.

        Raises:
            RejectedError: There are none; the reason is `NO_ANSWER`, its detail the problem.
        """
        if self.said is None:
            raise RejectedError(NO_ANSWER, self.problem or "")
        return self.said


class AskAgainError(RejectedError):
    """An item whose answers are no good, though others might be: it is asked again while its role has attempts left.

    Each attempt has other seeds and a higher temperature, against loops. After the last one the item is rejected.
    """


Outcome = Item | Rejected


@dataclass(frozen=True)
class Step:
    """One step of a dataset that models write.

    A step with a role has `ask` and `read`, which may raise `RejectedError` for their item; one without has `work`.
    What they give may hold `item.rejected(...)` in an item's place: those beside it stay. Items keep their order, and
    no two have one id. Steps draw from `recipe.rng(step, item.id)`, never from a generator that several items share.

    Args:
        name: Of its own; its folder, and its line in the table of costs.
        role: Who is asked, a name among the recipe's `roles`.
        ask: Says what is asked of an item; for nothing, `read` gets no answers.
        read: Makes items of the answers: of all requests in their order, of each its candidates in theirs.
        work: Filters, embeds, selects or gathers items. Those of one entry of the source are in one shard, one after
            the other; an item that is made must come from one that was given (`child`, `having`).
        scope: What `work` is given at once: one shard's items, or those of all shards, in order.
        prompts: Names of the prompt files whose text decides on what is asked; the step's own, where it has a role.
        version: Counts changes of the step's code that change what comes out.
        calls: Requests for each of the source's entries, roughly: what is known of the cost before anything is asked.
        paper_yield: Share of the items asked about that stay, in the paper; a build that is far off warns.
    """

    name: str
    role: str | None = None
    ask: Callable[[Item], Sequence[StepRequest]] | None = None
    read: Callable[[Item, Sequence[StepAnswer]], Iterable[Outcome]] | None = None
    work: Callable[[Iterable[Item]], Iterable[Outcome]] | None = None
    scope: Literal["shard", "all"] = "shard"
    prompts: tuple[str, ...] | None = None
    version: int = 1
    calls: float = 1.0
    paper_yield: float | None = None

    def __post_init__(self) -> None:
        asks = (self.role is not None, self.ask is not None, self.read is not None)
        if not _NAME.fullmatch(self.name) or not _NAME.fullmatch(self.role or "x"):
            raise ValueError(f"step {self.name!r}, role {self.role!r}: names are of small letters, digits and _")
        if asks != (self.work is None,) * 3:
            raise ValueError(f"step {self.name}: either a role with `ask` and `read`, or `work` alone")
        if all(asks) and self.scope != "shard":
            raise ValueError(f"step {self.name}: a model is asked shard by shard; only `work` may see all items")

    @property
    def prompt_files(self) -> tuple[str, ...]:
        """List the prompt files whose text is part of what the step is."""
        if self.prompts is not None:
            return self.prompts
        return (self.name,) if self.role else ()


class ItemSource(Protocol):
    """Where items come from: a manifest of images, or rows."""

    def __len__(self) -> int:
        """Count the entries."""

    def read(self, start: int, stop: int) -> Iterable[Mapping[str, Any]]:
        """Give the data of the items of some entries; JSON values alone."""

    def fingerprint(self) -> str:
        """Tell it from another one, and from itself after a change."""


class WrittenDataset(Protocol):
    """A module that makes a dataset of what models write; `dataset.WRITTEN` says where it is."""

    NAME: str  # on the command line, of its prompts' folder, and of its recipe
    TITLE: str  # in the paper's Table 1
    VERSION: int  # counts changes of how rows are written
    SUMMARY: str  # for the dataset card, and help
    Settings: type  # dataclass of the dataset's own numbers: `settings:` of its recipe
    FEATURES: Features  # of its rows; `rows.FEATURES`, or others for preferences

    def source(self, recipe: BuildRecipe) -> ItemSource:
        """Open what it is made of; `recipe.manifest` where that is images alone."""

    def steps(self, recipe: BuildRecipe) -> Sequence[Step]:
        """List its steps, in order; they may depend on `recipe.settings` and on the names of `recipe.roles`."""

    def row(self, item: Item, recipe: BuildRecipe) -> DatasetRow:
        """Write the row of an item that is left after the last step; `images` is a list of image ids.

        What it leaves out of `FEATURES` is filled in: source, index, seed, generator, model, prompt_hash, licence.

        Raises:
            RejectedError: It is no row, after all.
        """

    def faults(self, row: DatasetRow) -> list[str]:
        """Say what is wrong with a row as it was written."""
