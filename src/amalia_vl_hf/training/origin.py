"""What a trained model's weights follow from: the recipe, and what its paths hold, told apart by content.

Files are hashed when a run begins. Beside the hashes lie the files' stamps (size, times, place on the disk): where a
later run finds the same ones, nothing is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from ..disk import digests, fingerprint, stamps
from ..samples.files import files_behind
from .recipe import TRAINING_LOG, Recipe, RecipeError

Record = dict[str, Any]  # `origin`, and the `stamps` of the files that were hashed for it

# Keys of a recipe from which the weights do not follow: a run may go on with others.
NEUTRAL = ("output", "save_steps", "save_epochs", "log_steps", "workers", "report_to", "validation")
# What is read of a model's folder: weights, configurations, tokenizer, templates.
_MODEL_FILES = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "*processor_config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "additional_chat_templates/*"),
    *("vocab*", "merges.txt", "*.model"),
)


def record_of(recipe: Recipe, earlier: Mapping[str, Any] | None = None) -> Record:
    """Return the recipe, and what its paths hold: that may change while the recipe stays.

    Args:
        recipe: What is trained.
        earlier: The record of an earlier run; what was not touched since is not read again.

    Returns:
        `origin`: the recipe's keys, `data_sha256` (where the data is one file), `model_log_sha256`, and the digests
        `rows_sha256`, `images_sha256` and `model_sha256` of names and contents. `stamps`, of the latter three.
        `before`: the origins of the stages that the model went through, first one first.
    """
    log = Path(recipe.model) / TRAINING_LOG  # differs each time a model is trained; a composed one has none
    origin: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))  # lists for tuples, as a file gives them back
    if Path(recipe.data).is_file():
        origin["data_sha256"] = fingerprint(recipe.data)
    origin["model_log_sha256"] = fingerprint(log) if log.exists() else None
    stamped: dict[str, str] = {}
    samples = files_behind(recipe.data, recipe.training_stage.method, recipe.images)
    contents: dict[str, tuple[Sequence[str | Path], Sequence[str]]] = {
        "rows": (samples.rows, samples.hub),
        "images": (samples.images, ()),
        "model": _model_files(recipe.model),
    }
    for name, (files, facts) in contents.items():
        stamped[name] = stamps(files)
        known = (earlier or {}).get("origin", {}).get(f"{name}_sha256")
        untouched = known is not None and (earlier or {}).get("stamps", {}).get(name) == stamped[name]
        origin[f"{name}_sha256"] = known if untouched else _digest(files, facts)
    return {"origin": origin, "stamps": stamped, "before": _stages_before(log)}


def _stages_before(log: Path) -> list[dict[str, Any]]:
    """Copy what the model's own log says of its stages: the model may have gone when this one is published."""
    try:
        record = read_record(log, log)
    except RecipeError:
        return []
    return [*record.get("before", []), record["origin"]]


def require_same(record: Record, earlier: Mapping[str, Any], where: Path) -> None:
    """Hold a record to that of an earlier run.

    Args:
        record: Of this run.
        earlier: Of the run whose files are there; keys that it does not know are not compared, unless they are a
            recipe's and have a default.
        where: What that run wrote, for the error.

    Raises:
        RecipeError: Something else is trained, or from something else; names what was and is.
    """
    now = record["origin"]
    before = {**recipe_defaults(), **earlier["origin"]}  # a new key's default is what was done before it was there
    different = [key for key in now if key in before and key not in NEUTRAL and before[key] != now[key]]
    if different:
        listed = "; ".join(f"{key} was {before[key]!r}, now {now[key]!r}" for key in different)
        raise RecipeError(
            f"{where} comes from another recipe, data or model ({listed}); delete it or choose another output"
        )


def require_same_model(recipe: Recipe, record: Record) -> None:
    """Hold the model that a recipe starts from to what it was when the run began.

    Raises:
        RecipeError: It was replaced meanwhile.
    """
    files, facts = _model_files(recipe.model)
    if stamps(files) == record["stamps"]["model"] or _digest(files, facts) == record["origin"]["model_sha256"]:
        return
    raise RecipeError(f"{recipe.model} is not what it was when training began; the adapters do not fit it any more")


def read_record(path: Path, where: Path) -> Record:
    """Read the record of an earlier run.

    Raises:
        RecipeError: There is none, or it is damaged.
    """
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["origin"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise RecipeError(f"{where} exists but was not written by this command; move it away") from None
    return record


def recipe_defaults() -> dict[str, Any]:
    """Return what was done before a key was there, for the keys that a recipe may leave out."""
    plain = {entry.name: entry.default for entry in fields(Recipe) if entry.default is not MISSING}
    defaults: dict[str, Any] = json.loads(json.dumps(plain))
    return {**defaults, "loss": {}}


def _model_files(model: str) -> tuple[list[Path], list[str]]:
    """List what is read of a model's folder; of the Hub, its commit says it all."""
    folder = Path(model)
    if not folder.is_dir():
        config = cached_file(model, "config.json")
        return [], [f"{model} {Path(config).parent.name}"]
    return sorted({file for pattern in _MODEL_FILES for file in folder.glob(pattern) if file.is_file()}), []


def _digest(files: Sequence[str | Path], facts: Sequence[str]) -> str:
    """Hash names and contents; the folder that all files share is no part of the names."""
    digest = hashlib.sha256(repr(list(facts)).encode())
    for file, content in zip(files, digests(files), strict=True):
        name = os.path.basename(file)  # noqa: PTH119  a Path for each of a million takes longer
        digest.update(f"{name} {content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
