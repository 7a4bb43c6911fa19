"""InternVL's MPO pairs, those whose sources have a licence on the recipe's list (paper, section 4.3).

MMPR is a folder with one JSONL file of annotations a source; which source a file is of, its name begins with. A source
whose licence nobody has written down is left out, as one with a restrictive licence is: nothing is taken by default.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ...disk import fingerprint
from ...fields import RecipeError
from ...samples.formats import read_record
from ...samples.sources import Rows, Source, open_rows
from ..dataset import DatasetRow
from ..steps import Item, ItemSource, Outcome, Step
from .pair_rows import PAIR_FEATURES, pair_faults, pair_row

if TYPE_CHECKING:
    from ..building.recipe import BuildRecipe

NAME = "preferences-mpo"
TITLE = "InternVL3.5 MPO"
VERSION = 1
SUMMARY = "Preference pairs of InternVL's MPO set, from sources with open licences."
FEATURES = PAIR_FEATURES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MpoSettings:
    """Which sources are taken.

    Args:
        licences: Of each source that is known, by how its files' names begin.
        allowed: Licences that are open enough.
    """

    allowed: tuple[str, ...]
    licences: Mapping[str, str] = field(default_factory=dict)


Settings = MpoSettings


class MpoSource:
    """Rows of the files of allowed sources, one after the other.

    Args:
        folder: Of the annotations.
        licences: Of the sources, by how their files' names begin.
        allowed: Licences of those that are taken.

    Raises:
        RecipeError: No file is left.
    """

    def __init__(self, folder: Path, licences: Mapping[str, str], allowed: Sequence[str]) -> None:
        self.files = sorted(folder.glob("*.jsonl"))
        self.taken: list[tuple[Rows, str, str]] = []
        left_out: list[str] = []
        for file in self.files:
            licence = licence_of(file.stem, licences)
            if licence is None or licence.lower() not in {name.lower() for name in allowed}:
                left_out.append(f"{file.stem} ({licence or 'licence unknown'})")
            else:
                self.taken.append((open_rows(Source(file.stem, path=str(file))), file.stem, licence))
        if left_out:
            logger.warning("left out: %s", ", ".join(left_out))
        if not self.taken:
            raise RecipeError(f"{folder} has no annotations NAME.jsonl of a source whose licence is allowed")
        self.key = hashlib.sha256(repr((sorted(licences.items()), sorted(allowed))).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(len(rows) for rows, _, _ in self.taken)

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Give rows as they are, as JSON text, with where they are from; `fault` in the place of one that is none."""
        before = 0
        for rows, name, licence in self.taken:
            for place in range(max(start - before, 0), min(stop - before, len(rows))):
                known = {"origin": name, "licence": licence, "sample": f"{name}, {place + 1}"}
                try:
                    yield {**known, "row": rows[place]}
                except ValueError as error:
                    yield {**known, "fault": str(error)}
            before += len(rows)

    def fingerprint(self) -> str:
        """Tell the files, and the choice among them, from others."""
        digests = [fingerprint(file) for file in self.files]
        return hashlib.sha256(repr((digests, self.key)).encode()).hexdigest()


def licence_of(name: str, licences: Mapping[str, str]) -> str | None:
    """Find the licence of a file by the longest known beginning of its name, up to a mark or its end.

    >>> licence_of("ai2d_train_12k", {"ai2d": "cc-by-sa-4.0", "ai2": "other"}), licence_of("ai2dplus", {"ai2d": "x"})
    ('cc-by-sa-4.0', None)
    """
    lower = name.lower()
    fitting = [
        known
        for known in licences
        if lower.startswith(known.lower()) and not lower[len(known) : len(known) + 1].isalnum()
    ]
    return licences[max(fitting, key=len)] if fitting else None


def source(recipe: BuildRecipe) -> ItemSource:
    """Open the annotations.

    Raises:
        RecipeError: The recipe names none, or no images.
    """
    if recipe.samples is None or recipe.images is None:
        raise RecipeError(f"{NAME} needs samples, the folder of annotations, and images, a manifest or their folder")
    settings: MpoSettings = recipe.settings
    return _opened(recipe.samples, tuple(sorted(settings.licences.items())), settings.allowed)


@lru_cache(maxsize=2)
def _opened(folder: str, licences: tuple[tuple[str, str], ...], allowed: tuple[str, ...]) -> MpoSource:
    return MpoSource(Path(folder), dict(licences), allowed)


def steps(recipe: BuildRecipe) -> Sequence[Step]:
    """Read the pairs; of those with one prompt, the first stays."""
    return (Step("read", work=partial(_read, recipe)), Step("distinct", work=_distinct, scope="all"))


def row(item: Item, recipe: BuildRecipe) -> DatasetRow:
    """Write a pair with the licence of its source."""
    written = pair_row(item, item.data["chosen"], item.data["rejected"], item.data["origin"], {})
    return {**written, "licence": item.data["licence"]}


faults = pair_faults


def _read(recipe: BuildRecipe, items: Iterable[Item]) -> Iterator[Outcome]:
    table = pq.read_table(recipe.images, columns=["where", "image_id"]).to_pydict()
    images = dict(zip(table["where"], table["image_id"], strict=True))
    for item in items:
        try:
            yield _pair(item, images)
        except ValueError as error:
            yield item.rejected("a pair that cannot be read", str(error)[:200])


def _pair(item: Item, images: Mapping[str, str]) -> Item:
    if "fault" in item.data:
        raise ValueError(item.data["fault"])
    record = read_record(item.data["row"], "dpo", item.data["sample"])
    paths = [str(path) for path in record["images"]]
    if lost := [path for path in paths if path not in images]:
        raise ValueError(f"no such image: {lost[0]}")
    prompt = [{"role": turn["role"], "content": _text(turn["content"])} for turn in record["prompt"]]
    data = {
        "images": [images[path] for path in paths],
        "prompt": prompt,
        "chosen": _text(record["chosen"][-1]["content"]),
        "rejected": _text(record["rejected"][-1]["content"]),
        "language": str(item.data["row"].get("language") or "en"),
        **{name: item.data[name] for name in ("origin", "licence", "sample")},
    }
    if (
        data["chosen"].strip() == data["rejected"].strip()
        or not data["chosen"].strip()
        or not data["rejected"].strip()
    ):
        raise ValueError("answers that are the same, or empty")
    return Item(item.id, data)


def _text(content: Any) -> str:
    parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return "\n".join(part for part in parts if part)


def _distinct(items: Iterable[Item]) -> Iterator[Outcome]:
    seen: set[bytes] = set()
    for item in items:
        words = [" ".join(turn["content"].lower().split()) for turn in item.data["prompt"]]
        key = hashlib.sha256(json.dumps([item.data["images"], words]).encode()).digest()
        yield item.rejected("a prompt that is there") if key in seen else item
        seen.add(key)
