"""`report.html` of a training run: what was logged, as curves, and what was trained by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import write_file
from ..pages import curve, page, picture

if TYPE_CHECKING:
    from .validation import ShownAnswer

Log = Sequence[Mapping[str, Any]]

# What is drawn, in this order: the beginning of its name in the log, what it is, and its line's colour.
_CURVES = (
    ("loss", "training loss", "#8a5a00"),
    ("loss/", "loss of its samples", "#a0522d"),
    ("rewards/accuracies", "share of pairs whose chosen answer gained more", "#6a1b9a"),
    ("rewards/margins", "how much more it gained, times beta", "#6a1b9a"),
    ("validation/", "of the validation task: its figure, or the loss of its references", "#b3261e"),
    ("mean_token_accuracy", "share of answers' tokens foreseen", "#6a1b9a"),
    ("grad_norm", "norm of the gradient, before clipping", "#00695c"),
    ("learning_rate/", "learning rate", "#00695c"),
    ("tokens_per_second", "tokens a second, over all ranks", "#1565c0"),
    ("visual_share", "share of tokens that come from images", "#1565c0"),
    ("dropped", "samples replaced so far", "#b3261e"),
)
_STYLE = """
article img { max-width: 100%; max-height: 16rem; display: block; margin: 0 auto .4rem; }
dt { color: #666; } dd { margin: 0 0 .4rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_training_report(
    path: Path, log_history: Log, origin: Mapping[str, Any], answers: Sequence[ShownAnswer] = ()
) -> None:
    """Write the page.

    Args:
        path: Of the page.
        log_history: Entries of the trainer's log.
        origin: The recipe and what else the weights follow from.
        answers: Of the validation task, before training and after it.
    """
    recipe = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in origin.items())
    body = (
        f"<p>{escape(_summary(log_history))}</p>\n<div class=curves>{''.join(_curves(log_history))}</div>\n"
        f"{_answer_cards(answers)}<h2>Recipe</h2><pre>{escape(recipe)}</pre>"
    )
    write_file(path, page(f"{Path(origin['output']).name}: stage {origin['stage']}", body, _STYLE))


def _answer_cards(answers: Sequence[ShownAnswer]) -> str:
    """Show questions with both answers; where there are none, say how to get them."""
    if not answers:
        return "<p>With <code>validation: TASK.yaml</code> answers before and after training would stand here.</p>"
    return f"<h2>Answers before and after</h2><div class=cards>{''.join(map(_answer_card, answers))}</div>"


def _answer_card(shown: ShownAnswer) -> str:
    pictures = "".join(picture(image, shown.question) for image in shown.images)
    before = "not known any more" if shown.before is None else shown.before
    rows = (("reference", shown.reference), ("before", before), ("after", shown.after))
    lines = "".join(f"<dt>{name}</dt><dd>{escape(text) or '(nothing)'}</dd>" for name, text in rows)
    return f"<article>{pictures}<p>{escape(shown.question)}</p><dl>{lines}</dl></article>"


def _curves(log_history: Log) -> Iterator[str]:
    names = list(dict.fromkeys(name for entry in log_history for name in entry))
    for start, what, colour in _CURVES:
        for name in names:
            if name == start or (start.endswith("/") and name.startswith(start)):
                entries = [entry for entry in log_history if name in entry]
                steps = [int(entry.get("step", number)) for number, entry in enumerate(entries)]
                yield curve(name, what, [float(entry[name]) for entry in entries], colour, steps)


def _summary(log_history: Log) -> str:
    steps = [entry for entry in log_history if "loss" in entry]
    if not steps:
        return "No step was logged."
    last = steps[-1]
    return (
        f"{last['step']} steps in {log_history[-1]['seconds']:.0f} s; loss {steps[0]['loss']:.3f} at first, "
        f"{last['loss']:.3f} at last."
    )
