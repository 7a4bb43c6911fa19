"""`amalia-vl inspect`: images in, what they cost and a drawing of their tiles out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .arguments import add_command, require_model
from .ask import require_files

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = "  amalia-vl inspect foto.jpg\n  amalia-vl inspect a.png b.png --max-tiles 6"


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Show how images are tiled, and what they cost in tokens and memory."
    parser = add_command(commands, "inspect", purpose, EXAMPLES, run)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file")
    parser.add_argument(
        "--out",
        metavar="PNG",
        default="tiles.png",
        help="where to draw the tiles (default: %(default)s); with several images numbered, one file each",
    )
    parser.add_argument("--max-tiles", type=int, metavar="N", help="most tiles an image is cut into")
    parser.add_argument("--model", help="take the tiling of this directory or Hub id (AMALIA-VL's when left out)")


def run(arguments: argparse.Namespace) -> None:
    """Print what the images cost, and draw them."""
    require_files(arguments.images)
    if arguments.model:
        require_model(arguments.model)
    from ..inspection import inspect_images

    print(inspect_images(arguments.images, arguments.out, arguments.max_tiles, arguments.model))
