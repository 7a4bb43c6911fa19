"""A run goes on where it was killed, refuses another one's folder, and never counts what was not answered."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amalia_vl_hf import cli
from amalia_vl_hf.evaluation import run as run_module
from amalia_vl_hf.evaluation.answers import AnswerFile
from amalia_vl_hf.evaluation.results import card_scores, means, read_run
from amalia_vl_hf.evaluation.run import MissingAnswersError, OtherRunError, RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.evaluation.tasks import AMALIA_VL_EVAL_PT
from tests.evaluation.conftest import write_rows
from tests.evaluation.scripted import Scripted, right
from tests.forked import forked


@pytest.fixture
def task(tmp_path):
    return str(write_rows(tmp_path / "data"))


def questions(task, limit=None):
    return open_tasks([], [task], limit=limit)


def contents(out: Path) -> dict[str, bytes]:
    """Read all files of a run."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_writes_answers_items_scores_and_a_manifest(tmp_path, task):
    results = evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    assert set(contents(tmp_path / "out")) == {
        *("manifest.json", "results.json", ".lock"),
        *(f"cores/{name}" for name in ("answers.jsonl", "items.jsonl", "scores.json")),
        *(name for name in contents(tmp_path / "out") if name.startswith("cores/pictures/")),
    }
    score = results["tasks"][0]
    assert score["protocols"]["published"]["value"] == 100
    assert score["counts"] == {"unparsed": 0, "empty": 0, "cut": 0}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["run"]["model"] == "scripted"
    assert manifest["tasks"]["cores"]["rows"] == 12
    assert {"torch", "transformers", "python", "amalia-vl-hf"} <= manifest["versions"].keys()
    assert read_run(tmp_path / "out") == results


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("answered", [0, 1, 5, 11])
def test_killed_anywhere_it_asks_what_is_missing_and_ends_with_the_same_files(tmp_path, task, answered, torn):
    unbroken, out = tmp_path / "unbroken", tmp_path / "out"
    evaluate(questions(task), Scripted(right), RunSettings(unbroken))

    def die(count):
        if count == answered:
            if torn:
                with (out / "cores" / "answers.jsonl").open("ab") as file:
                    file.write(b'{"key": "ab')
            os.kill(os.getpid(), signal.SIGKILL)

    child = forked(lambda: evaluate(questions(task), Scripted(right, before=die), RunSettings(out)) and 0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (out / "results.json").exists()
    again = Scripted(right)
    evaluate(questions(task), again, RunSettings(out))
    assert again.asked == list(range(answered, 12))
    before, after = contents(unbroken), contents(out)
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != ".lock")


def test_the_order_in_which_answers_come_leaves_no_trace(tmp_path, task):
    class Shuffled(Scripted):
        def answer(self, questions, missing, images, max_new_tokens, keep):
            order = list(missing)
            random.Random(1).shuffle(order)
            return super().answer(questions, order, images, max_new_tokens, keep)

    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "one"))
    evaluate(questions(task), Shuffled(right), RunSettings(tmp_path / "two"))
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert all(one[name] == two[name] for name in one if name != ".lock")


def test_a_finished_run_asks_nothing(tmp_path, task):
    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    before = contents(tmp_path / "out")
    again = Scripted(right)
    evaluate(questions(task), again, RunSettings(tmp_path / "out"))
    assert again.asked == []
    after = contents(tmp_path / "out")
    assert all(before[name] == after[name] for name in before if name != ".lock")


def change_rows(task):
    path = Path(task).with_name("rows.jsonl")
    path.write_text(path.read_text(encoding="utf-8").replace("azul", "anil"), encoding="utf-8")


def change_picture(task):
    (Path(task).with_name("0.png")).write_bytes((Path(task).with_name("1.png")).read_bytes())


def change_prompt(task):
    Path(task).write_text(Path(task).read_text(encoding="utf-8") + 'prompt: "{question} Diz."\n', encoding="utf-8")


