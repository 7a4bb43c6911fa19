"""InfographicSynth: rows are right, faults are found in spoilt ones, and a model's charts are held to the same."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf.asking.inference import Endpoint
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build
from amalia_vl_hf.data.charts import infographic_synth
from amalia_vl_hf.data.charts.marks import Mark
from amalia_vl_hf.data.charts.panels import ACROSS, join_charts
from amalia_vl_hf.data.charts.questions import Panel, compute, draw_query
from amalia_vl_hf.data.charts.style import Chart, TextBox, clashes
from amalia_vl_hf.data.charts.templates import TEMPLATES
from amalia_vl_hf.data.charts.wording import questions, steps
from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.languages import LANGUAGES
from amalia_vl_hf.data.prompts import read_prompt
from amalia_vl_hf.data.rows import exchanges, open_picture, png, write_row
from amalia_vl_hf.variety import judge

from ...asking.model_server import Fault, ModelServer, completion
from ..rows import MATERIALS, drawn_row, with_truth
from .charts import as_model, as_model_query, dump, seeded, written

SAMPLES = 20


@pytest.fixture(scope="module")
def rows():
    return [drawn_row(infographic_synth, seed) for seed in range(SAMPLES)]


def truth_of(row):
    return json.loads(row["truth"])


def test_rows_are_right(rows):
    for row in rows:
        assert infographic_synth.faults(row) == []
        assert row["language"] in LANGUAGES
        assert open_picture(row).width > 100


@pytest.mark.slow
def test_many_rows_are_right():
    for seed in range(400):
        assert infographic_synth.faults(drawn_row(infographic_synth, 1_000 + seed)) == []


def test_three_pictures_in_ten_have_several_panels_and_six_conversations_in_ten_are_portuguese():
    subjects = [infographic_synth._subject(random.Random(seed)) for seed in range(3_000)]
    several = Counter(len(subject.templates) for subject in subjects)
    assert (several[2] + several[3]) / 3_000 == pytest.approx(0.3, abs=0.03)
    assert several[2] / several[3] == pytest.approx(1, abs=0.2)
    asked = Counter(subject.question_language for subject in subjects)["pt"] / 3_000
    assert 0.6 < asked == pytest.approx(infographic_synth.PORTUGUESE, abs=0.03)
    assert "at least 60 % of them in European Portuguese" in infographic_synth.SUMMARY
    crossed = sum(subject.language != subject.question_language for subject in subjects)
    assert crossed / 3_000 == pytest.approx(infographic_synth.CROSSED, abs=0.03)
    assert {name for subject in subjects for name in subject.templates} == set(TEMPLATES)


SCRIPT = """
import hashlib, random, sys
from amalia_vl_hf.data.charts import infographic_synth
from amalia_vl_hf.data.dataset import Materials
from amalia_vl_hf.data.text.passages import write_passage
print(len({"matplotlib", "vl_convert"} & set(sys.modules)))
for seed in range(int(sys.argv[1])):
    drawn = infographic_synth.draw(random.Random(f"0 {seed}"), seed, Materials((), write_passage))
    print(hashlib.sha256(drawn.picture + repr(drawn.exchanges).encode()).hexdigest())
