"""The demo's whole chain at a minute size: killed in the middle, run again, and read back."""

import importlib
import json
import os
import signal
import sys
import time

import pytest
from transformers.utils import logging

from amalia_vl_hf.demo import pipeline
from amalia_vl_hf.demo.backbones.sizes import BackboneSizes, WarmUp
from amalia_vl_hf.demo.pipeline import DemoSizes, run
from amalia_vl_hf.demo.scene_sets import SetSizes
from tests.forked import forked

SMALL = ("epochs=null", "steps=4", "batch_size=2", "save_steps=1", "log_steps=1", "accumulation=1")
SIZES = DemoSizes(
    SetSizes(captions=8, instructions=8, preferences=8, questions=1, test_preferences=2),
    BackboneSizes(
        tile_size=32,
        tower_width=16,
        tower_layers=1,
        decoder_width=16,
        decoder_layers=1,
        vocab_size=300,
        tower=WarmUp(scenes=4, steps=2, batch=4, rate=1e-3, matrix_rate=0.01),
        decoder=WarmUp(scenes=8, steps=2, batch=4, rate=1e-3, matrix_rate=0.01),
    ),
    dict.fromkeys(("1_align", "2_instruct", "3_prefer"), SMALL),
)
FIGURES = {"loss_start", "loss_end", "exact_match", "exact_match_by_kind", "preference_accuracy", "seconds"}


def forked_python(module, *arguments):
    """What `pipeline._python` does, but in a fork."""

    def work():
        sys.argv = [module, *arguments]
        return importlib.import_module(module).main()

    assert os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1]) == 0


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory):
    """A run killed in the middle of stage 1, then run again to its end; with what was finished at the kill.

    Stage 1 starts new interpreters, as users do; for the others that would be the same again.
    """
    out = tmp_path_factory.mktemp("demo") / "run"
    first = forked(lambda: run(out, 0, SIZES) and 0)
    while not list((out / "1_align.partial").glob("checkpoint-*/trainer_state.json")):
        assert os.waitpid(first, os.WNOHANG) == (0, 0), "the demo ended before stage 1 had a checkpoint"
        time.sleep(0.05)
    os.killpg(first, signal.SIGKILL)
    os.waitpid(first, 0)
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors") if ".partial" not in str(path)}
    starts = iter([pipeline._python] * 2)  # stage 1: training and evaluation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_python", lambda *words: next(starts, forked_python)(*words))
        results = run(out, 0, SIZES)
    logging.enable_progress_bar()  # for the tests that come after
    return out, finished, results


def test_results_have_a_row_a_stage_with_every_figure(killed_and_resumed):
    out, _, results = killed_and_resumed
    rows = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [row["stage"] for row in rows] == ["1_align", "2_instruct", "3_prefer"]
    assert all(row.keys() >= FIGURES for row in rows)
    assert rows == [json.loads(json.dumps(result.as_row())) for result in results]


def test_stage_1_changes_the_connector_alone_and_the_others_everything(killed_and_resumed):
    _, _, (align, instruct, prefer) = killed_and_resumed
    assert align.changed_modules == ("connector",)
    assert instruct.changed_modules == prefer.changed_modules == ("connector", "decoder", "tower")


def test_what_was_finished_when_it_was_killed_is_not_made_again(killed_and_resumed):
    _, finished, _ = killed_and_resumed
    assert any(path.parent.name == "0_base" for path in finished)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_nothing_half_done_is_left(killed_and_resumed):
    out, _, _ = killed_and_resumed
    assert not [path for path in out.rglob("*") if path.name.endswith((".partial", ".new"))]


def test_the_report_is_one_file_with_pictures_and_every_stage(killed_and_resumed):
    out, _, _ = killed_and_resumed
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5  # one question of each kind
    assert all(stage in page for stage in ("1_align", "2_instruct", "3_prefer"))
    assert "warmed up first" in page
    assert "src=" not in page
    assert "http" not in page


def test_another_seed_or_size_does_not_mix_with_a_run(killed_and_resumed):
    out, _, _ = killed_and_resumed
    with pytest.raises(
        ValueError, match=r"holds another run \(seed was 0, now 1\); delete it or choose another --out"
    ):
        run(out, 1, SIZES)
