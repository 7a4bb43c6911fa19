"""lmms-eval 0.7.3 gives our runner's answers and scores, sample by sample; see `make test-lmms`."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from amalia_vl_hf.evaluation.backends import LocalModel
from amalia_vl_hf.evaluation.counting.scoring import score_item
from amalia_vl_hf.evaluation.lmms.tasks import write_tasks
from amalia_vl_hf.evaluation.run import RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.evaluation.tasks import PROTOCOLS
from tests.evaluation.lmms.conftest import TASKS, picture, write_rows

pytestmark = pytest.mark.lmms


def lines(path):
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_answers_and_scores_are_our_runners_sample_by_sample(tmp_path, tiny_directory):
    pictures = [picture(number) for number in range(8)]
    write_rows(tmp_path / "unknown", pictures)
    model = LocalModel(str(tiny_directory), batch=8)
    evaluate(open_tasks(list(TASKS), [], tmp_path / "unknown"), model, RunSettings(tmp_path / "first"))
    first = {task: lines(tmp_path / "first" / task / "answers.jsonl") for task in TASKS}
    said = {task: [line["answer"].strip() or "nada" for line in answers] for task, answers in first.items()}
    write_rows(tmp_path / "data", pictures, said)  # half of the answers are right now
    ours = evaluate(open_tasks(list(TASKS), [], tmp_path / "data"), model, RunSettings(tmp_path / "ours"))
    write_tasks(tmp_path / "yaml", TASKS, tmp_path / "data")

    python = Path(os.environ["LMMS"]).resolve() / "bin" / "python"
    subprocess.run([python, "-c", "import importlib.util as u; assert u.find_spec('torchvision') is None"], check=True)
    command = [
        *(python, "-m", "lmms_eval", "eval", "--model", "amalia_vl", "--model_args", f"pretrained={tiny_directory}"),
        *("--tasks", ",".join(TASKS), "--include_path", tmp_path / "yaml", "--batch_size", "3"),
        *("--log_samples", "--output_path", tmp_path / "theirs"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]

    (results,) = (tmp_path / "theirs").rglob("*_results.json")
    theirs = json.loads(results.read_text(encoding="utf-8"))["results"]
    for score in ours["tasks"]:
        task = score["task"]
        (samples,) = (tmp_path / "theirs").rglob(f"*_samples_{task}.jsonl")
        known = {item["key"]: item for item in lines(tmp_path / "ours" / task / "items.jsonl")}
        logged = lines(samples)
        assert {sample["published"]["key"] for sample in logged} == known.keys()
        for sample in logged:
            item = known[sample["published"]["key"]]
            assert sample["published"]["answer"] == item["answer"].strip()  # lmms-eval strips what a model says
            for protocol in PROTOCOLS:
                counted = score_item(task, sample[protocol]["answer"], sample[protocol], protocol)
                assert counted == item["scores"][protocol]
        for protocol in PROTOCOLS:
            assert theirs[task][f"{protocol},none"] == pytest.approx(score["protocols"][protocol]["value"])
    assert any(score["protocols"]["corrected"]["value"] > 0 for score in ours["tasks"]), "only zeros show nothing"
