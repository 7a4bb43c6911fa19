"""What a build makes: the dataset, how much of it, from which seed, materials and models."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...asking.roles import Endpoint
from ...disk import fingerprint
from ...fields import RecipeError, override, read_fields, read_yaml
from ..dataset import FAMILIES, WRITTEN, ModelStep, RenderedDataset, import_dataset, import_family
from ..prompts import prompt_hash, prompts_hash

if TYPE_CHECKING:
    from ..image_manifest import ImageManifest
    from ..steps import Step, WrittenDataset

INPUTS = ("fonts", "texts", "functions", "invoices")  # files and folders of the user's
OWN_LICENCE = "Apache-2.0"  # of pictures made of the package's own texts
WRITER = "writer"  # the one role of a rendered dataset


@dataclass(frozen=True)
class BuildRecipe:
    """What is built, and all that its bytes depend on.

    Args:
        name: The dataset, one of `FAMILIES` or `WRITTEN`.
        count: Samples; of one that models write, entries of its source.
        seed: Of everything drawn.
        shard_size: Samples, or entries, a file.
        fonts: Folder of fonts to draw with, beside the package's own.
        texts: The user's texts, `.txt` or `.parquet`; the package's own when left out.
        functions: The user's Python functions, `.parquet`; seeded ones when left out.
        invoices: Folder of the user's annotated invoices; they are set here when left out.
        licence: Of what is the user's.
        endpoint: The model that the steps of a rendered dataset ask; none is asked when left out.
        roles: The models that the steps of a written dataset ask, by what they do there.
        images: Manifest of the images that a dataset is made of.
        samples: What it is made of beside or instead of images, in a form that its module reads.
        embed_images: Whether rows hold the images' bytes, or name their files.
        settings: The numbers of a written dataset, an instance of its `Settings`.
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
    roles: Mapping[str, Endpoint] = field(default_factory=dict)
    images: str | None = None
    samples: str | None = None
    embed_images: bool = True
    settings: Any = None

    def __post_init__(self) -> None:
        if self.is_written:
            _require_roles(self)
        elif not self.dataset.STEPS and self.endpoint:  # the first look at the module refuses another name
            raise ValueError(f"{self.name} asks no model; leave --endpoint and --model out")
        elif idle := [name for name in INPUTS if getattr(self, name) and name not in self.dataset.USES]:
            raise ValueError(f"{self.name} is not made of {' and '.join(idle)} of the user's")
        if self.count < 1 or self.shard_size < 1:
            raise ValueError(f"{self.count} samples in shards of {self.shard_size}: both must be 1 or more")

    @property
    def is_written(self) -> bool:
        """Tell a dataset that models write from one that is rendered."""
        return self.name in WRITTEN

    @property
    def dataset(self) -> RenderedDataset:
        """Give the module that draws it."""
        return import_dataset(self.name)

    @property
    def written(self) -> WrittenDataset:
        """Give the module of one that models write."""
        return import_written(self.name)

    @property
    def title(self) -> str:
        """Give its name in the paper."""
        return self.written.TITLE if self.is_written else self.dataset.TITLE

    @property
    def steps(self) -> tuple[ModelStep, ...]:
        """List what a model is asked of a rendered sample."""
        return self.dataset.STEPS if self.endpoint else ()

    @property
    def manifest(self) -> ImageManifest:
        """Open the manifest of images.

        Raises:
            ValueError: The recipe names none.
        """
        if self.images is None:
            raise ValueError(f"{self.name} is made of images, and the recipe names none: images: MANIFEST.parquet")
        return _manifest(self.images)

    @property
    def shards(self) -> int:
        """Count the files."""
        return -(-self.count // self.shard_size)

    def rows(self, shard: int) -> range:
        """List the numbers of a shard's samples, or entries."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    def shard_path(self, out: Path, shard: int) -> Path:
        """Name a shard's file, as Hub datasets do."""
        return out / "data" / f"train-{shard:05}-of-{self.shards:05}.parquet"

    @property
    def generator(self) -> str:
        """Say what makes the samples, to tell versions apart."""
        dataset = self.written if self.is_written else self.dataset
        return f"amalia-vl-hf {_package_version()}, {self.name} {dataset.VERSION}"

    def rng(self, *names: Any) -> random.Random:
        """Start the generator of a sample by its number, or of a step and an item by their names.

        Steps and drawing of a rendered sample start from the same state.
        """
        return random.Random(" ".join(map(str, (self.seed, self.name, *names))))  # noqa: S311

    def provenance(self) -> dict[str, Any]:
        """Give the columns that say where a row comes from."""
        if self.is_written:
            model = ", ".join(sorted({role.model for role in self.roles.values()}))
            prompts = prompts_hash(self.name, _prompt_files(self.written.steps(self)))
        else:
            model = self.endpoint.model if self.endpoint else ""
            prompts = prompt_hash(self.name, self.steps)
        return {
            "seed": self.seed,
            "generator": self.generator,
            "model": model,
            "prompt_hash": prompts,
            "licence": self.licence,
        }

    def record(self) -> dict[str, Any]:
        """Give everything that decides on the bytes, with fingerprints of the user's files."""
        inputs = {name: getattr(self, name) and fingerprint(getattr(self, name)) for name in INPUTS}
        sizes = {"name": self.name, "count": self.count, "shard_size": self.shard_size}
        if not self.is_written:
            model = self.endpoint.identity() if self.endpoint else None
            return {**sizes, **inputs, "endpoint": model, **self.provenance()}
        return {
            **sizes,
            "source": self.written.source(self).fingerprint(),
            "roles": {name: role.identity() for name, role in self.roles.items()},
            "settings": asdict(self.settings) if is_dataclass(self.settings) else None,  # type: ignore[arg-type]
            "embed_images": self.embed_images,
            **self.provenance(),
        }


@dataclass(frozen=True)
class RecipeFile:
    """The keys of a recipe, a YAML file; `BuildRecipe` says what they mean."""

    dataset: str
    count: int | None = None
    seed: int = 0
    shard_size: int = 500
    fonts: str | None = None
    texts: str | None = None
    functions: str | None = None
    invoices: str | None = None
    images: str | None = None
    samples: str | None = None
    embed_images: bool = True
    licence: str = OWN_LICENCE
    roles: Mapping[str, Endpoint] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def load_build(path: str | Path, words: Sequence[str] = ()) -> BuildRecipe:
    """Read a recipe and apply `key=value` words; keys of nested values are dotted.

    Raises:
        RecipeError: It cannot be followed; all faults of its keys at once.
        ValueError: What it names is not there.
    """
    values = read_yaml(path)
    for word in words:
        override(values, word)
    if isinstance(values.get("roles"), dict):  # a key goes to the server that it is named for, and to no other
        values["roles"] = {
            name: {"key": "", **role} if isinstance(role, dict) else role for name, role in values["roles"].items()
        }
    try:
        return _recipe_of(read_fields(RecipeFile, values))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _recipe_of(file: RecipeFile) -> BuildRecipe:
    same = (*INPUTS, "images", "samples", "embed_images", "licence", "seed", "shard_size")
    given: dict[str, Any] = {name: getattr(file, name) for name in same}
    if file.dataset in FAMILIES:
        if file.count is None:
            raise RecipeError("count is missing")
        if strangers := sorted(set(file.roles) - {WRITER}):
            raise RecipeError(f"{file.dataset} has one role, {WRITER}, and no {', '.join(strangers)}")
        if file.settings:
            raise RecipeError(f"{file.dataset} has no settings")
        return BuildRecipe(file.dataset, file.count, endpoint=file.roles.get(WRITER), **given)
    settings = read_fields(import_written(file.dataset).Settings, file.settings, prefix="settings.")
    recipe = BuildRecipe(file.dataset, file.count or 1, roles=file.roles, settings=settings, **given)
    there = len(recipe.written.source(recipe))
    if not there or (file.count or 0) > there:
        raise RecipeError(f"count is {file.count}, and what it is made of has {there} entries")
    return replace(recipe, count=file.count or there)


def import_written(name: str) -> WrittenDataset:
    """Import the module of a dataset that models write.

    Raises:
        ValueError: There is none of that name.
    """
    return cast("WrittenDataset", import_family(name, {**FAMILIES, **WRITTEN}))


def _require_roles(recipe: BuildRecipe) -> None:
    """Hold the roles of a recipe to those that its steps name: one that is missing is an error, and one too many."""
    wanted = {step.role for step in recipe.written.steps(recipe) if step.role}
    if lost := sorted(wanted - recipe.roles.keys()):
        raise RecipeError(f"roles: {recipe.name} asks {', '.join(lost)}, and the recipe has no such role")
    if idle := sorted(recipe.roles.keys() - wanted):
        raise RecipeError(f"roles: {recipe.name} has no step that asks {', '.join(idle)}")


def _prompt_files(steps: Sequence[Step]) -> list[str]:
    return [name for step in steps for name in step.prompt_files]


@lru_cache(maxsize=1)
def _package_version() -> str:
    """Read the version of the package, which every row names, once."""
    return version("amalia-vl-hf")


@lru_cache(maxsize=1)
def _manifest(path: str) -> ImageManifest:
    from ..image_manifest import ImageManifest

    return ImageManifest(Path(path))
