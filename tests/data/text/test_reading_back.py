"""An independent reader reads what the labels say: Tesseract, in Portuguese, over a sample of each dataset of text."""

import os
import shutil

import pytest
from PIL import Image, ImageDraw

from amalia_vl_hf.data.dataset import Box
from amalia_vl_hf.data.typefaces import OWN, load
from benchmarks.reading_back import distance, rates, read_lines, readings

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None and not os.environ.get("CI"),
    reason="apt install tesseract-ocr tesseract-ocr-por",
)
SAMPLES = 40
BOUNDS = {"upright": 0.01, "worn": 0.05}  # of the letters


@pytest.mark.parametrize(
    ("one", "other", "edits"), [("", "", 0), ("abc", "", 3), ("gato", "gatos", 1), ("rio", "rua", 2)]
)
def test_distances_are_edits(one, other, edits):
    assert distance(one, other) == distance(other, one) == edits


@needs_tesseract
@pytest.mark.slow
def test_a_wrong_label_and_a_wrong_box_are_read_as_such():
    picture = Image.new("RGB", (600, 60), "white")
    ImageDraw.Draw(picture).text(
        (20, 10), "O comboio parte às oito.", font=load(OWN / "Caladea-Regular.ttf", 32), fill="black"
    )
    assert read_lines(picture, [Box("", 10, 15, 50, 400)]).strip() == "O comboio parte às oito."
    assert read_lines(picture, [Box("", 10, 410, 50, 590)]).strip() == ""


@needs_tesseract
@pytest.mark.slow
@pytest.mark.parametrize("name", ["pt-render-text", "pt-ocr"])
def test_labels_are_what_an_independent_reader_reads(name):
    found = list(readings(name, SAMPLES, seed=2))
    by_name = rates(found)
    print({name: f"{rate:.2%}" for name, rate in by_name.items()})
    assert {f"{name}, upright", f"{name}, script"} <= by_name.keys()
    for kind, bound in BOUNDS.items():
        assert by_name.get(f"{name}, {kind}", 0) <= bound, by_name
    assert by_name[f"{name}, script"] <= 0.15
