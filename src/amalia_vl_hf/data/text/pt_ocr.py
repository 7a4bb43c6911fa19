"""PT-OCR: transcription, sentences and hallucinations of European Portuguese texts (paper, section 5.1).

A picture is a whole document, or has one to three texts, each worn in its own way; they are drawn, or are the
user's own pictures. The boxes of lines move with what wears their picture. The paper
names the tasks, that answers come in several formats, that pictures are perturbed and samples concatenated; wording,
formats and shares are ours.
"""

from __future__ import annotations

import io
import random
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..answer_formats import FORMATS, VERDICT, AnswerFormat, Fields, read, request, write
from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, Passage
from ..languages import ORDINALS
from ..rows import exchange, jpeg, open_picture, truth_of
from .documents import block_texts, draw_document, has_columns, order_faults, pieces_of
from .misreadings import misread
from .passages import split_sentences
from .sheet import COLUMNS
from .text_pictures import Line, draw_style, draw_text, unseen
from .wear import wear_boxes

NAME = "pt-ocr"
TITLE = "PT-OCR"
VERSION = 4
USES: tuple[str, ...] = ("fonts", "texts")
SUMMARY = "Documents and texts, worn or not: transcription, sentences and hallucinations, in four answer formats."
STEPS: tuple[ModelStep, ...] = ()

ReadingTask = Literal["transcription", "first", "last", "nth", "count", "detection"]
# As likely each, of those that a text allows: only texts beside documents have sentences to be asked for.
TASKS: tuple[ReadingTask, ...] = ("transcription", "detection", "first", "last", "nth", "count")
DOCUMENTS = 0.65  # of the samples
PANELS = (1, 1, 1, 2, 2, 3)  # texts in a picture, as likely each
WIDTHS = (380, 620)  # pixels of a text
GAP = 12  # pixels between two
QUALITIES = (45, 92)  # of JPEG
MIN_STEP = 25  # of 255, between the darkest and the lightest of a text after wear
LOOKED_AT = 4000  # pixels of a box
RIGHT_CANDIDATES = 0.5

PLACES = {
    ("vertical", 2): ("de cima", "de baixo"),
    ("vertical", 3): ("de cima", "do meio", "de baixo"),
    ("horizontal", 2): ("da esquerda", "da direita"),
    ("horizontal", 3): ("da esquerda", "do meio", "da direita"),
}
ORDERS = {"vertical": "de cima para baixo", "horizontal": "da esquerda para a direita"}
QUESTIONS: dict[ReadingTask, tuple[str, ...]] = {
    "transcription": (
        "Transcreve o texto {place}.",
        "Faz a transcrição integral do texto {place}.",
        "Escreve, palavra por palavra, o texto {place}.",
        "O que diz o texto {place}?",
        "Copia o texto {place} sem mudar nada.",
        "Lê e escreve o texto {place}.",
    ),
    "first": ("Qual é a primeira frase do texto {place}?", "Extrai a primeira frase do texto {place}."),
    "last": ("Qual é a última frase do texto {place}?", "Extrai a última frase do texto {place}."),
    "nth": ("Qual é a {ordinal} frase do texto {place}?", "Extrai a {ordinal} frase do texto {place}."),
    "count": ("Quantas frases tem o texto {place}?", "Conta as frases do texto {place}."),
    "detection": (
        "Esta transcrição do texto {place} está correta? Se não estiver, escreve o texto correto.\n«{candidate}»",
        "«{candidate}»\nÉ isto que diz o texto {place}? Se não for, corrige.",
    ),
}
CELLS = "Separa as colunas de uma linha com « | »."
ALL = ("Transcreve os {count} textos da imagem, {order}.", "O que dizem os {count} textos da imagem, {order}?")


class WornPanel(NamedTuple):
    """A text as its picture shows it.

    Args:
        picture: RGB.
        wear: What it went through.
        lines: What is written, where it is after that; nothing is known of the user's pictures.
        blocks: Of a document, before that.
        fonts: It is drawn in.
        layout: Which document it is, or none.
    """

    picture: Image.Image
    wear: list[str]
    lines: list[Line]
    blocks: list[dict[str, Any]]
    fonts: list[str]
    layout: str

    def truth(self, passage: Passage, box: tuple[int, int, int, int]) -> dict[str, Any]:
        """Say what the validator needs, `box` being where the picture stands among the others."""
        top, left = box[:2]
        lines = [Line(text, above + top, west + left, below + top, east + left)
                 for text, above, west, below, east in self.lines]  # fmt: skip
        known = {"text": passage.text, "sentences": passage.sentences, "box": box, "wear": self.wear}
        return {**known, "lines": lines, "blocks": self.blocks, "fonts": self.fonts, "layout": self.layout}


