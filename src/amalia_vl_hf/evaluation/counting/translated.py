"""Words that a model should have read off a picture and gave in Portuguese: "Barco" where "Boat" is written.

Of most words nobody can tell without a dictionary, so the share is of the answers where it can be told: those whose
row says what the translation would be, and, where the task is to read, those whose English reference has known words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...translation.meaning import can_be_translated, is_translated
from ..tasks import Benchmark
from .scoring import Item, texts_of


def translated_share(task: Benchmark, items: Sequence[Item]) -> dict[str, Any] | None:
    """Count the answers that are the translation of what is written.

    Returns:
        `count`, `of` and `share`, 0 to 1; None where it can be told of no answer.
    """
    told = [told for item in items if (told := was_translated(task, item)) is not None]
    return {"count": sum(told), "of": len(told), "share": sum(told) / len(told)} if told else None


def was_translated(task: Benchmark, item: Item) -> bool | None:
    """Say whether an answer is the translation of what is written, or None where that cannot be told."""
    references, answer = texts_of(item), str(item["answer"])
    if known := _known(item):
        folded = _folded(answer)
        return folded in known and folded not in map(_folded, references)
    if not task.reads_off or not any(map(can_be_translated, references)):
        return None
    return any(is_translated(reference, answer) for reference in references)


def _known(item: Mapping[str, Any]) -> set[str]:
    return {_folded(str(text)) for text in item.get("translations") or ()}


def _folded(text: str) -> str:
    return " ".join(text.casefold().strip(" .,;:!?\"'«»“”").split())
