"""`amalia-vl demo`: nothing in, a tiny model, its results and a report out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import GOES_ON, add_command
from .failures import require_extra

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = "  amalia-vl demo\n  amalia-vl demo --out runs/other --seed 1"


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Draw data, compose a tiny model, train its three stages, evaluate it and write a report."
    parser = add_command(commands, "demo", purpose, EXAMPLES, run, GOES_ON)
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where everything is written (runs/demo)")
    parser.add_argument("--seed", type=int, default=0, help="of data, first weights and training order (0)")


def run(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    require_extra("train")
    from ..demo import run as run_demo

    run_demo(Path(arguments.out), arguments.seed)
