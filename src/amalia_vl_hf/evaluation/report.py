"""`report.html` of a run: figures beside the paper's Table 3, and answers with their pictures, to sort and filter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image, ImageDraw

from .. import disk
from ..pages import page, picture
from .counting.scoring import reference_box
from .parsing import box
from .recount import read_benchmark, read_items
from .results import counted, read_run, table3
from .run import ITEMS, PICTURES, SCORES, SIDE
from .tasks import AMALIA_VL_EVAL_PT, PROTOCOLS, Benchmark

WIDTH, BAR = 560, 18  # of the figure, and of one task in it
_BOXES = ("#1b5e20", "#c62828")  # of the reference, and of the answer
_PAPER = ("AMALIA-VL", "AMALIA-VL-DPO", "TowerVision-9B", "Qwen3-VL-8B")  # rows of Table 3 that are shown


def write_report(out: Path, shown: int = 200) -> Path:
    """Write the page into a finished run.

    Args:
        out: The run's folder.
        shown: Answers of each task, at most; pictures are there for as many as the run kept.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: The run is not finished.
    """
    results = read_run(out)
    scores = results["tasks"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    limited = results["limit"] is not None
    body = _BODY.substitute(
        limit=f"<p class=warn>Only the first {results['limit']} rows of each task.</p>" if limited else "",
        rows="".join(_row(score) for score in scores),
        means="".join(_mean_row(name, results) for name in results["means"]["published"]),
        figure=_figure(scores),
        paper=_paper(scores, limited),
        tasks="".join(f"<option>{escape(score['task'])}</option>" for score in scores),
        answers="".join(card for score in scores for card in _cards(out, score["task"], shown)),
        manifest=escape(json.dumps(manifest, ensure_ascii=False, indent=1)),
    )
    path = out / "report.html"
    disk.write_file(path, page(f"Evaluation of {results['model']}", body, _STYLE))
    return path


def _row(score: Mapping[str, Any]) -> str:
    published, corrected = (score["protocols"][protocol] for protocol in PROTOCOLS)
    counts = ", ".join(counted(score))
    mark = "†" if score["held_in"] else ""
    whole = f"{score['questions']}" + (f" of {score['of']} rows" if score["limit"] is not None else "")
    return (
        f"<tr><th title='{escape(score['note'])}'>{escape(score['title'])}{mark}{'*' if score['note'] else ''}</th>"
        f"<td data-sort={published['value']}><b>{published['value']:.1f}</b></td><td>{_between(published)}</td>"
        f"<td data-sort={corrected['value']}>{corrected['value']:.1f}</td><td>{_between(corrected)}</td>"
        f"<td data-sort={score['questions']}>{whole}</td><td>{counts}</td><td>{_variety(score)}</td></tr>"
    )


def _variety(score: Mapping[str, Any]) -> str:
    words = {True: "European", False: "Brazilian", None: "undecided"}[score["variety"]["is_pt_pt"]]
    return f"<span title='{escape('; '.join(score['variety']['reasons']), quote=True)}'>{words}</span>"


def _between(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"[{low:.1f}, {high:.1f}]"


def _mean_row(name: str, results: Mapping[str, Any]) -> str:
    words = {"mean": "mean of 18", "held_out": "mean without held-in (†)", "portexto_pt": "PorTEXTO, weighted"}
    published, corrected = (results["means"][protocol][name] for protocol in PROTOCOLS)
    return f"<tr class=mean><th>{words[name]}</th><td>{published:.1f}</td><td></td><td>{corrected:.1f}</td></tr>"


def _figure(scores: Sequence[Mapping[str, Any]]) -> str:
    """Draw every task's published figure with its interval, as a share of what can be had."""
    lines = []
    for place, score in enumerate(scores):
        figure = score["protocols"]["published"]
        most = 2800 if score["task"].startswith("mme") else max(100.0, figure["interval"][1])
        ends = (figure["interval"][0], figure["value"], figure["interval"][1])
        low, value, high = (160 + (WIDTH - 170) * min(1.0, end / most) for end in ends)
        top = BAR * place + BAR / 2
        lines.append(
            f'<text x="150" y="{top + 4:.0f}" text-anchor="end">{escape(score["title"])}</text>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top}" y2="{top}"/>'
            f'<circle cx="{value:.1f}" cy="{top}" r="4"><title>{figure["value"]:.1f}</title></circle>'
        )
    caption = "Published protocol, 95 % bootstrap intervals; MME of 2800, the others of 100."
    drawing = f'<svg viewBox="0 0 {WIDTH} {BAR * len(scores) + 4}">{"".join(lines)}</svg>'
    return f"<figure class=bars>{drawing}<figcaption>{caption}</figcaption></figure>"


