"""What people read of a built dataset on the Hub: its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ...disk import write_file
from ..languages import ENGLISH_NAMES
from .recipe import BuildRecipe
from .tally import Tally

CELL = 80  # letters
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

How varied they are; a frame is a sentence without its figures and names:

| | distinct | share of the most frequent | which is |
|---|---:|---:|---|
{diversity}
{rejected}"""


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
        diversity="\n".join(
            f"| {kind} | {spread.distinct} | {spread.share:.1%} | {_cell(spread.most)} |"
            for kind, spread in tally.diversity.items()
        ),
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


def _cell(text: str) -> str:
    """Write a text so that it stays in its cell of a Markdown table."""
    short = text if len(text) <= CELL else f"{text[:CELL]}…"
    return "`" + short.replace("|", "/").replace("`", "'") + "`"


def _size(count: int) -> str:
    """Name the Hub's class of so many samples.

    >>> _size(50_000)
    '10K<n<100K'
    """
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in steps if count < limit), "1M<n<10M")
