"""Translates a benchmark's files: each row is asked about once, repaired once where it fails a check, or rejected.

    OUT                        the rows that passed, in files of the same names and kinds
    OUT.rejected.jsonl         the others, with the reasons and what was said last
    OUT.asked/                 what was asked and answered, so that a run that was killed goes on

Nothing but texts changes: columns, splits, ids, letters, indices and images stay.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...disk import fingerprint, sole_writer, whole_file, write_file, write_json
from ...samples.images import record_root, recorded_root
from ...samples.sources import Source, open_rows
from ...translation.languages import PORTUGUESE
from ...translation.masks import LostPlaceError
from ...translation.structure import Fault
from ...translation.wording import prompts_digest, row_prompt, row_repair_prompt
from .checks import broken_pairs, group_faults, row_faults
from .rows import (
    MaskedRow,
    RowTexts,
    TextColumns,
    UnreadableRowError,
    columns_of,
    masked_row,
    read_texts,
    read_translation,
    written,
)

if TYPE_CHECKING:
    from ...asking.endpoint import Endpoint

_SUFFIXES = (".parquet", ".jsonl", ".json")
_ROWS_AT_ONCE = 64  # of a parquet file; bounds the memory their images take


class RowPlace(NamedTuple):
    """A row: which file, and its number there."""

    file: int
    row: int


@dataclass
class RowState:
    """How far a row is.

    Args:
        source: Its texts.
        masked: What is asked.
        group: What it belongs to.
        texts: Its translation, if there is one that can be read.
        said: The last answer.
        faults: What is wrong with that.
        repaired: Whether a second model had its turn.
    """

    source: RowTexts
    masked: MaskedRow
    group: Any
    texts: RowTexts | None = None
    said: str = ""
    faults: list[Fault] = field(default_factory=list)
    repaired: bool = False


@dataclass
class TranslationReport:
    """What came of the rows.

    Args:
        rows: All of them.
        kept: Those that passed.
        repaired: Of those, the ones that a second model mended.
        rejected: The others, by the rule that the first fault was of.
    """

    rows: int = 0
    kept: int = 0
    repaired: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        """Write the counts for people."""
        counts = {"rows": self.rows, "translated": self.kept, "of these, repaired": self.repaired}
        counts |= {f"rejected, {rule}": count for rule, count in self.rejected.most_common()}
        return "\n".join(f"{name:<36}{count:>10,}{count / max(self.rows, 1):>9.1%}" for name, count in counts.items())


@dataclass(frozen=True)
class TranslationTask:
    """What is translated, and by whom.

    Args:
        source: File or folder of rows.
        out: File or folder to write.
        translator: Who is asked.
        repairer: Who is asked about rows that fail a check; the translator again when left out.
        task: The package's benchmark that the rows are of, which says where their texts are.
        keep_answers: Whether answers stay in the picture's language; by the task when left out.
        target: One of `languages.TARGETS`.
    """

    source: Path
    out: Path
    translator: Endpoint
    repairer: Endpoint | None = None
    task: str | None = None
    keep_answers: bool | None = None
    target: str = PORTUGUESE

    def record(self, files: Sequence[Path]) -> dict[str, Any]:
        """Give what decides on the outcome."""
        return {
            "source": {file.name: fingerprint(file) for file in files},
            "task": self.task,
            "keep_answers": self.keep_answers,
            "target": self.target,
            "translator": self.translator.record(),
            "repairer": (self.repairer or self.translator).record(),
            "prompts": prompts_digest(("row", "row_repair")),
        }


def translate_benchmark(task: TranslationTask) -> TranslationReport:
    """Translate all rows, or go on with it.

    Raises:
        ValueError: There are no rows, no text in them, or OUT is of something else; both sides are named.
        EndpointError: The server does not answer; what it answered is kept.
    """
    files = _files(task.source)
    asked = task.out.with_name(f"{task.out.name}.asked")
    if task.out.exists() and not asked.exists():
        raise ValueError(f"{task.out} is there already; name another one")
    asked.mkdir(parents=True, exist_ok=True)
    with sole_writer(asked / ".lock", f"translating into {task.out}"):
        _claim(asked / "plan.json", task.record(files))
        states, unreadable, columns = _opened(files, task)
        _ask(states, task, asked)
        _repair(states, task, asked)
        _hold_pairs(states, columns)
        return _write(files, task, columns, states, unreadable)


def _files(source: Path) -> list[Path]:
    found = sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES) if source.is_dir() else [source]
    if not found or not all(path.is_file() and path.suffix in _SUFFIXES for path in found):
        raise ValueError(f"{source}: rows are in .parquet, .jsonl or .json files, one or a folder of them")
    return found


def _claim(path: Path, record: Mapping[str, Any]) -> None:
    """Hold a folder of answers to what it was begun with."""
    if not path.exists():
        write_json(path, record)
        return
    begun = json.loads(path.read_text(encoding="utf-8"))
    different = [
        f"{key}: {begun.get(key)} there, {record[key]} now" for key in record if begun.get(key) != record[key]
    ]
    if different:
        raise ValueError(f"{path.parent} is of another translation: {'; '.join(different)[:600]}; name another OUT")


def _opened(
    files: Sequence[Path], task: TranslationTask
) -> tuple[dict[RowPlace, RowState], dict[RowPlace, Fault], TextColumns]:
    """Read the texts of all rows; those of a row that has none are a fault."""
    states: dict[RowPlace, RowState] = {}
    unreadable: dict[RowPlace, Fault] = {}
    columns: TextColumns | None = None
    for place, values in _rows(files):
        try:
            if not isinstance(values, Mapping):
                raise ValueError(f"a row has columns, but this is {type(values).__name__}")
            columns = columns or columns_of(list(values), task.task, task.keep_answers)
            source = read_texts(values, columns)
        except ValueError as error:
            if columns is None and isinstance(values, Mapping):
                raise
            unreadable[place] = Fault("unreadable", str(error))
            continue
        group = values.get(columns.identity) if columns.identity else None
        states[place] = RowState(
            source, masked_row(source, task.target), (place.file, str(group)) if group is not None else place
        )
    if columns is None:
        raise ValueError(f"{task.source}: there are no rows")
    return states, unreadable, columns


def _rows(files: Sequence[Path]) -> Iterator[tuple[RowPlace, Any]]:
    for number, file in enumerate(files):
        rows = open_rows(Source(file.name, path=str(file)))
        for row in range(len(rows)):
            try:
                yield RowPlace(number, row), rows[row]
            except ValueError as error:
                yield RowPlace(number, row), str(error)


def _ask(states: Mapping[RowPlace, RowState], task: TranslationTask, folder: Path) -> None:
    """Ask for what the same texts are asked once."""
    prompts = {state.masked.text: row_prompt(state.masked.text, task.target) for state in states.values()}
    answers = _answers(prompts, task.translator, folder, "translate")
    for state in states.values():
        _take(state, answers, state.masked.text, task.target)
    _hold_groups(states)


def _repair(states: Mapping[RowPlace, RowState], task: TranslationTask, folder: Path) -> None:
    """Let a second model mend the rows that fail, once."""
    failing = {place: state for place, state in states.items() if state.faults}
    prompts = {}
    for place, state in failing.items():
        state.repaired = True
        asked = row_repair_prompt(state.masked.text, state.said, state.faults, task.target)
        prompts[f"{place.file} {place.row}"] = asked
    answers = _answers(prompts, task.repairer or task.translator, folder, "repair")
    for place, state in failing.items():
        _take(state, answers, f"{place.file} {place.row}", task.target)
    _hold_groups(states)


def _answers(prompts: Mapping[str, str], endpoint: Endpoint, folder: Path, name: str) -> dict[str, tuple[str, str]]:
    """Ask, and give for each name what was said, and the problem where there is none."""
    from ...asking.inference import ModelRequest, answer_all

    ids = {key: hashlib.sha256(key.encode()).hexdigest()[:32] for key in prompts}
    requests = [ModelRequest(ids[key], [{"role": "user", "content": prompt}]) for key, prompt in prompts.items()]
    answers = answer_all(requests, endpoint, folder, name, again=True)
    return {key: (answer.text or "", answer.problem or "") for key, answer in zip(prompts, answers, strict=True)}


def _take(state: RowState, answers: Mapping[str, tuple[str, str]], key: str, target: str) -> None:
    """Read an answer and hold it to the checks."""
    state.said, problem = answers[key]
    state.texts = None
    if problem:
        state.faults = [Fault("no answer", problem)]
        return
    try:
        state.texts = read_translation(state.said, state.source, state.masked)
        state.faults = row_faults(state.source, state.texts, target)
    except UnreadableRowError as error:
        state.faults = [Fault("form", str(error))]
    except LostPlaceError as error:
        state.faults = [Fault("tokens", str(error))]


def _hold_groups(states: Mapping[RowPlace, RowState]) -> None:
    """Hold the rows of a group, and equal options everywhere in it, to one translation."""
    groups: dict[Any, list[RowState]] = {}
    for state in states.values():
        if state.texts is not None and not state.faults:
            groups.setdefault(state.group, []).append(state)
    for group in groups.values():
        texts = [state.texts for state in group if state.texts is not None]
        for place, fault in group_faults([state.source for state in group], texts).items():
            group[place].faults.append(fault)


def _hold_pairs(states: Mapping[RowPlace, RowState], columns: TextColumns) -> None:
    """Reject what is left of a pair whose other row is rejected."""
    if not columns.pairs:
        return
    listed = list(states.values())
    for place in broken_pairs([state.group for state in listed], [not state.faults for state in listed]):
        listed[place].faults.append(Fault("pair", "another row of its group is rejected"))


def _write(
    files: Sequence[Path],
    task: TranslationTask,
    columns: TextColumns,
    states: Mapping[RowPlace, RowState],
    unreadable: Mapping[RowPlace, Fault],
) -> TranslationReport:
    report = TranslationReport(rows=len(states) + len(unreadable))
    rejected = []
    for place, fault in sorted([*unreadable.items(), *((p, s.faults[0]) for p, s in states.items() if s.faults)]):
        report.rejected[fault.rule] += 1
        rejected.append(_rejected(files, place, fault, states.get(place)))
    kept = {place: state for place, state in states.items() if not state.faults}
    report.kept, report.repaired = len(kept), sum(state.repaired for state in kept.values())
    for number, file in enumerate(files):
        target = task.out / file.relative_to(task.source) if task.source.is_dir() else task.out
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = {place.row: state for place, state in kept.items() if place.file == number}
        _write_file(file, target, columns, rows, task.target)
        if target.resolve().parent != file.resolve().parent:  # paths in the rows are relative to where they were
            record_root(target, Path(recorded_root(file) or file.parent))
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in rejected)
    write_file(task.out.with_name(f"{task.out.name}.rejected.jsonl"), "".join(lines))
    return report


def _rejected(files: Sequence[Path], place: RowPlace, fault: Fault, state: RowState | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"file": files[place.file].name, "row": place.row, "reason": fault.rule}
    entry["detail"] = fault.detail
    if state is not None:
        entry["faults"] = [tuple(each) for each in state.faults]
        entry |= {"source": asdict_texts(state.source), "said": state.said, "repaired": state.repaired}
    return entry


def asdict_texts(texts: RowTexts) -> dict[str, Any]:
    """Give the texts of a row as JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in texts._asdict().items()}


