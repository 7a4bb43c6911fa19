"""Rendered text read back by Tesseract, which knows nothing of how it was drawn: errors a letter, by kind of picture.

Each line is cut out where the label says it is, put in black on white, and read in Portuguese; ours is the share of
letters that differ from the label, stock nothing. Fonts that look like joined handwriting stand apart, and
so does code, which Tesseract is not made for. A dash for a hyphen and straight quotes are no errors.
"""

import io
import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.shards import draw_row, materials_of
from amalia_vl_hf.data.dataset import Box
from amalia_vl_hf.data.rows import open_picture, truth_of
from amalia_vl_hf.data.typefaces import is_script

SAMPLES = {"pt-render-text": 120, "pt-ocr": 120, "simple-code-ocr": 20}
HEIGHT, GAP = 44, 18  # pixels of a line that is read, and between two
PLAIN = str.maketrans({"–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"'})


class Reading(NamedTuple):
    """What should stand in a part of a picture, what was read, and what kind of picture it is."""

    dataset: str
    kind: str
    wear: tuple[str, ...]
    layout: str
    label: str
    read: str

    @property
    def errors(self) -> int:
        """Count the letters to insert, take out or replace."""
        return distance(self.label, self.read)


def readings(name: str, count: int, seed: int = 0) -> Iterator[Reading]:
    """Draw samples of a dataset and read them."""
    recipe = BuildRecipe(name, count, seed)
    materials = materials_of(recipe)
    for index in range(count):
        row = draw_row(recipe, index, materials)
        truth, picture = truth_of(row), open_picture(row)
        if "panels" in truth:
            parts = [(panel["lines"], panel["fonts"], panel["wear"], panel["layout"]) for panel in truth["panels"]]
        else:
            parts = [(recipe.dataset.boxes(row), truth.get("fonts", ()), (), truth.get("layout", "code"))]
        for lines, fonts, wear, layout in parts:
            boxes = [Box(*line) for line in lines]
            kind = "code" if layout == "code" else "script" if any(is_script(Path(font)) for font in fonts) else ""
            label = plain(" ".join(box.text for box in boxes))
            read = plain(read_lines(picture, boxes))
            yield Reading(name, kind or ("worn" if wear else "upright"), tuple(wear), layout, label, read)


def read_lines(picture: Image.Image, boxes: Sequence[Box]) -> str:
    """Read the lines in boxes, one below the other."""
    lines = [cut(picture.convert("L"), box) for box in boxes]
    sheet = Image.new("L", (max(line.width for line in lines) + 40, 20 + len(lines) * (HEIGHT + GAP)), 255)
    for number, line in enumerate(lines):
        sheet.paste(line, (20, 14 + number * (HEIGHT + GAP)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    command = ["tesseract", "stdin", "stdout", "-l", "por", "--psm", "6", "--dpi", "150"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=True, env=environment)
    return done.stdout.decode()


def cut(grey: Image.Image, box: Box) -> Image.Image:
    """Cut a line out with a little room, in black on white."""
    room = max(4, (box.bottom - box.top) // 5)
    edges = (max(box.left - room, 0), max(box.top - room, 0))
    line = grey.crop((*edges, min(box.right + room, grey.width), min(box.bottom + room, grey.height)))
    if np.median(np.asarray(line)) < 128:
        line = ImageOps.invert(line)
    levels = np.asarray(line).astype(float)
    dark, light = np.quantile(levels, (0.005, 0.5))
    clean = ((levels - dark) / max(light - dark, 1) * 255).clip(0, 255).astype(np.uint8)
    width = max(round(line.width * HEIGHT / line.height), 1)
    return Image.fromarray(clean).resize((width, HEIGHT), Image.Resampling.LANCZOS)


def plain(text: str) -> str:
    """Write a text with single blanks, hyphens and straight quotes."""
    return " ".join(text.translate(PLAIN).split())


def distance(one: str, other: str) -> int:
    """Count the letters to insert, take out or replace to get from one text to the other.

    >>> distance("gato", "gatos"), distance("", "ab"), distance("rio", "rua")
    (1, 2, 2)
    """
    letters, columns = np.array(list(other), dtype="U1"), np.arange(len(other) + 1)
    previous = columns
    for number, letter in enumerate(one, start=1):
        best = np.minimum(previous[:-1] + (letters != letter), previous[1:] + 1)
        previous = np.minimum.accumulate(np.concatenate(([number], best)) - columns) + columns
    return int(previous[-1])


def rates(found: Sequence[Reading]) -> dict[str, float]:
    """Give the share of wrong letters by dataset and kind, and of the worn ones by what they went through alone."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for reading in found:
        names = [f"{reading.dataset}, {reading.kind}"]
        if reading.kind == "worn" and len(reading.wear) == 1:
            names.append(f"{reading.dataset}, {reading.wear[0]} alone")
        for name in names:
            counts[name][0] += reading.errors
            counts[name][1] += len(reading.label)
    return {name: errors / letters for name, (errors, letters) in sorted(counts.items())}


def main() -> None:
    """Read samples of each dataset; print the rates, and the parts that were read worst."""
    found = [reading for name, count in SAMPLES.items() for reading in readings(name, count)]
    by_name = rates(found)
    for name, rate in by_name.items():
        letters = sum(len(r.label) for r in found if f"{r.dataset}, {r.kind}" == name)
        print(f"{name:36}{rate:8.2%}{letters or '':>9}")
    worst = sorted((r for r in found if r.kind in ("upright", "worn")), key=lambda r: -r.errors / len(r.label))[:3]
    for reading in worst:
        print(
            f"worst: {reading.errors / len(reading.label):.1%} {reading.layout} {reading.wear}: {reading.label[:60]!r}"
        )
    lines = {
        f"CER {name}": {"ours": rate, "stock": None, "ratio": None, "unit": "of letters"}
        for name, rate in by_name.items()
    }
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
