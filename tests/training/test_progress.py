"""What a run says of itself: exact sums, and the page at the end."""

import json
import re

import pytest
import torch
from accelerate import Accelerator

from amalia_vl_hf.pages import curve
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.manifest import write_manifest
from amalia_vl_hf.samples.sources import Source
from amalia_vl_hf.training.batches.segments import segment_lengths
from amalia_vl_hf.training.progress import GROUPS, GroupedCollator, Meter, groups_of, log_line, scored_of_each
from amalia_vl_hf.training.recipe import RecipeError
from amalia_vl_hf.training.report import write_training_report
from amalia_vl_hf.training.run import build_trainer, train
from tests.tiny import IMAGE_TOKEN_ID, VIDEO_TOKEN_ID


@pytest.fixture
def mixture(samples, tmp_path):
    """A manifest of two sources with the same rows, four of each: one of a category, one of none."""

    def write(method):
        path = str(samples[method])
        sources = [Source("docs", path=path, category="OCR"), Source("fotos", path=path)]
        columns = {"source": [0, 1] * 4, "row": [0, 0, 1, 1, 2, 2, 3, 3]}
        write_manifest(tmp_path / f"{method}.parquet", columns, sources, {})
        return tmp_path / f"{method}.parquet"

    return write


def test_groups_are_categories_or_else_sources(mixture):
    dataset = load_samples(mixture("sft"), "sft")
    assert groups_of(dataset) == ("OCR", "fotos")
    rows = [dataset[index] for index in (1, 0, 3)]
    batch = GroupedCollator(lambda samples: {"size": len(samples)}, ("OCR", "fotos"))(rows)
    assert batch["size"] == 3
    assert batch[GROUPS].tolist() == [1, 0, 1]


