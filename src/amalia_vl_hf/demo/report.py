"""One HTML file, readable without a network: table, loss curves, pictures with answers, preferences."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from ..disk import write_file
from ..pages import curve, page
from ..processing.processing_amalia_vl import AmaliaVLProcessor
from ..processing.tiling_amalia_vl import (
    TileGrid,
    generate_pinpoints,
    place_on_canvas,
    select_grid,
)
from .exam import PREFERENCES, QUESTIONS
from .results import Result, logged_losses, verdicts
from .scene_sets import read_rows
from .scene_texts import KINDS, REJECTIONS

SHOWN = 4  # questions of each kind, and pairs of each reason to reject
COLOURS = ("#8a5a00", "#00695c", "#6a1b9a")  # one a stage


def write_report(out: Path, results: Sequence[Result]) -> Path:
    """Write `report.html` into a run's folder.

    Returns:
        Its path.
    """
    evaluations = {
        result.stage: json.loads((out / "evaluation" / f"{result.stage}.json").read_text(encoding="utf-8"))
        for result in results
    }
    processor = AmaliaVLProcessor.from_pretrained(out / results[-1].stage, trust_remote_code=False).image_processor
    body = _BODY.substitute(
        verdicts="".join(
            f'<li class="{"met" if met else "missed"}">{escape(text)}</li>' for text, met in verdicts(results)
        ),
        head="".join(f"<th>{escape(kind)}</th>" for kind in KINDS),
        rows="".join(_result_row(result) for result in results),
        curves="".join(
            curve(result.stage, "training loss", logged_losses(out / result.stage), colour)
            for result, colour in zip(results, COLOURS, strict=True)
        ),
        questions="".join(_question_cards(read_rows(out / "data" / QUESTIONS), evaluations, processor)),
        preferences="".join(_preference_rows(read_rows(out / "data" / PREFERENCES), evaluations)),
    )
    report = out / "report.html"
    write_file(report, page("AMALIA-VL, the tiny run", body, _STYLE))
    return report


def _result_row(result: Result) -> str:
    kinds = "".join(f"<td>{_percent(result.exact_match_by_kind[kind])}</td>" for kind in KINDS)
    reward = "–" if result.reward_accuracy is None else _percent(result.reward_accuracy)
    return (
        f"<tr><th>{escape(result.stage)}</th><td>{', '.join(result.changed_modules)}</td>"
        f"<td>{result.loss_start:.3f} → {result.loss_end:.3f}</td><td><b>{_percent(result.exact_match)}</b></td>"
        f"{kinds}<td>{_percent(result.preference_accuracy)}</td><td>{reward}</td><td>{result.seconds:.0f} s</td></tr>"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _question_cards(
    rows: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Mapping[str, Any]], processor: Any
) -> Iterator[str]:
    """Show the first questions of each kind, with every stage's answer."""
    for kind in KINDS:
        numbers = [number for number, row in enumerate(rows) if row["kind"] == kind][:SHOWN]
        yield f"<h3>{escape(kind)}</h3><div class=cards>"
        for number in numbers:
            row = rows[number]
            answers = "".join(
                _answer(stage, scores["answers"][number], row["answer"]) for stage, scores in evaluations.items()
            )
            picture = _tiled_picture(Path(row["images"][0]), processor)
            yield (
                f"<article>{picture}<p class=ask>{escape(row['question'])}</p>"
                f"<p class=key>{escape(row['answer'])}</p><dl>{answers}</dl></article>"
            )
        yield "</div>"


def _answer(stage: str, answer: str, expected: str) -> str:
    right = answer.strip() == expected.strip()
    shown = escape(answer.strip()) or "(nothing)"
    return f"<dt>{escape(stage)}</dt><dd class={'met' if right else 'missed'}>{shown}</dd>"


