"""How a command adds itself to the command line: with a purpose, examples, and what a stop by Ctrl-C means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .failures import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Run = Callable[[argparse.Namespace], int | None]  # an exit code, or None for 0

BEGINS_AGAIN = "the same command begins again"
GOES_ON = "the same command goes on where it was"
_NEEDED = ("config.json", "tokenizer_config.json")  # of every model; its weights may be in one file or in several


class Parser(argparse.ArgumentParser):
    """Refuses arguments in one line, as everything else is refused."""

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2."""
        self.exit(2, f"amalia-vl: {message}; see `{self.prog} --help`\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse a command line; argparse by itself takes `key=value` that comes after an option for one too many."""
        parsed, rest = self.parse_known_args(args, namespace)
        if rest and (not hasattr(parsed, "overrides") or not all(re.match(r"[\w.]+=", word) for word in rest)):
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        if rest:
            parsed.overrides = [*parsed.overrides, *rest]
        return parsed


def add_command(
    commands: Commands,
    name: str,
    purpose: str,
    examples: str,
    run: Run | None = None,
    after_stop: str = BEGINS_AGAIN,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: Those it belongs to: of `amalia-vl`, or of one of its commands.
        name: The word it is called by.
        purpose: What it does, in a sentence.
        examples: Command lines, indented by two spaces.
        run: Takes the parsed arguments; None for a command that consists of commands.
        after_stop: Whether the same command goes on after Ctrl-C.

    Returns:
        Its parser, which takes arguments or commands.
    """
    parser = commands.add_parser(
        name,
        help=purpose.replace("%", "%%"),  # the only one of them that argparse fills in
        description=purpose,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run, after_stop=after_stop)
    return parser


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make what reads a whole number for argparse, and refuses others before anything is loaded.

    Args:
        least: Smallest number.
        most: Largest one.
    """
    wanted = f"a whole number from {least}" + (" on" if most is None else f" to {most}")

    def read(word: str) -> int:
        try:
            number = int(word)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{word!r} is not {wanted}")
        return number

    return read


def add_overrides(parser: argparse.ArgumentParser, words: str) -> None:
    """Let a command take `key=value` words, which `Parser` finds wherever they stand.

    Args:
        parser: Of the command.
        words: What they are, for `--help`.
    """
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help=words)


def require_model(name: str) -> None:
    """Hold a name to what names a model: a directory that is there, or what may be a Hub id.

    Raises:
        UsageError: It is neither, a mistyped path most likely; or there is no network, and the cache lacks the model.
    """
    if Path(name).is_dir():
        return
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
        raise UsageError(f"there is no directory {name}, and a Hub id is written organisation/name")
    from huggingface_hub import constants, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE:
        return
    missing = [file for file in _NEEDED if not isinstance(try_to_load_from_cache(name, file), str)]
    if missing:
        raise UsageError(
            f"there is no directory {name}, HF_HUB_OFFLINE forbids to ask the Hub, and the cache in "
            f"{constants.HF_HUB_CACHE} lacks its {', '.join(missing)}; with a network: hf download {name}"
        )
