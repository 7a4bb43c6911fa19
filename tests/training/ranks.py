"""What each of two real ranks runs: one recipe under DDP, ZeRO-2, ZeRO-3, hpZ and FSDP2 on gloo, one by one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401  # ZeRO looks into it; imported once for both ranks
import torch
import torch.distributed as dist
from transformers import TrainerCallback
from transformers.distributed import DistributedConfig

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.training import building, run
from amalia_vl_hf.training.batches.collation import ConversationCollator
from amalia_vl_hf.training.recipe import Recipe, RecipeError, load_recipe

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true"}
ZERO2 = {**ZERO, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
ZERO3 = {
    **ZERO,
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
}
HPZ = {**ZERO, "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true"}  # of DeepSpeed's own file, see `hpz_config`
# Recipe, and values in the place of all others.
CASES = {
    "instruct": ("2_instruct",),
    "align": ("1_align",),
    "prefer": ("3_prefer",),
    "adapters": ("2_instruct", "learning_rates={decoder: 1e-3}", "lora={rank: 4, alpha: 8}"),
    "packed": ("2_instruct", "packing=true", "batch_size=6"),  # below 3 conversations a row, each has one of its own
}

Losses = list[tuple[float, float]]


@contextmanager
def asked_for(variables: dict[str, str]) -> Iterator[None]:
    """Set what `accelerate launch` would, for one run."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def losses(log_history: list[dict[str, float]]) -> Losses:
    """Loss and norm of the gradient, step by step."""
    return [(entry["loss"], entry["grad_norm"]) for entry in log_history if "loss" in entry]


def trained(recipe: Recipe) -> Losses:
    """Train as the command does."""
    return losses(json.loads((run.train(recipe) / "training.json").read_text(encoding="utf-8"))["log_history"])


class FaultAfter(TrainerCallback):
    """Ends a run after its third step, as a fault would."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def interrupted(recipe: Recipe) -> Losses:
    """Train up to a fault on both ranks, and again from the checkpoint."""

    def faulty(*arguments):
        trainer = building.build_trainer(*arguments)
        trainer.add_callback(FaultAfter())
        return trainer

    with mock.patch.object(run, "build_trainer", faulty), suppress(KeyboardInterrupt):
        run.train(recipe)
    return trained(recipe)


def sharded_natively(recipe: Recipe) -> Losses:
    """Train a model that transformers shards while it reads it (FSDP2); such a run cannot be resumed."""

    def load(recipe: Recipe) -> AmaliaVLForConditionalGeneration:
        sharding = DistributedConfig(fsdp_size=2)
        return AmaliaVLForConditionalGeneration.from_pretrained(recipe.model, distributed_config=sharding)

    options = building._training_options

    def unsaved(*arguments):
        return {**options(*arguments), "save_strategy": "no"}

    with mock.patch.object(building, "load_model", load), mock.patch.object(building, "_training_options", unsaved):
        trainer = building.build_trainer(recipe, Path(recipe.output))
        trainer.train()
    assert any("DTensor" in type(parameter).__name__ for parameter in trainer.model.parameters())
    return losses(trainer.state.log_history)


def refused(recipe: Recipe) -> str:
    """Ask for what CPUs cannot do."""
    try:
        run.train(recipe)
    except RecipeError as error:
        return str(error)
    return "trained all the same"


# FSDP2 before ZeRO-3, of which transformers remembers for good that it was asked for.
RUNS = {
    "instruct ddp": ({}, trained),
    "instruct ddp interrupted": ({}, interrupted),
    "packed ddp": ({}, trained),
    "instruct fsdp2": ({}, sharded_natively),
    "instruct fsdp refused": ({"ACCELERATE_USE_FSDP": "true"}, refused),
    "instruct zero2": (ZERO2, trained),
    "instruct zero3": (ZERO3, trained),
    "instruct zero3 interrupted": (ZERO3, interrupted),
    "instruct hpz": (HPZ, trained),
    "align zero3": (ZERO3, trained),
    "prefer zero3": (ZERO3, trained),
    "adapters zero3": (ZERO3, trained),
}


def case_recipe(case: str, folder: Path, *overrides: str) -> Recipe:
    """Read a case's recipe, for the data in `folder`."""
    name, *own = CASES[case]
    data = f"data={folder / ('dpo' if case == 'prefer' else 'sft')}.jsonl"
    return load_recipe(RECIPES / f"{name}.yaml", [data, *overrides, *own])


def seen_kinds() -> list[str]:
    """Note of every batch of conversations from now on whether its samples have images."""
    kinds, collate = [], ConversationCollator.__call__

    def noting(self, samples):
        images = {bool(sample["images"]) for sample in samples}
        kinds.append("mixed" if len(images) == 2 else "images" if images.pop() else "text")
        return collate(self, samples)

    ConversationCollator.__call__ = noting
    return kinds


def hpz_config(folder: Path, rank: int) -> Path:
    """Write the recipe's file for hpZ with two ranks a machine."""
    config = json.loads((RECIPES.parent / "accelerate" / "zero3_hpz.json").read_text(encoding="utf-8"))
    config["zero_optimization"]["zero_hpz_partition_size"] = 2
    path = folder / f"hpz_{rank}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def run_rank(rank: int, folder: Path, *overrides: str) -> None:
    """Run everything as one of the ranks and write what came out of it, for the test to compare."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    HPZ["ACCELERATE_DEEPSPEED_CONFIG_FILE"] = str(hpz_config(folder, rank))
    torch.set_num_threads(1)
    found: dict[str, object] = {}
    kinds = seen_kinds()
    for name, (variables, do) in RUNS.items():
        output = f"output={folder / name.replace(' ', '_')}"
        recipe = case_recipe(name.split()[0], folder, *overrides, "processes=2", output)
        with asked_for(variables):
            found[name] = do(recipe)
        found.setdefault("kinds", kinds[:])
        print(rank, name, found[name], flush=True)
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()