def _paper(scores: Sequence[Mapping[str, Any]], limited: bool) -> str:
    """Show the paper's Table 3 with this run's column."""
    figures = {score["task"]: score for score in scores}
    suite = [task for task in AMALIA_VL_EVAL_PT if task.name in figures]
    if not suite:
        return ""
    table = table3()
    head = "".join(f"<th>{escape(name)}</th>" for name in _PAPER)
    rows = "".join(
        f"<tr><th>{escape(task.title)}{'†' if task.held_in else ''}</th>"
        f"<td><b>{figures[task.name]['protocols']['published']['value']:.1f}</b></td>"
        + "".join(f"<td>{table['models'][name]['scores'][task.title]:.1f}</td>" for name in _PAPER)
        + "</tr>"
        for task in suite
    )
    averages = "".join(f"<td>{table['models'][name]['published_average']:.1f}</td>" for name in _PAPER)
    note = "This run took some rows only, so that its column measures no benchmark. " if limited else ""
    average = f"<tr class=mean><th>average as printed</th><td></td>{averages}</tr>"
    return (
        "<h2>Beside the paper's Table 3</h2><div class=wide><table class=sortable>"
        f"<thead><tr><th></th><th>this run</th>{head}</tr></thead><tbody>{rows}{average}</tbody></table></div>"
        f"<p>{note}† held-in by the paper. Of the printed averages, those of Ministral-3-8B (47.3) and"
        " Nemotron-Nano-12B (61.2) do not follow from their rows, which give 48.1 and 59.6.</p>"
    )


def _cards(out: Path, name: str, shown: int) -> Iterator[str]:
    scores = json.loads((out / name / SCORES).read_text(encoding="utf-8"))
    task = read_benchmark(scores)
    for item in read_items(out / name / ITEMS)[:shown]:
        verdicts = [item["scores"][protocol] for protocol in PROTOCOLS]
        picture = _picture(out / name / PICTURES, task, item)
        yield (
            f'<article data-task="{escape(name)}" data-outcome={_outcome(task, verdicts)}>{picture}'
            f"<p class=q>{escape(item['question'])}</p><p>answer: <b>{escape(item['answer']) or '<i>empty</i>'}</b>"
            f"{_remarks(item)}</p><p>reference: {escape(_reference_words(task, item))}</p>"
            f"<p class=v>published <b>{verdicts[0]:.2f}</b>, corrected <b>{verdicts[1]:.2f}</b>"
            f" <small>row {item['row'][0]}</small></p></article>"
        )


def _remarks(item: Mapping[str, Any]) -> str:
    """Say what was made of an answer, where that is not its own words."""
    remarks = ["not understood"] if item["parsed"] is None else []
    if item["parsed"] not in (None, item["answer"].strip()):
        remarks.append(f"read as {item['parsed']}")
    if item["cut"]:
        remarks.append("cut off")
    return "".join(f" <small>{escape(remark)}</small>" for remark in remarks)


def _reference_words(task: Benchmark, item: Mapping[str, Any]) -> str:
    if task.scorer == "box":
        return " ".join(f"{value:.3f}" for value in reference_box(item))
    return ", ".join(dict.fromkeys(map(str, item["references"])))


def _outcome(task: Benchmark, verdicts: Sequence[float]) -> str:
    if abs(verdicts[0] - verdicts[1]) > 1e-9:
        return "differ"
    right = verdicts[1] <= 0 if task.lower_is_better else verdicts[1] >= 0.5
    return "right" if right else "wrong"