def change_tokens(task):
    Path(task).write_text(Path(task).read_text(encoding="utf-8").replace(": 8", ": 9"), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_rows, "rows, images or prompts"),
        (change_picture, "rows, images or prompts"),
        (change_prompt, r'the prompt: "{question}" there, "{question} Diz." now'),
        (change_tokens, "the longest answer: 8 there, 9 now"),
    ],
)
def test_other_data_or_prompts_in_the_folder_are_refused_naming_both(tmp_path, task, change, words):
    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    before = contents(tmp_path / "out")
    change(task)
    with pytest.raises(OtherRunError, match=words.replace("{", r"\{")):
        evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    assert contents(tmp_path / "out").items() >= {name: before[name] for name in before if name != ".lock"}.items()


def test_another_model_sampling_or_limit_is_refused_naming_both(tmp_path, task):
    settings = RunSettings(tmp_path / "out")
    evaluate(questions(task), Scripted(right), settings)
    with pytest.raises(OtherRunError, match='the model: "scripted" there, "other" now'):
        evaluate(questions(task), Scripted(right, name="other"), settings)
    with pytest.raises(OtherRunError, match="the limit: null there, 3 now"):
        evaluate(questions(task, 3), Scripted(right), settings._replace(limit=3))
    warm = Scripted(right)
    warm.record = lambda: {"model": "scripted", "weights": "none", "sampling": {"temperature": 1.0}}
    with pytest.raises(OtherRunError, match=r'the sampling: \{"temperature": 0.0\} there, \{"temperature": 1.0\} now'):
        evaluate(questions(task), warm, settings)


def test_a_second_task_joins_a_run(tmp_path, task):
    other = Path(task).with_name("outra.yaml")
    other.write_text("name: outra\ndata: rows.jsonl\nmetric: anls\n", encoding="utf-8")
    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    results = evaluate(questions(str(other)), Scripted(right), RunSettings(tmp_path / "out"))
    assert [score["task"] for score in results["tasks"]] == ["cores", "outra"]
    with pytest.raises(ValueError, match="two tasks are called cores"):
        open_tasks([], [task, task])


def test_a_limit_is_marked_and_divided_by(tmp_path, task):
    results = evaluate(questions(task, 4), Scripted(lambda item: "azul"), RunSettings(tmp_path / "out", 4))
    score = results["tasks"][0]
    assert (results["limit"], score["limit"], score["questions"], score["of"]) == (4, 4, 4, 12)
    assert score["protocols"]["published"]["value"] == 25
    with pytest.raises(ValueError, match="took 4 rows"):
        card_scores(results, [])


def test_what_the_official_suite_would_draw_at_random_is_counted_beside_what_nobody_understands(tmp_path):
    rows = [
        {"id": f"validation_Art_{n}", "question": "Q", "options": "['sim', 'não']", "answer": "A"} for n in range(4)
    ]
    (tmp_path / "mmmu_pt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = iter(["A", "**A**", "não sei", ""])
    tasks = open_tasks(["mmmu_pt"], [], tmp_path)
    (score,) = evaluate(tasks, Scripted(lambda item: next(said)), RunSettings(tmp_path / "out"))["tasks"]
    assert score["counts"] == {"unparsed": 2, "empty": 1, "cut": 0, "drawn": 3}
    assert [score["protocols"][protocol]["value"] for protocol in ("published", "corrected")] == [25, 50]
    assert "draws one at random; here it is wrong" in score["note"]


def test_nothing_is_counted_while_an_answer_is_missing(tmp_path, task, monkeypatch):
    from amalia_vl_hf.evaluation.backends import Unanswered

    class Half(Scripted):
        def answer(self, questions, missing, images, max_new_tokens, keep):
            super().answer(questions, missing[::2], images, max_new_tokens, keep)
            return [Unanswered(question, "refused with 400: too long") for question in missing[1::2]]

    with pytest.raises(
        MissingAnswersError, match=r"6 of 12 questions have no answer.*row 1: refused with 400: too long"
    ):
        evaluate(questions(task), Half(right), RunSettings(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("scores.json"))
    with pytest.raises(MissingAnswersError, match="6 of 12"):
        run_module.count_task(questions(task)[0], RunSettings(tmp_path / "out"))
    rest = Scripted(right)
    evaluate(questions(task), rest, RunSettings(tmp_path / "out"))
    assert rest.asked == [1, 3, 5, 7, 9, 11]

    class Silent(Scripted):
        def answer(self, *_):
            return []

    with pytest.raises(MissingAnswersError, match=r"12 of 12 questions.*no answer came back"):
        evaluate(questions(task), Silent(right), RunSettings(tmp_path / "silent"))


@pytest.mark.parametrize("line", ["no json", '{"key": 1}', '{"key": "abc", "answer": "a", "cut": false}'])
def test_a_file_of_something_else_is_refused(tmp_path, task, line):
    (tmp_path / "answers.jsonl").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1: (no answer of this program|an answer to abc)"):
        AnswerFile(tmp_path / "answers.jsonl", questions(task)[0].questions)


def test_two_processes_do_not_write_one_run(tmp_path, task):
    (tmp_path / "out").mkdir()
    reads, writes = os.pipe()

    def hold():
        from amalia_vl_hf import disk

        with disk.sole_writer(tmp_path / "out" / ".lock", "evaluating"):
            os.write(writes, b"x")
            signal.pause()

    child = forked(hold)
    os.read(reads, 1)
    with pytest.raises(BlockingIOError, match="evaluating into"):
        evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "out"))


