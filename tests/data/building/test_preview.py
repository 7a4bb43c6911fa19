"""The sheet people look at: contents by task, pictures with boxes, words and links, and how varied the dataset is."""

import io
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from PIL import Image

from amalia_vl_hf.data.building.preview import _sample
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.dataset import Box
from amalia_vl_hf.data.text import pt_ocr


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    tally = build(BuildRecipe("pt-ocr", count=8, seed=4), out, preview=6)
    return out, tally, (out / "preview.html").read_text(encoding="utf-8")


def test_contents_lead_to_every_task(built):
    _, _, text = built
    page = Page(text)
    targets = {attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")}
    headings = {attributes["id"] for attributes in page.all("h2") if "id" in attributes}
    assert targets == headings
    assert sum(map(int, re.findall(r"</a> \((\d+)\)", text))) == 6
    assert len(page.all("article")) == 6


def test_pictures_have_words_boxes_and_a_file_in_full_size(built):
    out, _, text = built
    page = Page(text)
    links = [attributes["href"] for attributes in page.all("a") if attributes.get("class") == "picture"]
    assert len(links) == len(set(links)) == 6
    sizes = {f"0 0 {picture.width} {picture.height}" for picture in (Image.open(out / link) for link in links)}
    assert {attributes["viewbox"] for attributes in page.all("svg")} == sizes
    assert all(attributes["alt"].startswith("Sample ") for attributes in page.all("img"))
    assert page.all("rect")


def test_the_diversity_figures_are_those_of_the_tally(built):
    _, tally, text = built
    for kind, spread in tally.diversity.items():
        assert f"<th>{kind}</th><td>{spread.distinct}</td><td>{spread.share:.1%} of {spread.total}</td>" in text
        assert spread.most[:30] in unescape(text)
    assert tally.table().count("the most frequent") == len(tally.diversity) == 5


def test_texts_of_a_dataset_are_no_html(tmp_path, monkeypatch):
    texts = tmp_path / "texts.txt"
    texts.write_text('<script>alert(1)</script> & "aspas"\n', encoding="utf-8")
    monkeypatch.setattr(pt_ocr, "DOCUMENTS", 0)
    build(BuildRecipe("pt-ocr", count=3, seed=0, texts=str(texts)), tmp_path / "out", preview=3)
    text = (tmp_path / "out" / "preview.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_pages_of_a_sample_stand_below_one_another_each_with_its_own_boxes(tmp_path):
    def encoded(side):
        buffer = io.BytesIO()
        Image.new("RGB", (side, side)).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    boxes = [Box("um", 1, 2, 3, 4), Box("dois", 5, 6, 7, 8, picture=1)]
    (tmp_path / "preview").mkdir()
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    row = {"index": 3, "task": "t", "language": "en", "images": [encoded(9), encoded(12)], "messages": turns}
    page = Page(_sample(row, 0, lambda row: boxes, tmp_path))
    assert [attributes["alt"] for attributes in page.all("img")] == [
        "Sample 3, picture 1 of 2, t: !",
        "Sample 3, picture 2 of 2, t: !",
    ]
    assert [attributes["x"] for attributes in page.all("rect")] == ["2", "6"]
