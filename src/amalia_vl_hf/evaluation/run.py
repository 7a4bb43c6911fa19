"""A run: asks what is not answered yet, and counts when everything is.

    OUT/manifest.json            what decides on every answer: model, weights, sampling, data, prompts, versions
    OUT/TASK/answers.jsonl       one answer a line
    OUT/TASK/items.jsonl         questions, references, answers and both verdicts
    OUT/TASK/scores.json         figures of the task by both protocols, with intervals and counts
    OUT/TASK/pictures/           small copies of the first pictures, for the report
    OUT/results.json             all figures

The same command goes on where it was killed. Another model, other data, prompts, limit or sampling in the same folder
are refused.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from .. import disk
from ..variety import judge
from .answers import ANSWERS, AnswerFile
from .backends import Backend, GeneratedAnswer, Unanswered
from .counting.scoring import is_drawn, parsed_answer
from .counting.totals import aggregate, each_score
from .counting.translated import translated_share
from .questions import EUROPEAN, BenchmarkQuestion, Questions
from .results import write_results
from .statistics import interval
from .tasks import PROTOCOLS, Benchmark

MANIFEST, ITEMS, SCORES = "manifest.json", "items.jsonl", "scores.json"
MOST_JUDGED = 200_000  # characters of a task's answers that its variety is judged by
PICTURES, KEPT, SIDE = "pictures", 200, 512  # of each task, for the report; their longer side in pixels
_PACKAGES = ("amalia-vl-hf", "torch", "transformers", "tokenizers", "pillow", "numpy")
_EXPLAINED = {
    "model": "the model",
    "weights": "the weights",
    "dtype": "the type of the weights",
    "sampling": "the sampling",
    "limit": "the limit",
    "seed": "the seed of the intervals",
    "dataset": "the dataset",
    "revision": "the dataset's revision",
    "data": "rows, images or prompts",
    "prompt": "the prompt",
    "max_new_tokens": "the longest answer",
}


class MissingAnswersError(RuntimeError):
    """Questions got no answer, so there is no score; the same command asks only those."""


class OtherRunError(ValueError):
    """The folder holds a run of something else."""


class RunSettings(NamedTuple):
    """How a run is done.

    Args:
        out: Its folder.
        limit: Rows of each task, all where it is None.
        seed: Of the intervals.
    """

    out: Path
    limit: int | None = None
    seed: int = 0


def evaluate(tasks: Sequence[Questions], backend: Backend, settings: RunSettings) -> dict[str, Any]:
    """Ask, count and write everything down.

    Args:
        tasks: Benchmarks with their questions.
        backend: Who answers.
        settings: Where, and how much of it.

    Returns:
        What `results.json` holds.

    Raises:
        OtherRunError: The folder holds answers of another model, or to other questions; both sides are named.
        MissingAnswersError: Some questions got no answer; those that did are kept.
        BlockingIOError: Another process works in the folder.
    """
    out = settings.out
    out.mkdir(parents=True, exist_ok=True)
    with disk.sole_writer(out / ".lock", f"evaluating into {out}"):
        claim(settings, backend.record(), tasks)
        unanswered = [problem for task in tasks for problem in _ask(task, backend, out / task.task.name)]
        if unanswered:
            raise MissingAnswersError(_missing(unanswered, tasks))
        for task in tasks:
            count_task(task, settings)
        return write_results(out)


def claim(settings: RunSettings, model: Mapping[str, Any], tasks: Sequence[Questions]) -> None:
    """Record what the folder's answers depend on, or refuse to mix two runs.

    Raises:
        OtherRunError: Something differs from what is recorded.
    """
    path = settings.out / MANIFEST
    run = {**model, "limit": settings.limit, "seed": settings.seed}
    benchmarks = {task.task.name: _task_facts(task) for task in tasks}
    if path.exists():
        recorded = json.loads(path.read_text(encoding="utf-8"))
        _require_same(settings.out, "", recorded["run"], run)
        for name in benchmarks.keys() & recorded["tasks"].keys():
            _require_same(settings.out, f"{name}: ", recorded["tasks"][name], benchmarks[name])
        benchmarks = recorded["tasks"] | benchmarks
        versions = recorded["versions"]
    else:
        versions = {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()}
    disk.write_json(path, {"run": run, "tasks": dict(sorted(benchmarks.items())), "versions": versions})


def _task_facts(questions: Questions) -> dict[str, Any]:
    task = questions.task
    return {
        "dataset": task.dataset,
        "subset": task.subset,
        "split": task.split,
        "revision": task.revision,
        "rows": len(questions.rows),
        "questions": len(questions),
        "prompt": task.prompt,
        "max_new_tokens": task.max_new_tokens,
        "data": questions.digest(),
    }


def _require_same(out: Path, place: str, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    different = [name for name in now if recorded.get(name) != now[name]]
    if different:
        listed = "; ".join(
            f"{_EXPLAINED.get(name, name)}: {_short(recorded.get(name))} there, {_short(now[name])} now"
            for name in different
        )
        raise OtherRunError(f"{out} holds another run: {place}{listed}. Choose another --out, or delete it")


def _variety(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Judge whether all answers together are European Portuguese: one alone is too short to say."""
    verdict = judge("\n".join(item["answer"] for item in items)[:MOST_JUDGED])
    return {"is_pt_pt": verdict.is_pt_pt, "score": verdict.score, "reasons": list(verdict.reasons)}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 100 else f"{text[:48]}...{text[-48:]}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _ask(questions: Questions, backend: Backend, folder: Path) -> list[Unanswered]:
    """Ask what is missing of a task."""
    folder.mkdir(exist_ok=True)
    answers = AnswerFile(folder / ANSWERS, questions.questions)
    for asked in questions.rounds():
        if unanswered := _ask_round(asked, questions, answers, backend):
            return unanswered
    if left := answers.missing():
        return [Unanswered(question, "no answer came back") for question in left]
    answers.settle()
    return []


