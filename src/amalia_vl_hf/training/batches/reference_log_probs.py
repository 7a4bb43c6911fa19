"""The reference model's log-probabilities of all preference pairs, computed in one pass before training.

TRL refuses this for data with images. The frozen model then leaves the memory, and each step saves its pass; the one
pass costs about what an epoch saves.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm  # type: ignore[import-untyped]
from trl import DPOTrainer

from ...disk import whole_file

PAIRS_A_FILE = 1024  # so many, at most, does a killed pass compute again
_NAMES = ("ref_chosen_logps", "ref_rejected_logps")  # what TRL's loss reads


class ReferenceLogProbs:
    """Log-probabilities under the reference, in memory and in files that a killed pass continues from.

    Args:
        folder: Where the files lie, beside the run's checkpoints; what has another origin is left alone there.
        origin: What the values follow from besides the model's weights: the data and how it is encoded.
    """

    def __init__(self, folder: Path, origin: Mapping[str, Any]) -> None:
        self.folder = folder
        self.origin = origin
        self.values: torch.Tensor | None = None  # (pairs, 2): chosen, rejected
        self.seconds = 0.0

    def of(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Give a batch of the pairs at these indices their values, `(pairs,)` each; none before the pass."""
        if self.values is None:
            return {}
        return dict(zip(_NAMES, self.values[torch.tensor(indices)].unbind(1), strict=True))

    def compute(self, trainer: DPOTrainer, weights: str) -> None:
        """Compute what the files do not hold yet; every rank gets all values, the main process alone touches files.

        Args:
            trainer: The trainer before training, whose collator reads this object.
            weights: Digest of the reference's weights on this rank.

        Raises:
            ValueError: Adapters under DeepSpeed: the reference is the policy without them, which is not placed yet.
        """
        if trainer.ref_model is None and trainer.is_deepspeed_enabled:
            raise ValueError("under DeepSpeed the precomputed reference needs a model of its own beside the adapters")
        everywhere = sorted(set(gather_object([weights])))  # as many as ranks where weights are sharded, else one
        key = hashlib.sha256(json.dumps([everywhere, self.origin], sort_keys=True).encode()).hexdigest()
        folder = self.folder / key[:16]
        shared = [read_parts(folder)]
        broadcast_object_list(shared)  # the main process's: folders may be local to a machine
        known, self.seconds = shared[0]
        with torch.random.fork_rng(devices=[]):  # training must not depend on whether a pass ran
            for part, seconds in _passes(trainer, len(known)):
                if trainer.accelerator.is_main_process:
                    write_part(folder, len(known), part, seconds)
                known, self.seconds = torch.cat((known, part)), self.seconds + seconds
        self.values = known


class KnownReferenceTrainer(DPOTrainer):
    """TRL's DPO trainer with the reference computed beforehand, when it is given a `reference` to fill.

    Args:
        model: The policy.
        ref_model: The reference; dropped after the pass.
        reference: What the collator reads too; None leaves everything to TRL.
        kwargs: `DPOTrainer`'s.
    """

    def __init__(
        self,
        model: nn.Module,
        ref_model: nn.Module | None = None,
        *,
        reference: ReferenceLogProbs | None = None,
        **kwargs: Any,
    ) -> None:
        weights = "" if reference is None else digest(ref_model or model)  # before TRL shards them
        super().__init__(model, ref_model, **kwargs)
        self.reference = reference
        if reference is not None:
            reference.compute(self, weights)
            self.ref_model = None
            self.precompute_ref_logps = True

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Keep the reference's values as they are: under DeepSpeed every float of a batch becomes bf16."""
        prepared: dict[str, Any] = super()._prepare_inputs(inputs)
        return prepared | {name: inputs[name].to(self.args.device) for name in _NAMES if name in inputs}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds that the pass over the reference took, in all its runs."""
        if self.reference is not None:
            logs["reference_seconds"] = round(self.reference.seconds, 2)
        super().log(logs, start_time)


def digest(model: nn.Module) -> str:
    """Hash a model's weights, names and bytes; under ZeRO-3, of which a rank has its share in `ds_tensor`."""
    hashed = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        own: torch.Tensor = getattr(parameter, "ds_tensor", parameter).detach().cpu()
        hashed.update(f"{name} {own.dtype} {tuple(own.shape)}".encode())
        hashed.update(own.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def read_parts(folder: Path) -> tuple[torch.Tensor, float]:
    """Read the values from the first pair up to where a file is missing or damaged, and the seconds they took.

    Returns:
        `(pairs, 2)` and a number.
    """
    parts, seconds = [torch.empty(0, 2)], 0.0
    for number, path in enumerate(sorted(folder.glob("*.safetensors"))):
        try:
            if path.name != _name(number * PAIRS_A_FILE):
                break
            with safe_open(path, "pt") as file:
                values, facts = file.get_tensor("log_probs"), file.metadata()
            if facts["sha256"] != _hash(values):
                break
            parts.append(values)
            seconds += float(facts["seconds"])
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            break
    return torch.cat(parts), seconds


def write_part(folder: Path, start: int, log_probs: torch.Tensor, seconds: float) -> None:
    """Write the values of the pairs from `start` on."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / _name(start)) as scratch:
        facts = {"seconds": str(seconds), "sha256": _hash(log_probs)}
        save_file({"log_probs": log_probs.contiguous()}, scratch, facts)


def _hash(values: torch.Tensor) -> str:
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()


def _name(start: int) -> str:
    return f"{start:09d}.safetensors"


def _passes(trainer: DPOTrainer, start: int) -> Iterator[tuple[torch.Tensor, float]]:
    """Yield the values of the pairs from `start` on, `PAIRS_A_FILE` at a time, and the seconds they took."""
    model = trainer.accelerator.unwrap_model(trainer.model) if trainer.ref_model is None else trainer.ref_model
    left, begun = len(trainer.train_dataset) - start, time.monotonic()
    pending = torch.empty(0, 2)  # computed, not yet given
    progress = tqdm(desc="Reference", unit="pair", total=left, disable=not trainer.accelerator.is_main_process)
    for batch in _batches(trainer, start) if left else ():
        inputs = trainer._prepare_inputs(batch)
        values = torch.stack(trainer.compute_ref_log_probs(model, inputs), dim=1)
        gathered = trainer.accelerator.gather(values).float().cpu()[:left]
        progress.update(len(gathered))
        pending, left = torch.cat((pending, gathered)), left - len(gathered)
        while len(pending) >= PAIRS_A_FILE or (not left and len(pending)):
            now = time.monotonic()
            yield pending[:PAIRS_A_FILE], now - begun
            pending, begun = pending[PAIRS_A_FILE:], now
    progress.close()


def _batches(trainer: DPOTrainer, start: int) -> DataLoader[Any]:
    """Load this rank's batches; taken in turn over the ranks, they hold the pairs from `start` on in order.

    All ranks get equally many batches, all of one size: the last ones are filled with the last pair.
    """
    size, world = trainer.args.per_device_train_batch_size, trainer.accelerator.num_processes
    pairs = list(range(start, len(trainer.train_dataset)))
    pairs += [pairs[-1]] * (-len(pairs) % (size * world))
    batches = [pairs[first : first + size] for first in range(0, len(pairs), size)]
    return DataLoader(
        trainer.train_dataset,
        batch_sampler=batches[trainer.accelerator.process_index :: world],
        collate_fn=trainer.data_collator,
        num_workers=trainer.args.dataloader_num_workers,
        generator=torch.Generator(),  # else the loader would draw from the generator that training uses
    )
