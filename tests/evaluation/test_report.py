"""The page shows what a run found: figures, the paper's beside them, pictures with boxes, answers and verdicts."""

import json
import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from amalia_vl_hf.evaluation.report import write_report
from amalia_vl_hf.evaluation.results import text_table
from amalia_vl_hf.evaluation.run import RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from tests.evaluation.scripted import Scripted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three benchmarks over pictures of our own."""
    folder = tmp_path_factory.mktemp("report")
    Image.new("RGB", (60, 40), (10, 200, 10)).save(folder / "a.png")

    def write(name, *rows):
        lines = "".join(json.dumps({"image": "a.png", "question_id": n, **row}) + "\n" for n, row in enumerate(rows))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")

    write("pope_pt", *({"question": "Há <b>cão</b>?", "answer": answer} for answer in ("sim", "não", "sim")))
    write("refcoco_bbox_rec_pt", {"bbox": [6, 4, 30, 20], "answer": ["o cão"]})
    write("coco2017_cap_pt", *({"answer": [f"um gato {n}", "o gato"], "id": n} for n in range(2)))
    answers = {
        "pope_pt": ["Sim", "Sim!", "<script>alert(1)</script>"],
        "refcoco_bbox_rec_pt": ["[0.1; 0.1; 0.6; 0.6]"],
    }
    said = iter([*answers["pope_pt"], *answers["refcoco_bbox_rec_pt"], "um autocarro está a chegar", ""])
    tasks = open_tasks(["pope_pt", "refcoco_bbox_rec_pt", "coco2017_cap_pt"], [], folder)
    evaluate(tasks, Scripted(lambda _item: next(said)), RunSettings(folder / "out"))
    return folder / "out"


def test_translated_and_drawn_answers_are_said(tmp_path):
    row = {"question": "O que está escrito?", "answer": ["Boat"], "question_type": "Text", "id": 1}
    (tmp_path / "ocrbench_pt.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    tasks = open_tasks(["ocrbench_pt"], [], tmp_path)
    results = evaluate(tasks, Scripted(lambda _item: "Barco"), RunSettings(tmp_path / "out"))
    assert results["tasks"][0]["translated"] == {"count": 1, "of": 1, "share": 1.0}
    assert "(1 of 1 translated)" in text_table(results)
    assert "<td>1 of 1 translated</td>" in write_report(tmp_path / "out").read_text(encoding="utf-8")


def test_the_page_has_figures_answers_and_the_papers_table(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count("<article") == 6
    outcomes = re.findall(r"<article[^>]*data-outcome=(\w+)", page)
    assert [outcomes.count(name) for name in ("right", "wrong", "differ")] == [1, 4, 1]
    assert page.count("data:image/jpeg;base64,") == 6
    assert "<td>89.6</td><td>89.4</td>" in page, "POPE of AMALIA-VL and AMALIA-VL-DPO"
    assert "mean of 18" not in page
    assert "not understood" in page
    assert "<i>empty</i>" in page
    assert '"model": "scripted"' in page.replace("&quot;", '"')


def test_what_models_and_datasets_say_is_text_and_nothing_is_loaded(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert "Há &lt;b&gt;cão" in page
    assert "http" not in page
    assert page.count("<script>") == 1


def test_a_run_is_needed_and_fewer_answers_can_be_shown(run, tmp_path):
    assert write_report(run, shown=1).read_text(encoding="utf-8").count("<article") == 3
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        write_report(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None and "CI" not in os.environ, reason="needs Chromium")
def test_the_page_filters_and_sorts_in_a_browser(run, tmp_path):
    page = write_report(run).read_text(encoding="utf-8")
    script = """<script>
outcome.value = "wrong"; outcome.onchange();
document.querySelectorAll(".sortable thead th")[1].onclick();
document.title = cards.filter(card => !card.hidden).length + " " +
  [...document.querySelector(".sortable").tBodies[0].rows].map(row => row.cells[0].textContent).join(" ");
</script>"""
    (tmp_path / "page.html").write_text(page + script, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{tmp_path}/page.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search(r"<title>(.*?)</title>", shown).group(1)
    assert title.startswith("4 ")
    assert title.split()[1:] == ["RefCOCO-REC", "COCO-Cap†", "POPE†*"], "not by rising published figures"
