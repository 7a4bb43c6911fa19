"""Four chart templates as Vega-Lite specifications, drawn by vl-convert without a browser; text boxes from its SVG."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from ..typefaces import OWN
from .content import MAX_MARKS, ChartValues, Content, find_step, write_number, write_value
from .marks import Mark, ring_marks, svg_cells
from .style import PAD, Chart, ChartStyle, Face, TextBox, readable_on, text_width, wrap

Spec = dict[str, Any]
Specify = Callable[[Content, ChartStyle], Spec]
VERSION = "5.20"  # of Vega-Lite; vl-convert holds several
HEAT = (("#eef4fb", "#08519c"), ("#f4f9ee", "#1b6e2d"), ("#fdf3e7", "#a33803"))
ABOVE, BELOW = 0.95, 0.25  # letter heights over and under the line that letters stand on
_SVG = "{http://www.w3.org/2000/svg}"
_TURN = re.compile(r"rotate\((?:-90|270)\)(?: translate\(0,([-\d.]+)\))?")
_MOVE = re.compile(r"(translate|rotate)\(([^)]*)\)")


def draw_vega(specify: Specify, content: Content, style: ChartStyle) -> Chart:
    """Draw a content by its specification."""
    converter = _converter()
    svg = converter.vegalite_to_svg(json.dumps(specify(content, style)), vl_version=VERSION)
    picture = Image.open(io.BytesIO(converter.svg_to_png(svg))).convert("RGB")
    root = ElementTree.fromstring(svg)  # noqa: S314 (it was written by vl-convert just now)
    return Chart(picture, list(_boxes(root, style.face)), list(_marks(specify, content, style, root)))


def donut(content: Content, style: ChartStyle) -> Spec:
    """Specify a ring with a part a category, its value in it, and a legend."""
    row, theme = content.values[0], style.theme
    colours = list(theme.palette[: len(row)])
    data = [
        {"name": name, "value": float(value), "text": write_value(value, content.unit, content.language),
         "at": number, "ink": readable_on(colour)}
        for number, (name, value, colour) in enumerate(zip(content.categories, row, colours, strict=True))
    ]  # fmt: skip
    radius = min(style.width, style.height) * 0.5
    legend = {"title": None, "orient": "right" if style.legend else "bottom", "columns": 1 if style.legend else 2}
    encoding = {
        "theta": {"field": "value", "type": "quantitative", "stack": True},
        "order": {"field": "at", "type": "quantitative"},
    }
    colour = {
        "field": "name", "type": "nominal", "sort": None, "legend": legend,
        "scale": {"domain": list(content.categories), "range": colours},
    }  # fmt: skip
    ring = {"type": "arc", "innerRadius": radius * 0.48, "outerRadius": radius, "stroke": theme.paper}
    number = {"type": "text", "radius": radius * 0.74, "fontSize": style.size, "color": {"expr": "datum.ink"}}
    layers = [
        {"mark": ring, "encoding": {"color": colour}},
        {"mark": number, "encoding": {"text": {"field": "text"}}},
    ]
    size = {"width": radius * 2, "height": radius * 2, "view": {"stroke": None}}
    return {**_frame(content, style), **size, "data": {"values": data}, "encoding": encoding, "layer": layers}


def scatter(content: Content, style: ChartStyle) -> Spec:
    """Specify named points, each on gridlines both ways."""
    data = [
        {"name": name, "x": float(x), "y": float(y)}
        for name, x, y in zip(content.categories, *content.values, strict=True)
    ]
    axes = {
        side: {**_grid_axis((row,), name, content), "field": side}
        for side, name, row in zip("xy", content.series, content.values, strict=True)
    }
    colour = style.theme.palette[style.shape]
    point = {"type": "point", "filled": True, "size": 90, "color": colour, "opacity": 1}
    label = {"type": "text", "align": "left", "dx": 9, "fontSize": style.size, "color": style.theme.ink}
    layers = [{"mark": point}, {"mark": label, "encoding": {"text": {"field": "name"}}}]
    size = {"width": style.width, "height": style.height}
    return {**_frame(content, style), **size, "data": {"values": data}, "encoding": axes, "layer": layers}


def heat_map(content: Content, style: ChartStyle) -> Spec:
    """Specify a cell a value, darker the higher it is, with the value in it."""
    room = style.width / len(content.categories) * 0.95
    columns = [wrap(name, room, style.face.body_path, style.size) for name in content.categories]
    flat = [value for row in content.values for value in row]
    low, high = float(min(flat)), float(max(flat))
    data = [
        {"x": column, "y": name, "value": float(value), "text": write_number(value, content.language),
         "ink": "#ffffff" if float(value) - low > 0.5 * (high - low) else "#111111"}
        for name, row in zip(content.series, content.values, strict=True)
        for column, value in zip(columns, row, strict=True)
    ]  # fmt: skip
    axis = {"labelLimit": 0, "labelOverlap": False, "ticks": False, "domain": False, "labelPadding": 6}
    across = {"labelAngle": -90 if style.turned else 0, "labelExpr": "split(datum.label, '\\n')"}
    encoding = {
        "x": {"field": "x", "type": "nominal", "sort": None, "title": None, "axis": {**axis, **across}},
        "y": {"field": "y", "type": "nominal", "sort": None, "title": None, "axis": axis},
    }
    colour = {
        "field": "value", "type": "quantitative", "legend": None,
        "scale": {"domain": [low, high], "range": list(HEAT[style.shape])},
    }  # fmt: skip
    number = {"type": "text", "fontSize": style.size, "color": {"expr": "datum.ink"}}
    layers = [
        {"mark": {"type": "rect", "stroke": style.theme.paper, "strokeWidth": 2}, "encoding": {"color": colour}},
        {"mark": number, "encoding": {"text": {"field": "text"}}},
    ]
    size = {"width": style.width, "height": style.height * 0.7, "view": {"stroke": None}}
    frame = _frame(content, style, subtitle=True)
    return {**frame, **size, "data": {"values": data}, "encoding": encoding, "layer": layers}


def lollipops(content: Content, style: ChartStyle) -> Spec:
    """Specify a stem and a dot a category, the first on top."""
    data = [
        {"name": name, "value": float(value), "text": write_value(value, content.unit, content.language), "zero": 0}
        for name, value in zip(content.categories, content.values[0], strict=True)
    ]
    names = {"labelLimit": 0, "labelOverlap": False, "ticks": False, "labelPadding": 8}
    if style.labels:
        bare = {"labels": False, "ticks": False, "grid": False, "domain": False, "title": content.measured}
        scale = {"domain": [0, float(max(content.values[0])) * 1.2], "nice": False}
        values: Spec = {"type": "quantitative", "axis": bare, "scale": scale}
    else:
        values = _grid_axis(content.values, content.measured, content)
    values["field"] = "value"
    colour = style.theme.palette[style.shape]
    encoding = {"y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": names}, "x": values}
    layers: list[Spec] = [
        {"mark": {"type": "rule", "color": colour, "strokeWidth": 3}, "encoding": {"x2": {"field": "zero"}}},
        {"mark": {"type": "point", "filled": True, "size": 190, "color": colour, "opacity": 1}},
    ]
    if style.labels:
        text = {"type": "text", "align": "left", "dx": 11, "fontSize": style.size, "color": style.theme.ink}
        layers.append({"mark": text, "encoding": {"text": {"field": "text"}}})
    size = {"width": style.width, "height": style.height}
    return {**_frame(content, style), **size, "data": {"values": data}, "encoding": encoding, "layer": layers}


def _marks(specify: Specify, content: Content, style: ChartStyle, root: Any) -> Iterator[Mark]:
    """List the marks: points with how far from zero they lie, parts of a ring, cells."""
    frame, down = next((x, y) for node, x, y in _nodes(root, "mark-group role-frame") if node.tag == f"{_SVG}g")
    if specify is donut:
        radius = min(style.width, style.height) * 0.5
        yield from ring_marks(content, style.theme.palette, (frame + radius, down + radius), radius)
    elif specify is heat_map:
        yield from svg_cells(list(_paths(root, "mark-rect")), content)
    else:
        for category, (node, x, y) in enumerate(_paths(root, "mark-symbol")):
            point = ((x, y),)
            yield Mark(0, category, "length", node.get("fill"), point, (), x - frame)
            if specify is scatter:
                yield Mark(1, category, "length", node.get("fill"), point, (), down + style.height - y)


def _paths(root: Any, name: str) -> Iterator[tuple[Any, float, float]]:
    """List the shapes of the groups of a class, but for legends."""
    for node, x, y in _nodes(root, f"{name} role-mark"):
        if node.tag == f"{_SVG}path":
            yield node, x, y


def _nodes(
    node: Any, name: str, x: float = 0, y: float = 0, within: bool = False
) -> Iterator[tuple[Any, float, float]]:
    """List the nodes of groups whose class begins so, with where they are."""
    for kind, numbers in _MOVE.findall(node.get("transform", "")):
        if kind == "translate":
            right, down = (float(number) for number in numbers.split(","))
            x, y = x + right, y + down
    within = within or node.get("class", "").startswith(name)
    if within:
        yield node, x, y
    for child in node:
        yield from _nodes(child, name, x, y, within)


def _grid_axis(values: ChartValues, title: str, content: Content) -> Spec:
    """Give an axis from zero with a gridline at each step, numbers written as the language does."""
    step = find_step(values)
    ticks = [step * number for number in range(MAX_MARKS + 1)]
    written = {f"{tick.normalize():f}": write_number(tick, content.language) for tick in ticks}  # keys as JavaScript's
    axis = {
        "values": [float(tick) for tick in ticks], "grid": True, "title": title, "labelOverlap": False,
        "labelExpr": f"({json.dumps(written)})[toString(datum.value)]", "labelFlush": False,
    }  # fmt: skip
    return {"type": "quantitative", "axis": axis, "scale": {"domain": [0, float(ticks[-1])], "nice": False}}


def _frame(content: Content, style: ChartStyle, subtitle: bool = False) -> Spec:
    """Specify the title, the fonts and the colours."""
    face, theme = style.face, style.theme
    large = round(style.size * 1.3)
    lines = wrap(content.title, style.width, face.heading_path, large).split("\n")
    title: Spec = {"text": lines, "anchor": "middle" if style.shape else "start", "offset": 14}
    if subtitle:
        title["subtitle"] = content.measured
    axis = {
        "labelFontSize": style.size, "titleFontSize": style.size, "labelColor": theme.ink, "titleColor": theme.ink,
        "labelFont": face.body, "titleFont": face.body, "titleFontWeight": "normal", "gridColor": theme.faint,
        "domainColor": theme.ink, "tickColor": theme.ink, "titlePadding": 10,
    }  # fmt: skip
    heading = {
        "font": face.heading, "fontWeight": "bold" if face.bold else "normal", "fontSize": large, "color": theme.ink,
        "subtitleFont": face.body, "subtitleFontSize": style.size, "subtitleColor": theme.ink, "subtitlePadding": 6,
    }  # fmt: skip
    legend = {
        "labelFont": face.body,
        "labelFontSize": style.size,
        "labelColor": theme.ink,
        "labelLimit": 0,
        "rowPadding": 7,
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": theme.paper,
        "padding": PAD,
        "title": title,
        "config": {"font": face.body, "axis": axis, "title": heading, "legend": legend, "view": {"stroke": None}},
    }


@lru_cache(maxsize=1)
def _converter() -> ModuleType:
    """Load vl-convert, with the package's fonts."""
    import vl_convert

    vl_convert.register_font_directory(str(OWN))
    return vl_convert


