"""A sheet of a dataset's first samples: `preview.html`, and a folder with their pictures in full size."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from ...disk import write_file
from ...pages import page
from ..dataset import Box, DatasetRow, Exchange
from ..rows import exchanges
from .diversity import Spread
from .tally import Tally

PAGE, PICTURES = "preview.html", "preview"
SHOWN = 160  # letters of an answer, in what stands for a picture
_STYLE = """
article { display: grid; grid-template-columns: minmax(0, 34rem) minmax(0, 1fr); gap: 1.5rem; margin: 1rem 0; }
.picture { position: relative; display: block; align-self: start; margin-bottom: .5rem; }
.picture img { display: block; width: 100%; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: none; stroke: #d0021b; stroke-width: 1; vector-effect: non-scaling-stroke; opacity: .55; }
rect:hover { opacity: 1; stroke-width: 3; }
article pre { font: inherit; margin: .3rem 0; padding: .5rem; overflow-wrap: anywhere; }
.answer { color: #060; } small { color: #555; }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
td { overflow-wrap: anywhere; }
@media (max-width: 60rem) { article { grid-template-columns: 1fr; } }
"""


Boxes = Callable[[DatasetRow], list[Box]]


def write_preview(out: Path, title: str, boxes: Boxes | None, files: Sequence[Path], count: int, tally: Tally) -> None:
    """Write the page: contents by task, how varied the dataset is, then the first samples, task by task.

    Args:
        out: The dataset's folder.
        title: Of the dataset.
        boxes: Gives where things stand in a row's pictures, where that is known.
        files: Its shards.
        count: Samples on the page.
        tally: Of the build.
    """
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(batch_size=20))
    rows = list(islice((row for batch in batches for row in batch.to_pylist()), count))
    tasks: dict[str, list[DatasetRow]] = {}
    for row in sorted(rows, key=_task):
        tasks.setdefault(_task(row), []).append(row)
    (out / PICTURES).mkdir(exist_ok=True)
    parts = [_contents(tasks), _diversity(tally.diversity)]
    for number, (task, members) in enumerate(tasks.items()):
        parts.append(f'<h2 id="task-{number}">{escape(task)}</h2>')
        parts += [_sample(row, rows.index(row), boxes, out) for row in members]
    write_file(out / PAGE, page(f"{title}: {len(rows)} of {tally.made} samples", "\n".join(parts), _STYLE))


def _contents(tasks: Mapping[str, Sequence[DatasetRow]]) -> str:
    items = "\n".join(
        f'<li><a href="#task-{number}">{escape(task)}</a> ({len(members)})</li>'
        for number, (task, members) in enumerate(tasks.items())
    )
    return f'<nav aria-label="Tasks"><h2>Tasks</h2><ul>{items}</ul></nav>'


def _diversity(spreads: Mapping[str, Spread]) -> str:
    rows = "\n".join(
        f"<tr><th>{escape(kind)}</th><td>{spread.distinct}</td><td>{spread.share:.1%} of {spread.total}</td>"
        f"<td>{escape(spread.most[:SHOWN])}</td></tr>"
        for kind, spread in spreads.items()
    )
    heads = "<tr><th></th><th>distinct</th><th>share of the most frequent</th><th>which is</th></tr>"
    return f"<h2>Diversity</h2><table>{heads}{rows}</table>"


def _sample(row: DatasetRow, place: int, boxes: Boxes | None, out: Path) -> str:
    number, cells = row.get("index", place), [cell for cell in row.get("images") or () if cell["bytes"]]
    known = boxes(row) if boxes else []
    pictures = "\n".join(
        _picture(cell["bytes"], f"{number:08}-{page}", _words(row, number, page, len(cells)), known, page, out)
        for page, cell in enumerate(cells)
    )
    turns = "\n".join(
        f'<pre>{escape(question)}</pre><pre class="answer">{escape(answer)}</pre>' for question, answer in _said(row)
    )
    language = "pt-PT" if row.get("language", "pt") == "pt" else row["language"]
    told = f'<div lang="{escape(language)}"><small>{number}: {escape(_task(row))}</small>\n{turns}</div>'
    return f'<article id="sample-{number}"><div>{pictures}</div>{told}</article>'


def _task(row: DatasetRow) -> str:
    return row.get("task") or "samples"


def _said(row: DatasetRow) -> list[Exchange]:
    """Give the conversation of a row; of a preference pair, what was asked, and the two answers by their names."""
    if row.get("chosen"):
        asked = "\n\n".join(_text(turn) for turn in row["prompt"])
        answers = [Exchange(name, "\n\n".join(map(_text, row[name]))) for name in ("rejected", "chosen")]
        return [Exchange(asked, ""), *answers]
    if row.get("messages") and all(isinstance(turn["content"], str) for turn in row["messages"]):
        return exchanges(row)
    if row.get("messages"):
        return [Exchange(turn["role"], _text(turn)) for turn in row["messages"]]
    return [Exchange(name, str(row[name])) for name in row if name not in ("images", "truth")]


def _text(turn: Mapping[str, Any]) -> str:
    """Give the words of a turn, whose content is text or a list of parts."""
    if isinstance(turn["content"], str):
        return turn["content"]
    return "\n".join(part.get("text") or f"<{part['type']}>" for part in turn["content"])


def _picture(encoded: bytes, name: str, words: str, boxes: Sequence[Box], page: int, out: Path) -> str:
    """Write a picture into the folder, and show it with its boxes, as a link to the file."""
    with Image.open(io.BytesIO(encoded)) as opened:
        (width, height), suffix = opened.size, (opened.format or "png").lower()
    file = out / PICTURES / f"{name}.{suffix}"
    write_file(file, encoded)
    drawn = "".join(
        f'<rect x="{box.left}" y="{box.top}" width="{box.right - box.left}" height="{box.bottom - box.top}">'
        f"<title>{escape(box.text)}</title></rect>"
        for box in boxes
        if box.picture == page
    )
    overlay = f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
    shown = f'<img alt="{escape(words)}" src="data:image/{suffix};base64,{base64.b64encode(encoded).decode()}">'
    return f'<a class="picture" href="{PICTURES}/{file.name}" title="{width} x {height} pixels">{shown}{overlay}</a>'


def _words(row: DatasetRow, number: int, page: int, pages: int) -> str:
    """Say in words what a picture is, for whoever does not see it."""
    answer = " ".join(_said(row)[-1].answer.split())
    part = f", picture {page + 1} of {pages}" if pages > 1 else ""
    return f"Sample {number}{part}, {_task(row)}: {answer[:SHOWN]}{'…' if len(answer) > SHOWN else ''}"
