"""What dry runs say of the full-size recipes: memory by card, packing, /dev/shm, machines; no weight is made."""

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.training.building import build_trainer
from amalia_vl_hf.training.estimate import GIB, describe_training
from amalia_vl_hf.training.ranks import Sharing, count_save_steps, planned_sharing
from amalia_vl_hf.training.recipe import RecipeError, load_recipe
from amalia_vl_hf.training.run import train
from tests.tiny import tiny_tokenizer

ROOT = Path(__file__).parents[2]
CARDS = (24, 48, 64, 80, 141)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """The configuration and images of the published model, and a few rows for each method; no weights."""
    folder = tmp_path_factory.mktemp("full")
    AmaliaVLConfig().save_pretrained(folder / "model")
    AmaliaVLProcessor(AmaliaVLImageProcessor(), tiny_tokenizer()).save_pretrained(folder / "model")
    turns = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    for method, row in (("sft", turns), ("dpo", pair)):
        (folder / f"{method}.jsonl").write_text("\n".join([json.dumps(row)] * 3000), encoding="utf-8")
    return folder


@pytest.fixture
def describe(full_size, monkeypatch):
    monkeypatch.chdir(ROOT)

    def say(name, *overrides):
        method = "dpo" if "prefer" in name or "dpo" in name else "sft"
        here = [f"model={full_size / 'model'}", f"data={full_size / f'{method}.jsonl'}"]
        return describe_training(load_recipe(name, [*here, *overrides]))

    return say


def memory_in(text):
    return float(re.search(r"^memory +([\d.]+) GiB", text, re.MULTILINE)[1])


def cards_in(text):
    return tuple(int(size) for size in re.findall(r"(\d+) GB[,\n]", re.search(r"^fits .*\n?", text, re.MULTILINE)[0]))


@pytest.mark.parametrize("card", [24, 48, 80, 141])
def test_a_few_thousand_samples_fit_the_card_that_the_recipe_says(card, describe):
    header = (ROOT / "recipes" / "small" / "2_instruct_lora.yaml").read_text(encoding="utf-8")
    words = shlex.split(re.search(rf"^#   {card} GB: amalia-vl train (.*)$", header, re.MULTILINE)[1])
    text = describe(*words)
    assert min(cards_in(text)) == (24 if card == 24 else card), text
    assert memory_in(text) <= card * 0.9
    smaller = max((other for other in CARDS if other < card), default=0)
    assert memory_in(text) > smaller * 0.9
    assert "steps      564 over 3000 samples" in text
    assert "saved      every 94 steps" in text, "half an epoch"


def table():
    lines = (ROOT / "docs" / "train.md").read_text(encoding="utf-8").splitlines()
    machine = ""
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.count("|") == 6):
        if cells[2].startswith("`") and not cells[2].startswith("`amalia-vl"):
            machine = cells[0] or machine
            yield pytest.param(
                machine, cells[2].strip("`"), float(cells[3]), cells[4] == "yes", id=cells[2].strip("`")
            )


@pytest.mark.parametrize(("machine", "command", "memory", "fits"), list(table()))
def test_the_guides_table_is_what_the_dry_run_says(machine, command, memory, fits, describe):
    text = describe(*command.split())
    assert f"{memory_in(text):.1f}" == f"{memory:.1f}"
    card = int(re.search(r"(\d+) GB", machine)[1])
    assert (card in cards_in(text)) == fits


def test_the_table_has_what_was_asked(describe):
    machines = {case.values[0] for case in table()}
    assert {"one H200, 141 GB", "one card, 80 GB", "8 x 64 GB"} <= machines


def test_packing_at_the_papers_geometry_does_nothing_and_the_dry_run_says_what_would(describe):
    text = describe("amalia_vl/2_instruct")
    assert "packing    at most 1.00 conversations a row: 128 a step on 128 ranks" in text
    assert "so packing does nothing" in text
    assert "take fewer ranks (processes) and more batches each (accumulation), or a larger global_batch" in text
    text = describe("amalia_vl/2_instruct", "processes=16", "accumulation=8")
    assert "packing    at most 8.00 conversations a row: 128 a step on 16 ranks" in text
    assert "does nothing" not in text
    assert "packing" not in describe("amalia_vl/1_align")


