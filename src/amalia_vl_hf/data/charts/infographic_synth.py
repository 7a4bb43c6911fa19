"""InfographicSynth: questions about charts of 14 templates, one to three in a picture (paper, section 5.1).

The paper has a model write what a chart says and ask about it; three samples in ten join two or three panels, answers
come in several formats, and charts and questions are in European Portuguese and English. With a model, its contents
and questions are held to the arithmetic of the seeded ones here; without one, contents are from `charts.topics`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..languages import LANGUAGE_NAMES, Language
from ..rows import exchanges, open_picture, png, truth_of
from .candidates import MOST, read_candidates
from .checks import check_picture, derive, says
from .content import UNITS, from_record, read_contents
from .dialogue import ChartExchange, read_answer, requests, write_exchange
from .marks import Mark
from .panels import join_charts
from .questions import LETTERS, Panel, Query, compute, dimension, draw_query, query_of, wrong_answers
from .style import Chart
from .templates import TEMPLATES, draw_chart
from .topics import write_content
from .wording import questions, steps

NAME = "infographic-synth"
TITLE = "InfographicSynth"
VERSION = 5
USES: tuple[str, ...] = ()  # charts have fonts and topics of their own
SUMMARY = (
    "Questions about charts of 14 templates, with reasoning, at least 60 % of them in European Portuguese, the others "
    "in English."
)

SEVERAL = 0.3  # share of pictures with 2 or 3 panels; paper, section 5.1
PORTUGUESE = 0.66  # share of the conversations; at least 0.6 are meant, in builds of some hundreds
CROSSED = 0.2  # share of charts that are asked about in the other language; ours
ALIKE = 0.6  # share of joined panels that are made to be compared; ours
TRIES = 40  # contents, until one can be drawn, or compared
HINTS = (
    "turismo", "agricultura", "pesca", "transportes públicos", "energia", "clima", "saúde", "escolas", "desporto",
    "museus e teatros", "livros e leitura", "habitação", "floresta", "reciclagem", "tecnologia", "alimentação",
    "comércio local", "emprego", "população", "ciência", "cinema e música", "água", "ciclismo", "festas populares",
    "poupança das famílias", "exportações", "animais de companhia", "voluntariado",
)  # fmt: skip
PROMPTED = {
    "columns": "gráfico de colunas", "bars": "gráfico de barras horizontais",
    "grouped columns": "gráfico de colunas agrupadas", "stacked columns": "gráfico de colunas empilhadas",
    "lines": "gráfico de linhas", "area": "gráfico de área", "pie": "gráfico circular", "cards": "cartões com números",
    "table": "tabela", "pictogram": "pictograma", "donut": "gráfico em anel", "scatter plot": "gráfico de dispersão",
    "heat map": "mapa de calor", "lollipops": "gráfico de pontos com haste",
}  # fmt: skip


class ChartSubject(NamedTuple):
    """What a sample is about, settled before anything is drawn or a model is asked.

    Args:
        templates: Of its panels.
        language: Of its charts.
        question_language: Of its questions.
        hint: What a model is to write about.
    """

    templates: tuple[str, ...]
    language: Language
    question_language: Language
    hint: str


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Draw one to three charts, and ask about them."""
    subject = _subject(rng)
    if materials.answers:
        panels = _model_panels(subject, materials)
        charts = [draw_chart(panel.template, panel.content, rng) for panel in panels]
        turns = _model_questions(panels, subject, materials, rng)
    else:
        panels, charts = _write_panels(subject, rng)
        turns = _ask(panels, subject, rng)
    picture, placed = join_charts(charts, subject.language, rng)
    shown = [
        {
            "template": panel.template,
            "content": panel.content.record(),
            "texts": [[box.text, *map(math.floor, box[1:])] for box in chart.texts],  # in whole pixels
            "marks": [_mark_record(mark) for mark in chart.marks],
            "fonts": sorted(set(chart.fonts)),
        }
        for panel, chart in zip(panels, placed, strict=True)
    ]
    if materials.answers:
        _check_shown(shown, picture)
    truth = {"panels": shown, "asked": [record for _, record in turns]}
    task = panels[0].template if len(panels) == 1 else f"{len(panels)} panels"
    return DrawnSample(png(picture), tuple(exchange for exchange, _ in turns), task, truth, subject.question_language)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: texts and values are in the picture, and each answer is what the charts give."""
    truth, conversation, language = truth_of(row), exchanges(row), row["language"]
    picture = open_picture(row)
    problems = [fault for panel in truth["panels"] for fault in check_picture(panel, picture)]
    if len(conversation) != len(truth["asked"]):
        problems.append(f"{len(conversation)} exchanges for {len(truth['asked'])} questions")
    for exchange, record in zip(conversation, truth["asked"], strict=False):
        problems += _check_exchange(exchange, record, truth["panels"], language)
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """List where each text stands."""
    texts = [text for panel in truth_of(row)["panels"] for text in panel["texts"]]
    return [Box(text, top, left, bottom, right) for text, left, top, right, bottom in texts]


def ask_content(rng: random.Random, index: int, materials: Materials) -> dict[str, str]:
    """Fill the prompt for what the charts say."""
    subject = _subject(rng)
    charts = [f"{number}. {_describe(name)}" for number, name in enumerate(subject.templates, start=1)]
    units = ", ".join(json.dumps(unit, ensure_ascii=False) for unit in UNITS)
    language = LANGUAGE_NAMES[subject.language]
    return {"charts": "\n".join(charts), "language": language, "topic": subject.hint, "units": units}


def ask_questions(rng: random.Random, index: int, materials: Materials) -> dict[str, str]:
    """Fill the prompt for questions about what the model made the charts say."""
    subject = _subject(rng)
    panels = _model_panels(subject, materials)
    shown = [
        {"panel": letter, "template": PROMPTED[panel.template], **panel.content.record()}
        for letter, panel in zip(LETTERS, panels, strict=False)
    ]
    written = "\n".join(json.dumps(chart, ensure_ascii=False) for chart in shown)
    return {"charts": written, "language": LANGUAGE_NAMES[subject.question_language], "most": str(MOST)}


STEPS = (ModelStep("content", ask_content), ModelStep("questions", ask_questions))


def _subject(rng: random.Random) -> ChartSubject:
    count = rng.choice((2, 3)) if rng.random() < SEVERAL else 1
    templates = tuple(rng.choice(sorted(TEMPLATES)) for _ in range(count))
    asked: Language = "pt" if rng.random() < PORTUGUESE else "en"
    other: Language = "en" if asked == "pt" else "pt"
    return ChartSubject(templates, other if rng.random() < CROSSED else asked, asked, rng.choice(HINTS))


def _write_panels(subject: ChartSubject, rng: random.Random) -> tuple[list[Panel], list[Chart]]:
    """Draw contents until each fits its template; often those that can be compared with the first."""
    panels: list[Panel] = []
    charts: list[Chart] = []
    alike = rng.random() < ALIKE
    for name in subject.templates:
        panel, chart = _write_panel(name, panels[0] if panels and alike else None, subject.language, rng)
        panels.append(panel)
        charts.append(chart)
    return panels, charts


def _write_panel(name: str, like: Panel | None, language: Language, rng: random.Random) -> tuple[Panel, Chart]:
    """Draw a content and its chart, and others until one fits.

    Raises:
        RejectedError: None does.
    """
    problem = RejectedError("texts do not fit", name)
    for _ in range(TRIES):
        panel = _write_content(name, like, language, rng)
        try:
            return panel, draw_chart(name, panel.content, rng)
        except RejectedError as error:
            problem = error
    raise problem


def _write_content(name: str, like: Panel | None, language: Language, rng: random.Random) -> Panel:
    """Draw a content; of several, the first whose values can be compared with another's, if there is one."""
    for _ in range(TRIES):
        panel = Panel(name, write_content(rng, TEMPLATES[name].shape, language))
        if like is None or dimension(panel, panel.content.series[0]) == dimension(like, like.content.series[0]):
            break
    return panel


