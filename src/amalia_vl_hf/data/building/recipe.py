"""What a build makes: the dataset, how much of it, from which seed, materials and model."""

from __future__ import annotations

import random
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import fingerprint
from ..dataset import ModelStep, RenderedDataset, import_dataset
from ..prompts import prompt_hash

if TYPE_CHECKING:
    from ...asking.inference import Endpoint

INPUTS = ("fonts", "texts", "functions", "invoices")  # files and folders of the user's
OWN_LICENCE = "Apache-2.0"  # of pictures made of the package's own texts


@dataclass(frozen=True)
class BuildRecipe:
    """What is built, and all that its bytes depend on.

    Args:
        name: The dataset, one of `FAMILIES`.
        count: Samples.
        seed: Of everything drawn.
        shard_size: Samples a file.
        fonts: Folder of fonts to draw with, beside the package's own.
        texts: The user's texts, `.txt` or `.parquet`; the package's own when left out.
        functions: The user's Python functions, `.parquet`; seeded ones when left out.
        invoices: Folder of the user's annotated invoices; they are set here when left out.
        licence: Of what is the user's.
        endpoint: The model that the dataset's steps ask; none is asked when left out.
    """

    name: str
    count: int
    seed: int
    shard_size: int = 500
    fonts: str | None = None
    texts: str | None = None
    functions: str | None = None
    invoices: str | None = None
    licence: str = OWN_LICENCE
    endpoint: Endpoint | None = None

    def __post_init__(self) -> None:
        dataset = self.dataset  # refuses another name
        if self.count < 1 or self.shard_size < 1:
            raise ValueError(f"{self.count} samples in shards of {self.shard_size}: both must be 1 or more")
        if idle := [name for name in INPUTS if getattr(self, name) and name not in dataset.USES]:
            raise ValueError(f"{self.name} is not made of {' and '.join(idle)} of the user's")
        if self.endpoint and not dataset.STEPS:
            raise ValueError(f"{self.name} asks no model; leave --endpoint and --model out")

    @property
    def dataset(self) -> RenderedDataset:
        """Give the module that makes it."""
        return import_dataset(self.name)

    @property
    def steps(self) -> tuple[ModelStep, ...]:
        """List what a model is asked."""
        return self.dataset.STEPS if self.endpoint else ()

    @property
    def shards(self) -> int:
        """Count the files."""
        return -(-self.count // self.shard_size)

    def rows(self, shard: int) -> range:
        """List the numbers of a shard's samples."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def shard_path(self, out: Path, shard: int) -> Path:
        """Name a shard's file, as Hub datasets do."""
        return out / "data" / f"train-{shard:05}-of-{self.shards:05}.parquet"

    @property
    def generator(self) -> str:
        """Say what makes the samples, to tell versions apart."""
        return f"amalia-vl-hf {version('amalia-vl-hf')}, {self.name} {self.dataset.VERSION}"

    def rng(self, index: int) -> random.Random:
        """Start the generator of a sample; steps and drawing start from the same state."""
        return random.Random(f"{self.seed} {self.name} {index}")  # noqa: S311

    def provenance(self) -> dict[str, Any]:
        """Give the columns that say where a row comes from."""
        return {
            "seed": self.seed,
            "generator": self.generator,
            "model": self.endpoint.model if self.endpoint else "",
            "prompt_hash": prompt_hash(self.name, self.steps),
            "licence": self.licence,
        }

    def record(self) -> dict[str, Any]:
        """Give everything that decides on the bytes, with fingerprints of the user's files."""
        inputs = {name: getattr(self, name) and fingerprint(getattr(self, name)) for name in INPUTS}
        model = self.endpoint.record() if self.endpoint else None
        sizes = {"name": self.name, "count": self.count, "shard_size": self.shard_size}
        return {**sizes, **inputs, "endpoint": model, **self.provenance()}
