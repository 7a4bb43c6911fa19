"""Where benchmarks' rows come from: the Hub, at a commit that is recorded, or a copy in a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..disk import fingerprint
from .own_tasks import own_questions, read_task
from .questions import Questions
from .tasks import COMMUTE, UNKNOWN, Benchmark, find_tasks

_SUFFIXES = ("", ".parquet", ".jsonl", ".json")  # of a task's rows in a folder of copies


def open_tasks(
    names: list[str], files: list[str], data: Path | None = None, limit: int | None = None, out: Path | None = None
) -> list[Questions]:
    """Open benchmarks and tasks of one's own.

    Args:
        names: Of benchmarks or groups.
        files: YAML files of own tasks.
        data: Folder with rows, `TASK.parquet`, `.jsonl` or a folder `TASK`; those that it lacks come from the Hub.
        limit: Rows to take of each.
        out: A run's folder, whose recorded revisions are taken again.

    Raises:
        ValueError: Unknown names, two tasks of one name, or rows that are nowhere.
    """
    recorded = _revisions(out)
    tasks = [task for name in names for task in find_tasks(name)]
    opened = [_open(task, data, limit, recorded.get(task.name)) for task in dict.fromkeys(tasks)]
    for file in files:
        own = read_task(file)
        if own.source.hub is not None:
            revision = _commit(own.task, recorded.get(own.task.name))
            own = own._replace(
                task=replace(own.task, revision=revision), source=replace(own.source, revision=revision)
            )
        opened.append(own_questions(own, limit))
    called = [questions.task.name for questions in opened]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise ValueError(f"two tasks are called {', '.join(twice)}; their folders would be one")
    if not opened:
        raise ValueError("nothing to evaluate: name a benchmark or a group, or give --task")
    return opened


def _open(task: Benchmark, data: Path | None, limit: int | None, recorded: str | None) -> Questions:
    from ..samples.sources import Source, open_rows

    if data is not None:
        if (path := find_copy(data, task)) is not None:
            source = Source(task.name, path=str(path))
            local = replace(task, revision=f"files {fingerprint(path)[:16]}" if path.is_file() else "files")
            return Questions(local, open_rows(source), source.folder, limit)
        if task in COMMUTE and (rows := contrastive_rows(data, task.name.removeprefix("commute_"))):
            return Questions(replace(task, revision="files"), rows, rows.folder, limit)
    if task.dataset == UNKNOWN:
        raise ValueError(
            f"{task.name}: nobody could look up where its rows are; put them into --data as {task.name}.parquet"
        )
    task = replace(task, revision=_commit(task, recorded))
    if task.file is not None:
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(task.dataset, task.file, repo_type="dataset", revision=task.revision))
        return Questions(task, open_rows(Source(task.name, path=str(path))), path.parent, limit)
    source = Source(task.name, hub=task.dataset, subset=task.subset, split=task.split, revision=task.revision)
    return Questions(task, open_rows(source), Path(), limit)


def find_copy(data: Path, task: Benchmark) -> Path | None:
    """Find a benchmark's rows in a folder of copies."""
    return next((path for suffix in _SUFFIXES if (path := data / f"{task.name}{suffix}").exists()), None)


def contrastive_rows(data: Path, language: str) -> ContrastiveRows | None:
    """Find a checkout of CoMMuTE in a folder of copies, its archive of pictures unpacked in it as `images`."""
    folders = (folder / f"en-{language}" for folder in (data, data / "CoMMuTE"))
    return next((ContrastiveRows(folder, language) for folder in folders if folder.is_dir()), None)


class ContrastiveRows:
    """Sentences with a right and a wrong translation and the picture that tells them apart, a file a column.

    Args:
        pair: Folder with `src.en`, `correct.LANGUAGE`, `incorrect.LANGUAGE` and `img.order`.
        language: Of the translations.

    Raises:
        ValueError: The files have not as many lines.
    """

    def __init__(self, pair: Path, language: str) -> None:
        self.pair, self.folder = pair, pair.parent / "images"
        files = ("src.en", f"correct.{language}", f"incorrect.{language}", "img.order")
        columns = [(pair / name).read_text(encoding="utf-8").splitlines() for name in files]
        if len({len(column) for column in columns}) != 1:
            counts = ", ".join(f"{name} {len(column)}" for name, column in zip(files, columns, strict=True))
            raise ValueError(
                f"{pair}: a row is a line of each file, but they have different numbers of them: {counts}"
            )
        self._rows = list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, object]:
        source, right, wrong, image = self._rows[row]
        return {"question": source, "completions": [right, wrong], "image": image}

    def name(self, row: int) -> str:
        """Name the line."""
        return f"{self.pair}, line {row + 1}"


def _commit(task: Benchmark, recorded: str | None) -> str:
    """Give the commit to take rows from: the one asked for, that of the run so far, or the newest."""
    if task.revision != UNKNOWN:
        return task.revision
    if recorded is not None and not recorded.startswith("files"):
        return recorded
    from huggingface_hub import HfApi

    return str(HfApi().dataset_info(task.dataset).sha)


def _revisions(out: Path | None) -> dict[str, str]:
    path = None if out is None else out / "manifest.json"
    if path is None or not path.is_file():
        return {}
    tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    return {name: str(facts["revision"]) for name, facts in tasks.items()}
