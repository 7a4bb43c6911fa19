"""The stages of a build, the files that each has made, and which of them are of what the recipe says now.

A stage's file of a shard is named by what it was made from and by what it holds: `00007.FROM.HOLDS.jsonl`. FROM is a
digest of the stage itself (prompts, role, settings, code) and of what the stage before it holds. So one listing of a
folder says which files are of today's recipe, and a stage that was changed but gives the same costs those after it
nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...disk import PARTIAL, write_file
from ..prompts import prompts_hash
from ..steps import Item, Outcome, Rejected, Step
from .recipe import BuildRecipe
from .rendered import as_steps

STAGES, ASKED = "stages", "asked"  # folders: what each stage made, and what models said
RECORD = "plan.json"  # what a folder is held to when a build goes on
SOURCE, ROWS = "source", "rows"  # the first stage and the last
GROUP = 100  # shards whose files lie in one folder: a task looks at no more names than that
PROGRESS = "progress"  # file with a byte for each item that is settled since the stage was begun


class StageFile(NamedTuple):
    """A file of a stage.

    Args:
        path: Where it is.
        source: What it was made from.
        holds: Digest of its bytes.
    """

    path: Path
    source: str
    holds: str


class StageCount(NamedTuple):
    """What a stage made of its items in one shard.

    Args:
        given: Items that it got.
        made: Items that it gave.
        failed: Items whose model gave no answer.
        rejected: How often there was which reason not to go on.
        size: Bytes of the shard, which only the last stage writes.
    """

    given: int
    made: int
    failed: int
    rejected: Counter[str]
    size: int | None = None


class Pipeline:
    """A build's stages, in order: where items come from, what is made of them, and the rows.

    Args:
        recipe: What is built.
        out: Its folder.
    """

    def __init__(self, recipe: BuildRecipe, out: Path) -> None:
        self.recipe, self.out = recipe, out

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """List the steps between the source and the rows."""
        steps = tuple(self.recipe.written.steps(self.recipe)) if self.recipe.is_written else as_steps(self.recipe)
        names = Counter([SOURCE, ROWS, *(step.name for step in steps)])
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"{self.recipe.name} has two steps {', '.join(twice)}")
        return steps

    @property
    def names(self) -> list[str]:
        """List the stages."""
        return [*([SOURCE] if self.recipe.is_written else []), *(step.name for step in self.steps), ROWS]

    def step(self, name: str) -> Step | None:
        """Give the step of a stage; the source and the rows are none."""
        return next((step for step in self.steps if step.name == name), None)

    def before(self, name: str) -> str | None:
        """Name the stage before another."""
        place = self.names.index(name)
        return self.names[place - 1] if place else None

    def sees_all(self, name: str) -> bool:
        """Tell whether a stage works on all shards at once."""
        step = self.step(name)
        return step is not None and step.scope == "all"

    def files(self, name: str, among: Iterable[int] | None = None) -> dict[int, StageFile]:
        """List what a stage has made, by its shard: by a look at folders, however many files there are.

        A shard of which a kill left two files is made again.

        Args:
            name: Of the stage.
            among: Shards that are looked for; all when left out.
        """
        files: dict[int, StageFile] = {}
        shards = set(range(self.recipe.shards) if among is None else among)
        twice = set()
        for group in {shard // GROUP for shard in shards}:
            for entry in _entries(group_folder(self.out / STAGES / name, group)):
                parts = entry.name.split(".")
                if len(parts) == 4 and parts[3] == "jsonl" and parts[0].isdecimal():
                    shard = int(parts[0])
                    if shard in files:
                        twice.add(shard)
                    files[shard] = StageFile(Path(entry.path), *parts[1:3])
        return {shard: files[shard] for shard in files.keys() & shards - twice}

    def wanted(self, name: str, among: Iterable[int] | None = None) -> dict[int, str]:
        """Give, for each shard whose stage before is there, what its file would be made from."""
        own, before = self._identity(name), self.before(name)
        shards = range(self.recipe.shards) if among is None or self.sees_all(name) else list(among)
        if before is None:
            return {shard: digest([own, self._source_of(shard)]) for shard in shards}
        held = {shard: file.holds for shard, file in self.files(before, shards).items()}
        if not self.sees_all(name):
            return {shard: digest([own, holds]) for shard, holds in held.items()}
        whole = digest([own, sorted(held.items())]) if len(held) == self.recipe.shards else None
        return dict.fromkeys(shards, whole) if whole else {}

    def stale(self, name: str, again: bool = False, among: Iterable[int] | None = None) -> set[int]:
        """List the shards that a stage still has to make, or to make again.

        Args:
            name: Of the stage.
            again: Count those as well in which a model gave no answer.
            among: Shards that are looked at; all when left out.
        """
        shards = set(range(self.recipe.shards) if among is None else among)
        files, wanted = self.files(name, shards), self.wanted(name, shards)
        late = {s for s in shards if s not in files or s not in wanted or files[s].source != wanted[s]}
        if name == ROWS:
            data = self.out / "data"
            there = {entry.name for entry in os.scandir(data)} if data.is_dir() else set()
            late |= {shard for shard in shards if self.recipe.shard_path(self.out, shard).name not in there}
        step = self.step(name)
        if again and step is not None and step.role:
            late |= {shard for shard in shards - late if count_of(files[shard].path).failed}
        return late

    def count(self, name: str, shards: Iterable[int]) -> int:
        """Count the items that a stage gets of some shards."""
        before = self.before(name)
        if before is None:
            return sum(len(self.recipe.rows(shard)) for shard in shards)
        shards = set(shards)
        files = self.files(before, shards)
        return sum(count_of(files[shard].path).made for shard in shards if shard in files)

    def items(self, name: str, shards: Iterable[int]) -> Iterator[Item]:
        """Read the items that a stage gets, out of the shards of the one before it."""
        before = self.before(name)
        if before is None:
            yield from (Item(f"{number:08}") for shard in shards for number in self.recipe.rows(shard))
            return
        shards = list(shards)
        files = self.files(before, shards)
        for shard in shards:
            yield from (outcome for outcome in outcomes_of(files[shard].path) if isinstance(outcome, Item))

    def _identity(self, name: str) -> dict[str, Any]:
        """Say what a stage is, but for what it is made from.

        Settings are part of every stage: one that is run again asks no model what was asked before.
        """
        step, record = self.step(name), self._record
        if name == SOURCE:
            return {"source": record["source"]}
        if name == ROWS:
            return {key: record[key] for key in record if key not in ("count", "shard_size", "source")}
        if step is None:
            raise ValueError(f"{self.recipe.name} has no step {name}; there are {', '.join(self.names)}")
        drawn = {
            key: record.get(key)
            for key in ("seed", "generator", "settings", "fonts", "texts", "functions", "invoices")
        }
        role = self.recipe.roles.get(step.role or "") or (self.recipe.endpoint if step.role else None)
        return {
            **drawn,
            "step": name,
            "version": step.version,
            "prompts": prompts_hash(self.recipe.name, step.prompt_files),
            "role": role.identity() if role else None,
        }

    @cached_property
    def _record(self) -> dict[str, Any]:
        """Read what the folder was begun with: its fingerprints of large files need not be taken in each task."""
        path = self.out / RECORD
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else self.recipe.record()

    def _source_of(self, shard: int) -> list[int]:
        rows = self.recipe.rows(shard)
        return [rows.start, rows.stop]


def write_stage(folder: Path, shard: int, source: str, given: int, outcomes: Sequence[Outcome]) -> StageFile:
    """Write a stage's file of a shard; an older one goes, as soon as this one is there.

    Raises:
        ValueError: Two items have one id, or data are no JSON.
    """
    lines = [json.dumps(_counted(given, outcomes), ensure_ascii=False), *map(outcome_line, outcomes)]
    return put_stage(folder, shard, source, "".join(f"{line}\n" for line in lines).encode())


def put_stage(folder: Path, shard: int, source: str, content: bytes) -> StageFile:
    """Put a stage's file of a shard in its place."""
    folder = group_folder(folder, shard // GROUP)
    folder.mkdir(parents=True, exist_ok=True)
    holds = hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"{shard:05}.{source}.{holds}.jsonl"
    write_file(path, content)
    for old in folder.glob(f"{shard:05}.*.jsonl"):
        if old != path and not old.name.endswith(PARTIAL):
            old.unlink(missing_ok=True)
    return StageFile(path, source, holds)


def group_folder(folder: Path, group: int) -> Path:
    """Name the folder of a hundred shards' files."""
    return folder / f"{group:03}"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []


def outcomes_of(path: Path) -> Iterator[Outcome]:
    """Read a stage's file.

    Raises:
        ValueError: It does not hold what its name says.
    """
    held = hashlib.sha256()
    with path.open("rb") as file:
        held.update(next(file, b""))  # counts
        for line in file:
            held.update(line)
            value = _value_of(line, path)
            yield Item(**value) if "data" in value else Rejected(**value)
    if held.hexdigest()[:16] != path.name.split(".")[2]:
        raise damaged(path)


def count_of(path: Path) -> StageCount:
    """Read what a stage's file holds, of its first line.

    Raises:
        ValueError: There is none.
    """
    with path.open("rb") as file:
        value = _value_of(next(file, b""), path)
    counts = value["given"], value["made"], value["failed"], Counter(value["rejected"])
    return StageCount(*counts, value.get("bytes"))


def damaged(path: Path, found: str = "") -> ValueError:
    """Say that a file was changed after it was whole, and what is done about it."""
    seen = f" ({found})" if found else ""
    return ValueError(f"{path} is not what was written there{seen}; remove it, and the same command makes it again")


def _value_of(line: bytes, path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError as error:
        raise damaged(path) from error


def outcome_line(outcome: Outcome) -> str:
    """Write an item or a rejection as JSON.

    Raises:
        ValueError: Its data are no JSON.
    """
    try:
        return json.dumps(outcome._asdict(), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"item {outcome.id}: its data are no JSON: {error}") from error


def counted(given: int, made: int, rejected: Iterable[Rejected]) -> dict[str, Any]:
    """Give the first line of a stage's file."""
    reasons: Counter[str] = Counter()
    failed = 0
    for entry in rejected:
        reasons[entry.reason] += 1
        failed += entry.failed
    return {"given": given, "made": made, "failed": failed, "rejected": dict(sorted(reasons.items()))}


def digest(value: Any) -> str:
    """Digest a JSON value."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _counted(given: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    ids = Counter(outcome.id for outcome in outcomes if isinstance(outcome, Item))
    if twice := [name for name, count in ids.items() if count > 1]:
        raise ValueError(f"items {', '.join(twice[:3])} are there more than once; children have names of their own")
    return counted(given, len(ids), (outcome for outcome in outcomes if isinstance(outcome, Rejected)))
