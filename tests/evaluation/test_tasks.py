"""Benchmarks are values that fit the paper, and whose rules exist."""

import doctest
import json
from importlib import import_module
from pathlib import Path

import pytest

from amalia_vl_hf import evaluation
from amalia_vl_hf.evaluation import score_item
from amalia_vl_hf.evaluation.counting.totals import aggregate
from amalia_vl_hf.evaluation.tasks import AMALIA_VL_EVAL_PT, GROUPS, TASKS, UNKNOWN, find_tasks

TABLE_3 = json.loads((Path(evaluation.__file__).parent / "table3.json").read_text(encoding="utf-8"))
MODULES = (
    *("counting.captions", "counting.scoring", "counting.totals", "counting.vqa_words"),
    *("math_answers", "metrics", "parsing", "statistics", "tasks"),
)


def test_the_suite_is_table_3s_columns_with_its_daggers():
    assert [task.title for task in AMALIA_VL_EVAL_PT] == TABLE_3["columns"]
    assert {task.title: task.held_in for task in AMALIA_VL_EVAL_PT} == TABLE_3["held_in_dagger"]


def test_groups_have_the_benchmarks_of_the_paper():
    sizes = {name: len(group) for name, group in GROUPS.items()}
    assert sizes == {
        **{"amalia_vl_eval_pt": 18, "portexto_pt": 4, "caravela": 3},
        **{"refcoco_formats": 4, "multi_pixmo": 25, "towervision": 7},
    }
    assert len(TASKS) == sum(sizes.values()), "two benchmarks have one name"
    assert find_tasks("mme_pt") == (TASKS["mme_pt"],)
    with pytest.raises(ValueError, match="did you mean 'caravela'"):
        find_tasks("caravella")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_benchmark_can_be_asked_and_counted(task):
    box = [0, 0, 1, 1]
    row = {
        "references": box if task.scorer == "box" else ["A"],
        "options": ["um gato"] if task.columns.options else [],
    }
    assert "{" not in task.prompt.format(question="q", options="o").replace("\\boxed{}", "")
    row |= {"likelihoods": [(-2.0, 1), (-1.0, 1)]} if task.asks == "likelihood" else {}
    assert ("{options}" in task.prompt) == (bool(task.columns.options) and task.asks == "answer")
    for protocol in ("published", "corrected"):
        score = score_item(task, "xyz", row, protocol)
        assert score == 0 or task.scorer in ("cer", "wer")
        assert aggregate(task, [{**row, "answer": "xyz"}], protocol) == 0
    assert task.revision == UNKNOWN
    assert task.dataset != UNKNOWN or "--data" in task.note


@pytest.mark.parametrize("name", MODULES)
def test_what_docstrings_show_is_so(name):
    assert doctest.testmod(import_module(f"amalia_vl_hf.evaluation.{name}")).failed == 0
    assert doctest.testmod(evaluation).failed == 0
