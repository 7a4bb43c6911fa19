"""`amalia-vl push`: a model's directory in, one commit on the Hub out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_command
from .failures import UsageError

if TYPE_CHECKING:
    from .arguments import Commands

EXAMPLES = """\
  amalia-vl push runs/demo/3_prefer organisation/name --dry-run
  amalia-vl push runs/mine/adapter organisation/name-lora --private
  amalia-vl push amalia-vl organisation/name --private --eval results.json"""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "Publish a model on the Hub in one commit; the same command sends what is missing after a failure."
    parser = add_command(commands, "push", purpose, EXAMPLES, run, "the same command sends what is missing")
    parser.add_argument(
        "directory",
        metavar="DIR",
        help="model and processor, or adapters alone, with card.yaml (and verify.json of an import)",
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="organisation/name")
    parser.add_argument("--private", action="store_true", help="make a private repository, and refuse a public one")
    parser.add_argument("--revision", metavar="BRANCH", help="branch, made when it is not there (main)")
    parser.add_argument("--card", metavar="YAML", help="licence, base_model, datasets, widget_image (DIR/card.yaml)")
    parser.add_argument("--eval", metavar="JSON", help="evaluation results for the card")
    parser.add_argument("--with-llava-next", metavar="REPO_ID", help="publish the llava_next export there as well")
    parser.add_argument("--unverified", action="store_true", help="publish without a report of `convert verify`")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and change nothing")


def run(arguments: argparse.Namespace) -> None:
    """Publish, or say what would be sent."""
    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise UsageError(f"no such directory: {directory}")
    from ..conversion.publishing.hub import Release, describe, push

    release = Release(
        directory,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        facts=Path(arguments.card) if arguments.card else None,
        results=Path(arguments.eval) if arguments.eval else None,
        export_id=arguments.with_llava_next,
    )
    if not arguments.dry_run:
        for address in push(release, unverified=arguments.unverified):
            print(f"published: {address}")
        return
    files, problems = describe(release, unverified=arguments.unverified)
    print(files)
    if problems:
        raise UsageError("; ".join(problems))
