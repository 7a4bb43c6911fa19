"""`report.html` of a training run: what was logged, as curves, and what was trained by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..pages import STYLE, curve

Log = Sequence[Mapping[str, Any]]

# What is drawn, in this order: the beginning of its name in the log, what it is, and its line's colour.
_CURVES = (
    ("loss", "training loss", "#8a5a00"),
    ("loss/", "loss of its samples", "#a0522d"),
    ("rewards/accuracies", "share of pairs whose chosen answer gained more", "#6a1b9a"),
    ("rewards/margins", "how much more it gained, times beta", "#6a1b9a"),
    ("mean_token_accuracy", "share of answers' tokens foreseen", "#6a1b9a"),
    ("grad_norm", "norm of the gradient, before clipping", "#00695c"),
    ("learning_rate/", "learning rate", "#00695c"),
    ("tokens_per_second", "tokens a second, over all ranks", "#1565c0"),
    ("visual_share", "share of tokens that come from images", "#1565c0"),
    ("dropped", "samples replaced so far", "#b3261e"),
)


def write_training_report(path: Path, log_history: Log, origin: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: Of the page.
        log_history: Entries of the trainer's log.
        origin: The recipe and what else the weights follow from.
    """
    page = _PAGE.substitute(
        style=STYLE,
        title=escape(f"{Path(origin['output']).name}: stage {origin['stage']}"),
        summary=escape(_summary(log_history)),
        curves="".join(_curves(log_history)),
        recipe=escape("\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in origin.items())),
    )
    path.write_text(page, encoding="utf-8")


def _curves(log_history: Log) -> Iterator[str]:
    names = list(dict.fromkeys(name for entry in log_history for name in entry))
    for wanted, what, colour in _CURVES:
        for name in names:
            if name == wanted or (wanted.endswith("/") and name.startswith(wanted)):
                yield curve(name, what, [float(entry[name]) for entry in log_history if name in entry], colour)


def _summary(log_history: Log) -> str:
    steps = [entry for entry in log_history if "loss" in entry]
    if not steps:
        return "No step was logged."
    last = steps[-1]
    return (
        f"{last['step']} steps in {log_history[-1]['seconds']:.0f} s; loss {steps[0]['loss']:.3f} at first, "
        f"{last['loss']:.3f} at last."
    )


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #faf8f3; max-width: 75rem; margin: 2rem auto;
  padding: 0 1rem; }
.curves { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
pre { background: #fff; border: 1px solid #e4decf; padding: .8rem; white-space: pre-wrap; }
$style
</style></head><body>
<h1>$title</h1>
<p>$summary</p>
<div class=curves>$curves</div>
<h2>Recipe</h2><pre>$recipe</pre>
</body></html>
""")
