"""The `amalia-vl train` command: a recipe in, a trained model or one line on what is in its way out."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..training.recipe import Recipe

# Heavy imports are inside the command, so that `--help` answers at once.

EXAMPLES = (
    "  amalia-vl train recipes/tiny/1_align.yaml\n"
    "  amalia-vl train recipes/tiny/2_instruct.yaml steps=10 epochs=null learning_rates.tower=1e-4 --dry-run\n"
    "  amalia-vl train recipes/amalia_vl/2_instruct_lora.yaml model=runs/1_align data=mixture.parquet\n"
    "  amalia-vl train recipes/amalia_vl/1_align.yaml processes=8 accelerate=recipes/accelerate/zero3.yaml\n"
    '  amalia-vl train RECIPE accelerate=recipes/accelerate/multi_node.yaml --launch "--main_process_ip node0"'
)


class TrainError(Exception):
    """Why there is no trained model, in one line."""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("recipe", metavar="RECIPE", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values in the place of the recipe's")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained and what it takes, and stop")
    parser.add_argument(
        "--launch",
        metavar="OPTIONS",
        default="",
        help='options of `accelerate launch`, which then starts the processes: "--machine_rank 1"',
    )


def run_train(arguments: argparse.Namespace) -> None:
    """Train by the recipe that the arguments name, or say what that would take.

    Raises:
        TrainError: Something the user can put right is in the way.
    """
    from ..training.launch import (
        LaunchError,
        start,
        wanted,
        watch_parent,
    )
    from ..training.recipe import load_recipe

    watch_parent()
    options = shlex.split(arguments.launch)
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
        if not arguments.dry_run and wanted(recipe, options):
            start(recipe, options, ["train", arguments.recipe, *arguments.overrides])
        else:
            _train_here(recipe, arguments.dry_run)
    except (ValueError, LaunchError, OSError) as error:  # of recipe, data or model
        raise _told(str(error)) from error


def _train_here(recipe: Recipe, dry_run: bool) -> None:
    """Train in this process, alone or as one rank of several."""
    import torch

    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed, where installed, warns that there is none
    from ..training.faults import explain
    from ..training.launch import tell_launcher
    from ..training.run import describe_training, train
    from ..training.trainers import StoppedError

    if dry_run:
        print(describe_training(recipe))
        return
    try:
        output: Path = train(recipe)
    except StoppedError as error:
        raise _told(str(error)) from error
    except Exception as error:
        if line := explain(error):
            raise _told(line) from error
        tell_launcher(f"{type(error).__name__}: {error}")
        raise
    if os.environ.get("RANK", "0") == "0":  # one line, however many processes there are
        print(f"trained: {output}")


def _told(message: str) -> TrainError:
    from ..training.launch import tell_launcher

    line = message.strip().splitlines()[0]
    tell_launcher(line)
    return TrainError(line)
