"""`amalia-vl eval`: benchmarks of a model, counted by two protocols, compared and shown."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import GOES_ON, add_command, at_least, require_model

if TYPE_CHECKING:
    from ..evaluation.backends import Backend
    from ..evaluation.questions import Questions
    from .arguments import Commands

RUN = """\
  amalia-vl eval run amalia_vl_eval_pt --model amalia-llm/AMALIA-VL-DPO --out runs/eval/amalia-vl-dpo
  amalia-vl eval run pope_pt mme_pt --model M --data benchmarks --limit 100 --out runs/eval/try
  amalia-vl eval run caravela --endpoint http://localhost:8000 --model M --out runs/eval/served
  amalia-vl eval run --task faturas.yaml --model runs/mine --out runs/eval/faturas"""
SCORE = "  amalia-vl eval score runs/eval/amalia-vl-dpo"
COMPARE = "  amalia-vl eval compare runs/eval/sft runs/eval/dpo"
TRANSLATE = """\
  amalia-vl eval translate MME/ MME-PT/ --task mme_pt --endpoint http://localhost:8000 --model M
  amalia-vl eval translate in.jsonl out.jsonl --endpoint URL --model M --repair-endpoint URL2 --repair-model M2"""
LMMS = "  amalia-vl eval lmms runs/lmms pope_pt mme_pt --data benchmarks"
REPORT = "  amalia-vl eval report runs/eval/amalia-vl-dpo"


def add(commands: Commands) -> None:
    """Add the command with its steps."""
    purpose = "Measure a model on the paper's benchmarks, or on a task of your own."
    parser = add_command(commands, "eval", purpose, "\n".join((RUN, SCORE, COMPARE, REPORT, TRANSLATE, LMMS)))
    steps = parser.add_subparsers(title="steps", required=True, metavar="STEP")
    _add_run(steps)
    _add_score(steps)
    _add_compare(steps)
    _add_report(steps)
    _add_translate(steps)
    _add_lmms(steps)


def _add_run(steps: Commands) -> None:
    purpose = "Ask a model, and count its answers; the same command goes on where it was killed."
    parser = add_command(steps, "run", purpose, RUN, _run, GOES_ON)
    _add_tasks(parser)
    parser.add_argument("--model", required=True, help="directory or Hub id, or the model's name at the endpoint")
    parser.add_argument("--revision", metavar="COMMIT", help="of a model of the Hub")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for answers and figures")
    parser.add_argument("--batch", type=at_least(1), default=8, metavar="N", help="questions at once (%(default)s)")
    parser.add_argument(
        "--endpoint", metavar="URL", help="OpenAI-compatible server to ask in the place of a directory"
    )
    parser.add_argument("--parallel", type=at_least(1), default=16, metavar="N", help="requests at once (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the intervals (%(default)s)")


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tasks",
        nargs="*",
        metavar="TASK",
        help="benchmark or group: amalia_vl_eval_pt, portexto_pt, caravela, refcoco_formats, multi_pixmo, towervision",
    )
    parser.add_argument(
        "--task", action="append", default=[], metavar="YAML", help="a task of your own; may be repeated"
    )
    parser.add_argument("--data", metavar="DIR", help="folder with TASK.parquet or .jsonl, used before the Hub")
    parser.add_argument(
        "--limit", type=at_least(1), metavar="N", help="only the first N rows of each task; marked everywhere"
    )


def _add_score(steps: Commands) -> None:
    purpose = "Count the answers of a finished run anew; nothing is asked."
    parser = add_command(steps, "score", purpose, SCORE, _score)
    parser.add_argument("out", metavar="DIR", help="folder of the run")


def _add_compare(steps: Commands) -> None:
    purpose = "Compare two runs row by row: the difference of each task, with its 95 % interval."
    parser = add_command(steps, "compare", purpose, COMPARE, _compare)
    parser.add_argument("first", metavar="A", help="folder of a run")
    parser.add_argument("second", metavar="B", help="folder of another, on the same rows")


def _add_report(steps: Commands) -> None:
    purpose = "Write report.html into a finished run: figures beside the paper's, pictures, answers and verdicts."
    parser = add_command(steps, "report", purpose, REPORT, _report)
    parser.add_argument("out", metavar="DIR", help="folder of the run")
    parser.add_argument(
        "--shown", type=at_least(0), default=200, metavar="N", help="answers of each task (%(default)s)"
    )


def _add_translate(steps: Commands) -> None:
    purpose = "Translate a benchmark's rows; what fails a check is repaired once, or rejected with its reason."
    parser = add_command(steps, "translate", purpose, TRANSLATE, _translate, GOES_ON)
    parser.add_argument("source", metavar="IN", help="rows, parquet or JSON, or a folder of such files")
    parser.add_argument("out", metavar="OUT", help="file or folder to write; OUT.rejected.jsonl goes beside it")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="OpenAI-compatible server of the translator")
    parser.add_argument("--model", required=True, metavar="M", help="its name there")
    parser.add_argument("--repair-endpoint", metavar="URL", help="server of the model that repairs (the translator's)")
    parser.add_argument("--repair-model", metavar="M", help="its name there (the translator)")
    parser.add_argument("--task", metavar="TASK", help="benchmark that the rows are of, which names their columns")
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument("--keep-answers", action="store_true", default=None, help="answers are read off the picture")
    answers.add_argument(
        "--translate-answers", action="store_false", dest="keep_answers", help="though the task reads"
    )
    parser.add_argument("--to", default="pt-PT", metavar="CODE", help="pt-PT, es, fr, de or it (%(default)s)")
    parser.add_argument("--parallel", type=at_least(1), default=16, metavar="N", help="requests at once (%(default)s)")


def _add_lmms(steps: Commands) -> None:
    purpose = "Write benchmarks as YAML files of lmms-eval, which count with this package's functions."
    parser = add_command(steps, "lmms", purpose, LMMS, _lmms)
    parser.add_argument("out", metavar="DIR", help="folder to write, for lmms-eval's --include_path")
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="benchmark or group")
    parser.add_argument("--data", metavar="DIR", help="folder with TASK.parquet or .jsonl, used before the Hub")


def _lmms(arguments: argparse.Namespace) -> None:
    from ..evaluation.lmms.tasks import write_tasks

    for path in write_tasks(Path(arguments.out), arguments.tasks, Path(arguments.data) if arguments.data else None):
        print(path)


def _run(arguments: argparse.Namespace) -> None:
    from ..evaluation.run import RunSettings, evaluate

    out = Path(arguments.out)
    tasks = _tasks(arguments, out)
    if not arguments.endpoint:
        require_model(arguments.model)
    results = evaluate(tasks, _backend(arguments), RunSettings(out, arguments.limit, arguments.seed))
    print(_table(results))


def _tasks(arguments: argparse.Namespace, out: Path) -> list[Questions]:
    from ..evaluation.sources import open_tasks

    data = Path(arguments.data) if arguments.data else None
    return open_tasks(arguments.tasks, arguments.task, data, arguments.limit, out)


def _backend(arguments: argparse.Namespace) -> Backend:
    from ..evaluation.backends import LocalModel, ServedModel

    if arguments.endpoint:
        from ..asking.endpoint import Endpoint

        return ServedModel(Endpoint(arguments.endpoint, arguments.model, parallel=arguments.parallel))
    return LocalModel(arguments.model, arguments.batch, arguments.revision)


def _score(arguments: argparse.Namespace) -> None:
    from ..evaluation.recount import recount

    print(_table(recount(Path(arguments.out))))


def _compare(arguments: argparse.Namespace) -> None:
    from ..evaluation.recount import compare_runs

    print(compare_runs(Path(arguments.first), Path(arguments.second)))


def _report(arguments: argparse.Namespace) -> None:
    from ..evaluation.report import write_report

    print(write_report(Path(arguments.out), arguments.shown))


def _translate(arguments: argparse.Namespace) -> int:
    from ..asking.endpoint import Endpoint
    from ..evaluation.translating.run import TranslationTask, translate_benchmark
    from ..fields import unknown
    from ..translation.languages import TARGETS

    if arguments.to not in TARGETS:
        raise ValueError(unknown("language", arguments.to, TARGETS))
    translator = Endpoint(arguments.endpoint, arguments.model, temperature=0.0, parallel=arguments.parallel)
    repairer = replace(
        translator,
        url=arguments.repair_endpoint or arguments.endpoint,
        model=arguments.repair_model or arguments.model,
    )
    task = TranslationTask(
        Path(arguments.source),
        Path(arguments.out),
        translator,
        repairer,
        arguments.task,
        arguments.keep_answers,
        arguments.to,
    )
    report = translate_benchmark(task)
    print(report.table())
    return 0 if report.kept else 1


def _table(results: Mapping[str, Any]) -> str:
    from ..evaluation.results import text_table

    return text_table(results)
