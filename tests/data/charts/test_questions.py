"""Questions about charts: answers are what other arithmetic gives, wordings are sentences, a model's are verified."""

import random
import re
import string
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from amalia_vl_hf.data.charts import infographic_synth
from amalia_vl_hf.data.charts.candidates import MOST, read_candidates, read_query
from amalia_vl_hf.data.charts.checks import derive, says
from amalia_vl_hf.data.charts.dialogue import CHOICES, SHORT, choose_form, read_answer, requests, write_exchange
from amalia_vl_hf.data.charts.infographic_synth import _write_content
from amalia_vl_hf.data.charts.questions import (
    _ANSWERS,
    Cell,
    ChartAnswer,
    Panel,
    Query,
    compute,
    draw_query,
    look_up,
    query_of,
    whole_series,
    wrong_answers,
)
from amalia_vl_hf.data.charts.templates import TEMPLATES
from amalia_vl_hf.data.charts.topics import write_content
from amalia_vl_hf.data.charts.wording import QUESTIONS, STEPS, questions, steps
from amalia_vl_hf.data.choices import final_answer
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.languages import LANGUAGES
from amalia_vl_hf.variety import judge

from .charts import RAIN, TOWNS, as_model_query, dump, written

DRAWN = 500
ONE = (Panel("columns", TOWNS),)
TWO = (Panel("columns", TOWNS), Panel("grouped columns", RAIN))
OPS = tuple(_ANSWERS)
BRAGA, FARO = Cell(0, "Visitantes", "Braga"), Cell(0, "Visitantes", "Faro")
ALL = whole_series(ONE, 0, "Visitantes")


def record(panels):
    return [{"template": panel.template, "content": panel.content.record()} for panel in panels]


@pytest.fixture(scope="module")
def drawn():
    """Queries about all templates, alone and joined."""
    found = []
    for seed in range(DRAWN):
        rng = random.Random(seed)
        language = LANGUAGES[seed % 2]
        names = rng.choices(sorted(TEMPLATES), k=rng.choice((1, 1, 2, 3)))
        panels = [written(names[0], seed, language)]
        panels += [_write_content(name, panels[0], language, rng) for name in names[1:]]
        found.append((draw_query(rng, panels), tuple(panels), rng.choice(LANGUAGES)))
    return found


def test_answers_are_what_fractions_give(drawn):
    for query, panels, language in drawn:
        answer = compute(query, panels, language)
        result = derive(query.record(), record(panels), language)
        assert says(answer.text, result, query.record(), record(panels), language), (query, answer, result)


def test_every_operation_is_asked(drawn):
    seen = Counter(query.op for query, _, _ in drawn)
    assert set(seen) == set(OPS)


def test_wrong_answers_are_wrong(drawn):
    given = 0
    for query, panels, language in drawn:
        answer = compute(query, panels, language)
        result = derive(query.record(), record(panels), language)
        wrong = wrong_answers(query, answer, panels, random.Random(0), language)
        given += bool(wrong)
        assert len(set(wrong)) == len(wrong) <= 3
        assert not any(says(text, result, query.record(), record(panels), language) for text in wrong)
    assert given > DRAWN / 2


def test_queries_are_read_back(drawn):
    for query, _, _ in drawn:
        assert query_of(query.record()) == query


def test_questions_are_sentences_that_name_what_they_ask_for(drawn):
    for query, panels, language in drawn:
        answer = compute(query, panels, language)
        for text in (*questions(query, panels, language), steps(query, panels, answer, language)):
            assert text[0] in "«“" or text[0].isupper() or text[0].isdigit()
            assert text[-1] in "?."
            assert "  " not in text
            assert not {"{", "}"} & set(text)
        asked = questions(query, panels, language)[0]
        if query.op in ("value", "difference", "greater", "rises"):
            assert all(cell.category in asked for cell in query.cells)
        if len(panels) > 1 and query.panel is not None:
            assert f"{'painel' if language == 'pt' else 'panel'} {'ABC'[query.panel]}" in asked


def test_reasoning_has_the_numbers_and_ends_in_the_answer(drawn):
    for query, panels, language in drawn:
        answer = compute(query, panels, language)
        reasoning = steps(query, panels, answer, language)
        assert final_answer(reasoning, language) is None
        assert ".." not in reasoning
        if query.op in ("difference", "sum", "average", "share", "highest", "title", "measure", "count"):
            assert answer.text in reasoning


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_operation_has_words(language):
    assert set(STEPS[language]) == set(OPS)
    assert set(QUESTIONS[language]) == {*OPS, "sum of all"}
    assert all(len(set(wordings)) == len(wordings) for wordings in QUESTIONS[language].values())


