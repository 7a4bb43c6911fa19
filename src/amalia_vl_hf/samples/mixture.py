"""Mixtures of datasets: read strictly from YAML, and drawn once, to the exact count, into a manifest."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm  # type: ignore[import-untyped]

from .loading import SampleReader
from .manifest import write_manifest
from .sources import Source

logger = logging.getLogger(__name__)

Measure = Callable[[Mapping[str, Any]], tuple[int, int]]
_PUBLIC = ("subset", "split", "revision")  # what only a dataset of the Hub has


class MixtureError(ValueError):
    """A mixture that cannot be drawn; the message says every fault found."""


@dataclass(frozen=True)
class Entry:
    """One dataset of a mixture, and how much of it is taken.

    Args:
        source: The dataset.
        samples: How many samples are drawn.
        title: What the paper's table calls it; its name when left out.
        licence: Its licence.
        repeat: Take it several times when it has fewer samples.
        unknown: Facts that nobody published: `licence`, `revision`, `subset`. Without its subset it cannot be read.
    """

    source: Source
    samples: int
    title: str
    licence: str | None = None
    repeat: bool = False
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mixture:
    """Datasets and how many samples of each.

    Args:
        entries: The datasets.
        seed: Of the draw.
        method: `"sft"` or `"dpo"`.
        rounding: Samples that a dataset may have fewer than asked for; it is taken whole then.
    """

    entries: tuple[Entry, ...]
    seed: int
    method: str = "sft"
    rounding: int = 0

    def shares(self) -> dict[str, float]:
        """Give the share of each category in all samples, in percent."""
        counts: Counter[str] = Counter()
        for entry in self.entries:
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
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise MixtureError(f"{path}: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("datasets"), list):
        raise MixtureError(f"{path}: a mixture holds `datasets`, a list")
    datasets = [entry if isinstance(entry, dict) else {} for entry in values["datasets"]]
    faults = list(_mixture_faults(values)) + [fault for entry in datasets for fault in _entry_faults(entry)]
    names = Counter(str(entry.get("name")) for entry in datasets)
    faults += [f"{count} datasets are called {name}" for name, count in names.items() if count > 1]
    if faults:
        raise MixtureError(f"{path}: {'; '.join(faults)}")
    options = {key: value for key, value in values.items() if key != "datasets"}
    return Mixture(tuple(_entry(entry) for entry in datasets), **options)


def draw(mixture: Mixture, out: str | Path, measure: Measure | None = None, workers: int = 0) -> dict[str, int]:
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
    if hidden := [entry.source.name for entry in mixture.entries if "subset" in entry.unknown]:
        raise MixtureError(
            f"the subset of {', '.join(hidden)} is not known; write it into the mixture, or leave them out"
        )
    sources = [entry.source for entry in mixture.entries]
    reader = SampleReader(sources, mixture.method)
    columns: dict[str, list[int]] = {"source": [], "row": []}
    if measure is not None:
        columns |= {"length": [], "tiles": []}
    left_out: dict[str, int] = {}
    for number, entry in enumerate(mixture.entries):
        rows, left_out[entry.source.name] = _drawn(entry, mixture, reader, number, measure, workers)
        for row in sorted(rows):  # grouped by source and in order: neighbours on disk stay neighbours
            for name, value in zip(columns, (number, *row), strict=True):
                columns[name].append(value)
    origin = {"seed": mixture.seed, "method": mixture.method, "entries": [asdict(entry) for entry in mixture.entries]}
    write_manifest(out, columns, sources, origin)
    return {name: count for name, count in left_out.items() if count}


def _drawn(
    entry: Entry, mixture: Mixture, reader: SampleReader, number: int, measure: Measure | None, workers: int
) -> tuple[list[tuple[int, ...]], int]:
    """Draw rows of a dataset, `(row,)` or `(row, length, tiles)`, and count those that were left out on the way."""
    available = len(reader.rows(number))
    wanted = entry.samples if entry.repeat else min(entry.samples, available)
    order = np.random.default_rng([mixture.seed, zlib.crc32(entry.source.name.encode())]).permutation(available)
    sound: list[tuple[int, ...]] = []
    looked_at = refused = 0
    with tqdm(total=wanted, desc=entry.source.name, unit="sample", disable=measure is None) as bar:
        while len(sound) < wanted and looked_at < available:
            rows = order[looked_at : looked_at + wanted - len(sound)].tolist()
            looked_at += len(rows)
            for row, size in zip(rows, _sizes(rows, number, reader, measure, workers), strict=True):
                if isinstance(size, str):
                    logger.warning("left out: %s", size)
                    refused += 1
                else:
                    sound.append((row, *size))
                    bar.update()
    if not sound or (len(sound) < entry.samples - mixture.rounding and not entry.repeat):
        raise MixtureError(
            f"{entry.source.name}: {entry.samples} samples wanted, {len(sound)} there, {refused} left out as faulty; "
            "lower `samples` or set `repeat: true`"
        )
    while entry.repeat and len(sound) < wanted:
        sound += sound[: wanted - len(sound)]
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


_SOURCE_KEYS = {entry.name: str(entry.type) for entry in fields(Source)}
_ENTRY_KEYS = {
    **_SOURCE_KEYS,
    **{entry.name: str(entry.type) for entry in fields(Entry) if entry.name != "source"},
    "unknown": "list",
}
_MIXTURE_KEYS = {"seed": "int", "method": "str", "rounding": "int", "datasets": "list"}


def _entry(values: Mapping[str, Any]) -> Entry:
    source = Source(**{key: value for key, value in values.items() if key in _SOURCE_KEYS})
    rest = {key: value for key, value in values.items() if key not in _SOURCE_KEYS}
    return Entry(source, **{"title": source.name, **rest, "unknown": tuple(rest.get("unknown", ()))})


def _mixture_faults(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _key_faults("mixture", values, _MIXTURE_KEYS)
    if "seed" not in values:
        yield "mixture: seed is missing"
    if values.get("method", "sft") not in ("sft", "dpo"):
        yield f"method {values['method']!r} is neither sft nor dpo"


def _entry_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a dataset's lines, each in a few words."""
    name = values.get("name", "a dataset without a name")
    yield from _key_faults(name, values, _ENTRY_KEYS)
    for key in ("name", "samples"):
        if key not in values:
            yield f"{name}: {key} is missing"
    if isinstance(values.get("samples"), int) and values["samples"] <= 0:
        yield f"{name}: samples must be positive, not {values['samples']}"
    if ("path" in values) == ("hub" in values):
        yield f"{name}: give either path or hub"
    if "path" in values and (idle := [key for key in _PUBLIC if key in values]):
        yield f"{name}: {', '.join(idle)} belong to a dataset of the Hub, but this one has a path"
    unknown = values.get("unknown", [])
    for key in unknown if isinstance(unknown, list) else []:
        if key not in ("licence", "revision", "subset"):
            yield f"{name}: unknown {key!r} is neither licence, revision nor subset"
        elif key in values:
            yield f"{name}: {key} is both given and unknown"


def _key_faults(name: str, values: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[str]:
    kinds = {"str": str, "int": int, "bool": bool, "list": list, "Mapping": dict}
    for key, value in values.items():
        if key not in known:
            yield f"{name}: unknown key {key!r}; known: {', '.join(known)}"
            continue
        kind = next(kind for prefix, kind in kinds.items() if known[key].startswith(prefix))
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield f"{name}: {key} must be {kind.__name__}, not {value!r}"
