"""`amalia-vl data`: one step of preparing data, and a few lines on how it went."""

from __future__ import annotations

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.dataset import FAMILIES, WRITTEN
from .arguments import GOES_ON, add_command, add_overrides, at_least, require_model
from .failures import UsageError

if TYPE_CHECKING:
    from datasets import Dataset

    from ..asking.roles import Endpoint
    from ..data.building.recipe import BuildRecipe
    from ..samples.checking import CheckReport
    from .arguments import Commands

FETCH = "  amalia-vl data fetch pd12m.parquet --samples 500000 --out data/pd12m"
CHECK = "  amalia-vl data check data/pd12m --model runs/demo/0_base --max-length 2048 --workers 8"
MIX = """\
  amalia-vl data mix amalia_vl/mixture --out instruct.parquet --model MODEL --workers 8
  amalia-vl data mix mine.yaml --out mine.parquet"""
FILTER = "  amalia-vl data filter conversas.jsonl conversas_pt_pt.jsonl"
BUILD = """\
  amalia-vl data build pt-render-text --out data/pt-render-text --count 50000 --workers 8 --preview 50
  amalia-vl data build sepic --out data/sepic --count 44300 --endpoint http://localhost:8000 --model M --dry-run
  amalia-vl data build pt-caps roles.captioner.parallel=64 --recipe mine.yaml --out data/pt-caps --retry-failed"""
TRANSLATE = """\
  amalia-vl data translate llava.json --recipe translate.yaml --out data/llava_pt --until translate
  amalia-vl data translate data/vqa settings.images=fotos --to pt-PT --recipe translate.yaml --out data/vqa_pt"""
COST = "  amalia-vl data cost data/sepic"
INDEX = "  amalia-vl data index data/pd12m/images --out data/pd12m/images.parquet --licence CC0-1.0 --source PD12M"


def add(commands: Commands) -> None:
    """Add the command with its steps."""
    purpose = "Fetch, check and mix training data."
    parser = add_command(
        commands, "data", purpose, "\n".join((FETCH, CHECK, FILTER, INDEX, BUILD, TRANSLATE, COST, MIX))
    )
    steps = parser.add_subparsers(title="steps", required=True, metavar="STEP")
    _add_fetch(steps)
    _add_check(steps)
    _add_mix(steps)
    _add_filter(steps)
    _add_index(steps)
    _add_build(steps)
    _add_translate(steps)
    _add_cost(steps)


def _add_fetch(steps: Commands) -> None:
    purpose = "Fetch the images that a dataset names by URL; the same command goes on where it was killed."
    parser = add_command(steps, "fetch", purpose, FETCH, _fetch, GOES_ON)
    parser.add_argument("source", metavar="SOURCE", help="parquet or JSON file, or a folder: PD12M, Multi-PixMo")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for images, samples.jsonl, failures.jsonl")
    parser.add_argument("--samples", type=at_least(1), metavar="N", help="rows to draw (all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (%(default)s)")
    parser.add_argument("--language", metavar="CODE", help="of the texts, where the rows do not say it: pt, fr...")
    parser.add_argument(
        "--threads", type=at_least(1), default=16, metavar="N", help="images fetched at once (%(default)s)"
    )
    parser.add_argument("--max-megabytes", type=float, default=50, metavar="X", help="largest image (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, metavar="X", help="longest time an image (%(default)s)")
    parser.add_argument(
        "--hosts",
        nargs="+",
        default=[],
        metavar="HOST",
        help="fetched from although they are not public: an intranet's",
    )


def _add_measuring(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--model", help=f"directory or Hub id of a model whose processor {purpose}")
    parser.add_argument(
        "--max-tiles", type=at_least(0), default=12, metavar="N", help="most tiles an image (%(default)s)"
    )


def _add_check(steps: Commands) -> None:
    purpose = "Say which samples cannot be trained on, and why; exit code 1 if there are any. Nothing is changed."
    parser = add_command(steps, "check", purpose, CHECK, _check)
    parser.add_argument("path", metavar="PATH", help="data file, folder or manifest")
    parser.add_argument("--method", choices=("sft", "dpo"), default="sft", help="how it is trained on (%(default)s)")
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the images that rows name; that of PATH if left out"
    )
    _add_measuring(parser, "measures lengths")
    parser.add_argument("--max-length", type=at_least(1), metavar="N", help="most tokens a sample; needs --model")
    parser.add_argument("--write", metavar="MANIFEST", help="write a manifest of the samples that stay")
    _add_workers(parser, "check")


def _add_mix(steps: Commands) -> None:
    purpose = "Draw a mixture's samples, to the exact counts, into a manifest that recipes take as data."
    parser = add_command(steps, "mix", purpose, MIX, _mix)
    parser.add_argument("mixture", metavar="MIXTURE", help="YAML file, or name of one of the package's")
    parser.add_argument("--out", required=True, metavar="MANIFEST", help="parquet file to write")
    _add_measuring(parser, "measures lengths and finds faulty samples")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="datasets or categories to leave out")
    _add_workers(parser, "measure")


