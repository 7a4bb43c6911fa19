"""The fourteen chart templates: what each can show, and who draws it (paper, section 5.1: 14 curated templates).

Ten are drawn by matplotlib, four by Vega-Lite. A chart whose texts do not fit is drawn again with the names of its
categories turned, then with more room; its values are printed, or each is on a gridline.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, NamedTuple

from . import chart_matplotlib as plots
from . import chart_vega as specs
from .chart_content import Content, Shape, grid_step
from .chart_style import Chart, Style, clashes, draw_style, grown
from .dataset_rows import RejectedError

ATTEMPTS = 8  # the last with the plot twice as wide and as high
Labels = Literal["printed", "gridlines", "either"]


class Template(NamedTuple):
    """One way to draw a chart.

    Args:
        shape: What it holds.
        labels: How its values can be read.
        compose: Puts marks on matplotlib's axes; None where Vega-Lite draws.
        specify: Gives the Vega-Lite specification.
    """

    shape: Shape
    labels: Labels
    compose: plots.Compose | None = None
    specify: Callable[[Content, Style], specs.Spec] | None = None


TEMPLATES: dict[str, Template] = {
    "columns": Template(Shape((3, 8)), "either", plots.columns),
    "bars": Template(Shape((3, 10)), "either", plots.bars),
    "grouped columns": Template(Shape((2, 5), (2, 3)), "either", plots.grouped),
    "stacked columns": Template(Shape((2, 6), (2, 3), added=True), "printed", plots.stacked),
    "lines": Template(Shape((4, 7), (1, 3), apart=True), "either", plots.lines),
    "area": Template(Shape((4, 7)), "either", plots.area),
    "pie": Template(Shape((3, 6), whole=True), "printed", plots.pie),
    "cards": Template(Shape((2, 6)), "printed", plots.cards),
    "table": Template(Shape((3, 8), (1, 3)), "printed", plots.table),
    "pictogram": Template(Shape((3, 6), stepped=True, added=True), "gridlines", plots.pictogram),
    "donut": Template(Shape((3, 6), whole=True), "printed", specify=specs.donut),
    "scatter plot": Template(Shape((4, 8), (2, 2), stepped=True, distinct=True), "gridlines", specify=specs.scatter),
    "heat map": Template(Shape((3, 6), (3, 3)), "printed", specify=specs.heat_map),
    "lollipops": Template(Shape((3, 9)), "either", specify=specs.lollipops),
}


def draw_chart(name: str, content: Content, rng: random.Random) -> Chart:
    """Draw a content by a template, in a style from the generator.

    Raises:
        RejectedError: Its texts fit no size, or its values cannot be read.
    """
    template = TEMPLATES[name]
    style = draw_style(rng, _print_labels(template.labels, content, rng))
    reason = RejectedError("texts do not fit", "")
    for attempt in range(ATTEMPTS):
        try:
            chart = _draw(template, content, grown(style, attempt))
        except RejectedError as error:
            reason = error
            continue
        faults = clashes(chart.texts, chart.picture.width, chart.picture.height)
        if not faults:
            return chart
        reason = RejectedError("texts do not fit", faults[0])
    raise reason


def _print_labels(labels: Labels, content: Content, rng: random.Random) -> bool:
    """Choose whether values are printed; they are where a gridline could not tell them."""
    if labels == "either":
        crowded = len(content.series) > 1
        on_grid = grid_step(content.values) is not None
        return not on_grid or (rng.random() < 0.5 and not crowded)
    return labels == "printed"


def _draw(template: Template, content: Content, style: Style) -> Chart:
    if template.specify:
        return specs.draw_vega(template.specify(content, style), style)
    if template.compose:
        return plots.draw_matplotlib(template.compose, content, style)
    raise AssertionError("a template has one of two ways to be drawn")
