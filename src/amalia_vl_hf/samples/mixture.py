"""Mixtures of datasets: read strictly from YAML, and drawn once, to the exact count, into a manifest."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from ..fields import INLINE, RecipeError, printable, read_fields, read_yaml, unknown
from .lengths import Size
from .loading import SampleReader
from .manifest import write_manifest
from .sources import Source
from .workers import in_chunks

logger = logging.getLogger(__name__)

# Gives the tokens and tiles of each sample, or what is wrong with it.
Measure = Callable[[Sequence[Mapping[str, Any]]], Sequence[Size | ValueError]]


class MixtureError(ValueError):
    """A mixture that cannot be drawn; the message says every fault there is."""


@dataclass(frozen=True)
class Entry:
    """One dataset of a mixture, and how much of it is taken.

    Args:
        source: The dataset; in a file its keys lie beside those below.
        samples: How many samples are drawn; a file may say `tokens` in its place.
        tokens: How many tokens are drawn, the chat template's included: whole samples, until the next one would lead
            farther away from it.
        title: What the paper's table calls it; its name when left out.
        licence: Its licence.
        repeat: Take it several times when it has fewer samples.
        unknown: Facts that nobody published: `licence`, `revision`, `subset`. Without its subset it cannot be read.
    """

    source: Source = field(metadata=INLINE)
    samples: int | None
    tokens: int | None = None
    title: str = ""
    licence: str | None = None
    repeat: bool = False
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.source.name)
        if faults := list(self._faults()):
            raise RecipeError("; ".join(f"{self.source.name}: {fault}" for fault in faults))

    @property
    def amount(self) -> int:
        """Samples, or tokens, that are drawn."""
        return self.samples or self.tokens or 0

    def _faults(self) -> Iterator[str]:
        """Yield what cannot be, each in a few words."""
        source = self.source
        if (self.samples is None) == (self.tokens is None):
            yield f"give either samples or tokens, not samples={self.samples} and tokens={self.tokens}"
        elif self.amount <= 0:
            yield f"{'tokens' if self.tokens is not None else 'samples'} must be positive, not {self.amount}"
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
    """Datasets and how many samples of each, or how many tokens.

    Args:
        seed: Of the draw.
        datasets: The datasets.
        method: `"sft"` or `"dpo"`.
        rounding: Samples that a dataset may have fewer than asked for; it is taken whole then.
        shortfall: Share of its tokens that a dataset may have fewer, as another tokenizer counts them; likewise.
    """

    seed: int
    datasets: tuple[Entry, ...]
    method: str = "sft"
    rounding: int = 0
    shortfall: float = 0.0

    def __post_init__(self) -> None:
        names = Counter(entry.source.name for entry in self.datasets)
        faults = [f"{count} datasets are called {name}" for name, count in names.items() if count > 1]
        if self.method not in ("sft", "dpo"):
            faults.append(f"method {self.method!r} is neither sft nor dpo")
        if len({entry.tokens is None for entry in self.datasets}) > 1:
            faults.append("some datasets are counted in samples and some in tokens, which have no common share")
        if not 0 <= self.shortfall < 1:
            faults.append(f"shortfall is a share of the tokens, 0 <= shortfall < 1, not {self.shortfall}")
        if faults:
            raise RecipeError("; ".join(faults))

    def without(self, names: Collection[str]) -> Mixture:
        """Leave datasets out, by their names or categories.

        Raises:
            MixtureError: There is none of such a name, or nothing would be left.
        """
        known = {name for entry in self.datasets for name in (entry.source.name, entry.source.category)}
        if odd := [name for name in names if name not in known]:
            raise MixtureError(unknown("dataset or category", odd[0], sorted(filter(None, known))))
        kept = [entry for entry in self.datasets if not {entry.source.name, entry.source.category} & set(names)]
        if not kept:
            raise MixtureError(f"without {', '.join(names)} no dataset is left")
        return replace(self, datasets=tuple(kept))

    def shares(self) -> dict[str, float]:
        """Give the share of each category in all samples, or tokens, in percent."""
        counts: Counter[str] = Counter()
        for entry in self.datasets:
            counts[entry.source.category or "none"] += entry.amount
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
    if isinstance(rows := values.get("datasets"), list):  # a dataset that says its tokens need not say samples: null
        by_tokens = [isinstance(row, dict) and "tokens" in row for row in rows]
        rows = [{"samples": None, **row} if tokens else row for row, tokens in zip(rows, by_tokens, strict=True)]
        values = {**values, "datasets": rows}
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
        measure: Counts the tokens and tiles of samples; one that it has a ValueError for is left out for the next one
            of the draw, and said so. Without it nothing is read but how many samples there are.
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
    if measure is None and any(entry.tokens is not None for entry in mixture.datasets):
        raise MixtureError("the mixture counts tokens, which are those of a model's tokenizer: give --model")
    sources = [entry.source for entry in mixture.datasets]
    reader = SampleReader(sources, mixture.method)
    columns: dict[str, list[int]] = {"source": [], "row": []}
    if measure is not None:
        columns |= {"length": [], "tiles": []}
    left_out: dict[str, int] = {}
    for number, entry in enumerate(mixture.datasets):
        draw = _drawn if entry.tokens is None else _drawn_tokens
        rows, left_out[entry.source.name] = draw(entry, mixture, reader, number, measure, workers)
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
    available, wanted = len(reader.rows(number)), entry.amount
    count = wanted if entry.repeat else min(wanted, available)
    order = _order(entry, mixture, available)
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
    if not sound or (len(sound) < wanted - mixture.rounding and not entry.repeat):
        raise MixtureError(
            f"{entry.source.name}: {wanted} samples wanted, {len(sound)} there, {refused} left out as faulty; "
            "lower `samples` or set `repeat: true`"
        )
    while entry.repeat and len(sound) < count:
        sound += sound[: count - len(sound)]
    return sound, refused


def _drawn_tokens(
    entry: Entry, mixture: Mixture, reader: SampleReader, number: int, measure: Measure | None, workers: int
) -> tuple[list[tuple[int, ...]], int]:
    """Draw `(row, length, tiles)` of a dataset until its tokens are there; count those left out on the way."""
    order = _order(entry, mixture, len(reader.rows(number))).tolist()
    sound: list[tuple[int, ...]] = []
    total = refused = 0
    with tqdm(total=entry.amount, desc=entry.source.name, unit="token", unit_scale=True) as bar:
        for row, size in zip(order, _sizes(order, number, reader, measure, workers), strict=False):
            if isinstance(size, str):
                logger.warning("left out: %s", printable(size))
                refused += 1
            elif _leads_away(total, size[0], entry.amount):
                return sound, refused
            else:
                sound.append((row, *size))
                total += size[0]
                bar.update(size[0])
    if not sound or (total < entry.amount * (1 - mixture.shortfall) and not entry.repeat):
        raise MixtureError(
            f"{entry.source.name}: {entry.amount} tokens wanted, {total} there in {len(sound)} samples, {refused} "
            "left out as faulty; lower `tokens`, raise the mixture's `shortfall`, or set `repeat: true`"
        )
    for sample in cycle(list(sound)) if entry.repeat else ():
        if _leads_away(total, sample[1], entry.amount):
            break
        sound.append(sample)
        total += sample[1]
    return sound, refused


def _leads_away(total: int, tokens: int, wanted: int) -> bool:
    """Whether a sum is farther from what is wanted with so many tokens more than without; the first sample stays."""
    return total > 0 and abs(total + tokens - wanted) > abs(total - wanted)


def _order(entry: Entry, mixture: Mixture, available: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Give the order in which a dataset's rows are drawn."""
    return np.random.default_rng([mixture.seed, zlib.crc32(entry.source.name.encode())]).permutation(available)


def _sizes(
    rows: list[int], number: int, reader: SampleReader, measure: Measure | None, workers: int
) -> Iterable[tuple[int, ...] | str]:
    """Measure rows of a source, in their order; in the place of a faulty one's size is what is wrong with it."""
    if measure is None:
        return [()] * len(rows)
    return in_chunks(partial(_measured, number, reader, measure), rows, workers)


def _measured(number: int, reader: SampleReader, measure: Measure, rows: Sequence[int]) -> list[tuple[int, ...] | str]:
    sizes = measure([reader.read(row, number, row) for row in rows])
    return [str(size) if isinstance(size, ValueError) else size for size in sizes]