"""


def test_another_process_draws_the_same_samples_and_loads_no_plotting_before(rows, tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("lines.linewidth: 9\naxes.linewidth: 5\n")  # a machine's own
    loaded, *there = subprocess.run(
        [sys.executable, "-c", SCRIPT, "10"], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(settings)},
    ).stdout.split()  # fmt: skip
    here = [
        hashlib.sha256(row["images"][0]["bytes"] + repr(tuple(exchanges(row))).encode()).hexdigest()
        for row in rows[:10]
    ]
    assert loaded == "0"
    assert here == there


def test_dialogues_are_european_portuguese():
    """Of texts alone, without their charts; the few that the filter mistakes are rejected by the build."""
    judged, refused = Counter(), 0
    for seed in range(500):
        rng = random.Random(seed)
        subject = infographic_synth._subject(rng)
        if subject.question_language == "pt":
            panels = [written(name, seed, subject.language) for name in subject.templates]
            said = [text for exchange, _ in infographic_synth._ask(panels, subject, rng) for text in exchange]
            verdict = judge("\n".join(said))
            judged[verdict.is_pt_pt] += 1
            refused += verdict.refused
    assert judged.total() > 200
    assert judged[False] / judged.total() < 0.03
    assert refused / judged.total() < 0.01  # kept are to be 99 in 100


def red_at(picture, x, y):
    return picture.getpixel((int(x), int(y))) == (255, 0, 0)


def test_joined_charts_stand_apart_below_their_names():
    mark = Mark(0, 0, "length", "#ff0000", ((5, 5),), ((-2, 5),), 1)
    chart = Chart(Image.new("RGB", (120, 80), "red"), [TextBox("um", 5, 5, 30, 20)], [mark])
    seen = set()
    for seed in range(20):
        picture, placed = join_charts([chart] * 3, "pt", random.Random(seed))
        texts = [one.texts for one in placed]
        assert all(red_at(picture, *one.marks[0].inside[0]) for one in placed)
        assert not any(red_at(picture, *one.marks[0].outside[0]) for one in placed)
        seen.add(picture.size)
        red = (np.asarray(picture) == (255, 0, 0)).all(axis=2)
        assert red.sum() == 3 * 120 * 80
        assert [boxes[0].text for boxes in texts] == ["Painel A", "Painel B", "Painel C"]
        assert clashes([box for boxes in texts for box in boxes], *picture.size) == []
        assert all(red[int(boxes[1].top), int(boxes[1].left)] for boxes in texts)
    assert len(seen) == len(ACROSS)


def test_boxes_for_the_preview_are_those_of_texts_and_fonts_are_named(rows):
    for row in rows[:5]:
        panels = json.loads(row["truth"])["panels"]
        drawn = infographic_synth.boxes(row)
        assert [box.text for box in drawn] == [text[0] for panel in panels for text in panel["texts"]]
        assert all(box.left < box.right and box.top < box.bottom for box in drawn)
        assert all(panel["fonts"] for panel in panels)


def test_a_wrong_answer_is_found(rows):
    for row, other in pairwise(rows):
        turns = [*row["messages"][:-1], {"role": "assistant", "content": "Resposta: 1 234 567"}]
        assert any("is not" in fault for fault in infographic_synth.faults({**row, "messages": turns}))
        asked = [{"role": "user", "content": other["messages"][0]["content"]}, *row["messages"][1:]]
        if asked[0] != row["messages"][0]:
            found = infographic_synth.faults({**row, "messages": asked})
            assert any("does not ask for" in fault for fault in found)


def test_options_of_which_two_are_right_are_found(rows):
    for row in rows:
        truth = truth_of(row)
        for number, asked in enumerate(truth["asked"]):
            if asked["form"] == "choices":
                right = asked["options"]["ABCDE".index(exchanges(row)[number].answer)]
                spoilt = [*truth["asked"]]
                spoilt[number] = {**asked, "options": [right, right]}
                found = infographic_synth.faults(with_truth(row, asked=spoilt))
                assert any("2 of the options" in fault for fault in found)
                return
    raise AssertionError("no multiple choice among the rows")


def test_another_value_in_a_chart_is_found(rows):
    """What was asked then has another answer, or the value that is printed is another."""
    for row in rows:
        panels = truth_of(row)["panels"]
        for panel in panels:
            values = panel["content"]["values"]
            panel["content"]["values"] = [[str(3 * float(value) + 7) for value in line] for line in values]
        assert any("cannot be read" in fault for fault in infographic_synth.faults(with_truth(row, panels=panels)))


def test_a_picture_without_its_texts_is_found(rows):
    for row in rows[:6]:
        blank = png(Image.new("RGB", open_picture(row).size, "white"))
        found = infographic_synth.faults({**row, "images": [{"bytes": blank, "path": None}]})
        assert any("is not written in" in fault for fault in found)


def test_a_picture_cut_off_is_found(rows):
    for row in rows[:6]:
        picture = open_picture(row)
        cut = png(picture.crop((0, 0, picture.width // 2, picture.height)))
        found = infographic_synth.faults({**row, "images": [{"bytes": cut, "path": None}]})
        assert any("reaches out of the picture" in fault for fault in found)


def test_other_faults_are_found(rows):
    row = rows[0]
    truth = truth_of(row)
    renamed = [{**panel, "content": {**panel["content"], "title": "Outro título"}} for panel in truth["panels"]]
    found = infographic_synth.faults(with_truth(row, panels=renamed))
    assert any("'Outro título' stands nowhere" in fault for fault in found)
    assert any("0 questions" in fault for fault in infographic_synth.faults(with_truth(row, asked=[])))
    name = truth["panels"][0]["content"]
    cells = [[0, name["series"][0], category] for category in name["categories"]]
    for line in name["values"]:
        line[:] = [line[0]] * len(line)
    tied = {"op": "highest", "panel": 0, "cells": cells, "threshold": None}
    asked = [{**one, "query": tied} for one in truth["asked"]]
    found = infographic_synth.faults(with_truth(row, panels=truth["panels"], asked=asked))
    assert any("has no one answer" in fault for fault in found)


def told(seed, subject, spoil=None):
    """Answer both steps as a model would; gives the answers."""
    panels = [seeded(name, f"{seed} {at}", subject.language) for at, name in enumerate(subject.templates)]
    rng = random.Random(seed)
    asked = []
    for _ in range(3):
        query = draw_query(rng, panels)
        answer = compute(query, panels, subject.question_language)
        item = {
            "question": rng.choice(questions(query, panels, subject.question_language)),
            "steps": steps(query, panels, answer, subject.question_language),
            "answer": answer.text,
            "query": as_model_query(query),
        }
        asked.append(item)
    contents = [as_model(panel.content) for panel in panels]
    return {"content": dump(contents), "questions": dump(asked)} | (spoil or {})


def subject_of(seed):
    return infographic_synth._subject(random.Random(f"0 {seed}"))


def test_a_models_charts_and_questions_make_right_rows():
    made = 0
    for seed in range(8):
        answers = told(seed, subject_of(seed))
        materials = MATERIALS._replace(answers=answers)
        with contextlib.suppress(RejectedError):  # its charts are drawn or not; none is drawn instead
            row = drawn_row(infographic_synth, seed, materials)
            made += 1
            assert infographic_synth.faults(row) == []
            assert all(asked["by"] == "model" for asked in truth_of(row)["asked"])
    assert made > 5


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("no JSON", {"content": "Claro! Aqui está."}),
        ("another number of charts", {"content": "[]"}),
        ("no question whose answer is right", {"questions": "[]"}),
        ("no JSON", {"questions": "…"}),
    ],
)
def test_other_answers_of_a_model_are_rejected(reason, spoil):
    materials = MATERIALS._replace(answers=told(1, subject_of(1), spoil))
    with pytest.raises(RejectedError, match=reason):
        infographic_synth.draw(random.Random("0 1"), 1, materials)


def test_a_models_chart_that_cannot_be_seen_is_rejected(monkeypatch):
    monkeypatch.setattr(infographic_synth, "check_picture", lambda panel, picture: ["'Braga' stands nowhere"])
    materials = MATERIALS._replace(answers=told(1, subject_of(1)))
    with pytest.raises(RejectedError, match="a chart that does not show what it says: 'Braga' stands nowhere"):
        infographic_synth.draw(random.Random("0 1"), 1, materials)


def test_prompts_are_filled_and_speak_of_what_is_drawn():
    for seed in range(20):
        subject, materials = subject_of(seed), MATERIALS._replace(answers=told(seed, subject_of(seed)))
        prompts = {}
        for step in infographic_synth.STEPS:
            slots = step.ask(random.Random(f"0 {seed}"), seed, materials)
            prompts[step.name] = read_prompt(infographic_synth.NAME, step.name).substitute(slots)
        for name in subject.templates:
            assert infographic_synth.PROMPTED[name] in prompts["content"]
            assert infographic_synth.PROMPTED[name] in prompts["questions"]
        assert infographic_synth.LANGUAGE_NAMES[subject.language] in prompts["content"]
        assert infographic_synth.LANGUAGE_NAMES[subject.question_language] in prompts["questions"]
        for prompt in prompts.values():
            assert "$" not in prompt
            assert judge(prompt).is_pt_pt


def test_a_build_asks_a_model_for_charts_and_for_questions(tmp_path):
    """Six samples through a server on loopback: one gets no JSON, the others what is asked for."""
    answers = {}
    recipe = BuildRecipe(infographic_synth.NAME, count=6, seed=4)
    for index in range(6):
        subject = infographic_synth._subject(recipe.rng(index))
        said = told(index, subject, {"content": "Não sei."} if index == 2 else None)
        materials = MATERIALS._replace(answers=said)
        for step in infographic_synth.STEPS[: 1 if index == 2 else 2]:
            slots = step.ask(recipe.rng(index), index, materials)
            answers[read_prompt(recipe.name, step.name).substitute(slots)] = said[step.name]
    with ModelServer(script=lambda text, count: Fault(body=completion(answers[text]))) as server:
        made = build(replace(recipe, endpoint=Endpoint(server.url, "amalia")), tmp_path / "out")
    assert made.rejected["no JSON"] == 1
    assert made.made + made.rejected.total() == 6
    (shard,) = (tmp_path / "out" / "data").iterdir()
    rows = pq.read_table(shard).to_pylist()
    assert len(rows) == made.made > 2
    assert all(asked["by"] == "model" for row in rows for asked in truth_of(row)["asked"])


def test_a_question_is_not_asked_about_charts_that_are_none():
    with pytest.raises(RejectedError, match="no JSON"):
        infographic_synth.ask_questions(random.Random("0 0"), 0, MATERIALS._replace(answers={"content": "nada"}))


def test_a_content_that_fits_no_template_is_rejected(monkeypatch):
    def refuse(name, content, rng):
        raise RejectedError("texts do not fit", name)

    monkeypatch.setattr(infographic_synth, "draw_chart", refuse)
    with pytest.raises(RejectedError, match="texts do not fit"):
        infographic_synth.draw(random.Random("0 0"), 0, MATERIALS)


def test_contents_that_cannot_be_compared_are_drawn_all_the_same():
    like = Panel("columns", seeded("pie", 0).content)
    panel = infographic_synth._write_content("scatter plot", like, "pt", random.Random(0))
    assert panel.template == "scatter plot"
    drawn = infographic_synth.draw(random.Random("0 0"), 0, MATERIALS)
    assert write_row(infographic_synth, drawn, 0)["source"] == "InfographicSynth"
