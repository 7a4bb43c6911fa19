"""Mixtures of datasets: read strictly from YAML, and drawn once, to the exact count, into a manifest."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm  # type: ignore[import-untyped]

from ..fields import INLINE, RecipeError, printable, read_fields, read_yaml
from .loading import SampleReader
from .manifest import write_manifest
from .sources import Source

logger = logging.getLogger(__name__)

Measure = Callable[[Mapping[str, Any]], tuple[int, int]]


class MixtureError(ValueError):
    """A mixture that cannot be drawn; the message says every fault there is."""


@dataclass(frozen=True)
class Entry:
    """One dataset of a mixture, and how much of it is taken.

    Args:
        source: The dataset; in a file its keys lie beside those below.
        samples: How many samples are drawn.
        title: What the paper's table calls it; its name when left out.
        licence: Its licence.
        repeat: Take it several times when it has fewer samples.
        unknown: Facts that nobody published: `licence`, `revision`, `subset`. Without its subset it cannot be read.
    """

    source: Source = field(metadata=INLINE)
    samples: int
    title: str = ""
    licence: str | None = None
    repeat: bool = False
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.source.name)
        if faults := list(self._faults()):
            raise RecipeError("; ".join(f"{self.source.name}: {fault}" for fault in faults))

    def _faults(self) -> Iterator[str]:
        """Yield what cannot be, each in a few words."""
        source = self.source
        if self.samples <= 0:
            yield f"samples must be positive, not {self.samples}"
        if (source.path is None) == (source.hub is None):
            yield "give either path or hub"
        public = {"subset": source.subset, "split": source.split, "revision": source.revision}
        if source.path and (idle := [key for key, value in public.items() if value not in (None, "train")]):
            yield f"{', '.join(idle)} belong to a dataset of the Hub, but this one has a path"
        facts = {"licence": self.licence, "revision": source.revision, "subset": source.subset}
        for key in self.unknown:
            if key not in facts:
                yield f"unknown {key!r} is neither {', '.join(facts)}"
            elif facts[key] is not None:
                yield f"{key} is both given and unknown"


@dataclass(frozen=True)
class Mixture:
    """Datasets and how many samples of each.

    Args:
        seed: Of the draw.
        datasets: The datasets.
        method: `"sft"` or `"dpo"`.
        rounding: Samples that a dataset may have fewer than asked for; it is taken whole then.
    """

    seed: int
    datasets: tuple[Entry, ...]
    method: str = "sft"
    rounding: int = 0

    def __post_init__(self) -> None:
        names = Counter(entry.source.name for entry in self.datasets)
        faults = [f"{count} datasets are called {name}" for name, count in names.items() if count > 1]
        if self.method not in ("sft", "dpo"):
            faults.append(f"method {self.method!r} is neither sft nor dpo")
        if faults:
            raise RecipeError("; ".join(faults))

    def shares(self) -> dict[str, float]:
        """Give the share of each category in all samples, in percent."""
        counts: Counter[str] = Counter()
        for entry in self.datasets:
            counts[entry.source.category or "none"] += entry.samples
        return {category: 100 * count / counts.total() for category, count in counts.items()}


def load_mixture(path: str | Path) -> Mixture:
    """Read a mixture.

    Paths in it are relative to the directory the command runs in, as in recipes.

    Raises:
        MixtureError: Unknown key, wrong type, missing value, or a dataset that comes from nowhere or from two places.
        FileNotFoundError: There is no such file.
    """
    try:
        values = read_yaml(path)
    except RecipeError as error:
        raise MixtureError(str(error)) from error
    try:
        mixture: Mixture = read_fields(Mixture, values)
    except RecipeError as error:
        raise MixtureError(f"{path}: {error}") from error
    return mixture


def draw_mixture(
    mixture: Mixture, out: str | Path, measure: Measure | None = None, workers: int = 0
) -> dict[str, int]:
    """Draw a mixture's samples and write its manifest.

    The same mixture over the same data draws the same samples; one dataset's count does not change another's draw.

    Args:
        mixture: What to draw.
        out: The manifest, a parquet file.
        measure: Counts a sample's tokens and tiles; a sample that it refuses with ValueError is left out for the next
            one of the draw, and said so. Without it nothing is read but how many samples there are.
        workers: Processes that measure; the samples drawn are the same with any number.

    Returns:
        How many samples were left out, by dataset.

    Raises:
        MixtureError: A dataset has fewer samples than asked for, or one is not known well enough to be read.
    """
    if hidden := [entry.source.name for entry in mixture.datasets if "subset" in entry.unknown]:
        raise MixtureError(
            f"the subset of {', '.join(hidden)} is not known; write it into the mixture, or leave them out"
        )
    sources = [entry.source for entry in mixture.datasets]
    reader = SampleReader(sources, mixture.method)
    columns: dict[str, list[int]] = {"source": [], "row": []}
    if measure is not None:
        columns |= {"length": [], "tiles": []}
    left_out: dict[str, int] = {}
    for number, entry in enumerate(mixture.datasets):
        rows, left_out[entry.source.name] = _drawn(entry, mixture, reader, number, measure, workers)
        for row in sorted(rows):  # grouped by source and in order: neighbours on disk stay neighbours
            for name, value in zip(columns, (number, *row), strict=True):
                columns[name].append(value)
    origin = {"seed": mixture.seed, "method": mixture.method, "entries": [asdict(entry) for entry in mixture.datasets]}
    write_manifest(out, columns, sources, origin)
    return {name: count for name, count in left_out.items() if count}


def _drawn(
    entry: Entry, mixture: Mixture, reader: SampleReader, number: int, measure: Measure | None, workers: int
) -> tuple[list[tuple[int, ...]], int]:
    """Draw rows of a dataset, `(row,)` or `(row, length, tiles)`, and count those that were left out on the way."""
    available = len(reader.rows(number))
    count = entry.samples if entry.repeat else min(entry.samples, available)
    order = np.random.default_rng([mixture.seed, zlib.crc32(entry.source.name.encode())]).permutation(available)
    sound: list[tuple[int, ...]] = []
    looked_at = refused = 0
    with tqdm(total=count, desc=entry.source.name, unit="sample", disable=measure is None) as bar:
        while len(sound) < count and looked_at < available:
            rows = order[looked_at : looked_at + count - len(sound)].tolist()
            looked_at += len(rows)
            for row, size in zip(rows, _sizes(rows, number, reader, measure, workers), strict=True):
                if isinstance(size, str):
                    logger.warning("left out: %s", printable(size))
                    refused += 1
                else:
                    sound.append((row, *size))
                    bar.update()
    if not sound or (len(sound) < entry.samples - mixture.rounding and not entry.repeat):
        raise MixtureError(
            f"{entry.source.name}: {entry.samples} samples wanted, {len(sound)} there, {refused} left out as faulty; "
            "lower `samples` or set `repeat: true`"
        )
    while entry.repeat and len(sound) < count:
        sound += sound[: count - len(sound)]
    return sound, refused


def _sizes(
    rows: list[int], number: int, reader: SampleReader, measure: Measure | None, workers: int
) -> Iterable[tuple[int, ...] | str]:
    """Measure rows of a source, in their order; in the place of a faulty one's size is what is wrong with it."""
    if measure is None:
        return [()] * len(rows)
    return DataLoader(_Sizes(rows, number, reader, measure), batch_size=None, num_workers=workers)


@dataclass(frozen=True)
class _Sizes(Dataset[tuple[int, ...] | str]):
    """Tokens and tiles of rows, read and measured where they are indexed."""

    rows: list[int]
    number: int
    reader: SampleReader
    measure: Measure

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[int, ...] | str:
        row = self.rows[position]
        try:
            return self.measure(self.reader.read(row, self.number, row))
        except ValueError as error:
            return str(error)