def _write_file(file: Path, target: Path, columns: TextColumns, rows: Mapping[int, RowState], language: str) -> None:
    if file.suffix == ".parquet":
        _write_parquet(file, target, columns, rows, language)
        return
    opened = open_rows(Source(file.name, path=str(file)))
    translated = [_translated(opened[row], columns, state, language) for row, state in sorted(rows.items())]
    if file.suffix == ".jsonl":
        write_file(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in translated))
    else:
        write_json(target, translated)


def _write_parquet(
    file: Path, target: Path, columns: TextColumns, rows: Mapping[int, RowState], language: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 0
    with (
        pq.ParquetFile(file) as opened,
        whole_file(target) as scratch,
        pq.ParquetWriter(scratch, opened.schema_arrow) as writer,
    ):
        for batch in opened.iter_batches(_ROWS_AT_ONCE):
            numbered = enumerate(batch.to_pylist(), start=first)
            kept = [_translated(row, columns, rows[n], language) for n, row in numbered if n in rows]
            writer.write_batch(pa.RecordBatch.from_pylist(kept, schema=opened.schema_arrow))
            first += len(batch)


def _translated(values: Mapping[str, Any], columns: TextColumns, state: RowState, language: str) -> dict[str, Any]:
    if state.texts is None:
        raise AssertionError("a row that passed has its texts")
    row = written(values, columns, state.source, state.texts, language)
    if row.get("language") == "en":
        row["language"] = language.partition("-")[0]
    return row
