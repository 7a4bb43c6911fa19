"""The `amalia-vl convert` command: arguments in, one conversion, a few lines out."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..conversion.checkpoints import Conversion

# Heavy imports are inside the commands, so that `--help` answers at once.

EXAMPLES = """\
  amalia-vl convert import amalia-llm/AMALIA-VL-DPO --out models/amalia-vl
  amalia-vl convert verify amalia-llm/AMALIA-VL-DPO models/amalia-vl --json models/amalia-vl/verify.json
  amalia-vl convert export models/amalia-vl --out models/amalia-vl-llava-next
  amalia-vl convert compose --vision models/siglip2 --text models/amalia-9b --out models/stage0"""


def add_convert(parser: argparse.ArgumentParser) -> None:
    """Add the four conversions to the parser of `amalia-vl convert`."""
    conversions = parser.add_subparsers(title="conversions", required=True, metavar="CONVERSION")
    _add_compose(conversions)
    _add_import(conversions)
    _add_export(conversions)
    _add_verify(conversions)


def _add(conversions: Any, name: str, convert: Any, purpose: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = conversions.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(convert=convert)
    return parser


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write; must not exist yet")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="of the weights written (as stored)")
    parser.add_argument(
        "--max-shard-size",
        default="4GB",
        metavar="SIZE",
        help="most bytes of a file of weights (%(default)s)",
    )


def _add_source(parser: argparse.ArgumentParser, kind: str) -> None:
    parser.add_argument("source", metavar="SRC", help=f"directory or Hub id of a {kind} checkpoint")
    parser.add_argument("--revision", help="branch, tag or commit of the Hub id")
    _add_writing(parser)


def _add_compose(conversions: Any) -> None:
    parser = _add(
        conversions, "compose", _compose, "Join a SigLIP tower and a causal language model by a new connector."
    )
    parser.add_argument("--vision", required=True, metavar="SIGLIP", help="directory or Hub id of a SigLIP checkpoint")
    parser.add_argument("--text", required=True, metavar="LLM", help="directory or Hub id of a causal language model")
    parser.add_argument("--max-tiles", type=int, default=12, metavar="N", help="most tiles an image is cut into (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the connector's and the newline's first weights (0)")
    parser.add_argument(
        "--drop-vision-layers", type=int, default=0, metavar="N", help="take features at layer -(N + 1) (0)"
    )
    _add_writing(parser)


def _add_import(conversions: Any) -> None:
    parser = _add(conversions, "import", _import, "Turn a llava_next checkpoint into an amalia_vl one.")
    _add_source(parser, "llava_next")


def _add_export(conversions: Any) -> None:
    parser = _add(conversions, "export", _export, "Turn an amalia_vl checkpoint into a llava_next one.")
    _add_source(parser, "amalia_vl")
    parser.add_argument("--format", choices=("llava_next",), default="llava_next", help="what to write (%(default)s)")
    parser.add_argument(
        "--resampler", choices=("pil",), help="accept Pillow's resizing where the processor has another one"
    )


def _add_verify(conversions: Any) -> None:
    purpose = "Run two checkpoints over the same pictures and compare every stage; exit code 1 if they differ."
    parser = _add(conversions, "verify", _verify, purpose)
    parser.add_argument("first", metavar="A", help="directory or Hub id, amalia_vl or llava_next")
    parser.add_argument("second", metavar="B", help="directory or Hub id, amalia_vl or llava_next")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--images", metavar="DIR", help="pictures to run over (made-up ones when left out)")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), default="fp32", help="to run in (%(default)s)")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, metavar="X", help="largest difference of activations and logits (0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report, for programs and for `amalia-vl push`")


def _compose(arguments: argparse.Namespace) -> int:
    from ..conversion.compose import compose_checkpoint

    done = compose_checkpoint(
        arguments.vision,
        arguments.text,
        arguments.out,
        max_tiles=arguments.max_tiles,
        seed=arguments.seed,
        drop_vision_layers=arguments.drop_vision_layers,
        dtype=arguments.dtype,
        max_shard_size=arguments.max_shard_size,
    )
    print(summary(done))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from ..conversion.llava_next import import_checkpoint

    print(summary(import_checkpoint(arguments.source, arguments.out, **_options(arguments))))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ..conversion.llava_next import export_checkpoint

    options = _options(arguments)
    print(summary(export_checkpoint(arguments.source, arguments.out, resampler=arguments.resampler, **options)))
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("dtype", "max_shard_size", "revision")}


def _verify(arguments: argparse.Namespace) -> int:
    from ..conversion.verify import verify

    report = verify(
        arguments.first,
        arguments.second,
        images=arguments.images,
        dtype=arguments.dtype,
        tolerance=arguments.tolerance,
        revision=arguments.revision,
    )
    print(report.table())
    if arguments.json:
        Path(arguments.json).write_text(report.json(), encoding="utf-8")
    return 0 if report.passed else 1


def summary(done: Conversion) -> str:
    """Say what was written, and what was left behind or added."""
    lines = [f"written: {done.directory}, {done.tensors} tensors, {done.size / 1e9:.3g} GB"]
    lines += [f"left behind: {count} tensors ({why})" for why, count in Counter(done.dropped.values()).items()]
    if done.added:
        lines.append(f"added: {', '.join(done.added)}")
    return "\n".join(lines)
