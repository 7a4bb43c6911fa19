"""Checkpoints that are whole: written with a digest of every file, checked before a run goes on from them."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.trainer_utils import sort_checkpoints

from ..disk import digests, sync_tree, write_json

logger = logging.getLogger(__name__)

COMPLETE = "complete"  # the file that is written last into a checkpoint, once every rank has written its own
UNFINISHED = "unfinished"  # the file that is there while it is written


def begin_checkpoint(checkpoint: Path) -> None:
    """Mark a checkpoint as one that is being written."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / UNFINISHED).touch()
    (checkpoint / COMPLETE).unlink(missing_ok=True)


def complete_checkpoint(checkpoint: Path) -> None:
    """Write down the size and digest of each file of a checkpoint, once all of them are on the disk."""
    marks = (COMPLETE, UNFINISHED)
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name not in marks)
    sync_tree(checkpoint)
    facts = {
        str(file.relative_to(checkpoint)): {"size": file.stat().st_size, "sha256": digest}
        for file, digest in zip(files, digests(files), strict=True)
    }
    write_json(checkpoint / COMPLETE, {"files": facts, "sha256": _digest(facts)})
    (checkpoint / UNFINISHED).unlink(missing_ok=True)  # last: a kill meets one mark or both, never none


def newest_sound(folder: Path, aside: Path) -> Path | None:
    """Find the newest checkpoint that is whole.

    What a kill left half-written is removed; what is damaged is left aside, as `<aside>-<its name>`.

    Args:
        folder: Where the checkpoints lie.
        aside: Beginning of the names of damaged ones.
    """
    for checkpoint in map(Path, reversed(sort_checkpoints(str(folder)))):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        if _half_written(checkpoint):
            shutil.rmtree(checkpoint)
            continue
        place, number = aside.with_name(f"{aside.name}-{checkpoint.name}"), 1
        while place.exists():
            place, number = aside.with_name(f"{aside.name}-{checkpoint.name}.{number}"), number + 1
        checkpoint.rename(place)
        logger.warning("%s is damaged (%s); it was left aside as %s", checkpoint, fault, place)
    return None


def whole_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints that were complete once, whatever has become of them."""
    return [path for path in map(Path, sort_checkpoints(str(folder))) if not _half_written(path)]


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Name the first tensor that holds a NaN or an infinity; None if there is none."""
    for name, tensor in tensors:
        own = getattr(tensor, "ds_tensor", tensor).detach()  # under ZeRO-3 and FSDP, this rank's share
        own = own.to_local() if hasattr(own, "to_local") else own
        if own.numel() and own.is_floating_point() and not all(bound.isfinite() for bound in torch.aminmax(own)):
            return name
    return None


def trained_tensors(model: nn.Module, optimizer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what training changes: weights, and the optimiser's states."""
    yield from model.named_parameters()
    states = getattr(optimizer, "state", None)
    for state in states.values() if isinstance(states, Mapping) else ():
        if isinstance(state, Mapping):
            yield from ((f"optimiser's {key}", value) for key, value in state.items() if torch.is_tensor(value))


def _half_written(checkpoint: Path) -> bool:
    """Whether a kill ended the writing of a checkpoint, which may have begun with an empty folder."""
    begun = (checkpoint / UNFINISHED).exists() or not any(checkpoint.iterdir())
    return begun and not (checkpoint / COMPLETE).exists()


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fault(checkpoint: Path) -> str | None:
    """Say what is wrong with a checkpoint; None if it is whole."""
    marker = checkpoint / COMPLETE
    if not marker.is_file():
        return f"{COMPLETE} is missing"
    try:
        record = json.loads(marker.read_text(encoding="utf-8"))
        if record["sha256"] != _digest(record["files"]):
            return f"{COMPLETE} has changed since it was written"
        known = {checkpoint / name: (facts["size"], facts["sha256"]) for name, facts in record["files"].items()}
    except (ValueError, KeyError, TypeError):
        return f"{COMPLETE} cannot be read"
    for file, (size, _) in known.items():
        if not file.is_file():
            return f"{file.name} is missing"
        if file.stat().st_size != size:
            return f"{file.name} has {file.stat().st_size} bytes, not {size}"
    for (file, (_, digest)), content in zip(known.items(), digests(list(known)), strict=True):
        if content != digest:
            return f"{file.name} has changed since it was written"
    return None