def test_sentences_have_a_space_between_them():
    for language in LANGUAGES:
        for text in STEPS[language].values():
            assert not re.search(r"[.!?][^\W\d]", text), text


def test_portuguese_wordings_are_european():
    formatter = string.Formatter()
    texts = [text for wordings in QUESTIONS["pt"].values() for text in wordings] + list(STEPS["pt"].values())
    plain = ["".join(part for part, *_ in formatter.parse(text)) for text in texts]
    assert judge("\n".join(plain)).is_pt_pt


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (Query("value", 0, (BRAGA,)), "40"),
        (Query("difference", 0, (FARO, BRAGA)), "30"),
        (Query("sum", 0, (FARO, BRAGA)), "50"),
        (Query("sum", 0, ALL), "100"),
        (Query("average", 0, ALL), "25"),
        (Query("share", 0, ALL), "40 %"),
        (Query("highest", 0, ALL), "Braga"),
        (Query("lowest", 0, ALL), "Faro"),
        (Query("second", 0, ALL), "Beja"),
        (Query("order", 0, ALL), "Braga, Beja, Viseu"),
        (Query("above", 0, ALL, Decimal(20)), "2"),
        (Query("greater", 0, (FARO, BRAGA)), "Não"),
        (Query("rises", 0, ALL[1:]), "Não"),
        (Query("title", 0), "Visitantes dos museus"),
        (Query("measure", 1), "Rainfall (mm)"),
        (Query("legend", 1), "2019, 2020"),
        (Query("count", 1), "3"),
        (Query("panel of most", None), "Painel A"),
    ],
)
def test_answers_in_a_worked_example(query, answer):
    assert compute(query, TWO, "pt").text == answer


def test_between_percentages_lie_percentage_points():
    shares = replace(TOWNS, unit="%")
    panels = (Panel("pie", shares),)
    query = Query("difference", 0, (BRAGA, FARO))
    assert compute(query, panels, "pt").text == "30 p.p."
    assert compute(query, panels, "en").text == "30 pp"
    assert wrong_answers(query, compute(query, panels, "pt"), panels, random.Random(0), "pt")[0].endswith(" p.p.")


def test_averages_have_no_idle_places():
    halves = replace(TOWNS, values=((Decimal("1.50"), Decimal("2.50"), Decimal("3.50"), Decimal("4.51")),))
    query = Query("average", 0, ALL)
    with pytest.raises(RejectedError, match="its chart does not decide"):
        compute(query, (Panel("columns", halves),), "pt")
    whole = replace(halves, values=((Decimal("1.50"), Decimal("2.50"), Decimal("3.50"), Decimal("4.50")),))
    assert compute(query, (Panel("columns", whole),), "pt").text == "3"


TIED = (Panel("columns", replace(TOWNS, values=((Decimal(5), Decimal(5), Decimal(5), Decimal(5)),))),)
SCATTER = (Panel("scatter plot", replace(RAIN, unit="", categories=("A", "B", "C"))),)
CELSIUS = (Panel("columns", replace(TOWNS, unit="°C")),)
UNDECIDED = "its chart does not decide"
MISSING = "about what is not there"