def test_tokens_and_losses_add_up_between_two_looks():
    meter, accelerator = Meter(("a", "b", "c"), [IMAGE_TOKEN_ID, VIDEO_TOKEN_ID], None), Accelerator(cpu=True)
    ids = torch.tensor([[1, IMAGE_TOKEN_ID, IMAGE_TOKEN_ID, 5], [1, 5, 2, 2]])
    for _ in range(2):
        meter.count({"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])})
        meter.add_losses(torch.tensor([0, 2]), torch.tensor([3.0, 8.0]), torch.tensor([2, 4]))
    values = meter.take(accelerator)
    assert values["visual_share"] == pytest.approx(4 / 12, abs=1e-4)
    assert values["tokens_per_second"] > 0
    assert (values["loss/a"], values["loss/c"]) == (1.5, 2.0)
    assert "loss/b" not in values, "nothing of it was seen"
    assert meter.take(accelerator) == {}


def test_packed_conversations_keep_their_losses_apart():
    padded = torch.tensor([[-0.5, 0.0, -1.0], [0.0, -2.0, 0.0]])  # (conversations, tokens - 1)
    labels = torch.tensor([[-100, 7, -100, 7], [-100, -100, 7, -100]])
    sums, tokens = scored_of_each({"labels": labels}, padded)
    assert (sums.tolist(), tokens.tolist()) == ([-1.5, -2.0], [2, 1])
    packed = {"segments": segment_lengths([4, 3]), "scored": torch.tensor([0, 2, 5])}
    packed_sums, packed_tokens = scored_of_each(packed, torch.tensor([[-0.5, -1.0, -2.0]]))
    assert (packed_sums.tolist(), packed_tokens.tolist()) == (sums.tolist(), tokens.tolist())


@pytest.mark.parametrize("extra", [(), ("packing=true",)], ids=["padded", "packed"])
def test_group_losses_make_up_the_loss(extra, mixture, recipe_for, tmp_path):
    """Every token weighs the same: the logged loss is the mean of the groups', by their tokens."""
    recipe = recipe_for("2_instruct", f"data={mixture('sft')}", "batch_size=8", "steps=1", "workers=0", *extra)
    trainer = build_trainer(recipe, tmp_path / "checkpoints")
    totals = []
    add = trainer.meter.add_losses
    trainer.meter.add_losses = lambda *values: (totals.append(values), add(*values))
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "loss" in entry)
    (groups, losses, tokens), *more = totals
    assert not more
    assert float(losses.sum() / tokens.sum()) == pytest.approx(logged["loss"], rel=1e-5)
    for index, name in enumerate(("OCR", "fotos")):
        of_it = groups == index
        assert logged[f"loss/{name}"] == pytest.approx(float(losses[of_it].sum() / tokens[of_it].sum()), rel=1e-6)
    assert 0 < logged["visual_share"] < 1


@pytest.mark.parametrize("extra", ["shared_prompt=false", "shared_prompt=true"])
def test_group_losses_of_pairs_make_up_dpos_loss(extra, mixture, recipe_for, tmp_path):
    rates = "learning_rates={tower: 1e-3, connector: 1e-3, decoder: 1e-3}"
    data = f"data={mixture('dpo')}"
    output = train(recipe_for("3_prefer", data, "batch_size=8", "accumulation=1", "warmup=0", rates, "steps=3", extra))
    log = [entry for entry in json.loads((output / "training.json").read_text())["log_history"] if "loss" in entry]
    assert log[2]["loss"] != pytest.approx(log[0]["loss"], rel=1e-3)
    for entry in log:
        assert (entry["loss/OCR"] + entry["loss/fotos"]) / 2 == pytest.approx(entry["loss"], rel=1e-5)


def test_the_report_draws_what_was_logged(recipe_for, mixture):
    output = train(recipe_for("2_instruct", f"data={mixture('sft')}", "steps=3"))
    page = (output / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<figcaption><b>(.*?)</b>", page)
    rates = ["learning_rate/tower", "learning_rate/connector", "learning_rate/decoder"]
    assert titles == [
        *("loss", "loss/OCR", "loss/fotos", "mean_token_accuracy", "grad_norm"),
        *rates,
        *("tokens_per_second", "visual_share"),
    ]
    assert "3 steps in" in page
    assert "&quot;instruct&quot;" in page, "the recipe, escaped"
    assert "http" not in page.replace('xmlns="http', ""), "readable without a network"


def test_a_run_without_a_step_has_a_report_too(tmp_path):
    write_training_report(tmp_path / "report.html", [{"seconds": 0.1}], {"output": "runs/<x>", "stage": "align"})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No step was logged." in page
    assert "&lt;x&gt;: stage align" in page


def test_a_curve_lies_within_its_drawing_and_says_its_scale():
    points = {}
    for name, values in {"falling": [4.0, 1.0], "negative": [-1.0, 3.0], "zero": [0.0, 0.0], "one": [2e-5]}.items():
        drawn = curve(name, "a & b", values, "#000")
        points[name] = [
            tuple(map(float, point.split(","))) for point in re.search(r'points="(.*?)"', drawn)[1].split()
        ]
        assert all(0 <= x <= 300 and 0 <= y <= 120 for x, y in points[name])
        assert "a &amp; b" in drawn
    assert points["falling"][0][1] < points["falling"][1][1], "SVG counts downwards"
    assert points["negative"][0][1] == 120, "the lowest tick"
    assert "from 0.000 to 2e-05: first 2e-05, last 2e-05" in curve("one", "rate", [2e-5], "#000")


def test_a_log_entry_is_one_line_of_numbers():
    entry = {"loss": 0.51234, "loss/OCR": 1.0, "learning_rate": 1e-5, "learning_rate/tower": 1.0, "seconds": 2.5}
    assert log_line(entry, 3, 40) == "step 3/40  loss 0.5123  learning_rate 1e-05  seconds 2.5"
    assert log_line({"validation/x": 71.0}, 4, 40) == "step 4/40  validation/x 71"
    assert log_line({"train_runtime": 1.0, "train_loss": 2.0}, 40, 40) == ""


def test_the_log_is_lines_alone_where_nobody_looks(recipe_for, capfd):
    train(recipe_for("2_instruct", "steps=2"))
    out, err = capfd.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines() if line.startswith("step ")] == ["step 1/2", "step 2/2"]
    assert "2/2 [" not in err, "no bar in a file"


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_missed_before_the_model_is_loaded(recipe_for, tracker):
    recipe = recipe_for("2_instruct", "model=/nowhere", f"report_to=[{tracker}]")
    with pytest.raises(RecipeError, match=f"report_to names {tracker}, which is not installed: pip install {tracker}"):
        train(recipe)
