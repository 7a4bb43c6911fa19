"""Where weights came from: the record that every conversion leaves beside them, which the card puts into words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..fields import shown

RECORD = "conversion.json"  # beside the weights: what they were made from
VERIFICATION = "verify.json"  # beside the weights: how they were compared with what they were made from
PARTS = {"import": {"model"}, "export": {"model"}, "compose": {"vision", "text"}}  # sources of each kind of conversion

SNAPSHOT = re.compile(r".*/models--([\w.-]+)--([\w.-]+)/snapshots/([0-9a-f]{40})")  # as the Hub's client keeps them
NAME = re.compile(r"/.+|[\w.-]+(?:/[\w.-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
TOOL = re.compile(r"[\w.+ -]+")
DTYPE = re.compile(r"[A-Z0-9]+")


class CheckpointSource(NamedTuple):
    """A checkpoint, named so that two ways of pointing at it give one name."""

    name: str  # Hub id, or a directory's absolute path; where it is published, only the directory's own name
    revision: str | None  # the Hub repository's commit

    @property
    def is_on_hub(self) -> bool:
        """Whether others can find it by its name."""
        return "/" in self.name and not self.name.startswith("/")


@dataclass(frozen=True)
class Provenance:
    """How a checkpoint was made.

    Args:
        kind: `import`, `export` or `compose`.
        sources: What it was made from: `model`, or `vision` and `text`.
        dtypes: Those of its weights, by safetensors' names: "BF16".
        tool: What made it, with its version.
    """

    kind: str
    sources: Mapping[str, CheckpointSource]
    dtypes: list[str]
    tool: str

    def published(self) -> Provenance:
        """Leave this machine's paths out: a directory keeps its own name alone, as it can stand in a card."""
        names = {
            part: source.name if source.is_on_hub else re.sub(r"[^\w.-]+", "_", Path(source.name).name)
            for part, source in self.sources.items()
        }
        return replace(self, sources={part: self.sources[part]._replace(name=names[part]) for part in names})

    def json(self) -> str:
        """Write the record."""
        sources = {part: source._asdict() for part, source in self.sources.items()}
        return json.dumps({**asdict(self), "sources": sources}, indent=2, ensure_ascii=False) + "\n"


def source_at(directory: Path) -> CheckpointSource:
    """Name a checkpoint's directory: one in the Hub's cache by its id and commit, any other by its absolute path."""
    path = str(directory.resolve())
    if kept := SNAPSHOT.fullmatch(path):
        return CheckpointSource(f"{kept[1]}/{kept[2]}", kept[3])
    return CheckpointSource(path, None)


def provenance_of(kind: str, directories: Mapping[str, Path], dtypes: Iterable[str]) -> Provenance:
    """Say how this package makes a checkpoint: out of which directories, in which dtypes."""
    sources = {part: source_at(directory) for part, directory in directories.items()}
    return Provenance(kind, sources, sorted(set(dtypes)), f"amalia-vl-hf {version('amalia-vl-hf')}")


def read_provenance(directory: Path) -> Provenance | None:
    """Read how a checkpoint was made; None where nothing says it.

    Raises:
        ValueError: The record is not one of `amalia-vl convert`.
    """
    path = directory / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_bytes())
        sources = {str(part): CheckpointSource(**source) for part, source in record.pop("sources").items()}
        provenance = Provenance(**record, sources=sources)
        sound = _is_sound(provenance)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a record of `amalia-vl convert`: {error!r}") from error
    if not sound:
        raise ValueError(f"{path} is not a record of `amalia-vl convert`: {shown(record)} of {shown(sources)}")
    return provenance


def _is_sound(provenance: Provenance) -> bool:
    return (
        provenance.sources.keys() == PARTS[provenance.kind]
        and all(_fits(NAME, source.name) for source in provenance.sources.values())
        and all(source.revision is None or _fits(COMMIT, source.revision) for source in provenance.sources.values())
        and isinstance(provenance.dtypes, list)
        and all(_fits(DTYPE, dtype) for dtype in provenance.dtypes)
        and _fits(TOOL, provenance.tool)
    )


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
