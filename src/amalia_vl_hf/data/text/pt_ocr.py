"""PT-OCR: transcription, sentences and hallucinations of European Portuguese texts (paper, section 5.1).

A picture has one to three texts, each worn in its own way; they are drawn, or are the user's own pictures. The paper
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
from ..dataset import DatasetRow, DrawnSample, Exchange, Materials, ModelStep, Passage
from ..languages import ORDINALS
from ..rows import exchange, jpeg, open_picture, truth_of
from .misreadings import misread
from .passages import split_sentences
from .text_pictures import draw_style, draw_text, unseen
from .wear import wear

NAME = "pt-ocr"
TITLE = "PT-OCR"
VERSION = 1
USES: tuple[str, ...] = ("fonts", "texts")
SUMMARY = "Transcription, sentence extraction and hallucination detection, in four answer formats."
STEPS: tuple[ModelStep, ...] = ()

ReadingTask = Literal["transcription", "first", "last", "nth", "count", "detection"]
TASKS: tuple[ReadingTask, ...] = (
    "transcription",
    "transcription",
    "first",
    "last",
    "nth",
    "count",
    "detection",
    "detection",
)
PANELS = (1, 1, 1, 2, 2, 3)  # texts in a picture, as likely each
WIDTHS = (380, 620)  # pixels of a text
GAP = 12  # pixels between two
QUALITIES = (45, 92)  # of JPEG
MIN_STEP = 25  # of 255, between the darkest and the lightest of a text after wear
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
ALL = ("Transcreve os {count} textos da imagem, {order}.", "O que dizem os {count} textos da imagem, {order}?")


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
    worn = [_draw_panel(passage, rng, materials) for passage in passages]
    direction = rng.choice(sorted(ORDERS))
    picture, boxes = _join([panel for panel, _ in worn], direction, rng)
    query = _ask(passages, direction, rng)
    kinds = [kind for kind in FORMATS if read(write(query.fields, kind), kind, query.fields) == query.fields]
    kind: AnswerFormat = rng.choice(kinds)  # a text may hold what a format is made of
    question = f"{query.question} {request(_names(query.task, query.fields), kind)}".strip()
    panels = [
        {"text": passage.text, "sentences": passage.sentences, "box": box, "wear": names}
        for passage, box, (_, names) in zip(passages, boxes, worn, strict=True)
    ]
    record = {"task": query.task, "panel": query.panel, "number": query.number, "candidate": query.candidate}
    truth = {"panels": panels, "direction": direction, "format": kind, **record}
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


def _draw_panel(passage: Passage, rng: random.Random, materials: Materials) -> tuple[Image.Image, list[str]]:
    """Draw a passage, or open its picture, and wear it.

    Raises:
        ValueError: A line cannot be seen, or the user's picture cannot be read.
    """
    if passage.picture is not None:
        try:
            return wear(Image.open(io.BytesIO(passage.picture)).convert("RGB"), rng)
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"the picture of {passage.text[:40]!r} cannot be read: {error}") from error
    style = draw_style(rng, materials.typefaces, WIDTHS)
    picture, lines = draw_text([passage.text], style)
    if hidden := unseen(picture, lines, style.ink):
        raise ValueError(f"no ink where {hidden[0]!r} should be")
    return wear(picture, rng)


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
    low, high = np.quantile(grey[top:bottom, left:right], (0.005, 0.995))
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
    if truth["panel"] is None:
        return [*parts, f"os {count} textos", ORDERS[direction]]
    sentence = {"first": "primeira frase", "last": "última frase", "count": "frases"}
    if task == "nth":
        sentence["nth"] = f"{ORDINALS['pt'][truth['number'] - 1]} frase"
    candidate = [f"«{truth['candidate']}»"] if task == "detection" else []
    return [*parts, f"texto {_place(direction, count, truth['panel'])}", sentence.get(task, ""), *candidate]
