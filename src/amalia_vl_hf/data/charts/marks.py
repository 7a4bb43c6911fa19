"""The marks of a chart: where in its picture each value is seen, in which colour, and how long, far or wide it is.

A mark has points that are its colour and points just beyond it that are not, so that the validator sees in the picture
whether a column ends where its value says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from .content import Content

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
Kind = str  # "length", "shade": whether a measure grows with the value in proportion, or the colour darkens with it

WITHIN, BEYOND = 2.5, 3.5  # pixels from the end of a bar, to either side
TURN = 2.5  # degrees from the edges of a slice, to either side
RIM = 0.93  # of a slice's radius: there is no text so far out
_RECT = re.compile(r"M([-\d.e]+),([-\d.e]+)h[-\d.]+v[-\d.]+h")


class Mark(NamedTuple):
    """Where a value is seen.

    Args:
        series: Number of its series.
        category: Number of its category.
        kind: "length" if the measure is in proportion to the value, "shade" if the colour darkens with it.
        colour: As #rrggbb.
        inside: Points of the mark.
        outside: Points just beyond its end.
        measure: Pixels, degrees or symbols; 0 for a shade.
    """

    series: int
    category: int
    kind: Kind
    colour: str
    inside: tuple[Point, ...]
    outside: tuple[Point, ...]
    measure: float

    def moved(self, right: float, down: float) -> Mark:
        """Give the mark elsewhere."""
        inside, outside = (tuple((x + right, y + down) for x, y in points) for points in (self.inside, self.outside))
        return self._replace(inside=inside, outside=outside)


def bar_marks(axes: Axes, content: Content, height: int, lying: bool = False) -> Iterator[Mark]:
    """List the marks of bars that were drawn series after series, standing or lying."""
    from matplotlib.colors import to_hex

    count = len(content.categories)
    for number, patch in enumerate(axes.patches):
        box = patch.get_extents()
        left, right, top, bottom = box.x0, box.x1, height - box.y1, height - box.y0
        if lying:
            inside = ((left + WITHIN, top + WITHIN), (right - WITHIN, top + WITHIN))
            outside, measure = ((right + BEYOND, top + WITHIN),), right - left
        else:
            inside = ((left + WITHIN, bottom - WITHIN), (left + WITHIN, top + WITHIN))
            outside, measure = ((left + WITHIN, top - BEYOND),), bottom - top
        yield Mark(*divmod(number, count), "length", to_hex(patch.get_facecolor()), inside, outside, measure)


def line_marks(axes: Axes, content: Content, height: int) -> Iterator[Mark]:
    """List the marks on lines, a line a series."""
    from matplotlib.colors import to_hex

    for series, line in enumerate(axes.lines):
        colour = to_hex(line.get_color())
        for category, point in enumerate(axes.transData.transform(line.get_xydata())):
            zero = axes.transData.transform((0, 0))[1]
            place = (float(point[0]), float(height - point[1]))
            yield Mark(series, category, "length", colour, (place,), (), float(point[1] - zero))


def pie_marks(axes: Axes, content: Content, height: int) -> Iterator[Mark]:
    """List the slices of a pie."""
    from matplotlib.colors import to_hex

    for category, wedge in enumerate(axes.patches):
        low, high = wedge.theta1, wedge.theta2  # type: ignore[attr-defined]
        inside, outside = (
            tuple(
                (float(x), float(height - y)) for x, y in axes.transData.transform([_rim(angle) for angle in angles])
            )
            for angles in ((low + TURN, (low + high) / 2, high - TURN), (low - TURN, high + TURN))
        )
        yield Mark(0, category, "length", to_hex(wedge.get_facecolor()), inside, outside, high - low)


def symbol_marks(axes: Axes, content: Content, height: int) -> Iterator[Mark]:
    """List the rows of symbols of a pictogram."""
    from matplotlib.colors import to_hex

    for category, row in enumerate(axes.collections):
        places: Any = row.get_offsets()
        after = [(places[-1][0] + 1, places[-1][1])]
        inside, outside = (
            tuple((float(x), float(height - y)) for x, y in axes.transData.transform(points))
            for points in (places, after)
        )
        colour = to_hex(row.get_facecolor()[0])  # type: ignore[arg-type]
        yield Mark(0, category, "length", colour, inside, outside, len(places))


def ring_marks(content: Content, colours: Sequence[str], centre: Point, radius: float) -> Iterator[Mark]:
    """List the parts of a ring whose first begins at the top; they follow clockwise."""
    row = [float(value) for value in content.values[0]]
    ends = [360 * end / sum(row) for end in accumulate(row)]
    for category, (start, end) in enumerate(zip([0.0, *ends], ends, strict=False)):
        inside, outside = (
            tuple((centre[0] + radius * x, centre[1] - radius * y) for x, y in (_rim(90 - angle) for angle in angles))
            for angles in ((start + TURN, (start + end) / 2, end - TURN), (start - TURN, end + TURN))
        )
        yield Mark(0, category, "length", colours[category], inside, outside, end - start)


def svg_cells(nodes: Sequence[tuple[Any, float, float]], content: Content) -> Iterator[Mark]:
    """List the cells of a heat map, drawn series after series."""
    count = len(content.categories)
    for number, (node, right, down) in enumerate(nodes):
        found = _RECT.match(node.get("d", ""))
        if found is None:
            continue
        x, y = right + float(found[1]), down + float(found[2])
        corner = (x + 4, y + 4)
        yield Mark(*divmod(number, count), "shade", _hex(node.get("fill")), (corner,), (), 0)


def _hex(colour: str) -> str:
    """Write a colour of an SVG as #rrggbb."""
    if colour.startswith("rgb"):
        return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])
    return colour


def _rim(degrees: float) -> Point:
    angle = math.radians(degrees)
    return RIM * math.cos(angle), RIM * math.sin(angle)