def _add_workers(parser: argparse.ArgumentParser, work: str) -> None:
    words = f"processes that {work}; what comes out is the same (%(default)s: this one alone)"
    parser.add_argument("--workers", type=at_least(0), default=0, metavar="N", help=words)


def _add_filter(steps: Commands) -> None:
    purpose = "Drop conversations in Brazilian Portuguese and other languages; they go beside, with the reasons."
    parser = add_command(steps, "filter", purpose, FILTER, _filter)
    parser.add_argument("source", metavar="IN", help="JSONL or parquet file of conversations")
    parser.add_argument("out", metavar="OUT", help="file of the same kind to write; NAME.dropped goes beside it")
    parser.add_argument("--threshold", type=float, metavar="X", help="drop what scores lower, undecided or not")
    parser.add_argument("--keep-others", action="store_true", help="keep other languages, too")
    parser.add_argument("--classifier", metavar="MODEL", help="directory or Hub id of a text classifier to judge by")
    parser.add_argument("--label", metavar="LABEL", help="that classifier's label for European Portuguese")


def _add_index(steps: Commands) -> None:
    purpose = "List a folder's images by the SHA-256 of their bytes, for datasets that models write about them."
    parser = add_command(steps, "index", purpose, INDEX, _index)
    parser.add_argument("folder", metavar="FOLDER", help="of images, with folders in it")
    parser.add_argument("--out", required=True, metavar="MANIFEST", help="parquet file, beside or above FOLDER")
    parser.add_argument("--licence", required=True, metavar="NAME", help="of the images")
    parser.add_argument("--source", required=True, metavar="NAME", help="where they are from")


