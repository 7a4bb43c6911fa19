"""`amalia-vl convert`: a checkpoint in, another one or a comparison out."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .arguments import add_command, at_least
from .failures import UsageError

if TYPE_CHECKING:
    from ..conversion.checkpoints import Conversion
    from .arguments import Commands

COMPOSE = "  amalia-vl convert compose --vision models/siglip2 --text models/amalia-9b --out models/stage0"
IMPORT = "  amalia-vl convert import amalia-llm/AMALIA-VL-DPO --out models/amalia-vl"
EXPORT = "  amalia-vl convert export models/amalia-vl --out models/amalia-vl-llava-next"
VERIFY = "  amalia-vl convert verify amalia-llm/AMALIA-VL-DPO models/amalia-vl --json models/amalia-vl/verify.json"
KINDS = "amalia_vl, llava_next or llava_onevision"
BY_LLM_COMPRESSOR = ("fp8", "w4a16")
SCENES = 16  # of the demo's, to measure on where no pictures are given
QUANTISE = "  amalia-vl convert quantise runs/demo/3_prefer --out runs/int8 --method int8"


def add(commands: Commands) -> None:
    """Add the command with its five conversions."""
    purpose = "Convert checkpoints, and prove that nothing changed, or how much."
    parser = add_command(commands, "convert", purpose, "\n".join((IMPORT, VERIFY, EXPORT, COMPOSE, QUANTISE)))
    conversions = parser.add_subparsers(title="conversions", required=True, metavar="CONVERSION")
    _add_compose(conversions)
    _add_import(conversions)
    _add_export(conversions)
    _add_verify(conversions)
    _add_quantise(conversions)


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


def _add_compose(conversions: Commands) -> None:
    purpose = "Join a SigLIP tower and a causal language model by a new connector."
    parser = add_command(conversions, "compose", purpose, COMPOSE, _compose)
    parser.add_argument("--vision", required=True, metavar="SIGLIP", help="directory or Hub id of a SigLIP checkpoint")
    parser.add_argument("--text", required=True, metavar="LLM", help="directory or Hub id of a causal language model")
    parser.add_argument(
        "--max-tiles", type=at_least(0), default=12, metavar="N", help="most tiles an image is cut into (12)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the connector's and the newline's first weights (0)")
    parser.add_argument(
        "--drop-vision-layers", type=at_least(0), default=0, metavar="N", help="take features at layer -(N + 1) (0)"
    )
    parser.add_argument("--videos", action="store_true", help="add <video>, too: the model is to take videos")
    _add_writing(parser)


def _add_import(conversions: Commands) -> None:
    purpose = "Turn a llava_next or llava_onevision checkpoint into an amalia_vl one."
    parser = add_command(conversions, "import", purpose, IMPORT, _import)
    _add_source(parser, "llava_next or llava_onevision")
    parser.add_argument(
        "--videos", action="store_true", help="add <video> to a model that takes no videos, to train it on them"
    )


def _add_export(conversions: Commands) -> None:
    purpose = "Turn an amalia_vl checkpoint into a llava_next one, or llava_onevision where it takes videos."
    parser = add_command(conversions, "export", purpose, EXPORT, _export)
    _add_source(parser, "amalia_vl")
    parser.add_argument(
        "--format", choices=("llava_next", "llava_onevision"), help="refuse to write another (what the model needs)"
    )
    parser.add_argument(
        "--resampler", choices=("pil",), help="accept Pillow's resizing where the processor has another one"
    )


def _add_verify(conversions: Commands) -> None:
    purpose = "Run two checkpoints over the same pictures and compare every stage; exit code 1 if they differ."
    parser = add_command(conversions, "verify", purpose, VERIFY, _verify)
    parser.add_argument("first", metavar="A", help=f"directory or Hub id of a checkpoint: {KINDS}")
    parser.add_argument("second", metavar="B", help=f"directory or Hub id of a checkpoint: {KINDS}")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--images", metavar="DIR", help="pictures to run over (made-up ones when left out)")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), default="fp32", help="to run in (%(default)s)")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, metavar="X", help="largest difference of activations and logits (0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report, for programs and for `amalia-vl push`")


def _compose(arguments: argparse.Namespace) -> None:
    from ..conversion.compose import compose_checkpoint

    done = compose_checkpoint(
        arguments.vision,
        arguments.text,
        arguments.out,
        max_tiles=arguments.max_tiles,
        seed=arguments.seed,
        drop_vision_layers=arguments.drop_vision_layers,
        videos=arguments.videos,
        dtype=arguments.dtype,
        max_shard_size=arguments.max_shard_size,
    )
    print(summary(done))


def _import(arguments: argparse.Namespace) -> None:
    from ..conversion.llava_next import import_checkpoint

    options = _options(arguments)
    print(summary(import_checkpoint(arguments.source, arguments.out, videos=arguments.videos, **options)))


def _export(arguments: argparse.Namespace) -> None:
    from ..conversion.llava_next import export_checkpoint

    options = _options(arguments) | {"resampler": arguments.resampler, "form": arguments.format}
    print(summary(export_checkpoint(arguments.source, arguments.out, **options)))


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("dtype", "max_shard_size", "revision")}


def _verify(arguments: argparse.Namespace) -> int:
    from ..conversion.verify import verify
    from ..disk import write_file

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
        write_file(Path(arguments.json), report.json())
    return 0 if report.passed else 1


def summary(done: Conversion) -> str:
    """Say what was written, and what was left behind or added."""
    lines = [f"written: {done.directory}, {done.tensors} tensors, {done.size / 1e9:.3g} GB"]
    lines += [f"left behind: {count} tensors ({why})" for why, count in Counter(done.dropped.values()).items()]
    if done.added:
        lines.append(f"added: {', '.join(done.added)}")
    return "\n".join(lines)


def _add_quantise(conversions: Commands) -> None:
    purpose = "Store the decoder in fewer bits, and measure what that changes."
    parser = add_command(conversions, "quantise", purpose, QUANTISE, _quantise)
    parser.add_argument("source", metavar="SRC", help=f"directory or Hub id of a checkpoint: {KINDS}")
    parser.add_argument("--revision", help="branch, tag or commit of the Hub id")
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write; must not exist yet")
    parser.add_argument(
        "--method",
        required=True,
        choices=("int8", "nf4", *BY_LLM_COMPRESSOR),
        help="8 bits by torchao, 4 by bitsandbytes; fp8 and w4a16 by llm-compressor, see docs/serve.md",
    )
    parser.add_argument("--images", metavar="DIR", help=f"pictures to measure on ({SCENES} of the demo's scenes)")


def _quantise(arguments: argparse.Namespace) -> int:
    if arguments.method in BY_LLM_COMPRESSOR and find_spec("llmcompressor") is None:
        raise UsageError(
            f"{arguments.method} is written by llm-compressor, which is not installed here; "
            "it takes an environment of its own: docs/serve.md has the way"
        )
    from ..conversion.provenance import RECORD
    from ..conversion.quantise import quantise_checkpoint
    from ..training.recipe import TRAINING_LOG

    with TemporaryDirectory() as drawn:
        report = quantise_checkpoint(
            arguments.source,
            arguments.out,
            arguments.method,
            images=arguments.images or _draw_scenes(Path(drawn)),
            revision=arguments.revision,
            history=(TRAINING_LOG, RECORD),
        )
    print(report.table())
    return 0


def _draw_scenes(folder: Path) -> Path:
    """Draw the demo's scenes, of those that no model of it was trained on."""
    from ..demo.scenes import draw_scene, render

    rng = random.Random(0)  # noqa: S311
    for number in range(SCENES):
        render(draw_scene(rng, "test")).save(folder / f"{number:02}.png")
    return folder