@pytest.mark.parametrize(
    ("reason", "query", "panels"),
    [
        ("an unknown operation", Query("median", 0, ALL), ONE),
        (MISSING, Query("title", 3), ONE),
        (MISSING, Query("value", 0, (Cell(0, "Visitantes", "Porto"),)), ONE),
        (MISSING, Query("difference", None, (BRAGA, Cell(2, "Visitantes", "Faro"))), TWO),
        (MISSING, Query("highest", 0, ALL[:3]), ONE),
        (MISSING, Query("value", 1, (BRAGA,)), TWO),
        (UNDECIDED, Query("value", 0, (BRAGA, FARO)), ONE),
        (UNDECIDED, Query("sum", 0, (BRAGA, BRAGA)), ONE),
        (UNDECIDED, Query("sum", None, (BRAGA, FARO)), ONE),
        (UNDECIDED, Query("panel of most", 0), TWO),
        (UNDECIDED, Query("highest", 0, ALL), TIED),
        (UNDECIDED, Query("lowest", 0, ALL), TIED),
        (UNDECIDED, Query("order", 0, ALL), TIED),
        (UNDECIDED, Query("second", 0, ALL), TIED),
        (UNDECIDED, Query("greater", 0, (BRAGA, FARO)), TIED),
        (UNDECIDED, Query("above", 0, ALL), ONE),
        (UNDECIDED, Query("rises", 0, (BRAGA, FARO, Cell(0, "Visitantes", "Viseu"))), ONE),
        (UNDECIDED, Query("rises", 0, ALL[:3]), (Panel("bars", TOWNS),)),
        (UNDECIDED, Query("measure", 0), (Panel("pie", TOWNS),)),
        (UNDECIDED, Query("legend", 0), ONE),
        (UNDECIDED, Query("count", 0), SCATTER),
        (UNDECIDED, Query("title", None), ONE),
        (UNDECIDED, Query("share", 0, ALL), (Panel("pie", replace(TOWNS, unit="%")),)),
        (UNDECIDED, Query("panel of most", None), ONE),
        (UNDECIDED, Query("panel of most", None), (Panel("columns", TOWNS), Panel("bars", TOWNS))),
        ("values of different units", Query("panel of the highest", None), TWO),
        ("values of different units", Query("difference", None, (BRAGA, Cell(1, "2019", "May"))), TWO),
        ("values of different units", Query("difference", 0, (Cell(0, "2019", "A"), Cell(0, "2020", "A"))), SCATTER),
        ("a sum that means nothing", Query("sum", 0, ALL), CELSIUS),
        ("a sum that means nothing", Query("share", 0, ALL), CELSIUS),
    ],
)
def test_what_a_picture_does_not_decide_is_rejected(reason, query, panels):
    with pytest.raises(RejectedError, match=reason):
        compute(query, panels, "pt")


def test_counts_in_thousands_are_not_compared_with_others():
    thousands = replace(TOWNS, measure="Visitantes (milhares)", series=("Visitantes (milhares)",))
    query = Query("difference", None, (BRAGA, Cell(1, "Visitantes (milhares)", "Faro")))
    with pytest.raises(RejectedError, match="values of different units"):
        compute(query, (Panel("columns", TOWNS), Panel("bars", thousands)), "pt")


def test_forms_come_in_their_shares():
    rng = random.Random(0)
    number = Counter(choose_form(ChartAnswer("number", "3", Decimal(3)), True, rng) for _ in range(4_000))
    assert number["choices"] / 4_000 == pytest.approx(CHOICES, abs=0.02)
    texts = Counter(choose_form(ChartAnswer("text", "Sol"), True, rng) for _ in range(4_000))
    assert texts["choices"] / 4_000 == pytest.approx(CHOICES, abs=0.02)
    assert set(texts) == {"choices", "short"}  # what is only read is not reasoned about
    verdicts = Counter(choose_form(ChartAnswer("verdict", "Sim"), True, rng) for _ in range(4_000))
    assert set(verdicts) == {"choices", "verdict", "reasoned"}


def test_a_build_has_its_share_of_options_and_of_short_answers():
    forms = Counter()
    for seed in range(700):
        rng = random.Random(seed)
        subject = infographic_synth._subject(rng)
        shapes = [TEMPLATES[name].shape for name in subject.templates]
        contents = [write_content(rng, shape, subject.language) for shape in shapes]
        panels = [Panel(name, content) for name, content in zip(subject.templates, contents, strict=True)]
        forms.update(record["form"] for _, record in infographic_synth._ask(panels, subject, rng))
    assert forms["choices"] / forms.total() == pytest.approx(CHOICES, abs=0.03)
    assert forms["short"] / forms.total() == pytest.approx(SHORT, abs=0.03)


def test_exchanges_are_read_back(drawn):
    seen = Counter()
    for number, (query, panels, language) in enumerate(drawn):
        rng = random.Random(number)
        answer = compute(query, panels, language)
        wrong = wrong_answers(query, answer, panels, rng, language)
        asked = write_exchange("Quanto é?", "Leio o gráfico.", answer, wrong, language, rng)
        seen[asked.form] += 1
        assert read_answer(asked.exchange.answer, asked.form, asked.options, language) == answer.text
        assert asked.exchange.question in requests("Quanto é?", asked.form, asked.options, language)
    assert set(seen) == {"reasoned", "choices", "short", "verdict"}