def _ask(panels: Sequence[Panel], subject: ChartSubject, rng: random.Random) -> list[tuple[Exchange, dict[str, Any]]]:
    """Draw one to three questions, no two of them the same."""
    turns: dict[Query, tuple[Exchange, dict[str, Any]]] = {}
    language = subject.question_language
    for _ in range(rng.choice((1, 1, 2, 3))):
        query = draw_query(rng, panels)
        if query in turns:
            continue
        answer = compute(query, panels, language)
        wrong = wrong_answers(query, answer, panels, rng, language)
        question, reasoning = rng.choice(questions(query, panels, language)), steps(query, panels, answer, language)
        written = write_exchange(question, reasoning, answer, wrong, language, rng)
        turns[query] = written.exchange, _record(query, question, written, "seed")
    return list(turns.values())


def _model_panels(subject: ChartSubject, materials: Materials) -> list[Panel]:
    """Read what a model made the charts say.

    Raises:
        RejectedError: It is not what was asked for.
    """
    shapes = [TEMPLATES[name].shape for name in subject.templates]
    contents = read_contents(materials.answers["content"], shapes, subject.language)
    return [Panel(name, content) for name, content in zip(subject.templates, contents, strict=True)]


def _model_questions(
    panels: Sequence[Panel], subject: ChartSubject, materials: Materials, rng: random.Random
) -> list[tuple[Exchange, dict[str, Any]]]:
    """Keep a model's questions whose answer is right.

    Raises:
        RejectedError: None is left.
    """
    turns = []
    for candidate in read_candidates(materials.answers["questions"], panels, subject.question_language):
        wrong = wrong_answers(candidate.query, candidate.answer, panels, rng, subject.question_language)
        written = write_exchange(
            candidate.question, candidate.steps, candidate.answer, wrong, subject.question_language, rng
        )
        turns.append((written.exchange, _record(candidate.query, candidate.question, written, "model")))
    return turns


