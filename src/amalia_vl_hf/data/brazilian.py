"""Brazilian Portuguese in what a dataset says: samples that are surely Brazilian are not made."""

from __future__ import annotations

from ..variety import judge
from ..variety.filter import dialogue
from .dataset import DatasetRow, RejectedError

BRAZILIAN = "judged Brazilian Portuguese"


def refuse_brazilian(row: DatasetRow) -> None:
    """Judge the variety of a whole conversation in Portuguese.

    Raises:
        RejectedError: It is Brazilian enough to drop; its detail says by what.
    """
    if row["language"] != "pt":
        return
    verdict = judge(dialogue(row))
    if verdict.refused:
        raise RejectedError(BRAZILIAN, "; ".join(verdict.reasons))