@pytest.mark.parametrize(("text", "form"), [("F", "choices"), ("a", "choices"), ("C", "choices"), ("40", "reasoned")])
def test_answers_in_another_form_are_not_read(text, form):
    assert read_answer(text, form, ["1", "2"], "pt") is None


def candidate(**changes):
    query = Query("difference", 0, (BRAGA, FARO))
    return {
        "question": "Qual é a diferença entre Braga e Faro?",
        "steps": "Braga tem 40 e Faro tem 10: 40 − 10 = 30.",
        "answer": "30",
        "query": as_model_query(query),
        **changes,
    }


def test_a_models_question_is_kept_with_the_computed_answer():
    (kept,) = read_candidates(dump([candidate()]), ONE, "pt")
    assert kept.answer.text == "30"
    assert kept.question == "Qual é a diferença entre Braga e Faro?"


def test_right_questions_are_kept_beside_wrong_ones():
    items = [candidate(answer="31"), candidate(), candidate(), 7]
    assert len(read_candidates(dump(items), ONE, "pt")) == 1


def test_a_model_that_asks_as_we_do_is_understood(drawn):
    """The grammar of queries is one: what is drawn here can be told by a model, and is verified."""
    for query, panels, language in drawn[:200]:
        answer = compute(query, panels, language)
        item = {
            "question": questions(query, panels, language)[0],
            "steps": steps(query, panels, answer, language),
            "answer": answer.text,
            "query": as_model_query(query),
        }
        (kept,) = read_candidates(dump([item] * (MOST + 1)), panels, language)
        assert kept.answer.text == answer.text


QUERY = as_model_query(Query("difference", 0, (BRAGA, FARO)))
GREATER = as_model_query(Query("greater", 0, (BRAGA, FARO)))
LOWER = {"question": "O valor de Braga é inferior ao de Faro?", "answer": "Sim", "query": GREATER}
ABOVE = as_model_query(Query("above", 0, ALL, Decimal(20)))


@pytest.mark.parametrize(
    ("reason", "item"),
    [
        ("other keys of a question", candidate(more=1)),
        ("a text too short or too long", candidate(question="?")),
        ("a text too short or too long", candidate(answer=30)),
        ("a wrong answer", candidate(answer="31")),
        ("a wrong answer", candidate(answer="30 t")),
        ("does not name what it asks for", candidate(question="Qual é a diferença entre Braga e Beja?")),
        ("does not name what it asks for", candidate(question="Quantas têm mais de 25?", answer="2", query=ABOVE)),
        ("reasoning without its numbers", candidate(steps="Faz-se a conta e dá 30.")),
        ("of another form", candidate(question="Qual é a diferença\nentre Braga e Faro?")),
        ("of another form", candidate(steps="Braga tem 40 e Faro tem 10.\nResposta: 30")),
        ("other keys of a query", candidate(query={"op": "sum"})),
        ("other cells of a query", candidate(query={**QUERY, "cells": [["A", "Braga"]]})),
        ("for something else than its query", candidate(question="Qual é a soma de Braga e Faro?")),
        ("for something else than its query", candidate(**LOWER)),
        (
            "for something else than its query",
            candidate(**{**LOWER, "question": "O valor de Faro é superior ao de Braga?"}),
        ),
        ("a threshold that is no number", candidate(query={**QUERY, "threshold": "vinte"})),
        (MISSING, candidate(query={**QUERY, "panel": "Z"})),
        (MISSING, candidate(query={**QUERY, "op": "rises", "cells": [["A", "Visitantes", name] for name in "ABC"]})),
        ("in another language", candidate(question="What is the difference between Braga and Faro in this chart?")),
        ("an unknown operation", candidate(query={**QUERY, "op": "exec"})),
    ],
)
def test_other_questions_are_rejected(reason, item):
    with pytest.raises(RejectedError, match=f"no question whose answer is right.*{reason}"):
        read_candidates(dump([item]), ONE, "pt")


@pytest.mark.parametrize(("reason", "answer"), [("no JSON", "olá"), ("no JSON list", "{}"), ("no questions", "[]")])
def test_other_answers_are_rejected(reason, answer):
    with pytest.raises(RejectedError, match=reason):
        read_candidates(answer, ONE, "pt")


def test_queries_of_a_model_name_panels_by_their_letters():
    query = read_query({"op": "value", "panel": "B", "cells": [["B", "2019", "May"]], "threshold": None})
    assert query == Query("value", 1, (Cell(1, "2019", "May"),))
    assert look_up(query.cells[0], TWO) == 10