def test_another_interpreter_with_another_hash_seed_writes_the_same_bytes(tmp_path, task):
    evaluate(questions(task), Scripted(right), RunSettings(tmp_path / "here"))
    code = (
        "import sys; from pathlib import Path; from tests.evaluation.scripted import Scripted, right;"
        "from amalia_vl_hf.evaluation.run import RunSettings, evaluate;"
        "from amalia_vl_hf.evaluation.sources import open_tasks;"
        "evaluate(open_tasks([], [sys.argv[1]]), Scripted(right), RunSettings(Path(sys.argv[2])))"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    command = [sys.executable, "-c", code, task, str(tmp_path / "there")]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[2], check=True)
    one, two = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if name != ".lock")


def figures(value):
    """Make figures of all of Table 3, each of one value."""
    both = {"published": {"value": value}, "corrected": {"value": value}}
    mme = {"published": {"value": 28 * value}, "corrected": {"value": 28 * value}}
    return [
        {"task": task.name, "questions": 1, "protocols": mme if task.name == "mme_pt" else both}
        for task in AMALIA_VL_EVAL_PT
    ]


def test_means_are_of_all_18_or_there_are_none():
    assert means(figures(50.0), "published") == {"mean": 50, "held_out": 50}
    assert means(figures(50.0)[1:], "published") == {}
    raised = figures(50.0)
    raised[1]["protocols"] = {"published": {"value": 68.0}}  # MMMU, which is held in
    assert means(raised, "published") == {"mean": 51, "held_out": 50}


def test_the_command_line(tmp_path, task, tiny_directory, capsys):
    out = str(tmp_path / "out")
    assert cli.main(["eval", "run", "--task", task, "--model", str(tiny_directory), "--out", out, "--limit", "3"]) == 0
    assert "only the first 3 rows" in capsys.readouterr().out
    assert cli.main(["eval", "score", out]) == 0
    assert "cores" in capsys.readouterr().out
    assert cli.main(["eval", "compare", out, out]) == 0
    assert "0.00  [0.00, 0.00]" in capsys.readouterr().out
    assert cli.main(["eval", "report", out]) == 0
    assert (tmp_path / "out" / "report.html").is_file()
    for arguments, words in (
        (
            ["eval", "run", "--task", task, "--model", str(tiny_directory), "--out", out],
            "the limit: 3 there, null now",
        ),
        (["eval", "run", "pop_pt", "--model", "M", "--out", out], "did you mean 'pope_pt'"),
        (["eval", "run", "--model", "M", "--out", out], "nothing to evaluate"),
        (["eval", "run", "mmbench_fr", "--model", "M", "--out", out], "nobody could look up"),
        (["eval", "score", str(tmp_path / "nowhere")], "no finished run"),
    ):
        assert cli.main(arguments) == 2
        assert words in capsys.readouterr().err
