"""Adapters on the Hub, alone: their weights, whose base model is another repository, and a card of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...training.recipe import TRAINING_LOG
from ..tensor_files import parse_json, read_header
from .card import CardError, Place, Score, fact_slots, fill
from .repository import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TOKEN

TEMPLATE = Path(__file__).with_name("adapter_card.md")


def is_adapter(directory: Path) -> bool:
    """Say whether a directory holds adapters, as PEFT saves them, and no model."""
    return (directory / ADAPTER_CONFIG).is_file() and not (directory / "config.json").exists()


def gather_adapter(directory: Path, facts: Mapping[str, Any]) -> dict[str, Path | bytes]:
    """List what of a directory of adapters is published: the tokenizer and the processor are the base model's.

    Args:
        directory: As `amalia-vl train` writes it beside the model that it merged.
        facts: As `card.read_facts` gives them.

    Raises:
        CardError: They do not name the one base model.
        ValueError: Weights or configuration are missing or damaged.
    """
    if not (directory / ADAPTER_WEIGHTS).is_file():
        raise ValueError(
            f"{directory} holds {ADAPTER_CONFIG} but no {ADAPTER_WEIGHTS}; adapters are published as safetensors only"
        )
    read_header(directory / ADAPTER_WEIGHTS)
    text = (directory / ADAPTER_CONFIG).read_bytes()
    if TOKEN.search(text):
        raise ValueError(
            f"{directory / ADAPTER_CONFIG} holds what looks like a Hub access token; remove it, revoke it"
        )
    config = parse_json(text, directory / ADAPTER_CONFIG)
    config["base_model_name_or_path"], config["revision"] = base_model(facts), None
    return {
        ADAPTER_CONFIG: json.dumps(config, indent=2).encode() + b"\n",
        ADAPTER_WEIGHTS: directory / ADAPTER_WEIGHTS,
    }


def base_model(facts: Mapping[str, Any]) -> str:
    """Name the one repository whose weights the adapters change.

    Raises:
        CardError: There is none, or several.
    """
    named = facts.get("base_model")
    names = [named] if isinstance(named, str) else list(named or [])
    if len(names) != 1:
        raise CardError([f"adapters change one base model, but card.yaml gives base_model: {names}; name its Hub id"])
    return str(names[0])


def build_adapter_card(directory: Path, place: Place, facts: Mapping[str, Any], scores: list[Score]) -> str:
    """Fill the adapters' card.

    Raises:
        CardError: Slots have no value.
    """
    slots = {
        **fact_slots(facts, needs_picture=False),
        "base_model_id": base_model(facts),
        "repo_id": place.repo_id,
        "model_name": place.repo_id.split("/")[-1],
    }
    logged = directory if (directory / TRAINING_LOG).is_file() else directory.resolve().parent
    return fill(TEMPLATE, slots, logged, scores)
