"""Filters conversations by variety: keeps European Portuguese, sets the rest aside with the reasons."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from ..samples.formats import read_record
from ..samples.images import record_root, recorded_root
from . import Verdict

Judge = Callable[[str], Verdict]
Row = Mapping[str, Any]

BRAZILIAN = "pt-BR"
UNREADABLE = "unreadable"
_ROWS_AT_ONCE = 256  # of a parquet file; bounds the memory their images take
_IMAGE_COLUMNS = ("images", "image")


@dataclass
class FilterReport:
    """What a filter did.

    Args:
        kept: Rows judged pt-PT.
        undecided: Rows kept though there was nothing to judge, if that was asked for.
        dropped: Rows set aside, by why.
        signs: Dropped pt-BR rows by the rules that spoke against them; a row may count for several.
    """

    kept: int = 0
    undecided: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    signs: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        """Write the counts for people."""
        rows = self.kept + self.undecided + self.dropped.total()
        counts = {"rows": rows, "kept, pt-PT": self.kept}
        if self.undecided:
            counts["kept, nothing to judge"] = self.undecided
        counts |= {f"dropped, {why}": count for why, count in self.dropped.most_common()}
        lines = [f"{name:<36}{count:>12,}{count / max(rows, 1):>9.1%}" for name, count in counts.items()]
        if self.signs:
            lines.append("in dropped pt-BR rows (a row may have several)")
            lines += [f"  {name:<34}{count:>12,}" for name, count in self.signs.most_common()]
        return "\n".join(lines)


def filter_file(source: Path, out: Path, judge: Judge, keep_undecided: bool = False) -> FilterReport:
    """Filter a JSONL or parquet file of conversations, in any format that training reads, or with a `text` column.

    Kept rows go to `out` as they are. The others go beside it, to `NAME.dropped.jsonl` or `NAME.dropped.parquet`, with
    `variety_score` and `variety_reasons`. Both files appear when they are complete, `out` last. In another folder than
    the source's, each has a `NAME.images.json` that says where the images are that its rows name.

    A conversation is judged by all its turns at once; of a preference pair, by the prompt and the chosen answer.

    Args:
        source: File to read.
        out: File to write, of the same kind.
        judge: Gives the verdict on a text.
        keep_undecided: Keep rows with nothing to judge, too: other languages, and too little text.

    Raises:
        ValueError: The files are of another kind, or one of those to write is there already.
        FileNotFoundError: There is no such source.
    """
    aside = out.with_name(f"{out.stem}.dropped{out.suffix}")
    if source.suffix != out.suffix or source.suffix not in _FILTERS:
        raise ValueError(f"{source} and {out} must be two .jsonl files or two .parquet files")
    if there := [str(path) for path in (out, aside) if path.exists()]:
        raise ValueError(f"{', '.join(there)} is there already; name another file to write")
    sieve = _Sieve(judge, keep_undecided)
    with _complete_or_absent(aside, out) as (dropped, kept):
        _FILTERS[source.suffix](source, kept, dropped, sieve)
    if out.resolve().parent != source.resolve().parent:  # paths in the rows are relative to where they were
        for file in (out, aside):
            record_root(file, Path(recorded_root(source) or source.parent))
    return sieve.report


def dialogue(row: Row) -> str:
    """Join the texts of a row that its variety is told from: all turns, a line break between two.

    Raises:
        ValueError: The row is in no format that training reads, and has no `text`.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a row must be an object with columns, not {type(row).__name__}")
    if isinstance(text := row.get("text"), str):
        return text
    preference = row.get("chosen") is not None
    # Images are not looked at, so that a row with too few or too many of them is judged all the same.
    texts = {name: value for name, value in row.items() if name not in _IMAGE_COLUMNS}
    record = read_record(texts, "dpo" if preference else "sft", "row")
    turns = record["prompt"] + record["chosen"] if preference else record["messages"]
    return "\n".join(_turn_text(turn["content"]) for turn in turns)


