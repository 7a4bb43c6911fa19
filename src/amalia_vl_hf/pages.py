"""HTML pages of reports, and curves as SVG in them, readable without a network: the one owner of both."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

_WIDTH, _HEIGHT = 300, 120  # units of the drawing; it takes the width of its place

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