class ReadingQuery(NamedTuple):
    """A question about one text or all, what it asks for, and the answer's fields.

    Args:
        task: Which kind.
        panel: Number of the text, from 0; None for all.
        question: Without the request for a format.
        fields: Of the answer.
        number: Which sentence, from 1.
        candidate: The transcription to judge.
    """

    task: ReadingTask
    panel: int | None
    question: str
    fields: Fields
    number: int | None = None
    candidate: str | None = None


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Draw one to three texts, wear them, and ask one thing."""
    count = rng.choice(PANELS)
    passages = [materials.passages(rng, max(PANELS) * index + number) for number in range(count)]
    if rng.random() < DOCUMENTS and all(passage.picture is None for passage in passages):
        passages, panels = _draw_document(rng, index, materials)
    else:
        panels = [_draw_panel(passage, rng, materials) for passage in passages]
    direction = rng.choice(sorted(ORDERS))
    picture, boxes = _join([panel.picture for panel in panels], direction, rng)
    query = _ask(passages, direction, rng)
    kinds = [kind for kind in FORMATS if read(write(query.fields, kind), kind, query.fields) == query.fields]
    kind: AnswerFormat = rng.choice(kinds)  # a text may hold what a format is made of
    asked = [query.question, CELLS * has_columns(panels[0].blocks), request(_names(query.task, query.fields), kind)]
    question = " ".join(part for part in asked if part)
    described = [panel.truth(passage, box) for passage, box, panel in zip(passages, boxes, panels, strict=True)]
    record = {"task": query.task, "panel": query.panel, "number": query.number, "candidate": query.candidate}
    truth = {"panels": described, "direction": direction, "format": kind, **record}
    exchanges = (Exchange(question, write(query.fields, kind)),)
    return DrawnSample(jpeg(picture, rng.randint(*QUALITIES)), exchanges, f"{query.task}, {kind}", truth)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: texts are seen where they are, the question asks for the task, the answer is right."""
    truth, (question, answer) = truth_of(row), exchange(row)
    problems = []
    grey = np.asarray(open_picture(row).convert("L"))
    for panel in truth["panels"]:
        if not _seen(grey, panel["box"]):
            problems.append(f"{panel['text']!r} is not seen in {panel['box']}")
        unread = [line for line in panel["lines"] if not _seen(grey, line[1:])]
        problems += [f"{text!r} is not seen in {box}" for text, *box in unread]
        if panel["blocks"]:
            problems += _document_faults(panel)
            continue
        if panel["sentences"] and " ".join(panel["sentences"]).split() != panel["text"].split():
            problems.append(f"{panel['sentences']} are not the sentences of {panel['text']!r}")
        certain = split_sentences(panel["text"])
        if certain and list(certain) != panel["sentences"]:
            problems.append(f"{panel['sentences']} are not the sentences {list(certain)}")
    expected = _expected(truth)
    problems += [f"{question!r} lacks {part!r}" for part in _parts(truth, expected) if part not in question]
    if read(answer, truth["format"], expected) != expected:
        problems.append(f"the answer {answer!r} is not {expected} in {truth['format']}")
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the lines of a row's picture are, and where its texts are of whose lines nothing is known."""
    panels = truth_of(row)["panels"]
    return [Box(*line) for panel in panels for line in panel["lines"] or [[panel["text"], *panel["box"]]]]


def _document_faults(panel: dict[str, Any]) -> list[str]:
    """Hold a document's text to its blocks, their order, and what stands in its lines."""
    problems, text = order_faults(panel["blocks"]), "\n".join(block_texts(panel["blocks"]))
    drawn = [line[0] for line in panel["lines"]]
    if text != panel["text"] or drawn != [piece.text for piece, _ in pieces_of(panel["blocks"])]:
        problems.append(f"{panel['text']!r} is not what is drawn, {drawn}")
    return problems


def _draw_panel(passage: Passage, rng: random.Random, materials: Materials) -> WornPanel:
    """Draw a passage, or open its picture, and wear it.

    Raises:
        ValueError: A line cannot be seen, or the user's picture cannot be read.
    """
    if passage.picture is not None:
        try:
            picture = Image.open(io.BytesIO(passage.picture)).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"the picture of {passage.text[:40]!r} cannot be read: {error}") from error
        return WornPanel(*wear_boxes(picture, [], rng), [], [], "picture")
    style = draw_style(rng, materials.typefaces, WIDTHS)
    picture, lines = draw_text([passage.text], style)
    if hidden := unseen(picture, lines, style.ink):
        raise ValueError(f"no ink where {hidden[0]!r} should be")
    return WornPanel(*wear_boxes(picture, lines, rng), [], [style.typeface.name], "panel")


def _draw_document(rng: random.Random, index: int, materials: Materials) -> tuple[list[Passage], list[WornPanel]]:
    """Draw a whole document and wear it."""
    document = draw_document(rng, index, materials)
    lines = [piece for piece, _ in pieces_of(document.blocks)]
    panel = WornPanel(*wear_boxes(document.image, lines, rng), document.blocks, document.fonts, document.kind)
    return [Passage("\n".join(block_texts(document.blocks)), ())], [panel]


