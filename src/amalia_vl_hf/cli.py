"""The `amalia-vl` command: finds the command's module, runs it, and says in one line what was in its way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from . import __version__
from .commands.arguments import Parser
from .commands.failures import close_progress_bars, explain, told_launcher

COMMANDS = (
    "ask",
    "inspect",
    "demo",
    "train",
    "eval",
    "data",
    "convert",
    "push",
    "serve",
    "chat",
)  # each a module of `commands`

START = """\
start here:
  amalia-vl demo                                       the whole road on a laptop, in 11 to 17 minutes
  amalia-vl ask foto.jpg "O que se vê?" --model DIR    a question about a picture of yours
  amalia-vl train amalia_vl/2_instruct_lora model=DIR data=FILE --dry-run
                                                       what fine-tuning on one GPU takes

`amalia-vl COMMAND --help` shows examples of each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `amalia-vl`; those of the process by default.

    Returns:
        Exit code: 0; 1 for checkpoints that differ, or samples that cannot be used; 2 for what the user has to put
        right; 130 for Ctrl-C.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except (Exception, KeyboardInterrupt) as error:
        close_progress_bars()
        failure = explain(error, parsed.command, parsed.after_stop)
        left_to_launcher = told_launcher(failure[1] if failure else f"{type(error).__name__}: {error}")
        if failure is None:
            raise
        code, line = failure
        if line and not left_to_launcher:
            from .fields import printable, shortened

            print("\n".join(printable(part) for part in shortened(f"amalia-vl: {line}").split("\n")), file=sys.stderr)
        return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="amalia-vl",
        description="AMALIA-VL, the open vision-language model for European Portuguese.",
        epilog=START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"amalia-vl-hf {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    for name in COMMANDS:
        import_module(f".commands.{name}", __package__).add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
