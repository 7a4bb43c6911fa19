"""What people read of a built dataset: its card for the Hub, and a sheet of samples to look at."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from ...disk import write_file
from ..dataset import DatasetRow, Exchange
from ..languages import ENGLISH_NAMES
from ..rows import exchanges
from .recipe import BuildRecipe
from .tally import Tally

_CARD = """\
---
pretty_name: {title}
language: [{languages}]
license: {licence}
task_categories: [image-text-to-text]
size_categories: [{size}]
configs:
- config_name: default
  data_files: [{{split: train, path: "data/*.parquet"}}]
---

# {title}

{summary} {names}; {count} samples, made by `{generator}` with seed {seed}.{model}

Rows have `images` and `messages`, as TRL reads them, and say where they come from: `source`, `language`, `task`,
`generator`, `seed`, `index`, `model`, `prompt_hash` and `licence`. `truth` is what was drawn and asked, as JSON: every
answer was checked against it after the row was written.

| task | samples |
|---|---:|
{tasks}
{rejected}"""
_SHEET = """\
<!doctype html>
<html lang="pt-PT"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; }}
article {{ display: flex; gap: 1.5em; padding: 1em 0; border-top: 1px solid #ccc; }}
img {{ max-width: 34em; max-height: 34em; align-self: start; }}
pre {{ white-space: pre-wrap; font: inherit; margin: .3em 0; }}
.answer {{ color: #060; }} small {{ color: #666; }}
</style>
<h1>{title}</h1>
{samples}
</html>
"""
_SAMPLE = """\
<article>{picture}<div><small>{index}: {task}</small>
{exchanges}</div></article>"""
_PICTURE = '<img alt="" src="data:image;base64,{picture}">'
_EXCHANGE = '<pre>{question}</pre><pre class="answer">{answer}</pre>'


def write_card(path: Path, recipe: BuildRecipe, files: Sequence[Path], tally: Tally) -> None:
    """Write the dataset card, with how many samples each task has, and how many were rejected."""
    tasks = Counter(_column(files, "task"))
    languages = sorted(_column(files, "language").keys() & ENGLISH_NAMES.keys())
    model = recipe.provenance()["model"]
    card = _CARD.format(
        title=recipe.title,
        languages=", ".join(languages),
        summary=recipe.written.SUMMARY if recipe.is_written else recipe.dataset.SUMMARY,
        licence=recipe.licence.lower(),
        size=_size(tally.made),
        count=tally.made,
        names=" and ".join(ENGLISH_NAMES[language] for language in languages),  # type: ignore[index]
        generator=recipe.generator,
        seed=recipe.seed,
        model=f" A model, `{model}`, wrote parts of them." if model else "",
        tasks="\n".join(f"| {task} | {count} |" for task, count in sorted(tasks.items())),
        rejected=f"\nNot made, of {recipe.count}:\n\n```\n{tally.table()}\n```\n" if tally.rejected else "",
    )
    write_file(path, card)


def _column(files: Sequence[Path], name: str) -> Counter[str]:
    """Count the values of a column, where the files have it."""
    counts: Counter[str] = Counter()
    for file in files:
        if name in pq.read_schema(file).names:
            counts.update(value.as_py() for value in pq.read_table(file, columns=[name])[name])
    return counts


def write_sheet(path: Path, title: str, files: Sequence[Path], count: int) -> None:
    """Write a page with the first samples, pictures inside."""
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(batch_size=20))
    rows = (row for batch in batches for row in batch.to_pylist())
    samples = "\n".join(_sample(row) for row in islice(rows, count))
    write_file(path, _SHEET.format(title=html.escape(title), samples=samples))


def _sample(row: DatasetRow) -> str:
    pictures = [cell["bytes"] for cell in row.get("images") or () if cell["bytes"]]
    return _SAMPLE.format(
        picture="".join(_PICTURE.format(picture=base64.b64encode(encoded).decode()) for encoded in pictures),
        index=row.get("index", ""),
        task=html.escape(row.get("task", "")),
        exchanges="\n".join(
            _EXCHANGE.format(question=html.escape(question), answer=html.escape(answer))
            for question, answer in _said(row)
        ),
    )


def _said(row: DatasetRow) -> list[Exchange]:
    """Give the conversation of a row, or what else it holds: a preference's prompt and answers, for one."""
    if "messages" in row:
        return exchanges(row)
    return [Exchange(name, str(row[name])) for name in row if name not in ("images", "truth")]


def _size(count: int) -> str:
    """Name the Hub's class of so many samples.

    >>> _size(50_000)
    '10K<n<100K'
    """
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in steps if count < limit), "1M<n<10M")
