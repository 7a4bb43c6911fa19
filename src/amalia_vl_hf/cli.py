"""The `amalia-vl` command: arguments in, one call of the package, text out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from subprocess import CalledProcessError

# Heavy imports are inside the commands, so that `--help` answers at once.

DEMO_MODEL = "runs/demo/3_prefer"

Command = Callable[[argparse.Namespace], int | None]  # an exit code, or None for 0


class UsageError(Exception):
    """Something the user can put right, said in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `amalia-vl`; those of the process by default.

    Returns:
        Exit code: 0, 1 for checkpoints that differ, or 2 for what the user has to put right.
    """
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        return command(parsed) or 0
    except UsageError as error:
        print(f"amalia-vl: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amalia-vl", description="AMALIA-VL, the open vision-language model for European Portuguese."
    )
    parser.add_argument("--version", action="version", version=f"amalia-vl-hf {version('amalia-vl-hf')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_ask(commands)
    _add_inspect(commands)
    _add_convert(commands)
    _add_push(commands)
    _add_data(commands)
    _add_train(commands)
    _add_demo(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Command,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=purpose,
        description=purpose,
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _add_ask(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "ask",
        _ask,
        "Answer a question about one or more images.",
        '  amalia-vl ask foto.jpg "O que se vê na imagem?"\n'
        '  amalia-vl ask antes.png depois.png "O que mudou?" --model amalia-llm/AMALIA-VL-DPO',
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help="question, in quotes")
    parser.add_argument("--model", help=f"directory or Hub id of an amalia_vl or llava_next model ({DEMO_MODEL})")
    parser.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (256)")


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "inspect",
        _inspect,
        "Show how images are tiled, and what they cost in tokens and memory.",
        "  amalia-vl inspect foto.jpg\n  amalia-vl inspect a.png b.png --max-tiles 6",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file")
    parser.add_argument(
        "--out",
        metavar="PNG",
        default="tiles.png",
        help="where to draw the tiles (default: %(default)s); with several images numbered, one file each",
    )
    parser.add_argument("--max-tiles", type=int, metavar="N", help="most tiles an image is cut into")
    parser.add_argument("--model", help="take the tiling of this directory or Hub id (AMALIA-VL's when left out)")


def _add_convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .commands.convert import EXAMPLES, add_convert

    add_convert(_add(commands, "convert", _convert, "Convert checkpoints, and prove that nothing changed.", EXAMPLES))


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .commands.data import EXAMPLES, add_data

    add_data(_add(commands, "data", _data, "Fetch, check and mix training data.", EXAMPLES))


def _add_push(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "push",
        _push,
        "Publish a model on the Hub in one commit; the same command sends what is missing after a failure.",
        "  amalia-vl push runs/demo/3_prefer organisation/name --dry-run --unverified\n"
        "  amalia-vl push amalia-vl organisation/name --private --eval results.json",
    )
    parser.add_argument("directory", metavar="DIR", help="model and processor, with card.yaml and verify.json")
    parser.add_argument("repo_id", metavar="REPO_ID", help="organisation/name")
    parser.add_argument("--private", action="store_true", help="make a private repository, and refuse a public one")
    parser.add_argument("--revision", metavar="BRANCH", help="branch, made when it is not there (main)")
    parser.add_argument("--card", metavar="YAML", help="licence, base_model, datasets, widget_image (DIR/card.yaml)")
    parser.add_argument("--eval", metavar="JSON", help="evaluation results for the card")
    parser.add_argument("--with-llava-next", metavar="REPO_ID", help="publish the llava_next export there as well")
    parser.add_argument("--unverified", action="store_true", help="publish without a report of `convert verify`")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and change nothing")


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .commands.train import EXAMPLES, add_train

    purpose = "Train one stage by a recipe; the same command continues a run that was killed."
    add_train(_add(commands, "train", _train, purpose, EXAMPLES))


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "demo",
        _demo,
        "Draw data, compose a tiny model, train its three stages, evaluate it and write a report.",
        "  amalia-vl demo\n  amalia-vl demo --out runs/other --seed 1",
    )
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="where everything is written (runs/demo)")
    parser.add_argument("--seed", type=int, default=0, help="of data, first weights and training order (0)")


def _ask(arguments: argparse.Namespace) -> None:
    _require_files(arguments.images)
    model = arguments.model or DEMO_MODEL
    if not arguments.model and not Path(DEMO_MODEL).is_dir():
        raise UsageError(f"there is no {DEMO_MODEL} yet: run `amalia-vl demo` first, or name a model with --model")
    try:
        print(_answer(model, arguments.images, arguments.question, arguments.max_new_tokens))
    except (ValueError, OSError) as error:
        raise UsageError(_first_line(error)) from error


def _answer(name: str, images: list[str], question: str, max_new_tokens: int) -> str:
    import torch

    from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor = AmaliaVLProcessor.from_pretrained(name)
    content = [{"type": "image", "image": image} for image in images] + [{"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    model = AmaliaVLForConditionalGeneration.from_pretrained(name, dtype="auto").to(device)
    tokens = model.generate(**inputs.to(device), max_new_tokens=max_new_tokens, do_sample=False)
    return str(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


def _inspect(arguments: argparse.Namespace) -> None:
    _require_files(arguments.images)
    from .inspection import inspect_images

    try:
        print(inspect_images(arguments.images, arguments.out, arguments.max_tiles, arguments.model))
    except (ValueError, OSError) as error:
        raise UsageError(_first_line(error)) from error


def _convert(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.convert(arguments))
    except (ValueError, OSError) as error:
        raise UsageError(_first_line(error)) from error


def _data(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.data(arguments))
    except (ValueError, OSError, RuntimeError) as error:
        raise UsageError(_first_line(error)) from error


def _push(arguments: argparse.Namespace) -> None:
    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise UsageError(f"no such directory: {directory}")
    from .conversion.publishing.hub import Release, describe, push

    release = Release(
        directory,
        arguments.repo_id,
        private=arguments.private,
        revision=arguments.revision,
        facts=Path(arguments.card) if arguments.card else None,
        results=Path(arguments.eval) if arguments.eval else None,
        export_id=arguments.with_llava_next,
    )
    try:
        if not arguments.dry_run:
            for address in push(release, unverified=arguments.unverified):
                print(f"published: {address}")
            return
        files, problems = describe(release, unverified=arguments.unverified)
        print(files)
    except (ValueError, OSError) as error:
        raise UsageError(_first_line(error)) from error
    if problems:
        raise UsageError("; ".join(problems))


def _demo(arguments: argparse.Namespace) -> None:
    from .demo import run

    try:
        run(Path(arguments.out), arguments.seed)
    except (ValueError, FileNotFoundError, CalledProcessError) as error:
        raise UsageError(_first_line(error)) from error


def _train(arguments: argparse.Namespace) -> None:
    from .commands.train import TrainError, run_train

    try:
        run_train(arguments)
    except TrainError as error:
        raise UsageError(str(error)) from error


def _require_files(paths: Sequence[str]) -> None:
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise UsageError(f"no such image: {', '.join(missing)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