def test_the_need_of_shared_memory_is_said(describe):
    """Four images of 13 tiles are 92 MB in fp32, and a quarter of that in grey levels."""
    change = ("batch_size=4", "global_batch=512", "packing=false", "max_length=4096")
    text = describe("amalia_vl/2_instruct", *change, "pixels=float")
    assert "about 1.37 GiB of /dev/shm a rank: 8 workers x 2 batches of 52 tiles, 92 MB in float" in text
    assert f"{8 * 16 * 52 * 3 * 384 * 384 * 4 / GIB:.2f} GiB for 8 ranks" in text
    assert "8 workers x 2 batches of 52 tiles, 23 MB in uint8" in describe("amalia_vl/2_instruct", *change)
    assert "shared" not in describe("amalia_vl/2_instruct", *change, "workers=0")
    assert "shared" not in describe("amalia/sft"), "texts are small"


def test_nothing_that_fits_no_card_is_called_fitting(describe):
    text = describe("amalia_vl/2_instruct", "processes=1", "accelerate=null", "accumulation=128")
    assert "fits       not even on 141 GB: more ranks that share it, adapters, or a shorter max_length" in text


def test_machines_share_as_their_config_says(monkeypatch, describe):
    monkeypatch.chdir(ROOT)
    fsdp2, hpz = (f"accelerate=accelerate/multi_node_{kind}.yaml" for kind in ("fsdp2", "hpz"))
    hybrid = planned_sharing(load_recipe("amalia_vl/2_instruct", [fsdp2]))
    assert hybrid == Sharing(128, "FSDP", 8)
    assert set(hybrid.shards.values()) == {8}, "a machine holds all of it"
    secondary = planned_sharing(load_recipe("amalia_vl/2_instruct", [hpz]))
    assert secondary == Sharing(128, "ZeRO-3", 8)
    assert set(secondary.shards.values()) == {128}, "but for the second copy of the weights"
    plain = memory_in(describe("amalia_vl/2_instruct"))
    parameters = 9.588e9
    assert memory_in(describe("amalia_vl/2_instruct", hpz)) - plain == pytest.approx(
        2 * parameters / 8 / GIB, rel=0.01
    )


def test_a_share_of_an_epoch_becomes_steps(recipe_for):
    recipe = recipe_for("2_instruct", "save_steps=null", "save_epochs=0.25", "accumulation=2")
    assert [count_save_steps(recipe, samples, 1) for samples in (8, 160, 161)] == [1, 10, 10]
    assert count_save_steps(recipe, 160, 4) == 2
    with pytest.raises(RecipeError, match="save_steps is missing; or give save_epochs, not save_steps=3 and save_epo"):
        recipe_for("2_instruct", "save_steps=3", "save_epochs=0.25")
    with pytest.raises(RecipeError, match="save_epochs must be positive, not 0"):
        recipe_for("2_instruct", "save_steps=null", "save_epochs=0")


def test_a_run_saves_and_validates_by_share_of_an_epoch(recipe_for, samples, tmp_path):
    task = tmp_path / "task.yaml"
    task.write_text(f"name: tarefa\ndata: {samples['sft']}\nmetric: exact\nmax_new_tokens: 1\n", encoding="utf-8")
    changes = ("save_steps=null", "save_epochs=0.5", "steps=null", "epochs=2", f"validation={task}")
    log = json.loads((train(recipe_for("2_instruct", *changes)) / "training.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "validation/tarefa" in entry] == [2, 4, 6, 8], "of 4 steps an epoch"
    trainer = build_trainer(recipe_for("2_instruct", *changes[:-1], f"output={tmp_path / 'b'}"), tmp_path / "c")
    assert trainer.args.save_steps == 2


def test_liger_that_is_not_installed_is_named(recipe_for, tmp_path):
    if find_spec("liger_kernel"):
        pytest.skip("it is installed")
    with pytest.raises(RecipeError, match="liger: true needs the package liger-kernel: pip install liger-kernel"):
        build_trainer(recipe_for("2_instruct", "liger=true"), tmp_path / "checkpoints")


def test_the_validation_task_is_looked_at(describe, tmp_path):
    task = tmp_path / "faturas.yaml"
    with pytest.raises(FileNotFoundError, match=r"there is no .*faturas\.yaml"):
        describe("tiny/2_instruct", f"validation={task}")
    task.write_text("name: faturas\ndata: rows.jsonl\nmetric: anls\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "a", "answer": "b"}) + "\n", encoding="utf-8")
    assert "\nvalidation faturas: 1 questions before each checkpoint\n" in describe(
        "tiny/2_instruct", f"validation={task}"
    )
    with pytest.raises(RecipeError, match="runs in one process, not in 2"):
        describe("tiny/2_instruct", f"validation={task}", "processes=2")