def _boxes(node: Any, face: Face, right: float = 0, down: float = 0) -> Iterator[TextBox]:
    """List the texts of an SVG with their boxes; it moves its groups, and turns texts alone."""
    for kind, numbers in _MOVE.findall(node.get("transform", "")):
        if kind == "rotate":
            break
        x, y = (float(number) for number in numbers.split(","))
        right, down = right + x, down + y
    if node.tag == f"{_SVG}text":
        yield _box(node, face, right, down)
        return
    for child in node:
        yield from _boxes(child, face, right, down)


def _box(node: Any, face: Face, x: float, y: float) -> TextBox:
    """Measure a text, turned or not."""
    size = round(float(node.get("font-size").removesuffix("px")))
    heading = node.get("font-family") == face.heading and node.get("font-weight") == "bold"
    lines = [part.text or "" for part in node] or [node.text or ""]
    width = text_width("\n".join(lines), face.heading_path if heading else face.body_path, size)
    before = {"start": 0.0, "middle": 0.5, "end": 1.0}[node.get("text-anchor")] * width
    leading = float(node[1].get("dy")) if len(node) > 1 else 0
    above, below = ABOVE * size, BELOW * size + leading * (len(lines) - 1)
    text = " ".join(" ".join(lines).split())
    turned = _TURN.search(node.get("transform", ""))
    if not turned:
        return TextBox(text, x - before, y - above, x - before + width, y + below)
    base = x + float(turned[1] or 0)  # of the letters, which stand to the left of it
    return TextBox(text, base - above, y + before - width, base + below, y + before)
