"""Ten chart templates drawn by matplotlib, with the box of every text.

The drawing functions put marks, ticks and values on axes; `draw_matplotlib` sets the fonts, puts the title above all
that was drawn, and cuts the picture around it. Figures are made without pyplot, whose figures outlive a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..dataset import RejectedError
from .content import MAX_MARKS, Content, find_step, write_number, write_value
from .marks import Mark, bar_marks, line_marks, pie_marks, symbol_marks
from .style import PAD, Chart, ChartStyle, TextBox, readable_on, text_width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Compose = Callable[["Axes", Content, ChartStyle], None]

SIDE, ABOVE = 360, 230  # pixels around the plot, for what stands there
DOTS = 72  # an inch: a point is a pixel
ROOM_ABOVE = 1.13  # of the highest value, for the number above it
ROOM_AT_TOP = 1.06  # of the highest value, for its mark
EACH_SYMBOL = {"pt": "cada símbolo vale", "en": "each symbol stands for"}
SYMBOLS = ("o", "s", "^")


def draw_matplotlib(compose: Compose, content: Content, style: ChartStyle) -> Chart:
    """Draw a chart, and cut the picture around it."""
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()  # whatever the machine's own settings are
        rcParams["text.parse_math"] = False
        width, height = style.width + 2 * SIDE, style.height + 2 * ABOVE
        figure = Figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS, facecolor=style.theme.paper)
        canvas: Any = FigureCanvasAgg(figure)
        axes = figure.add_axes(
            (SIDE / width, ABOVE / height, style.width / width, style.height / height), facecolor=style.theme.paper
        )
        compose(axes, content, style)
        _set_fonts(figure, style)
        bounds: Any = axes.get_tightbbox(canvas.get_renderer())
        heading = _write_title(figure, content, style, (bounds.x0, bounds.x1, bounds.y1))
        canvas.draw()
        texts = _boxes(figure, canvas.get_renderer(), height)  # legends have a place from now on
        picture = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba()).convert("RGB")
        title = heading.get_window_extent(canvas.get_renderer())
        marks = list(MARKS[compose](axes, content, height)) if compose in MARKS else []
    left, right = round(min(bounds.x0, title.x0)) - PAD, round(max(bounds.x1, title.x1)) + PAD
    top, bottom = round(height - title.y1) - PAD, round(height - bounds.y0) + PAD
    if left < 0 or top < 0 or right > width or bottom > height:
        raise RejectedError("texts do not fit", f"{right - left} x {bottom - top} pixels")
    return Chart(
        picture.crop((left, top, right, bottom)),
        [box.moved(-left, -top) for box in texts],
        [mark.moved(-left, -top) for mark in marks],
    )


def columns(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a column a category."""
    row = content.values[0]
    axes.bar(range(len(row)), _floats(row), width=0.5 + 0.15 * style.shape, color=_colours(content, style), zorder=2)
    _name_categories(axes, content, style)
    _scale(axes, content, style, "y")
    if style.labels:
        for x, value in enumerate(row):
            _label(axes, x, value, content, style)


