"""Our benchmarks for lmms-eval: a YAML file each, whose functions are those that `amalia-vl eval run` counts with.

lmms-eval opens the rows, makes batches and adds up; prompts, images, both protocols' scores and totals are ours. A row
of ours that is several questions, as RefCOCO's, is as many of its documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ...disk import write_file
from ..counting.totals import aggregate
from ..questions import Questions
from ..sources import find_copy
from ..tasks import PROTOCOLS, UNKNOWN, Benchmark, Protocol, find_task, find_tasks

_FUNCTIONS = ("documents", "messages", "text", "visuals", "target", "results")
_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
_YAML = """\
# Of amalia-vl-hf: written by `amalia-vl eval lmms`. Counted by the package's own functions, by both protocols.
task: {name}
dataset_path: {path}
{place}test_split: {split}
process_docs: !function {name}_functions.documents
output_type: generate_until
doc_to_messages: !function {name}_functions.messages
doc_to_visual: !function {name}_functions.visuals
doc_to_text: !function {name}_functions.text
doc_to_target: !function {name}_functions.target
process_results: !function {name}_functions.results
generation_kwargs:
  max_new_tokens: {max_new_tokens}
  temperature: 0
  do_sample: false
metric_list:
{metrics}metadata:
  - version: 1.0
"""
_METRIC = """\
  - metric: {protocol}
    aggregation: !function {name}_functions.{protocol}
    higher_is_better: {higher}
"""
_PYTHON = """\
from amalia_vl_hf.evaluation.lmms.tasks import task_functions

{names} = task_functions({name!r}, {folder!r})
"""


class TaskFunctions(NamedTuple):
    """What a YAML file of lmms-eval names.

    Args:
        documents: Makes the dataset one of questions, by their numbers.
        messages: Gives a question's chat, in lmms-eval's form.
        text: Gives a question's words.
        visuals: Gives a question's images.
        target: Gives its first reference.
        results: Gives what the totals are made of: the row with its answer.
        published: Adds up, by the official suite's rules.
        corrected: Adds up, by a careful reader's.
    """

    documents: Callable[..., Any]
    messages: Callable[..., Any]
    text: Callable[..., str]
    visuals: Callable[..., list[Any]]
    target: Callable[..., str]
    results: Callable[..., dict[str, Any]]
    published: Callable[..., float]
    corrected: Callable[..., float]


def write_tasks(out: Path, names: Sequence[str], data: Path | None = None) -> list[Path]:
    """Write benchmarks for lmms-eval's `--include_path`.

    Args:
        out: Folder of the files.
        names: Of benchmarks or groups.
        data: Folder with rows, as `amalia-vl eval run` takes; those that it lacks come from the Hub.

    Raises:
        ValueError: A name is unknown, rows are nowhere, or a benchmark is none of questions and answers.
    """
    out.mkdir(parents=True, exist_ok=True)
    return [_write_task(out, task, data) for name in names for task in find_tasks(name)]


def _write_task(out: Path, task: Benchmark, data: Path | None) -> Path:
    if task.asks != "answer" or task.row_form == "turns":
        raise ValueError(f"{task.name}: likelihoods and conversations are asked for by amalia-vl eval run alone")
    copy = None if data is None else find_copy(data, task)
    if copy is None and task.dataset == UNKNOWN:
        raise ValueError(f"{task.name}: nobody could look up where its rows are; put them into --data")
    if copy is not None and copy.suffix not in _BUILDERS:
        raise ValueError(f"{copy}: lmms-eval reads one parquet or JSON file of a task")
    path, place = _dataset(task, copy)
    higher = str(not task.lower_is_better).lower()
    metrics = "".join(_METRIC.format(protocol=protocol, name=task.name, higher=higher) for protocol in PROTOCOLS)
    yaml = _YAML.format(
        name=task.name,
        path=path,
        place=place,
        split=task.split,
        max_new_tokens=task.max_new_tokens,
        metrics=metrics,
    )
    folder = None if copy is None else str(copy.parent.resolve())
    python = _PYTHON.format(names=", ".join((*_FUNCTIONS, *PROTOCOLS)), name=task.name, folder=folder)
    write_file(out / f"{task.name}_functions.py", python)
    write_file(out / f"{task.name}.yaml", yaml)
    return out / f"{task.name}.yaml"


def _dataset(task: Benchmark, copy: Path | None) -> tuple[str, str]:
    """Say where lmms-eval finds rows: a dataset, and lines of the YAML file that narrow it."""
    if copy is not None:
        return _BUILDERS[copy.suffix], f"dataset_kwargs:\n  data_files:\n    {task.split}: {copy.resolve()}\n"
    narrowed = "" if task.subset is None else f"dataset_name: {task.subset}\n"
    given = {"revision": task.revision} if task.revision != UNKNOWN else {}
    lines = "".join(f"  {name}: {value}\n" for name, value in given.items())
    lines += "" if task.file is None else f"  data_files:\n    {task.split}: {task.file}\n"
    return task.dataset, narrowed + (f"dataset_kwargs:\n{lines}" if lines else "")


@cache
def task_functions(name: str, folder: str | None = None) -> TaskFunctions:
    """Give the functions of a benchmark's YAML file; one state however often lmms-eval asks.

    Args:
        name: Of the benchmark.
        folder: Where its rows' paths of images start.
    """
    task, opened = find_task(name), dict[str, Questions]()

    def documents(dataset: Any) -> Any:
        from datasets import Dataset

        from ...samples.sources import DatasetRows

        rows = DatasetRows(dataset.with_format("arrow"), task.name)
        opened["questions"] = Questions(task, rows, Path(folder or "."))
        return Dataset.from_dict({"question": list(range(len(opened["questions"])))})

    def question(document: Mapping[str, Any]) -> Any:
        return opened["questions"].questions[document["question"]]

    def messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
        asked = question(document)
        left = iter(opened["questions"].images(asked))
        return [
            {
                **turn,
                "content": [
                    part if part["type"] == "text" else {**part, "url": next(left)} for part in turn["content"]
                ],
            }
            for turn in asked.messages
        ]

    def text(document: Mapping[str, Any]) -> str:
        parts = [part for turn in question(document).messages for part in turn["content"]]
        return "\n".join(part["text"] for part in parts if part["type"] == "text")

    def results(document: Mapping[str, Any], answers: Sequence[str]) -> dict[str, Any]:
        asked = question(document)
        item = {**asked.item, "key": asked.key, "row": list(asked.place), "answer": answers[0]}
        return dict.fromkeys(PROTOCOLS, item)

    def total(protocol: Protocol) -> Callable[..., float]:
        def add_up(items: Sequence[Mapping[str, Any]]) -> float:
            return task.points * float(aggregate(task, items, protocol))

        return add_up

    return TaskFunctions(
        documents,
        messages,
        text,
        lambda document: opened["questions"].images(question(document)),
        lambda document: str(question(document).item["references"][0]),
        results,
        total("published"),
        total("corrected"),
    )
