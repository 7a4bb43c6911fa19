"""Curves as SVG, for reports that are read without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 300, 120  # units of the drawing; it takes the width of its place

# What the drawings need of a page's style sheet.
STYLE = """figure { margin: 0; background: #fff; border: 1px solid #e4decf; border-radius: .5rem; padding: .8rem; }
figure svg { width: 100%; } polyline { fill: none; stroke-width: 2; } .axes { fill: none; stroke: #999; }"""


def curve(title: str, what: str, values: Sequence[float], colour: str) -> str:
    """Draw values as a line, with the scale in words.

    Args:
        title: In bold.
        what: What the values are.
        values: In order; at least one.
        colour: Of the line, as CSS says it.

    Returns:
        A `<figure>`.
    """
    low, high = min(0.0, *values), max(0.0, *values) * 1.05 or 1.0
    step = _WIDTH / max(1, len(values) - 1)
    heights = [_HEIGHT * (high - value) / (high - low) for value in values]
    points = " ".join(f"{index * step:.1f},{height:.1f}" for index, height in enumerate(heights))
    scale = f"from {low:{_form(low)}} to {high:{_form(high)}}"
    ends = f"first {values[0]:{_form(values[0])}}, last {values[-1]:{_form(values[-1])}}"
    return (
        f'<figure><svg viewBox="-4 -4 {_WIDTH + 8} {_HEIGHT + 8}"><path d="M0 0V{_HEIGHT}H{_WIDTH}" class="axes"/>'
        f'<polyline points="{points}" stroke="{colour}"/></svg><figcaption><b>{escape(title)}</b> {escape(what)}, '
        f"{scale}: {ends}</figcaption></figure>"
    )


def _form(value: float) -> str:
    return ".3g" if (value and abs(value) < 0.01) or abs(value) >= 1000 else ".3f"
