"""Charts for tests, and how a model would write them."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from decimal import Decimal

from amalia_vl_hf.data.charts.content import Content
from amalia_vl_hf.data.charts.questions import LETTERS, Panel
from amalia_vl_hf.data.charts.templates import TEMPLATES, draw_chart
from amalia_vl_hf.data.charts.topics import write_content
from amalia_vl_hf.data.dataset import RejectedError

TOWNS = Content(
    "Visitantes dos museus", "cidade", "Visitantes", "", ("Braga", "Faro", "Beja", "Viseu"), ("Visitantes",),
    ((Decimal(40), Decimal(10), Decimal(30), Decimal(20)),), "pt",
)  # fmt: skip
RAIN = Content(
    "Rainfall in Faro", "month", "Rainfall", "mm", ("May", "June", "July"), ("2019", "2020"),
    ((Decimal(10), Decimal(20), Decimal(30)), (Decimal(5), Decimal(5), Decimal(40))), "en",
)  # fmt: skip


def written(template, seed, language="pt"):
    """Write a content for a template; whether it fits is not asked, which takes a hundred times as long."""
    rng = random.Random(f"{template} {seed}")
    return Panel(template, write_content(rng, TEMPLATES[template].shape, language))


def seeded(template, seed, language="pt"):
    """Draw a content that the template can show: what it cannot, a build draws anew as well."""
    rng = random.Random(f"{template} {seed}")
    while True:
        panel = Panel(template, write_content(rng, TEMPLATES[template].shape, language))
        with suppress(RejectedError):
            draw_chart(template, panel.content, random.Random(seed))
            return panel


def as_model(content):
    """Write a content as a model is asked to."""
    series = [
        {"name": name, "values": [float(value) for value in row]}
        for name, row in zip(content.series, content.values, strict=True)
    ]
    record = content.record()
    kept = {key: record[key] for key in ("title", "category", "measure", "unit", "categories")}
    return {**kept, "series": series}


def as_model_query(query):
    """Write a query as a model is asked to."""
    return {
        "op": query.op,
        "panel": None if query.panel is None else LETTERS[query.panel],
        "cells": [[LETTERS[cell.panel], cell.series, cell.category] for cell in query.cells],
        "threshold": None if query.threshold is None else float(query.threshold),
    }


def dump(items):
    return json.dumps(items, ensure_ascii=False)
