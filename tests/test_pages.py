"""Pages are whole, escape what is text, and need no network."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from amalia_vl_hf.pages import curve, page, picture

VOID = {"meta"}


class Balance(HTMLParser):
    """Tags that are open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        assert not any(name in ("src", "href") for name, _ in attributes)  # nothing is loaded from elsewhere
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_whole_and_its_title_is_text():
    html = page("a < b & c", f"<p>text</p>{curve('loss', 'x < y', [1.0, 0.5], 'red')}", ".own { color: red; }")
    balance = Balance()
    balance.feed(html)
    assert balance.open == []
    assert html.count("a &lt; b &amp; c") == 2  # title and heading
    assert "x &lt; y" in html
    assert ".own { color: red; }" in html


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-2.0, 3.0], [0.001, 12345.0]])
def test_a_curve_stays_in_its_drawing_and_says_its_ends(values):
    svg = curve("loss", "what", values, "red")
    points = [tuple(map(float, point.split(","))) for point in svg.split('points="')[1].split('"')[0].split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 300 and 0 <= y <= 120 for x, y in points)
    assert "first " in svg
    assert ", last " in svg
    ticks = [float(text) for text in re.findall(r'class="y">([^<]*)<', svg)]
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(ticks)
    assert ticks[0] <= min(0, *values)
    assert ticks[-1] >= max(0, *values)


def test_a_curves_steps_are_on_its_axis():
    svg = curve("loss", "what", [3.0, 2.0, 1.0], "red", [10, 20, 60])
    assert [x for x, _ in (point.split(",") for point in svg.split('points="')[1].split('"')[0].split())] == [
        "0.0",
        "60.0",
        "300.0",
    ]
    assert re.findall(r'class="x">([^<]*)<', svg) == ["step 10", "20", "60"]


def test_a_picture_is_made_smaller_and_has_words():
    html = picture(Image.new("L", (2000, 100)), 'a "b" <c>')
    data = base64.b64decode(re.search(r"base64,([^\"]*)", html)[1])
    assert Image.open(io.BytesIO(data)).size == (480, 24)
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in html