class _Sieve:
    """Decides on rows, and counts."""

    def __init__(self, judge: Judge, keep_undecided: bool) -> None:
        self.judge = judge
        self.keep_undecided = keep_undecided
        self.report = FilterReport()

    def verdict(self, row: Row) -> Verdict | None:
        """Give None for a row to keep, and the verdict against any other."""
        try:
            text = dialogue(row)
        except ValueError as error:
            self.report.dropped[UNREADABLE] += 1
            return Verdict(None, 0.5, (f"{UNREADABLE}: {error}",))
        verdict = self.judge(text)
        if verdict.is_pt_pt or (verdict.is_pt_pt is None and self.keep_undecided):
            self.report.kept += verdict.is_pt_pt is not None
            self.report.undecided += verdict.is_pt_pt is None
            return None
        self._count(verdict)
        return verdict

    def _count(self, verdict: Verdict) -> None:
        if verdict.is_pt_pt is None:
            self.report.dropped[verdict.reasons[0]] += 1
            return
        self.report.dropped[BRAZILIAN] += 1
        signs = [reason.split(":")[0].split(", ", 1)[1] for reason in verdict.reasons if reason.startswith(BRAZILIAN)]
        self.report.signs.update(signs or ["classifier alone"])


def _filter_jsonl(source: Path, kept: Path, dropped: Path, sieve: _Sieve) -> None:
    with (
        source.open("rb") as lines,
        kept.open("wb") as passed,
        dropped.open(
            "w", encoding="utf-8", errors="backslashreplace"
        ) as aside,  # half a surrogate pair: as JSON has it
        tqdm(total=source.stat().st_size, desc="filtering", unit="B", unit_scale=True, disable=None) as progress,
    ):
        for line in lines:
            progress.update(len(line))
            if not line.strip():
                continue
            row = _parsed(line)
            verdict = sieve.verdict(row)
            if verdict is None:
                passed.write(line.rstrip(b"\r\n") + b"\n")
            else:
                aside.write(json.dumps({**row, **_columns(verdict)}, ensure_ascii=False) + "\n")


def _filter_parquet(source: Path, kept: Path, dropped: Path, sieve: _Sieve) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{source}: not a parquet file: {error}") from error
    with file:
        schema = file.schema_arrow
        own = [name for name in schema.names if name not in _ADDED]
        # Without the metadata: the description of the columns that `datasets` keeps there would lack the two new ones.
        wider = pa.schema([*map(schema.field, own), *map(pa.field, _ADDED, (pa.float64(), pa.list_(pa.string())))])
        texts = [name for name in schema.names if name not in _IMAGE_COLUMNS]
        progress = tqdm(total=file.metadata.num_rows, desc="filtering", unit="row", disable=None)
        with pq.ParquetWriter(kept, schema) as passed, pq.ParquetWriter(dropped, wider) as aside, progress:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                verdicts = [sieve.verdict(row) for row in batch.select(texts).to_pylist()]
                keep = [verdict is None for verdict in verdicts]
                passed.write_batch(batch.filter(pa.array(keep)))
                rest = batch.select(own).filter(pa.array([not passing for passing in keep]))
                columns = [_columns(verdict) for verdict in verdicts if verdict is not None]
                added = [pa.array([row[name] for row in columns], wider.field(name).type) for name in _ADDED]
                aside.write_batch(pa.record_batch([*rest.columns, *added], schema=wider))
                progress.update(len(batch))


_ADDED = ("variety_score", "variety_reasons")
_FILTERS: Mapping[str, Callable[[Path, Path, Path, _Sieve], None]] = {
    ".jsonl": _filter_jsonl,
    ".parquet": _filter_parquet,
}


@contextmanager
def _complete_or_absent(*paths: Path) -> Iterator[list[Path]]:
    """Give partial files in the same folder; they take their names, in this order, only if nothing fails."""
    partial = [path.with_name(f".{path.name}.{os.getpid()}.partial") for path in paths]
    try:
        yield partial
        for file, path in zip(partial, paths, strict=True):
            file.replace(path)
    finally:
        for file in partial:
            file.unlink(missing_ok=True)


def _parsed(line: bytes) -> Any:
    """Read a JSON line; what is none becomes an object that holds it, to be set aside as unreadable."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    return row if isinstance(row, dict) else {"line": line.decode("utf-8", errors="replace").rstrip("\r\n")}


def _turn_text(content: str | list[Mapping[str, str]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _columns(verdict: Verdict) -> dict[str, Any]:
    return dict(zip(_ADDED, (verdict.score, list(verdict.reasons)), strict=True))