def _add_build(steps: Commands) -> None:
    purpose = "Build a dataset, drawn or written by models; the same command goes on where it was killed."
    parser = add_command(steps, "build", purpose, BUILD, _build, GOES_ON)
    *names, last = *FAMILIES, *WRITTEN
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(names)} or {last}")
    add_overrides(parser, "in the place of the recipe's: settings.levels=2")
    parser.add_argument("--recipe", metavar="FILE", help="YAML with its roles, who is asked what, and its numbers")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for parquet files, card and plan")
    parser.add_argument(
        "--count", type=at_least(1), metavar="N", help="samples to draw; may grow when a build goes on"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of all that is drawn (0)")
    parser.add_argument("--until", metavar="STAGE", help="the last stage that is run")
    parser.add_argument("--workers", type=at_least(1), default=1, metavar="N", help="files made at once (%(default)s)")
    parser.add_argument(
        "--preview", type=at_least(0), default=0, metavar="K", help="samples on an HTML sheet (%(default)s)"
    )
    parser.add_argument("--shard-size", type=at_least(1), metavar="N", help="samples a file (500)")
    parser.add_argument("--fonts", metavar="DIR", help="fonts to draw with, beside the package's own")
    parser.add_argument(
        "--texts", metavar="FILE", help="texts to draw: .txt, one a line, or .parquet with text, image"
    )
    parser.add_argument("--functions", metavar="FILE", help="Python functions, .parquet as CodeSearchNet has them")
    parser.add_argument(
        "--invoices", metavar="DIR", help="annotated invoices: FATURA, its folder invoices_dataset_final"
    )
    parser.add_argument("--licence", metavar="NAME", help="of what is given with those three, for provenance")
    parser.add_argument("--retry-failed", action="store_true", help="ask again for what got no answer before")
    _add_model(parser)
    parser.add_argument("--executor", choices=("local", "slurm", "ray"), default="local", help="where (%(default)s)")
    parser.add_argument("--partition", metavar="NAME", help="of Slurm")
    parser.add_argument("--time", default="04:00:00", metavar="LIMIT", help="of a task on Slurm (%(default)s)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("a model that writes parts of the samples, for datasets that can have one")
    model.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible server; OPENAI_API_KEY is sent if set")
    model.add_argument("--model", metavar="M", help="its name there")
    model.add_argument("--temperature", type=float, default=0.7, metavar="X", help="of its answers (%(default)s)")
    model.add_argument("--max-tokens", type=at_least(1), default=2048, metavar="N", help="of an answer (%(default)s)")
    model.add_argument("--parallel", type=at_least(1), default=16, metavar="N", help="requests a worker (%(default)s)")
    model.add_argument(
        "--dry-run", action="store_true", help="show what would be asked, how often and for how much; ask nothing"
    )


def _add_translate(steps: Commands) -> None:
    purpose = "Translate samples, what must stay masked, each checked; the same command goes on where it was killed."
    parser = add_command(steps, "translate", purpose, TRANSLATE, _translate, GOES_ON)
    parser.add_argument("source", metavar="SRC", help="data file, folder or manifest, in any format of training")
    add_overrides(parser, "in the place of the recipe's: settings.method=dpo")
    parser.add_argument("--to", default="pt-PT", metavar="CODE", help="pt-PT, es, fr, de or it (%(default)s)")
    parser.add_argument(
        "--recipe", required=True, metavar="R", help="YAML with the roles: translator, repairer, judge"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for parquet files, card and plan")
    parser.add_argument("--until", metavar="STAGE", help="the last stage that is run")
    parser.add_argument("--workers", type=at_least(1), default=1, metavar="N", help="files made at once (%(default)s)")
    parser.add_argument("--retry-failed", action="store_true", help="ask again for what got no answer before")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be asked, how often and for how much; ask nothing"
    )


def _add_cost(steps: Commands) -> None:
    purpose = "Say what a build's models were asked, and what that took, by step and role: calls, tokens, money."
    parser = add_command(steps, "cost", purpose, COST, _cost)
    parser.add_argument("folder", metavar="DIR", help="folder of the build")


def _fetch(arguments: argparse.Namespace) -> int:
    from ..processing.addresses_amalia_vl import DownloadLimits
    from ..samples.fetch import fetch

    done = fetch(
        arguments.source,
        arguments.out,
        limits=DownloadLimits(
            max_bytes=int(arguments.max_megabytes * 1e6), seconds=arguments.seconds, hosts=tuple(arguments.hosts)
        ),
        samples=arguments.samples,
        seed=arguments.seed,
        language=arguments.language,
        threads=arguments.threads,
    )
    print(done.table())
    return 0 if done.samples else 1


def _check(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm  # type: ignore[import-untyped]

    from ..fields import printable
    from ..samples.checking import CheckReport, check
    from ..samples.loading import load_samples

    if arguments.max_length is not None and arguments.model is None:
        raise UsageError("--max-length needs --model, whose processor measures lengths")
    processor = _processor(arguments.model)
    data = load_samples(arguments.path, arguments.method, every_row=False, images=arguments.images)
    report = CheckReport()
    checking = check(data, arguments.method, processor, arguments.max_tiles, arguments.max_length, arguments.workers)
    for checked in tqdm(checking, total=len(data), desc="checking", unit="sample"):
        report.add(checked)
        for finding in checked.findings:
            tqdm.write(printable(f"{finding.kind}: {finding.reason}"))
    print(report.table())
    if arguments.write:
        _write_kept(arguments.write, data, report)
    return 0 if len(report.kept) == report.samples else 1


def _write_kept(path: str, data: Dataset, report: CheckReport) -> None:
    """Write a manifest of the samples that stay; their sources stay where they are."""
    from ..samples.loading import sources_of
    from ..samples.manifest import write_manifest

    if not report.kept:
        raise UsageError(f"no sample stays, so {path} is not written")
    rows = data.with_format("numpy")[:]
    columns = {name: rows[name][report.kept].tolist() for name in ("source", "row")}
    if report.sizes:
        columns["length"], columns["tiles"] = (list(values) for values in zip(*report.sizes, strict=True))
    write_manifest(path, columns, sources_of(data), {"checked": True})
    print(f"written: {path}, {len(report.kept)} samples")


def _mix(arguments: argparse.Namespace) -> int:
    from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

    from ..fields import printable
    from ..samples.lengths import measure_all
    from ..samples.mixture import draw_mixture, load_mixture

    logging.basicConfig(format="%(message)s")  # each sample that is left out is said
    processor = _processor(arguments.model)
    mixture = load_mixture(arguments.mixture).without(arguments.without)
    ruler = partial(measure_all, processor=processor, max_tiles=arguments.max_tiles) if processor else None
    with logging_redirect_tqdm():  # above the bar, not on its line
        left_out = draw_mixture(mixture, arguments.out, ruler, arguments.workers)
    for category, share in mixture.shares().items():
        print(printable(f"{share:>8.1f} %  {category}"))
    for name, count in left_out.items():
        print(printable(f"{count} faulty samples of {name} gave their place to others"))
    print(f"written: {arguments.out}")
    return 0


def _filter(arguments: argparse.Namespace) -> int:
    from ..variety import judge
    from ..variety.filter import filter_file

    if (arguments.classifier is None) != (arguments.label is None):
        raise UsageError("--classifier and --label go together: a model, and its label for European Portuguese")
    classifier = None
    if arguments.classifier:
        from ..variety.hub import HubClassifier

        classifier = HubClassifier(arguments.classifier, arguments.label)
    judging = partial(judge, threshold=arguments.threshold, classifier=classifier)
    report = filter_file(Path(arguments.source), Path(arguments.out), judging, arguments.keep_others)
    print(report.table())
    return 0


def _index(arguments: argparse.Namespace) -> int:
    from ..data.image_manifest import index_images

    manifest = index_images(Path(arguments.folder), Path(arguments.out), arguments.licence, arguments.source)
    print(f"written: {arguments.out}, {len(manifest)} images")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from ..data.building.executors import SlurmJob
    from ..data.building.run import build

    recipe = _recipe(arguments)
    if arguments.dry_run:
        return _show_prompts(recipe, Path(arguments.out))
    slurm = SlurmJob(arguments.partition, arguments.time) if arguments.partition else None
    made = build(
        recipe,
        Path(arguments.out),
        arguments.executor,
        arguments.workers,
        slurm,
        arguments.preview,
        arguments.until,
        arguments.retry_failed,
    )
    if made is None:
        print("Slurm builds the shards; the same command says how far it is, and finishes the folder")
        return 0
    if arguments.until:
        print(f"{made.made} items are there after {arguments.until}; the same command without --until goes on")
    else:
        whole = f"{made.made} samples" if recipe.is_written else f"{made.made} of {recipe.count} samples"
        print(f"{whole} are in {arguments.out}, every one checked")
    if made.rejected or made.yields:
        print(made.table())
    return 0 if made.made else 1


def _translate(arguments: argparse.Namespace) -> int:
    from ..data.building.recipe import load_build
    from ..data.building.run import build

    words = ["dataset=translation", f"samples={arguments.source}", f"settings.to={arguments.to}", *arguments.overrides]
    recipe, out = load_build(arguments.recipe, words), Path(arguments.out)
    if arguments.dry_run:
        return _show_prompts(recipe, out)
    made = build(recipe, out, workers=arguments.workers, until=arguments.until, retry_failed=arguments.retry_failed)
    if made is None:
        return 1
    where = f"after {arguments.until}" if arguments.until else f"in {out}, every one checked"
    print(f"{made.made} of {recipe.count} samples are {where}")
    print(made.table())
    return 0 if made.made else 1


def _recipe(arguments: argparse.Namespace) -> BuildRecipe:
    """Make the recipe of the arguments, or read it from its file."""
    from ..data.building.recipe import INPUTS, OWN_LICENCE, BuildRecipe, load_build

    numbers = {name: getattr(arguments, name) for name in ("count", "seed", "shard_size")}
    given = {name: getattr(arguments, name) for name in INPUTS}
    if arguments.recipe:
        return load_build(arguments.recipe, _words(arguments, numbers, given))
    if arguments.overrides or arguments.name in WRITTEN or arguments.count is None:
        lacking = "--count" if arguments.count is None and arguments.name in FAMILIES else "--recipe FILE"
        raise UsageError(f"{arguments.name} needs {lacking}")
    texts = [name for name in ("texts", "functions", "invoices") if given[name]]
    if bool(texts) != (arguments.licence is not None):
        named = f"--{texts[0]}" if texts else "--texts, --functions or --invoices"
        raise UsageError(f"{named} and --licence go together: what samples are made of, and the licence it is under")
    return BuildRecipe(
        name=arguments.name,
        count=arguments.count,
        seed=arguments.seed or 0,
        shard_size=500 if arguments.shard_size is None else arguments.shard_size,
        licence=arguments.licence or OWN_LICENCE,
        endpoint=_endpoint(arguments),
        **given,
    )


def _words(arguments: argparse.Namespace, numbers: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Give the arguments as words over the recipe; models are the recipe's own."""
    if arguments.endpoint or arguments.model:
        raise UsageError("--recipe says whom to ask; leave --endpoint and --model out")
    said = {**numbers, **given, "licence": arguments.licence}
    named = [f"{name}={value}" for name, value in said.items() if value is not None]
    return [f"dataset={arguments.name}", *named, *arguments.overrides]


def _endpoint(arguments: argparse.Namespace) -> Endpoint | None:
    if (arguments.endpoint is None) != (arguments.model is None):
        raise UsageError("--endpoint and --model go together: a server, and the model's name there")
    if arguments.endpoint is None:
        return None
    from ..asking.roles import Endpoint

    return Endpoint(
        url=arguments.endpoint,
        model=arguments.model,
        temperature=arguments.temperature,
        max_tokens=arguments.max_tokens,
        seed=arguments.seed or 0,
        parallel=arguments.parallel,
    )


def _show_prompts(recipe: BuildRecipe, out: Path) -> int:
    """Show what each step would ask first, how much it would ask, and what that costs."""
    from ..data.building.estimate import estimate
    from ..data.building.pipeline import Pipeline
    from ..fields import printable

    plans = list(estimate(Pipeline(recipe, out)))
    if not plans:
        print(f"{recipe.name} asks no model here; {recipe.count} samples would be drawn")
        return 0
    for number, plan in enumerate(plans, 1):
        print("\n".join(map(printable, plan.shown(number, recipe.name).split("\n"))))
    calls, money = sum(plan.calls for plan in plans), sum(plan.money for plan in plans)
    tokens = sum(plan.prompt + plan.completion for plan in plans)
    print(f"in all: {calls:.0f} requests, {tokens:.0f} tokens, money {money:.2f}")
    return 0


def _cost(arguments: argparse.Namespace) -> int:
    from ..data.building.cost import cost_table, read_costs
    from ..data.building.pipeline import RECORD
    from ..fields import printable

    folder = Path(arguments.folder)
    if not (folder / RECORD).is_file():
        raise UsageError(f"{folder} holds no build")
    costs = read_costs(folder)
    print("\n".join(map(printable, cost_table(costs).split("\n"))) if costs else f"no model was asked in {folder}")
    return 0


def _processor(model: str | None) -> Any:
    if model is None:
        return None
    require_model(model)
    from ..samples.text_processor import load_processor_of

    return load_processor_of(model)