def _join(
    panels: list[Image.Image], direction: str, rng: random.Random
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """Put pictures below or beside one another; gives their boxes, `(top, left, bottom, right)`."""
    boxes, top, left = [], 0, 0
    for panel in panels:
        boxes.append((top, left, top + panel.height, left + panel.width))
        if direction == "vertical":
            top += panel.height + GAP
        else:
            left += panel.width + GAP
    size = (max(box[3] for box in boxes), max(box[2] for box in boxes))
    level = rng.randint(90, 245)
    joined = Image.new("RGB", size, (level, level, level))
    for panel, box in zip(panels, boxes, strict=True):
        joined.paste(panel, (box[1], box[0]))
    return joined, boxes


def _ask(passages: list[Passage], direction: str, rng: random.Random) -> ReadingQuery:
    """Ask one thing that the texts allow."""
    if len(passages) > 1 and rng.random() < 0.25:
        question = rng.choice(ALL).format(count=len(passages), order=ORDERS[direction])
        return ReadingQuery("transcription", None, question, _numbered([passage.text for passage in passages]))
    panel = rng.randrange(len(passages))
    passage = passages[panel]
    task = rng.choice([task for task in TASKS if _allows(passage, task)])
    if COLUMNS in passage.text:  # what parts columns is not there to be misread
        task = "transcription"
    number, candidate = None, None
    fields: Fields = {"texto": passage.text}
    if task in ("first", "last", "nth"):
        last = len(passage.sentences)
        number = {"first": 1, "last": last}.get(task) or rng.randint(2, last - 1)
        fields = {"frase": passage.sentences[number - 1]}
    elif task == "count":
        fields = {"total": len(passage.sentences)}
    elif task == "detection":
        right = rng.random() < RIGHT_CANDIDATES
        candidate = passage.text if right else misread(passage.text, rng)
        fields = {VERDICT: True} if right else {VERDICT: False, "texto": passage.text}
    ordinal = ORDINALS["pt"][number - 1] if number else ""
    place = _place(direction, len(passages), panel)
    question = rng.choice(QUESTIONS[task]).format(place=place, ordinal=ordinal, candidate=candidate)
    return ReadingQuery(task, panel, question, fields, number, candidate)


def _allows(passage: Passage, task: ReadingTask) -> bool:
    """Tell whether a text has sentences enough, and not more than have an ordinal here."""
    least = {"first": 2, "last": 2, "nth": 3, "count": 1}.get(task, 0)
    return not least or least <= len(passage.sentences) <= len(ORDINALS["pt"])


def _place(direction: str, count: int, panel: int) -> str:
    return "da imagem" if count == 1 else PLACES[direction, count][panel]


def _numbered(texts: list[str]) -> Fields:
    return {f"texto_{number}": text for number, text in enumerate(texts, start=1)}


def _names(task: ReadingTask, fields: Fields) -> list[str]:
    """List the fields a question names; it must not tell whether a transcription is right by naming one less."""
    return [VERDICT, "texto"] if task == "detection" else list(fields)


def _seen(grey: np.ndarray, box: list[int]) -> bool:
    """Tell whether dark and light stand in a box of a grey picture."""
    top, left, bottom, right = box
    height, width = grey.shape
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        return False
    step = 1 + 2 * ((bottom - top) * (right - left) // LOOKED_AT)  # odd, as patterns of two are not
    low, high = np.quantile(grey[top:bottom, left:right].ravel()[::step], (0.005, 0.995))
    return bool(high - low >= MIN_STEP)


def _expected(truth: dict[str, Any]) -> Fields:
    """Work the answer out anew, from what the picture shows and what was asked."""
    texts = [panel["text"] for panel in truth["panels"]]
    if truth["panel"] is None:
        return _numbered(texts)
    panel = truth["panels"][truth["panel"]]
    if truth["task"] == "transcription":
        return {"texto": panel["text"]}
    if truth["task"] == "count":
        return {"total": len(panel["sentences"])}
    if truth["task"] == "detection":
        if truth["candidate"] == panel["text"]:
            return {VERDICT: True}
        return {VERDICT: False, "texto": panel["text"]}
    position = {"first": 0, "last": -1}.get(truth["task"], (truth["number"] or 0) - 1)
    return {"frase": panel["sentences"][position]}


def _parts(truth: dict[str, Any], expected: Fields) -> list[str]:
    """List what the question has to say: which text, which sentence, which transcription, which format."""
    count, direction, task = len(truth["panels"]), truth["direction"], truth["task"]
    parts = [request(_names(task, expected), truth["format"])]
    parts += [CELLS] * has_columns(truth["panels"][0]["blocks"])
    if truth["panel"] is None:
        return [*parts, f"os {count} textos", ORDERS[direction]]
    sentence = {"first": "primeira frase", "last": "última frase", "count": "frases"}
    if task == "nth":
        sentence["nth"] = f"{ORDINALS['pt'][truth['number'] - 1]} frase"
    candidate = [f"«{truth['candidate']}»"] if task == "detection" else []
    return [*parts, f"texto {_place(direction, count, truth['panel'])}", sentence.get(task, ""), *candidate]