def _check_shown(panels: Sequence[Mapping[str, Any]], picture: Image.Image) -> None:
    """Hold what a model made charts say to the picture: a sample that fails is lost, and not the build.

    Raises:
        RejectedError: Something is not seen.
    """
    if problems := [fault for panel in panels for fault in check_picture(panel, picture)]:
        raise RejectedError("a chart that does not show what it says", problems[0])


def _mark_record(mark: Mark) -> dict[str, Any]:
    """Give JSON values, points in whole pixels."""
    inside, outside = ([[int(x), int(y)] for x, y in points] for points in (mark.inside, mark.outside))
    return {**mark._asdict(), "inside": inside, "outside": outside, "measure": round(mark.measure, 2)}


def _record(query: Query, question: str, written: ChartExchange, author: str) -> dict[str, Any]:
    options = list(written.options)
    return {"query": query.record(), "question": question, "form": written.form, "options": options, "by": author}


def _describe(name: str) -> str:
    """Say what a template takes, for a prompt."""
    shape = TEMPLATES[name].shape
    series = "uma só série" if shape.series == (1, 1) else f"{_between(shape.series)} séries"
    parts = [f"{PROMPTED[name]}, com {_between(shape.categories)} categorias e {series}"]
    if shape.whole:
        parts.append('as partes são percentagens inteiras que somam 100, cada uma de 5 ou mais, com a unidade "%"')
    if shape.stepped:
        parts.append("cada valor é um múltiplo do mesmo passo (1, 2 ou 5, ou dez, cem… vezes isso), de 1 a 10 passos")
    if shape.distinct:
        parts.append('as séries são as duas medidas dos eixos, cada uma com a sua unidade no nome, e a unidade é ""')
        parts.append("em cada série não há dois valores iguais")
    if shape.apart:
        parts.append("com mais do que uma série, os valores são múltiplos de um passo, de 1 a 10 passos")
        parts.append("e numa categoria não há dois valores iguais")
    if shape.ordered:
        parts.append("as categorias têm uma ordem, como meses ou anos")
    if shape.added:
        parts.append("a soma dos valores tem de fazer sentido")
    return "; ".join(parts)


def _between(limits: tuple[int, int]) -> str:
    return str(limits[0]) if limits[0] == limits[1] else f"{limits[0]} a {limits[1]}"


def _check_exchange(exchange: Exchange, record: Any, panels: Any, language: Language) -> list[str]:
    """Say what is wrong with a question and its answer."""
    result = derive(record["query"], panels, language)
    if result is None:
        return [f"{exchange.question!r} has no one answer"]
    problems = []
    read = [Panel(panel["template"], from_record(panel["content"])) for panel in panels]
    wordings = (
        [record["question"]] if record["by"] == "model" else questions(query_of(record["query"]), read, language)
    )
    asks = [text for wording in wordings for text in requests(wording, record["form"], record["options"], language)]
    if exchange.question not in asks:
        problems.append(f"{exchange.question!r} does not ask for {record['query']}")
    answer = read_answer(exchange.answer, record["form"], record["options"], language)
    if answer is None or not says(answer, result, record["query"], panels, language):
        problems.append(f"the answer {exchange.answer!r} is not {result}")
    right = [text for text in record["options"] if says(text, result, record["query"], panels, language)]
    if record["options"] and len(right) != 1:
        problems.append(f"{len(right)} of the options {record['options']} are right")
    return problems
