"""The YAML files that lmms-eval reads, and their functions, which are those that our runner counts with."""

import sys

import pytest
import yaml
from PIL import Image

from amalia_vl_hf import cli
from amalia_vl_hf.evaluation.lmms.tasks import task_functions, write_tasks
from amalia_vl_hf.evaluation.run import RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.evaluation.tasks import GROUPS
from tests.evaluation.lmms.conftest import TASKS, picture, write_rows
from tests.evaluation.scripted import Scripted


class Loader(yaml.SafeLoader):
    """Reads `!function` as lmms-eval writes it."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(path):
    """Read a task's YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506


def test_a_local_copy_is_opened_where_it_lies(tmp_path, capsys):
    write_rows(tmp_path / "data", [picture(number) for number in range(2)])
    assert cli.main(["eval", "lmms", str(tmp_path / "yaml"), "mme_pt", "--data", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/yaml/mme_pt.yaml\n"
    task = read(tmp_path / "yaml" / "mme_pt.yaml")
    assert (task["dataset_path"], task["test_split"]) == ("parquet", "test")
    assert task["dataset_kwargs"] == {"data_files": {"test": str(tmp_path / "data" / "mme_pt.parquet")}}
    assert task["generation_kwargs"]["max_new_tokens"] == 16
    source = (tmp_path / "yaml" / "mme_pt_functions.py").read_text(encoding="utf-8")
    names = {}
    exec(compile(source, "functions", "exec"), names)  # noqa: S102 - our own two lines
    named = [task[key] for key in ("process_docs", "doc_to_messages", "doc_to_text", "doc_to_target")]
    named += [metric["aggregation"] for metric in task["metric_list"]]
    assert all(callable(names[name.removeprefix("mme_pt_functions.")]) for name in named)


@pytest.mark.parametrize("group", ["amalia_vl_eval_pt", "portexto_pt", "caravela", "refcoco_formats"])
def test_datasets_of_the_hub_are_named_with_subset_and_file(tmp_path, group):
    for task, path in zip(GROUPS[group], write_tasks(tmp_path, [group]), strict=True):
        written = read(path)
        assert (written["dataset_path"], written["test_split"]) == (task.dataset, task.split)
        assert written.get("dataset_name") == task.subset
        assert written.get("dataset_kwargs") == (task.file and {"data_files": {"test": task.file}})
    assert "lmms_eval" not in sys.modules


def test_questions_and_totals_are_our_runners(tmp_path):
    from datasets import Dataset

    right = {task: ["sim"] * 6 for task in TASKS}
    write_rows(tmp_path / "data", [picture(number) for number in range(6)], right)
    tasks = open_tasks(["mme_pt"], [], tmp_path / "data")
    said = ["Sim", "Não", "sim", "talvez", "Sim.", "não"]
    left = iter(said)
    (score,) = evaluate(tasks, Scripted(lambda _item: next(left)), RunSettings(tmp_path / "out"))["tasks"]
    functions = task_functions("mme_pt")
    documents = functions.documents(Dataset.from_parquet(str(tmp_path / "data" / "mme_pt.parquet")))
    (questions,) = tasks
    items = []
    for document, question, answer in zip(documents, questions.questions, said, strict=True):
        (turn,) = functions.messages(document)
        image, words = turn["content"]
        assert isinstance(image["url"], Image.Image)
        pixels = questions.images(question)[0].tobytes()
        assert image["url"].tobytes() == functions.visuals(document)[0].tobytes() == pixels
        assert words == question.messages[0]["content"][1] == {"type": "text", "text": functions.text(document)}
        assert functions.target(document) == question.item["references"][0]
        items.append(functions.results(document, [answer])["published"])
    assert functions.published(items) == score["protocols"]["published"]["value"]
    assert functions.corrected(items) == score["protocols"]["corrected"]["value"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("commute_de", "are asked for by amalia-vl eval run alone"), ("mmbench_fr", "put them into --data")],
)
def test_what_lmms_eval_cannot_run_is_said(tmp_path, name, said):
    with pytest.raises(ValueError, match=said):
        write_tasks(tmp_path, [name])
