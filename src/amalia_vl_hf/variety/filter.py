"""Filters conversations by variety: keeps European Portuguese, sets the rest aside with the reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from ..disk import whole_file
from ..samples.formats import read_record
from ..samples.images import record_root, recorded_root
from . import NOT_PORTUGUESE, Verdict

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
        kept: Rows kept as pt-PT, on evidence.
        undecided: Rows kept though their text says too little of either side.
        nothing: Rows kept with nothing to judge: no word that tells Portuguese, or, if asked for, another language.
        dropped: Rows set aside, by why.
        signs: Dropped pt-BR rows by the rules that spoke against them; a row may count for several.
    """

    kept: int = 0
    undecided: int = 0
    nothing: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    signs: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        """Write the counts for people."""
        rows = self.kept + self.undecided + self.nothing + self.dropped.total()
        counts = {"rows": rows, "kept, pt-PT": self.kept}
        kept = {"kept, undecided": self.undecided, "kept, nothing to judge": self.nothing}
        counts |= {name: count for name, count in kept.items() if count}
        counts |= {f"dropped, {why}": count for why, count in self.dropped.most_common()}
        lines = [f"{name:<36}{count:>12,}{count / max(rows, 1):>9.1%}" for name, count in counts.items()]
        if self.signs:
            lines.append("in dropped pt-BR rows (a row may have several)")
            lines += [f"  {name:<34}{count:>12,}" for name, count in self.signs.most_common()]
        return "\n".join(lines)


def filter_file(source: Path, out: Path, judge: Judge, keep_others: bool = False) -> FilterReport:
    """Filter a JSONL or parquet file of conversations, in any format that training reads, or with a `text` column.

    Kept rows go to `out` as they are. The others go beside it, to `NAME.dropped.jsonl` or `NAME.dropped.parquet`, with
    `variety_score` and `variety_reasons`. Both files appear when they are complete, `out` last. In another folder than
    the source's, each has a `NAME.images.json` that says where the images are that its rows name.

    A conversation is judged by all its turns at once; of a preference pair, by the prompt and the chosen answer. What
    is undecided, or has too little Portuguese to tell, is kept and counted: dropped are rows that are Brazilian
    enough, in another language without a `language` that says so, or unreadable.

    Args:
        source: File to read.
        out: File to write, of the same kind.
        judge: Gives the verdict on a text.
        keep_others: Keep other languages, too.

    Raises:
        ValueError: The files are of another kind, or one of those to write is there already.
        FileNotFoundError: There is no such source.
    """
    aside = out.with_name(f"{out.stem}.dropped{out.suffix}")
    if source.suffix != out.suffix or source.suffix not in _FILTERS:
        raise ValueError(f"{source} and {out} must be two .jsonl files or two .parquet files")
    if there := [str(path) for path in (out, aside) if path.exists()]:
        raise ValueError(f"{', '.join(there)} is there already; name another file to write")
    sieve = _Sieve(judge, keep_others)
    with whole_file(out) as kept, whole_file(aside) as dropped:
        _FILTERS[source.suffix](source, kept, dropped, sieve)
    if out.resolve().parent != source.resolve().parent:  # paths in the rows are relative to where they were
        for file in (out, aside):
            record_root(file, Path(recorded_root(source) or source.parent))
    return sieve.report


def dialogue(row: Row) -> str:
    """Join the texts of a row that its variety is told from: all turns, a line break between two.

    Raises:
        ValueError: The row is in no format that training reads, and has no `text`, nor `question` and `answer`.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a row must be an object with columns, not {type(row).__name__}")
    if isinstance(text := row.get("text"), str):
        return text
    if isinstance(row.get("question"), str) and isinstance(row.get("answer"), str):  # as tests have them
        return f"{row['question']}\n{row['answer']}"
    preference = row.get("chosen") is not None
    # Images are not looked at, so that a row with too few or too many of them is judged all the same.
    texts = {name: value for name, value in row.items() if name not in _IMAGE_COLUMNS}
    record = read_record(texts, "dpo" if preference else "sft", "row")
    turns = record["prompt"] + record["chosen"] if preference else record["messages"]
    return "\n".join(_turn_text(turn["content"]) for turn in turns)


class _Sieve:
    """Decides on rows, and counts."""

    def __init__(self, judge: Judge, keep_others: bool) -> None:
        self.judge = judge
        self.keep_others = keep_others
        self.report = FilterReport()

    def verdict(self, row: Row) -> Verdict | None:
        """Give None for a row to keep, and the verdict against any other."""
        try:
            text = dialogue(row)
        except ValueError as error:
            self.report.dropped[UNREADABLE] += 1
            return Verdict(None, 0.5, (f"{UNREADABLE}: {error}",))
        verdict = self.judge(text)
        if verdict.refused:
            self.report.dropped[BRAZILIAN] += 1
            speaking = (reason for reason in verdict.reasons if reason.startswith(BRAZILIAN))
            signs = [reason.split(":")[0].split(", ", 1)[1] for reason in speaking]
            self.report.signs.update(signs or ["enough text alone"])
            return verdict
        says_so = isinstance(language := row.get("language"), str) and not language.lower().startswith("pt")
        if NOT_PORTUGUESE in verdict.reasons and not (self.keep_others or says_so):
            self.report.dropped[NOT_PORTUGUESE] += 1
            return verdict
        self.report.nothing += verdict.is_pt_pt is None
        self.report.undecided += verdict.undecided
        self.report.kept += verdict.is_pt_pt is not None and not verdict.undecided
        return None


def _filter_jsonl(source: Path, kept: Path, dropped: Path, sieve: _Sieve) -> None:
    with (
        source.open("rb") as lines,
        kept.open("wb") as passed,
        # Half a surrogate pair is written as JSON has it.
        dropped.open("w", encoding="utf-8", errors="backslashreplace") as aside,
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
