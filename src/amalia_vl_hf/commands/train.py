"""`amalia-vl train`: a recipe in, a trained model out."""

from __future__ import annotations

import argparse
import os
import shlex
import warnings
from typing import TYPE_CHECKING

from .arguments import add_command, add_overrides, require_model

if TYPE_CHECKING:
    from ..training.recipe import Recipe
    from .arguments import Commands

EXAMPLES = """\
  amalia-vl train tiny/1_align
  amalia-vl train tiny/2_instruct steps=10 epochs=null learning_rates.tower=1e-4 --dry-run
  amalia-vl train amalia_vl/2_instruct_lora model=runs/1_align data=mixture.parquet
  amalia-vl train amalia_vl/1_align processes=8 accelerate=accelerate/zero3.yaml
  amalia-vl train mine.yaml accelerate=accelerate/multi_node.yaml --launch "--main_process_ip node0\""""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Train one stage by a recipe; the same command continues a run that was killed."
    after_stop = "the same command goes on from the last checkpoint"
    parser = add_command(commands, "train", purpose, EXAMPLES, run, after_stop)
    parser.add_argument("recipe", metavar="RECIPE", help="YAML file, or name of one of the package's")
    add_overrides(parser, "values in the place of the recipe's")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="look at the data, say what would be trained and what it takes, and stop",
    )
    parser.add_argument(
        "--launch",
        metavar="OPTIONS",
        default="",
        help='options of `accelerate launch`, which then starts the processes: "--machine_rank 1"',
    )


def run(arguments: argparse.Namespace) -> None:
    """Train by the recipe that the arguments name, in as many processes as it asks for, or say what that takes."""
    from ..training.launch import needs_launcher, start, watch_parent
    from ..training.recipe import load_recipe

    watch_parent()
    options = shlex.split(arguments.launch)
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if not arguments.dry_run and needs_launcher(recipe, options):
        start(recipe, options, ["train", arguments.recipe, *arguments.overrides])
    else:
        _train_here(recipe, arguments.dry_run)


def _train_here(recipe: Recipe, dry_run: bool) -> None:
    """Train in this process, alone or as one rank of several."""
    import torch

    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where installed, warns that there is none
    # The recipe says how many there are; torch says in four lines that this machine has fewer cores.
    warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
    from ..training.run import WRITTEN, describe_training, train

    require_model(recipe.model)
    if dry_run:
        print(describe_training(recipe))
        return
    output = train(recipe)
    if os.environ.get("RANK", "0") == "0":  # one line, however many processes there are
        parts = [f"{name} {output / place}" for name, place in WRITTEN.items() if (output / place).exists()]
        print(f"trained: {'; '.join((str(output), *parts))}")