def bars(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a horizontal bar a category, the first on top."""
    row = content.values[0]
    places = range(len(row))
    axes.barh(places, _floats(row), height=0.5 + 0.12 * style.shape, color=_colours(content, style), zorder=2)
    axes.set_yticks(places, content.categories)
    axes.invert_yaxis()
    _scale(axes, content, style, "x")
    if style.labels:
        for y, value in enumerate(row):
            axes.annotate(
                write_value(value, content.unit, content.language), (float(value), y), (5, 0),
                textcoords="offset points", va="center", zorder=5,
            )  # fmt: skip


def grouped(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a group of columns a category, a column a series."""
    count = len(content.series)
    width = 0.8 / count
    for number, (name, row) in enumerate(zip(content.series, content.values, strict=True)):
        places = [x + (number - (count - 1) / 2) * width for x in range(len(row))]
        colour = style.theme.palette[number]
        axes.bar(places, _floats(row), width=width * 0.92, color=colour, label=name, zorder=2)
        if style.labels:
            for x, value in zip(places, row, strict=True):
                _label(axes, x, value, content, style, unit=False)
    _name_categories(axes, content, style)
    _scale(axes, content, style, "y")
    _legend(axes, style)


def stacked(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a column a category, a part of it a series, with its value inside."""
    floors = [Decimal(0)] * len(content.categories)
    highest = max(map(sum, zip(*content.values, strict=True)))
    for number, (name, row) in enumerate(zip(content.series, content.values, strict=True)):
        colour = style.theme.palette[number]
        axes.bar(range(len(row)), _floats(row), bottom=_floats(floors), width=0.66, color=colour, label=name, zorder=2)
        for x, value in enumerate(row):
            if float(value) / float(highest) * style.height < style.size * 1.2:
                raise RejectedError("texts do not fit", f"{value} of {highest} is too thin for its number")
            middle = float(floors[x] + value / 2)
            text = write_number(value, content.language)
            axes.text(x, middle, text, ha="center", va="center", color=readable_on(colour), zorder=5)
        floors = [floor + value for floor, value in zip(floors, row, strict=True)]
    _name_categories(axes, content, style)
    axes.set_ylim(0, float(highest) * 1.04)
    axes.set_yticks([])
    axes.set_ylabel(content.measured)
    _spines(axes, style, ("bottom",))
    _legend(axes, style)


def lines(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a line a series, with a mark a value."""
    for number, (name, row) in enumerate(zip(content.series, content.values, strict=True)):
        axes.plot(
            range(len(row)), _floats(row), color=style.theme.palette[number], marker="os^"[(number + style.shape) % 3],
            linewidth=2, markersize=7, label=name, zorder=3 + number,
        )  # fmt: skip
        if style.labels:
            for x, value in enumerate(row):
                _label(axes, x, value, content, style, rise=8)
    _name_categories(axes, content, style)
    _scale(axes, content, style, "y")
    if len(content.series) > 1:
        _legend(axes, style)


def area(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw the area below a line, with a mark a value."""
    row = _floats(content.values[0])
    colour = style.theme.palette[style.shape]
    axes.fill_between(range(len(row)), row, color=colour, alpha=0.35, linewidth=0, zorder=1)
    axes.plot(range(len(row)), row, color=colour, marker="o", linewidth=2, markersize=6, zorder=3)
    if style.labels:
        for x, value in enumerate(content.values[0]):
            _label(axes, x, value, content, style, rise=7)
    _name_categories(axes, content, style)
    _scale(axes, content, style, "y")


def pie(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a slice a category; names stand beside the slices, or in a legend and the values in the slices."""
    row = content.values[0]
    colours = style.theme.palette[: len(row)]
    edge = {"edgecolor": style.theme.paper, "linewidth": 1.5}
    values = [write_value(value, content.unit, content.language) for value in row]
    names = [wrap(name, style.width / 3, style.face.body_path, style.size) for name in content.categories]
    if style.legend:
        wedges, texts = axes.pie(
            _floats(row), labels=values, colors=colours, startangle=90, counterclock=False, wedgeprops=edge,
            labeldistance=0.72, textprops={"ha": "center", "va": "center"},
        )[:2]  # fmt: skip
        for text, colour in zip(texts, colours, strict=True):
            text.set_color(readable_on(colour))
        axes.legend(wedges, names, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        _colour_legend(axes, style)
    else:
        both = [f"{name}\n{value}" for name, value in zip(names, values, strict=True)]
        texts = axes.pie(
            _floats(row), labels=both, colors=colours, startangle=60 + 30 * style.shape, counterclock=False,
            wedgeprops=edge, labeldistance=1.06,
        )[1]  # fmt: skip
        for text in texts:  # each grows away from its slice
            x, y = text.get_position()
            text.set_horizontalalignment("center" if abs(x) < 0.35 else "left" if x > 0 else "right")
            text.set_verticalalignment("center" if abs(y) < 0.35 else "bottom" if y > 0 else "top")


def cards(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a card a category, its value in large figures."""
    from matplotlib.patches import FancyBboxPatch

    count = len(content.categories)
    across = (2 if count in (2, 4) else 3) if style.width / 3 > 7 * style.size else 2
    down = -(-count // across)
    axes.set_xlim(0, across)
    axes.set_ylim(down, 0)
    axes.set_axis_off()
    large = round(style.size * (1.7 + 0.2 * style.shape))
    for number, (name, value) in enumerate(zip(content.categories, content.values[0], strict=True)):
        middle = (number % across + 0.5, number // across + 0.5)
        colour = style.theme.palette[number if style.varied else 0]
        corners = "round,pad=0,rounding_size=0.06" if style.legend else "square,pad=0"
        corner = (middle[0] - 0.46, middle[1] - 0.45)
        axes.add_patch(FancyBboxPatch(corner, 0.92, 0.9, boxstyle=corners, color=colour, zorder=2))
        letters = readable_on(colour)
        room = style.width / across * 0.85
        text = write_value(value, content.unit, content.language)
        below = wrap(name, room, style.face.body_path, style.size)
        look: dict[str, Any] = {"ha": "center", "color": letters, "textcoords": "offset points", "zorder": 5}
        axes.annotate(text, middle, (0, 4), va="bottom", fontsize=large, **look)
        axes.annotate(below, middle, (0, -4), va="top", **look)
        if text_width(text, style.face.body_path, large) > room or text_width(
            below, style.face.body_path, style.size
        ) > room or style.height / down < large + 4 * style.size:  # fmt: skip
            raise RejectedError("texts do not fit", f"{name!r} on its card")
    axes.text(across / 2, down + 0.12, content.measured, ha="center", va="top", zorder=5)


def table(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a row a category and a column a series, and below what is measured."""
    face, theme, head = style.face, style.theme, style.theme.palette[0]
    cells = _cells(content)
    widths = [
        max(text_width(cell, face.body_path, style.size) for cell in column) + 2 * style.size
        for column in zip(*cells, strict=True)
    ]
    step = style.size * (1.9 + 0.15 * style.shape)
    width, height = sum(widths), step * len(cells)
    if width > style.width + SIDE or height > style.height + ABOVE:
        raise RejectedError("texts do not fit", f"{len(cells)} rows, {width:.0f} pixels wide")
    place = axes.get_position()
    axes.set_position((place.x0, place.y0, place.width * width / style.width, place.height * height / style.height))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for line, texts in enumerate(cells):
        paper = head if line == 0 else theme.faint if line % 2 == 0 and style.varied else theme.paper
        ink = readable_on(head) if line == 0 else theme.ink
        axes.axhspan(line * step, (line + 1) * step, facecolor=paper, edgecolor=theme.faint, linewidth=1, zorder=1)
        for column, text in enumerate(texts):
            x = sum(widths[:column]) + style.size if column == 0 else sum(widths[: column + 1]) - style.size
            side = "left" if column == 0 else "right"
            axes.text(x, (line + 0.5) * step, text, ha=side, va="center", color=ink, zorder=5)
    if len(content.series) > 1:
        axes.text(0, height + style.size * 0.5, content.measured, va="top", zorder=5)


def _cells(content: Content) -> list[list[str]]:
    """Write a table's rows, the first its heads."""
    heads = content.series if len(content.series) > 1 else (content.measured,)
    cells = [[content.category[0].upper() + content.category[1:], *heads]]
    for number, name in enumerate(content.categories):
        cells.append([name, *(write_number(row[number], content.language) for row in content.values)])
    return cells


def pictogram(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Draw a row of symbols a category, each for the same amount."""
    step = find_step(content.values)
    across = min(style.width / (MAX_MARKS + 1), style.height / len(content.categories)) * 0.62
    for y, value in enumerate(content.values[0]):
        count = int(value / step)
        colour = style.theme.palette[y if style.varied else 0]
        places = [number + 0.6 for number in range(count)]
        axes.scatter(places, [y] * count, s=across**2, marker=SYMBOLS[style.shape], color=colour, zorder=3)
    axes.set_xlim(0, MAX_MARKS + 1)
    axes.set_ylim(len(content.categories) - 0.4, -0.6)
    axes.set_yticks(range(len(content.categories)), content.categories)
    axes.set_xticks([])
    amount = write_value(step, content.unit, content.language)
    axes.set_xlabel(f"{content.measured}: {EACH_SYMBOL[content.language]} {amount}", labelpad=8)
    _spines(axes, style, ())


def _floats(row: Sequence[Decimal]) -> list[float]:
    return [float(value) for value in row]


def _colours(content: Content, style: ChartStyle) -> list[str]:
    count = len(content.categories)
    palette = style.theme.palette
    return [palette[number % len(palette)] if style.varied else palette[style.shape] for number in range(count)]


def _name_categories(axes: Axes, content: Content, style: ChartStyle) -> None:
    """Write the categories below, in lines that fit between their neighbours, or turned."""
    count = len(content.categories)
    room = style.width / count * 0.92
    names = content.categories
    if not style.turned:
        names = tuple(wrap(name, room, style.face.body_path, style.size) for name in names)
    axes.set_xticks(range(count), names, rotation=90 if style.turned else 0)
    axes.set_xlim(-0.6, count - 0.4)


def _scale(axes: Axes, content: Content, style: ChartStyle, side: str) -> None:
    """Put gridlines where the values are; or, where they are printed, a few ticks or none."""
    axis = axes.yaxis if side == "y" else axes.xaxis
    limit = axes.set_ylim if side == "y" else axes.set_xlim
    name = axes.set_ylabel if side == "y" else axes.set_xlabel
    highest = max(max(row) for row in content.values)
    step = _rough_step(highest) if style.labels else find_step(content.values)
    limit(0, float(highest) * (ROOM_ABOVE if style.labels else ROOM_AT_TOP))
    shown = style.scale or not style.labels
    ticks = [step * number for number in range(int(highest // step) + 1)] if shown else []
    axis.set_ticks(_floats(ticks), [write_number(tick, content.language) for tick in ticks])
    if shown:
        axis.grid(True, color=style.theme.faint, linewidth=1, zorder=0)
        axes.set_axisbelow(True)
    name(content.measured, labelpad=9)
    _spines(axes, style, ("bottom", "left") if style.scale else ("bottom" if side == "y" else "left",))


def _rough_step(highest: Decimal) -> Decimal:
    """Choose a step that gives three to seven ticks."""
    power = highest.adjusted()
    steps = [Decimal(factor).scaleb(power + add) for add in (-1, 0) for factor in (1, 2, 5)]
    return next(step for step in steps if highest / step <= 6)


def _spines(axes: Axes, style: ChartStyle, kept: tuple[str, ...]) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(side in kept)
        spine.set_color(style.theme.ink)
    axes.tick_params(length=0, pad=6)


def _label(
    axes: Axes, x: float, value: Decimal, content: Content, style: ChartStyle, rise: int = 3, unit: bool = True
) -> None:
    """Print a value above its mark, on paper of its own where a line may cross it."""
    text = write_value(value, content.unit if unit else "", content.language)
    paper = {"facecolor": style.theme.paper, "edgecolor": "none", "pad": 1.0, "alpha": 0.85} if rise > 3 else None
    axes.annotate(
        text, (x, float(value)), (0, rise), textcoords="offset points", ha="center", va="bottom", bbox=paper, zorder=8
    )


def _legend(axes: Axes, style: ChartStyle) -> None:
    if style.legend:
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    else:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, columnspacing=1.2)
    _colour_legend(axes, style)


def _colour_legend(axes: Axes, style: ChartStyle) -> None:
    legend = axes.get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_color(style.theme.ink)


def _set_fonts(figure: Figure, style: ChartStyle) -> None:
    """Give every text the font, by its file: a font of that name on the machine may be another."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

    default = FontProperties().get_size_in_points()
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            size = float(text.get_fontsize())
            large = size if size > default * 1.3 else style.size
            text.set_fontproperties(FontProperties(fname=style.face.body_path, size=large))
            if text.get_color() == "black":
                text.set_color(style.theme.ink)


def _write_title(figure: Figure, content: Content, style: ChartStyle, bounds: tuple[float, float, float]) -> Text:
    """Write the title above all that was drawn; gives it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import IdentityTransform

    left, right, top = bounds
    size = round(style.size * 1.3)
    title = wrap(content.title, max(right - left, 220), style.face.heading_path, size)
    x, side = ((left + right) / 2, "center") if style.shape else (left, "left")
    return figure.text(
        x, top + style.size * 0.7, title, ha=side, va="bottom", color=style.theme.ink, transform=IdentityTransform(),
        fontproperties=FontProperties(fname=style.face.heading_path, size=size),
    )  # fmt: skip


def _boxes(figure: Figure, renderer: Any, height: int) -> list[TextBox]:
    """List every text that is seen, with its box from the top left."""
    from matplotlib.text import Text

    boxes = []
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip():
            box = text.get_window_extent(renderer)
            written = " ".join(text.get_text().split())
            boxes.append(TextBox(written, box.x0, height - box.y1, box.x1, height - box.y0))
    return boxes


MARKS: dict[Compose, Callable[[Axes, Content, int], Iterator[Mark]]] = {
    columns: bar_marks, bars: partial(bar_marks, lying=True), grouped: bar_marks, stacked: bar_marks,
    lines: line_marks, area: line_marks, pie: pie_marks, pictogram: symbol_marks,
}  # fmt: skip