def _picture(folder: Path, task: Benchmark, item: Mapping[str, Any]) -> str:
    """Show a question's first picture, with the boxes of reference and answer."""
    path = folder / f"{item['key'][:16]}.jpg"
    if not path.is_file():
        return ""
    image = Image.open(path).convert("RGB")
    if task.scorer == "box":
        draw = ImageDraw.Draw(image)
        answer = box(item["answer"], task.box_form, task.box_scale)
        for corners, colour in zip((reference_box(item), answer), _BOXES, strict=True):
            if corners is not None:
                left, top, right, bottom = corners
                size = image.width, image.height
                draw.rectangle(
                    [left * size[0], top * size[1], right * size[0], bottom * size[1]], outline=colour, width=2
                )
    return picture(image, str(item["question"]), SIDE)


_STYLE = """
table { border-collapse: collapse; background: #fff; } thead th { cursor: pointer; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #e4decf; text-align: right; }
th:first-child { text-align: left; font-weight: 500; }
.mean th, .mean td { border-top: 2px solid #999; } .wide { overflow-x: auto; }
.warn { background: #ffe9b8; padding: .5rem; }
.bars text { font-size: 12px; } .bars line { stroke: #8a5a00; stroke-width: 3; opacity: .5; }
.bars circle { fill: #8a5a00; }
article { border-left: 5px solid #999; overflow-wrap: anywhere; }
article img { max-width: 100%; max-height: 16rem; display: block; margin: 0 auto .4rem; }
article[data-outcome=right] { border-left-color: #1b5e20; }
article[data-outcome=wrong] { border-left-color: #c62828; }
article[data-outcome=differ] { border-left-color: #e69500; }
article p { margin: .2rem 0; } .q { white-space: pre-wrap; } .v { border-top: 1px solid #eee; } small { color: #666; }
"""
_BODY = Template("""$limit
<div class=wide><table class=sortable><thead><tr><th>task</th><th>published</th><th>95 %</th><th>corrected</th>
<th>95 %</th><th>answers</th><th>of these</th><th>variety</th></tr></thead><tbody>$rows$means</tbody></table></div>
<p>† held-in by the paper; * with a note. <i>Published</i> is bug for bug what the official suite counts;
<i>corrected</i> is what a careful reader counts, from the same answers. <i>Translated</i>: words in the picture that
were answered in Portuguese ("Barco" for "Boat"), of those answers where that can be told; <i>drawn</i>: where the
official suite draws an option at random.</p>
$figure
$paper
<h2>Answers</h2>
<p><label>task <select id=task><option value="">all</option>$tasks</select></label>
<label>outcome <select id=outcome><option value="">all</option><option>right</option><option>wrong</option>
<option value=differ>protocols differ</option></select></label> <span id=count></span></p>
<div class=cards>$answers</div>
<h2>What it was measured with</h2><pre>$manifest</pre>
<script>
const cards = [...document.querySelectorAll("article")], task = document.getElementById("task"),
  outcome = document.getElementById("outcome");
function choose() {
  let shown = 0;
  for (const card of cards) {
    card.hidden = (task.value && card.dataset.task !== task.value)
      || (outcome.value && card.dataset.outcome !== outcome.value);
    shown += !card.hidden;
  }
  document.getElementById("count").textContent = shown + " of " + cards.length;
}
task.onchange = outcome.onchange = choose; choose();
for (const head of document.querySelectorAll(".sortable thead th")) head.onclick = () => {
  const column = head.cellIndex, body = head.closest("table").tBodies[0];
  const up = head.dataset.up = head.dataset.up ? "" : "1";
  const value = row => { const cell = row.cells[column]; return cell?.dataset.sort ?? cell?.textContent ?? ""; };
  [...body.rows].sort((a, b) => (up ? 1 : -1) * value(a).localeCompare(value(b), undefined, {numeric: true}))
    .forEach(row => body.append(row));
};
</script>
""")
