"""The fourteen chart templates: what each can show, and who draws it (paper, section 5.1: 14 curated templates).

Ten are drawn by matplotlib, four by Vega-Lite. A chart whose texts do not fit is drawn again with the names of its
categories turned, then with more room; its values are printed, or each is on a gridline.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from ..dataset import RejectedError
from . import matplotlib_charts as plots
from . import vega_charts as specs
from .content import ChartShape, Content, grid_step
from .marks import WITHIN
from .style import Chart, ChartStyle, clashes, draw_style, grown

ATTEMPTS = 8  # the last with the plot twice as wide and as high
BARRED = ("columns", "bars", "grouped columns")  # of stacked ones none is shorter than its number
LEAST_BAR = 2 * WITHIN + 1  # pixels of a bar that is seen, between what is looked at from either end
PRINTED = 0.5  # share of charts whose values are printed, where gridlines would tell them
ValueLabels = Literal["printed", "gridlines", "either"]


class ChartTemplate(NamedTuple):
    """One way to draw a chart.

    Args:
        shape: What it holds.
        labels: How its values can be read.
        draw: Draws a content in a style.
    """

    shape: ChartShape
    labels: ValueLabels
    draw: Callable[[Content, ChartStyle], Chart]


_plot = partial(partial, plots.draw_matplotlib)
_specify = partial(partial, specs.draw_vega)

TEMPLATES: dict[str, ChartTemplate] = {
    "columns": ChartTemplate(ChartShape((3, 8)), "either", _plot(plots.columns)),
    "bars": ChartTemplate(ChartShape((3, 10)), "either", _plot(plots.bars)),
    "grouped columns": ChartTemplate(ChartShape((2, 5), (2, 3)), "either", _plot(plots.grouped)),
    "stacked columns": ChartTemplate(ChartShape((2, 6), (2, 3), added=True), "printed", _plot(plots.stacked)),
    "lines": ChartTemplate(ChartShape((4, 7), (1, 3), apart=True, ordered=True), "either", _plot(plots.lines)),
    "area": ChartTemplate(ChartShape((4, 7), ordered=True), "either", _plot(plots.area)),
    "pie": ChartTemplate(ChartShape((3, 6), whole=True), "printed", _plot(plots.pie)),
    "cards": ChartTemplate(ChartShape((2, 6)), "printed", _plot(plots.cards)),
    "table": ChartTemplate(ChartShape((3, 8), (1, 3)), "printed", _plot(plots.table)),
    "pictogram": ChartTemplate(ChartShape((3, 6), stepped=True, added=True), "gridlines", _plot(plots.pictogram)),
    "donut": ChartTemplate(ChartShape((3, 6), whole=True), "printed", _specify(specs.donut)),
    "scatter plot": ChartTemplate(
        ChartShape((4, 8), (2, 2), stepped=True, distinct=True), "gridlines", _specify(specs.scatter)
    ),
    "heat map": ChartTemplate(ChartShape((3, 6), (3, 3)), "printed", _specify(specs.heat_map)),
    "lollipops": ChartTemplate(ChartShape((3, 9)), "either", _specify(specs.lollipops)),
}


def draw_chart(name: str, content: Content, rng: random.Random) -> Chart:
    """Draw a content by a template, in a style from the generator.

    Raises:
        RejectedError: Its texts fit no size, its values cannot be read, or a bar is too short to be seen.
    """
    template = TEMPLATES[name]
    style = draw_style(rng, _print_labels(template.labels, content, rng))
    reason = RejectedError("texts do not fit", name)
    for attempt in range(ATTEMPTS):
        try:
            chart = template.draw(content, grown(style, attempt))
        except RejectedError as error:
            reason = error
            continue
        if name in BARRED and any(mark.measure < LEAST_BAR for mark in chart.marks):
            raise RejectedError("a bar too short to see", name)
        faults = clashes(chart.texts, chart.picture.width, chart.picture.height)
        if not faults:
            return chart._replace(fonts=(style.face.body, style.face.heading))
        reason = RejectedError("texts do not fit", faults[0])
    raise reason


def _print_labels(labels: ValueLabels, content: Content, rng: random.Random) -> bool:
    """Choose whether values are printed; they are where no gridline could tell them."""
    if labels == "either":
        on_grid = grid_step(content.values) is not None
        return not on_grid or (rng.random() < PRINTED and len(content.series) == 1)
    return labels == "printed"