def _ask_round(
    asked: Sequence[BenchmarkQuestion], questions: Questions, answers: AnswerFile, backend: Backend
) -> list[Unanswered]:
    """Ask what is missing of questions that wait for nothing but earlier rounds; give those that got no answer."""
    wanted = {question.key for question in answers.missing()}
    if not any(question.key in wanted for question in asked):
        return []
    said = {key: answer.text for key, answer in answers.answers.items()}
    asked = [questions.with_history(question, said) for question in asked]
    missing = [question for question in asked if question.key in wanted]
    if questions.task.asks == "likelihood":
        backend.weigh(missing, questions.images, answers.add)
        return []
    unanswered = backend.answer(asked, missing, questions.images, questions.task.max_new_tokens, answers.add)
    left = {question.key for question in answers.missing()}
    return unanswered or [Unanswered(entry, "no answer came back") for entry in missing if entry.key in left]


def _missing(unanswered: Sequence[Unanswered], tasks: Sequence[Questions]) -> str:
    total = sum(len(task) for task in tasks)
    first = unanswered[0]
    return (
        f"{len(unanswered)} of {total} questions have no answer, so there is no score; the first, row"
        f" {first.question.place[0]}: {first.problem}. The same command asks only those again"
    )


def count_task(questions: Questions, settings: RunSettings) -> dict[str, Any]:
    """Count a task's answers and write `items.jsonl` and `scores.json`.

    Raises:
        MissingAnswersError: An answer is missing.
    """
    task, folder = questions.task, settings.out / questions.task.name
    answers = AnswerFile(folder / ANSWERS, questions.questions)
    if missing := answers.missing():
        raise MissingAnswersError(
            f"{folder}: {len(missing)} of {len(questions)} questions have no answer, so there is no score;"
            " `amalia-vl eval run` asks them"
        )
    _keep_pictures(questions, folder / PICTURES)
    items = [_item(question, answers.answers[question.key]) for question in questions.questions]
    return score_again(task, items, {"of": len(questions.rows)}, settings)


def _keep_pictures(questions: Questions, folder: Path) -> None:
    """Keep small copies of the first questions' first pictures."""
    folder.mkdir(exist_ok=True)
    for question in questions.questions[:KEPT]:
        path = folder / f"{question.key[:16]}.jpg"
        if not path.exists() and (picture := questions.picture(question)) is not None:
            picture.thumbnail((SIDE, SIDE))
            with disk.whole_file(path) as scratch:
                picture.save(scratch, format="JPEG", quality=85)


def score_again(
    task: Benchmark, items: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], settings: RunSettings
) -> dict[str, Any]:
    """Count items and write them with their verdicts, and the task's figures.

    Args:
        task: The benchmark.
        items: Its rows with their answers.
        facts: `of`, the rows there are without a limit.
        settings: The run's.
    """
    folder = settings.out / task.name
    verdicts = zip(*(each_score(task, items, protocol) for protocol in PROTOCOLS), strict=True)
    judged = [
        {
            **item,
            "parsed": parsed_answer(task, item["answer"], item),
            "scores": dict(zip(PROTOCOLS, scores, strict=True)),
        }
        for item, scores in zip(items, verdicts, strict=True)
    ]
    scores = {**task_scores(task, judged, settings), "of": facts["of"]}
    disk.write_file(folder / ITEMS, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in judged))
    disk.write_json(folder / SCORES, scores)
    return scores


def _item(question: BenchmarkQuestion, answer: GeneratedAnswer) -> dict[str, Any]:
    turns = question.messages[-1:] if question.item["references"] == [EUROPEAN] else question.messages
    text = "\n".join(part.get("text", "") for turn in turns for part in turn["content"]).strip()
    place = {"key": question.key, "row": list(question.place)}
    weighed = {"likelihoods": answer.likelihoods} if answer.likelihoods else {}
    return {**place, **question.item, **weighed, "question": text, "answer": answer.text, "cut": answer.cut}


def task_scores(task: Benchmark, items: Sequence[Mapping[str, Any]], settings: RunSettings) -> dict[str, Any]:
    """Give a task's figures by both protocols, times its points, with intervals and what was counted."""
    protocols = {}
    for protocol in PROTOCOLS:
        entries = [{**item, "score": item["scores"][protocol]} for item in items]
        around = interval(task, entries, protocol, settings.seed)
        total = aggregate(task, entries, protocol)
        protocols[protocol] = {
            "value": task.points * float(total),
            "interval": [task.points * around.low, task.points * around.high],
            "parts": {name: task.points * value for name, value in total.parts.items()},
        }
    return {
        **{"task": task.name, "title": task.title or task.name, "dataset": task.dataset, "revision": task.revision},
        **{"questions": len(items), "units": around.units, "limit": settings.limit, "held_in": task.held_in},
        **{"lower_is_better": task.lower_is_better, "note": task.note, "metric": task.scorer, "protocols": protocols},
        "counts": {
            "unparsed": sum(item["parsed"] is None for item in items),
            "empty": sum(not item["answer"].strip() for item in items),
            "cut": sum(item["cut"] for item in items),
            **({"drawn": sum(is_drawn(task, item["answer"], item) for item in items)} if task.draws else {}),
        },
        "variety": _variety(items),
        "translated": translated_share(task, items),
        "benchmark": asdict(task),
    }
