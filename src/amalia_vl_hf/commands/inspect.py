"""`amalia-vl inspect`: images or videos in, what they cost and a drawing of their tiles or frames out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .arguments import add_command, at_least, require_model
from .ask import is_clip, require_files

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = """\
  amalia-vl inspect foto.jpg
  amalia-vl inspect a.png b.png --max-tiles 6
  amalia-vl inspect clip.mp4 --model utter-project/TowerVideo-2B"""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Show how images are tiled, which frames of videos are taken, and what they cost in tokens and memory."
    parser = add_command(commands, "inspect", purpose, EXAMPLES, run)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image or video file")
    parser.add_argument(
        "--out",
        metavar="PNG",
        default="tiles.png",
        help="where to draw tiles and frames (default: %(default)s); with several images numbered, one file each",
    )
    parser.add_argument("--max-tiles", type=at_least(0), metavar="N", help="most tiles an image is cut into")
    parser.add_argument("--model", help="take the tiling of this directory or Hub id (AMALIA-VL's when left out)")


def run(arguments: argparse.Namespace) -> None:
    """Print what the images cost, and draw them."""
    require_files(arguments.images)
    if arguments.model:
        require_model(arguments.model)
    from ..inspection import inspect_images

    clips = [image for image in arguments.images if is_clip(image)]
    print(inspect_images(arguments.images, arguments.out, arguments.max_tiles, arguments.model, clips))
