"""PT-Render-Text: read text that is drawn in many fonts, sizes, colours, papers and layouts (paper, Table 1).

The paper gives its name and its size, 50,000 samples; layouts and questions are ours. A picture is a whole
document, or a sign, a note with a title, a list or two columns on patterned paper; the answer is its text, or its
text line by line, in the order in which it is read.
"""

from __future__ import annotations

import random
from typing import Any

from PIL import Image

from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep
from ..rows import exchange, open_picture, png, truth_of
from .documents import (
    KINDS,
    DrawnDocument,
    block_texts,
    document_faults,
    draw_document,
    has_columns,
    line_texts,
    paragraph_blocks,
    pieces_of,
)
from .passages import write_list, write_title
from .text_pictures import draw_style, draw_text

NAME = "pt-render-text"
TITLE = "PT-Render-Text"
VERSION = 5
USES: tuple[str, ...] = ("fonts", "texts")
SUMMARY = "Reading whole documents and texts drawn in many fonts, sizes, colours, papers and layouts."
STEPS: tuple[ModelStep, ...] = ()

PANELS = ("sign", "note", "list", "columns")
LAYOUTS = (*PANELS, *KINDS)
DOCUMENTS = 0.65  # of the samples
WIDTHS = (380, 760)  # pixels of a panel
# The answer is the text, its blocks on lines of their own, or every line as it stands in the picture.
QUESTIONS = {
    "text": (
        "Transcreve o texto da imagem.",
        "Que texto aparece na imagem?",
        "O que está escrito na imagem?",
        "Lê o texto da imagem e escreve-o tal como aparece.",
        "Extrai todo o texto visível na imagem.",
        "Copia o texto que se vê na imagem.",
        "Diz-me o que está escrito aqui.",
        "Passa para texto o que mostra a imagem.",
        "Quero o texto desta imagem, sem comentários.",
        "Reproduz fielmente o texto da imagem.",
    ),
    "lines": (
        "Transcreve o texto da imagem, mantendo as quebras de linha.",
        "Escreve o texto da imagem linha a linha, tal como aparece.",
        "Que texto aparece na imagem? Responde com uma linha por cada linha da imagem.",
        "Copia o texto da imagem e muda de linha onde a imagem muda.",
        "Passa para texto o que mostra a imagem, uma linha de cada vez.",
    ),
}
CELLS = "Separa as colunas de uma linha com « | »."


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Draw a document, or a text in one of four layouts, and ask for it."""
    document = draw_document(rng, index, materials) if rng.random() < DOCUMENTS else _draw_panel(rng, index, materials)
    mode = rng.choice(("text", "text", "lines"))
    question = rng.choice(QUESTIONS[mode])
    if has_columns(document.blocks):
        question = f"{question} {CELLS}"
    truth = {**document.truth(), "mode": mode}
    answer = _answer(document.blocks, mode)
    return DrawnSample(png(document.image), (Exchange(question, answer),), f"{document.kind}, {mode}", truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: lines seen where they should be, in the order of readers, answered as asked."""
    truth, (question, answer) = truth_of(row), exchange(row)
    problems = document_faults(open_picture(row), truth["blocks"])
    cells = f" {CELLS}" if has_columns(truth["blocks"]) else ""
    modes = [mode for mode, some in QUESTIONS.items() if question in [f"{wording}{cells}" for wording in some]]
    if modes != [truth["mode"]]:
        problems.append(f"{question!r} does not ask for {truth['mode']}")
    expected = _answer(truth["blocks"], truth["mode"])
    if answer != expected:
        problems.append(f"the answer {answer!r} is not {expected!r}")
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the pieces of a row's picture are."""
    return [Box(*piece) for piece, _ in pieces_of(truth_of(row)["blocks"])]


def _answer(blocks: list[dict[str, Any]], mode: str) -> str:
    lines = block_texts(blocks) if mode == "text" else [line for block in blocks for line in line_texts(block)]
    return "\n".join(lines)


def _draw_panel(rng: random.Random, index: int, materials: Materials) -> DrawnDocument:
    """Draw a text on patterned paper, or one beside the other on papers of one style."""
    layout, style = rng.choice(PANELS), draw_style(rng, materials.typefaces, WIDTHS)
    columns = [[_passage(rng, 2 * index + number, materials)] for number in range(2)] if layout == "columns" else []
    columns = columns or [_paragraphs(layout, rng, index, materials)]
    parts = [draw_text(column, style) for column in columns]
    height = max(part.height for part, _ in parts)
    picture, blocks = Image.new("RGB", (len(parts) * style.width, height), style.papers[0]), []
    for number, (part, written) in enumerate(parts):
        left = number * style.width
        picture.paste(part, (left, 0))
        lines = [line._replace(left=line.left + left, right=line.right + left) for line in written]
        blocks += paragraph_blocks(columns[number], lines, style.ink, number)
    return DrawnDocument(layout, picture, blocks, [style.typeface.name])


def _paragraphs(layout: str, rng: random.Random, index: int, materials: Materials) -> list[str]:
    if layout == "list":
        return write_list(rng, rng.randint(2, 8))
    passage = materials.passages(rng, index)
    if layout == "sign" and passage.sentences:
        return [rng.choice(passage.sentences)]
    text = " ".join(passage.text.split())
    return [text] if layout == "sign" else [write_title(rng), text]


def _passage(rng: random.Random, index: int, materials: Materials) -> str:
    return " ".join(materials.passages(rng, index).text.split())
