"""What a trained model's weights follow from, as it is written beside them."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from ..disk import fingerprint
from .recipe import TRAINING_LOG, Recipe


def origin_of(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe, and what its paths hold: that may change while the recipe stays."""
    log = Path(recipe.model) / TRAINING_LOG  # differs each time a model is trained; a composed one has none
    model = fingerprint(log) if log.exists() else None
    return {**asdict(recipe), "data_sha256": fingerprint(recipe.data), "model_log_sha256": model}


def recipe_defaults() -> dict[str, Any]:
    """Return what was done before a key was there, for the keys that a recipe may leave out."""
    plain = {entry.name: entry.default for entry in fields(Recipe) if entry.default is not MISSING}
    defaults: dict[str, Any] = json.loads(json.dumps(plain))
    return {**defaults, "loss": {}}
