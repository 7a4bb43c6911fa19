"""The ranks that train together: how many were asked for, how they share the model, and whether they really do."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..fields import read_yaml
from .recipe import Recipe, RecipeError

Kind = Literal["none", "DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3", "FSDP"]


@dataclass(frozen=True)
class Sharing:
    """How many ranks train together, and what of the model each of them keeps whole.

    Args:
        ranks: Processes, over all machines.
        kind: `DDP` keeps all of it on every rank, `ZeRO-1` shares out the optimiser's states, `ZeRO-2` gradients as
            well, `ZeRO-3` and `FSDP` weights as well.
        group: Ranks, those of a machine, that hold all of the model between them: FSDP2's hybrid sharding; ZeRO-3
            (hpZ) spreads its states over all ranks, and keeps a second copy of the weights in each group. None: all.
    """

    ranks: int
    kind: Kind
    group: int | None = None

    @property
    def shards(self) -> Mapping[str, int]:
        """Ranks over which weights, gradients and optimiser states are spread."""
        level = {"ZeRO-1": 1, "ZeRO-2": 2, "ZeRO-3": 3, "FSDP": 3}.get(self.kind, 0)
        parts = ("optimiser", "gradients", "weights")
        sharers = self.group if self.group and self.kind == "FSDP" else self.ranks
        return {part: sharers if index < level else 1 for index, part in enumerate(parts)}


def planned_sharing(recipe: Recipe) -> Sharing:
    """Read from the recipe and its accelerate config how many ranks will train, and how they share the model.

    Raises:
        RecipeError: The config is not one of accelerate's.
        FileNotFoundError: There is no such config.
    """
    config = _accelerate_config(recipe.accelerate)
    ranks = recipe.processes or config.get("num_processes") or world_size()
    kinds: Mapping[str, Kind] = {"FSDP": "FSDP", "MULTI_GPU": "DDP", "MULTI_CPU": "DDP"}
    kind: Kind = kinds.get(str(config.get("distributed_type")), "DDP" if ranks > 1 else "none")
    if config.get("distributed_type") == "DEEPSPEED":
        zero = _zero_config(config.get("deepspeed_config", {}))
        stages: Mapping[int, Kind] = {1: "ZeRO-1", 2: "ZeRO-2", 3: "ZeRO-3"}
        return Sharing(ranks, stages.get(zero.get("stage", 0), "DDP"), zero.get("zero_hpz_partition_size"))
    group = config.get("parallelism_config", {}).get("parallelism_config_dp_shard_size")
    return Sharing(ranks, kind, group)


def _zero_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read how ZeRO shares: from accelerate's config, or from DeepSpeed's own file that it names."""
    if "deepspeed_config_file" not in config:
        return {"stage": config.get("zero_stage")}
    file = read_yaml(config["deepspeed_config_file"])  # JSON is YAML
    zero: Mapping[str, Any] = file.get("zero_optimization", {})
    return zero


def _accelerate_config(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    config = read_yaml(path)
    if "distributed_type" not in config:
        raise RecipeError(f"accelerate: {path} names no distributed_type; was it written by `accelerate config`?")
    return config


def world_size() -> int:
    """Count the ranks that a launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def uses_deepspeed() -> bool:
    """Say whether `accelerate launch` was asked for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def check_batch(recipe: Recipe, ranks: int) -> int:
    """Compute the samples a step takes, and hold the recipe to its word.

    Args:
        recipe: With what a device takes at once, how many such batches are summed, and perhaps what it says of both.
        ranks: Processes that train together.

    Returns:
        `batch_size * accumulation * ranks`.

    Raises:
        RecipeError: `processes` or `global_batch` say otherwise.
    """
    if recipe.processes is not None and recipe.processes != ranks:
        raise RecipeError(f"processes={recipe.processes}, but {ranks} run; start it with `amalia-vl train`")
    batch = recipe.batch_size * recipe.accumulation * ranks
    if recipe.global_batch is not None and recipe.global_batch != batch:
        raise RecipeError(
            f"global_batch={recipe.global_batch}, but batch_size={recipe.batch_size} x accumulation="
            f"{recipe.accumulation} x {ranks} processes = {batch}; change one of them"
        )
    return batch


def count_steps(recipe: Recipe, samples: int, ranks: int) -> int:
    """Count the optimiser steps of a whole run over `samples` samples; the last one of an epoch may be smaller."""
    batch = recipe.batch_size * recipe.accumulation * ranks
    return recipe.steps or math.ceil(math.ceil(samples / batch) * (recipe.epochs or 0))


def count_save_steps(recipe: Recipe, samples: int, ranks: int) -> int:
    """Count the optimiser steps between checkpoints; a share of an epoch is rounded, to one step at least."""
    batch = recipe.batch_size * recipe.accumulation * ranks
    return recipe.save_steps or max(1, round(math.ceil(samples / batch) * (recipe.save_epochs or 0)))


def check_ranks(accelerator: Any) -> None:
    """Hold accelerate to what it was asked for: on CPUs it falls back to DDP, or to one process, without a word.

    Raises:
        RecipeError: Other ranks, or another way to share the model, than asked for.
    """
    if accelerator.num_processes != world_size():
        raise RecipeError(f"{world_size()} processes were started, but {accelerator.num_processes} train together")
    uses_fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    used = accelerator.distributed_type.value
    for uses, name in ((uses_deepspeed(), "DEEPSPEED"), (uses_fsdp, "FSDP")):
        if uses and used != name:
            raise RecipeError(f"{name} was asked for, but accelerate uses {used}; on CPUs it does DDP or DeepSpeed")
