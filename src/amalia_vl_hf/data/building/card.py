"""What people read of a built dataset: its card for the Hub, and a sheet of samples to look at."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from ..dataset import Rendered, Row
from ..languages import ENGLISH_NAMES
from ..rows import exchanges
from .recipe import Plan
from .tally import Yield

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
<article><img alt="" src="data:image;base64,{picture}"><div><small>{index}: {task}</small>
{exchanges}</div></article>"""
_EXCHANGE = '<pre>{question}</pre><pre class="answer">{answer}</pre>'


def write_card(path: Path, plan: Plan, files: Sequence[Path], made: Yield) -> None:
    """Write the dataset card, with how many samples each task has, and how many were rejected."""
    columns = [pq.read_table(file, columns=["task", "language"]) for file in files]
    tasks = Counter(task.as_py() for table in columns for task in table["task"])
    languages = sorted({language.as_py() for table in columns for language in table["language"]})
    card = _CARD.format(
        title=plan.dataset.TITLE,
        languages=", ".join(languages),
        summary=plan.dataset.SUMMARY,
        licence=plan.licence.lower(),
        size=_size(made.made),
        count=made.made,
        names=" and ".join(ENGLISH_NAMES[language] for language in languages),
        generator=plan.generator,
        seed=plan.seed,
        model=f" A model, `{plan.endpoint.model}`, wrote parts of them." if plan.endpoint else "",
        tasks="\n".join(f"| {task} | {count} |" for task, count in sorted(tasks.items())),
        rejected=f"\nNot made, of {plan.count}:\n\n```\n{made.table()}\n```\n" if made.rejected else "",
    )
    path.write_text(card, encoding="utf-8")


def write_sheet(path: Path, dataset: Rendered, files: Sequence[Path], count: int) -> None:
    """Write a page with the first samples, pictures inside."""
    samples = "\n".join(_sample(row) for row in islice(_rows(files), count))
    path.write_text(_SHEET.format(title=html.escape(dataset.TITLE), samples=samples), encoding="utf-8")


def _rows(files: Iterable[Path]) -> Iterable[Row]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=20):
            yield from batch.to_pylist()


def _sample(row: Row) -> str:
    return _SAMPLE.format(
        picture=base64.b64encode(row["images"][0]["bytes"]).decode(),
        index=row["index"],
        task=html.escape(row["task"]),
        exchanges="\n".join(
            _EXCHANGE.format(question=html.escape(said.question), answer=html.escape(said.answer))
            for said in exchanges(row)
        ),
    )


def _size(count: int) -> str:
    """Name the Hub's class of so many samples.

    >>> _size(50_000)
    '10K<n<100K'
    """
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in steps if count < limit), "1M<n<10M")
