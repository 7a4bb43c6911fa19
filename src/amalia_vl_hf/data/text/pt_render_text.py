"""PT-Render-Text: read text that is drawn in many fonts, sizes, colours, papers and layouts (paper, Table 1).

The paper gives its name and its size, 50,000 samples; layouts and questions are ours. A picture is a sign, a note with
a title, a list or two columns; the answer is its text, or its text line by line.
"""

from __future__ import annotations

import random

from PIL import Image

from ..dataset import DatasetRow, DrawnSample, Exchange, Materials, ModelStep
from ..rows import exchange, open_picture, png, truth_of
from .passages import write_entries, write_title
from .text_pictures import Line, TextStyle, draw_style, draw_text, unseen

NAME = "pt-render-text"
TITLE = "PT-Render-Text"
VERSION = 1
USES: tuple[str, ...] = ("fonts", "texts")
SUMMARY = "Reading text drawn in many fonts, sizes, colours, papers and layouts."
STEPS: tuple[ModelStep, ...] = ()

LAYOUTS = ("sign", "note", "list", "columns")
WIDTHS = (380, 760)  # pixels
# The answer is the text, its paragraphs on lines of their own, or every line as it stands in the picture.
QUESTIONS = {
    "text": (
        "Transcreve o texto da imagem.",
        "Que texto aparece na imagem?",
        "O que está escrito na imagem?",
        "Lê o texto da imagem e escreve-o tal como aparece.",
        "Extrai todo o texto visível na imagem.",
    ),
    "lines": (
        "Transcreve o texto da imagem, mantendo as quebras de linha.",
        "Escreve o texto da imagem linha a linha, tal como aparece.",
        "Que texto aparece na imagem? Responde com uma linha por cada linha da imagem.",
    ),
}


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Draw a text in one of four layouts, and ask for it."""
    layout = rng.choice(LAYOUTS)
    style = draw_style(rng, materials.typefaces, WIDTHS)
    if layout == "columns":
        paragraphs = [materials.passages(rng, 2 * index + number).text for number in range(2)]
        picture, lines = _draw_columns(paragraphs, style)
    else:
        paragraphs = _paragraphs(layout, rng, index, materials)
        picture, lines = draw_text(paragraphs, style)
    # Lines of two columns stand side by side: they have no one order.
    mode = "text" if layout == "columns" else rng.choice(("text", "text", "lines"))
    answer = "\n".join(paragraphs) if mode == "text" else "\n".join(line.text for line in lines)
    truth = {"paragraphs": paragraphs, "lines": lines, "mode": mode, "ink": style.ink, "font": style.typeface.name}
    question = rng.choice(QUESTIONS[mode])
    return DrawnSample(png(picture), (Exchange(question, answer),), f"{layout}, {mode}", truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: all words drawn, every line seen where it should be, the answer what was asked for."""
    truth, (question, answer) = truth_of(row), exchange(row)
    lines = [Line(*line) for line in truth["lines"]]
    problems = []
    drawn, meant = (" ".join(texts).split() for texts in ([line.text for line in lines], truth["paragraphs"]))
    if drawn != meant:
        problems.append(f"the words drawn, {drawn}, are not those of the text, {meant}")
    hidden = unseen(open_picture(row), lines, tuple(truth["ink"]))
    problems += [f"no ink where {text!r} should be" for text in hidden]
    modes = [mode for mode, questions in QUESTIONS.items() if question in questions]
    if modes != [truth["mode"]]:
        problems.append(f"{question!r} does not ask for {truth['mode']}")
    expected = truth["paragraphs"] if truth["mode"] == "text" else [line.text for line in lines]
    if answer.split("\n") != expected:
        problems.append(f"the answer {answer!r} is not {expected}")
    return problems


def _paragraphs(layout: str, rng: random.Random, index: int, materials: Materials) -> list[str]:
    if layout == "list":
        return [write_title(rng), *write_entries(rng, rng.randint(2, 8))]
    passage = materials.passages(rng, index)
    if layout == "sign" and passage.sentences:
        return [rng.choice(passage.sentences)]
    return [passage.text] if layout == "sign" else [write_title(rng), passage.text]


def _draw_columns(paragraphs: list[str], style: TextStyle) -> tuple[Image.Image, list[Line]]:
    """Draw one paragraph beside the other, on papers of one style."""
    columns = [draw_text([paragraph], style) for paragraph in paragraphs]
    picture = Image.new("RGB", (2 * style.width, max(part.height for part, _ in columns)), style.papers[0])
    lines = []
    for number, (part, written) in enumerate(columns):
        left = number * style.width
        picture.paste(part, (left, 0))
        lines += [line._replace(left=line.left + left, right=line.right + left) for line in written]
    return picture, lines