def _tiled_picture(path: Path, processor: Any) -> str:
    """Embed a picture with the lines along which it was cut into tiles."""
    with Image.open(path) as picture:
        height, width = picture.height, picture.width
    size = processor.size["height"]
    grid = select_grid(height, width, generate_pinpoints(processor.max_tiles, size), size)
    lines = "".join(
        f'<path d="{"M0 {0:.1f}H{1}" if across else "M{0:.1f} 0V{1}"}"/>'.format(at, width if across else height)
        for across, at in _cuts(height, width, grid, size)
    )
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<svg class=picture viewBox="0 0 {width} {height}"><image href="data:image/png;base64,{data}" '
        f'width="{width}" height="{height}"/>{lines}</svg>'
        f"<p class=grid>{grid.rows} × {grid.cols} tiles + thumbnail</p>"
    )


def _cuts(height: int, width: int, grid: TileGrid, size: int) -> Iterator[tuple[bool, float]]:
    """Yield the inner tile borders in the picture's own pixels: whether it runs across, and where."""
    place = place_on_canvas(height, width, grid, size)
    for across, length, margin, resized, tiles in (
        (True, height, place.top, place.height, grid.rows),
        (False, width, place.left, place.width, grid.cols),
    ):
        for border in range(1, tiles):
            yield across, (border * size - margin) * length / resized


def _preference_rows(rows: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Show the first pairs of each reason to reject, with how much likelier each stage finds the chosen answer."""
    for reason in REJECTIONS:
        for number in [number for number, row in enumerate(rows) if row["rejection"] == reason][:SHOWN]:
            row = rows[number]
            nats = [scores["chosen"][number] - scores["rejected"][number] for scores in evaluations.values()]
            margins = "".join(f"<td class={'met' if margin > 0 else 'missed'}>{margin:+.1f}</td>" for margin in nats)
            texts = (row["rejection"], *(row[part][0]["content"] for part in ("prompt", "chosen", "rejected")))
            yield f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in texts)}{margins}</tr>"


_STYLE = """\
table { border-collapse: collapse; background: #fff; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; }
.figures td { white-space: nowrap; }
th, td { padding: .4rem .7rem; border: 1px solid #e4decf; text-align: left; } thead { background: #efe9db; }
ul { list-style: none; padding: 0; } .met { color: #1b6e3c; } .missed { color: #b3261e; }
li.met::before { content: "✓ "; } li.missed::before { content: "✗ "; }
.picture { height: 11rem; max-width: 100%; display: block; margin: auto; }
.picture path { stroke: #d500f9; stroke-width: 1.5; stroke-dasharray: 6 4; }
.grid { color: #777; font-size: .8rem; text-align: center; margin: .2rem; }
.ask { font-weight: 600; margin: .4rem 0 0; } .key { margin: 0 0 .4rem; color: #555; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .8rem; margin: 0; }
dt { color: #777; } dd { margin: 0; overflow-wrap: anywhere; }
"""

_BODY = Template("""\
<p>A small vision-language model, trained on a CPU through the paper's three stages, on scenes drawn for the purpose,
in European Portuguese. Its two backbones were <b>warmed up first</b>, apart and on training scenes only: the tower on
labels of patches (shape, colour, word, part of the picture), the decoder on conversations about scenes that were
spelled out in words, patch by patch, where the pictures would be. Every question below is about a scene held out from
training: none of its shapes occurs there in that colour and number beside that word.</p>
<h2>Results</h2>
<ul>$verdicts</ul>
<table class=figures><thead><tr><th>stage</th><th>changed</th><th>loss</th><th>exact match</th>$head<th>preference</th>
<th>reward</th><th>training</th></tr></thead><tbody>$rows</tbody></table>
<p>Loss: mean of the first and of the last tenth of the logged training losses. Exact match: greedy answers equal to
the letter. Preference: share of held-out pairs whose chosen answer is likelier. Reward: share whose likelihood rose
more in stage 3 for the chosen answer (DPO's implicit reward).</p>
<h2>Loss</h2><div class=curves>$curves</div>
<h2>Questions</h2>
<p>The right answer is under each question; dashed lines show where the picture was cut into tiles.</p>
$questions
<h2>Preferences</h2>
<table><thead><tr><th>rejected because</th><th>question</th><th>chosen</th><th>rejected</th><th>1_align</th>
<th>2_instruct</th><th>3_prefer</th></tr></thead><tbody>$preferences</tbody></table>
<p>Numbers: how much likelier the chosen answer is, in nats.</p>""")
