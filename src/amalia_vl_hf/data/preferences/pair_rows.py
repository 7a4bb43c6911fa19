"""Rows of preference pairs, as TRL and this package's training read them: `prompt`, `chosen` and `rejected`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from datasets import Features, Image, List, Value

from ..dataset import DatasetRow
from ..steps import Item

_TURNS = List({"role": Value("string"), "content": Value("string")})
PAIR_FEATURES = Features(
    {
        "images": List(Image()),
        "prompt": _TURNS,
        "chosen": _TURNS,
        "rejected": _TURNS,
        **{name: Value("string") for name in ("source", "language", "task", "truth")},
        **{name: Value("int64") for name in ("index", "seed")},
        **{name: Value("string") for name in ("generator", "model", "prompt_hash", "licence")},
    }
)


def pair_row(item: Item, chosen: str, rejected: str, task: str, truth: Mapping[str, Any]) -> DatasetRow:
    """Write a pair.

    Args:
        item: With the prompt.
        chosen: The better answer.
        rejected: The worse one.
        task: A line of the card: who wrote which of them.
        truth: What is known of the pair beside its texts.
    """
    return {
        "images": list(item.data["images"]),
        "prompt": list(item.data["prompt"]),
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "language": item.data["language"],
        "task": task,
        "truth": json.dumps({"sample": item.data["sample"], **truth}, ensure_ascii=False),
    }


def pair_faults(row: DatasetRow) -> list[str]:
    """Say what no pair may be: answers that are equal or empty, or a prompt that the user does not end."""
    chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
    problems = []
    if not row["prompt"] or row["prompt"][-1]["role"] != "user":
        problems.append("a prompt that does not end with the user")
    if not chosen.strip() or not rejected.strip():
        problems.append("an answer without text")
    if chosen.strip() == rejected.strip():
        problems.append("chosen and rejected are the same")
    return problems
