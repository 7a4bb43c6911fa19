"""HTML pages of reports, and curves as SVG in them, readable without a network: the one owner of both."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_WIDTH, _HEIGHT = 300, 120  # units of the drawing; it takes the width of its place
_LEFT = 44  # units beside it, for the numbers of its scale

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #faf8f3; max-width: 75rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 2px solid #d9d2c2; }
pre { background: #fff; border: 1px solid #e4decf; padding: .8rem; white-space: pre-wrap; }
.curves, .cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
figure, article { margin: 0; background: #fff; border: 1px solid #e4decf; border-radius: .5rem; padding: .8rem; }
figure svg { width: 100%; } polyline { fill: none; stroke-width: 2; } .axes { fill: none; stroke: #999; }
.grid { stroke: #eee; } svg .x, svg .y { font-size: 9px; fill: #555; } svg .x { text-anchor: middle; }
svg .y { text-anchor: end; }
$style</style></head><body>
<h1>$title</h1>
$body
</body></html>
""")


def page(title: str, body: str, style: str = "") -> str:
    """Lay out a whole page.

    Args:
        title: Its name and heading, as plain text.
        body: HTML below the heading. `.curves` and `.cards` are grids of figures and articles.
        style: Rules of the page's own.
    """
    return _PAGE.substitute(title=escape(title), body=body, style=style)


def curve(title: str, what: str, values: Sequence[float], colour: str, steps: Sequence[int] | None = None) -> str:
    """Draw values as a line between two axes with ticks, and its ends in words.

    Args:
        title: In bold.
        what: What the values are.
        values: In order; at least one.
        colour: Of the line, as CSS says it.
        steps: Where each value stands on the horizontal axis, rising; their numbers in the row when left out.

    Returns:
        A `<figure>`.
    """
    steps = range(len(values)) if steps is None else steps
    ticks = _ticks(min(0.0, *values), max(0.0, *values))
    low, high = ticks[0], ticks[-1]
    across = [_WIDTH * (step - steps[0]) / max(1, steps[-1] - steps[0]) for step in steps]
    heights = [_HEIGHT * (high - value) / (high - low) for value in values]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True))
    scale = f"from {low:{_form(low)}} to {high:{_form(high)}}"
    ends = f"first {values[0]:{_form(values[0])}}, last {values[-1]:{_form(values[-1])}}"
    return (
        f'<figure><svg viewBox="-{_LEFT} -8 {_WIDTH + _LEFT + 12} {_HEIGHT + 28}" role="img" '
        f'aria-label="{escape(title)}, {ends}">{_scale(ticks)}{_steps(steps)}'
        f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" class="axes"/><polyline points="{points}" stroke="{colour}"/></svg>'
        f"<figcaption><b>{escape(title)}</b> {escape(what)}, {scale}: {ends}</figcaption></figure>"
    )


def picture(image: Image.Image, words: str, longest: int = 480) -> str:
    """Embed a picture, made smaller, as an `<img>`.

    Args:
        image: Of any size.
        words: What stands for it where it is not seen.
        longest: Of its sides, in pixels.
    """
    small = image.convert("RGB")
    small.thumbnail((longest, longest))
    encoded = io.BytesIO()
    small.save(encoded, format="JPEG", quality=80)
    data = base64.b64encode(encoded.getvalue()).decode("ascii")
    return f'<img loading="lazy" alt="{escape(words, quote=True)}" src="data:image/jpeg;base64,{data}">'


def _ticks(low: float, high: float) -> list[float]:
    """Give three to six round values, evenly apart, of which the first and the last hold all between them."""
    span = high - low or 1.0
    size = 10.0 ** math.floor(math.log10(span / 4))
    width = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 5)
    first = math.floor(low / width + 1e-9)  # what rounding makes of a tick is that tick
    last = max(math.ceil(high / width - 1e-9), first + 1)
    return [number * width for number in range(first, last + 1)]


def _scale(ticks: Sequence[float]) -> str:
    """Draw a line across and a number at each tick of the vertical axis."""
    lines = []
    for value in ticks:
        at = _HEIGHT * (ticks[-1] - value) / (ticks[-1] - ticks[0])
        lines.append(
            f'<path d="M0 {at:.1f}H{_WIDTH}" class="grid"/><text x="-4" y="{at + 3:.1f}" class="y">{value:.4g}</text>'
        )
    return "".join(lines)


def _steps(steps: Sequence[int]) -> str:
    """Write the first, the middle and the last step below the horizontal axis."""
    shown = sorted({steps[0], steps[len(steps) // 2], steps[-1]})
    places = [_WIDTH * (step - steps[0]) / max(1, steps[-1] - steps[0]) for step in shown]
    return "".join(
        f'<text x="{at:.1f}" y="{_HEIGHT + 13}" class="x">{"step " if step == shown[0] else ""}{step}</text>'
        for at, step in zip(places, shown, strict=True)
    )


def _form(value: float) -> str:
    return ".3g" if (value and abs(value) < 0.01) or abs(value) >= 1000 else ".3f"
