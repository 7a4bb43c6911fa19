"""What changes the result of a run is seen, by content; what does not is no reason to refuse one."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from amalia_vl_hf import cli
from amalia_vl_hf.samples.manifest import write_manifest
from amalia_vl_hf.samples.sources import Source
from amalia_vl_hf.training import origin
from amalia_vl_hf.training.origin import record_of, require_same
from amalia_vl_hf.training.recipe import Lora, RecipeError
from amalia_vl_hf.training.run import train
from tests.training.test_checkpoints import stop_in_step
from tests.training.test_run import command
from tests.training.tiny_run import write_pictures, write_samples

STEPS = ("steps=3", "save_steps=1", "workers=0")


@pytest.fixture
def own(recipe_for, base, tmp_path):
    """Make a recipe whose model and data are this test's alone, so that it may change them."""
    (tmp_path / "data").mkdir()
    files = write_samples(write_pictures(tmp_path / "data"))
    shutil.copytree(base, tmp_path / "base")

    def make(name, *overrides):
        data = files["dpo" if name == "3_prefer" else "sft"]
        return recipe_for(name, f"data={data}", f"model={tmp_path / 'base'}", *STEPS, *overrides)

    return make


def replace_image(folder):
    """Another picture of as many bytes and the same time."""
    file = folder / "data" / "0.png"
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def repaint(folder):
    file = folder / "data" / "0.png"
    with Image.open(file) as picture:
        size = picture.size
    Image.new("RGB", size, "red").save(file)


def swap_images(folder):
    one, other = folder / "data" / "0.png", folder / "data" / "1.png"
    one.rename(folder / "third.png")
    other.rename(one)
    (folder / "third.png").rename(other)


def remove_image(folder):
    (folder / "data" / "3.png").unlink()


def reorder_rows(folder):
    for file in (folder / "data").glob("*.jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[::-1]), encoding="utf-8")


def replace_template(folder):
    file = folder / "base" / "chat_template.jinja"
    file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")


def replace_weights(folder):
    file = folder / "base" / "model.safetensors"
    weights = {name: weight + 1e-3 for name, weight in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})


def replace_vocabulary(folder):
    file = folder / "base" / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8"))), encoding="utf-8")


CHANGES = (
    (replace_image, "images"),
    (swap_images, "images"),
    (remove_image, "images"),
    (reorder_rows, "rows"),
    (replace_template, "model"),
    (replace_weights, "model"),
    (replace_vocabulary, "model"),
)


@pytest.mark.parametrize(("change", "part"), CHANGES)
@pytest.mark.parametrize("stage", ["2_instruct", "3_prefer"])
def test_what_changes_the_result_is_seen(own, stage, change, part, tmp_path):
    recipe = own(stage)
    before = json.loads(json.dumps(record_of(recipe)))
    require_same(record_of(recipe, before), before, Path(recipe.output))
    change(tmp_path)
    with pytest.raises(RecipeError, match=rf"comes from another recipe, data or model \(.*{part}_sha256 was '"):
        require_same(record_of(recipe, before), before, Path(recipe.output))


@pytest.mark.parametrize("change", [replace_weights, repaint])
def test_neither_checkpoints_nor_an_output_of_other_content_are_taken(own, change, tmp_path, capsys):
    recipe = own("2_instruct")
    stop_in_step(recipe, 2)
    shutil.copytree(tmp_path / "base", tmp_path / "kept")
    change(tmp_path)
    with pytest.raises(RecipeError, match=r"2_instruct\.partial comes from .*_sha256 was"):
        train(recipe)
    assert sorted(path.name for path in (tmp_path / "2_instruct.partial").glob("checkpoint-*/complete"))
    done = own("2_instruct", f"output={tmp_path / 'done'}")
    train(done)
    replace_template(tmp_path)
    assert cli.main(command(done)[3:]) == 2
    assert "done comes from another recipe, data or model (model_sha256 was" in capsys.readouterr().err


def test_rows_reordered_under_a_manifest_are_seen(own, tmp_path):
    manifest = tmp_path / "m.parquet"
    source = Source("eight", path=str(tmp_path / "data" / "sft.jsonl"))
    write_manifest(manifest, {"source": [0] * 4, "row": [0, 2, 4, 6]}, [source], {})
    recipe = own("2_instruct", f"data={manifest}")
    before = record_of(recipe)
    (tmp_path / "data" / "1.png").write_bytes(b"not read: rows 1 and 5 are not in the manifest")
    require_same(record_of(recipe, before), before, manifest)
    reorder_rows(tmp_path)
    with pytest.raises(RecipeError, match="rows_sha256 was"):
        require_same(record_of(recipe, before), before, manifest)


def test_files_that_were_only_touched_or_copied_are_the_same(own, tmp_path):
    recipe = own("2_instruct")
    before = record_of(recipe)
    for file in [*(tmp_path / "data").iterdir(), *(tmp_path / "base").iterdir()]:
        file.with_name("copy").write_bytes(file.read_bytes())
        file.with_name("copy").rename(file)
        os.utime(file)
    after = record_of(recipe, before)
    assert after["stamps"] != before["stamps"]
    assert after["origin"] == before["origin"]


def test_what_nobody_touched_is_not_read_again(own, monkeypatch):
    recipe = own("2_instruct")
    before = record_of(recipe)

    def reads(files):
        raise AssertionError(f"{len(files)} files are read again")

    monkeypatch.setattr(origin, "digests", reads)
    assert record_of(recipe, before) == before


def test_keys_that_do_not_change_the_weights_do_not_refuse_a_run(own, caplog):
    whole = train(own("2_instruct", "output=" + own("2_instruct").output + "-whole"))
    recipe = own("2_instruct")
    stop_in_step(recipe, 2)
    other = own("2_instruct", "save_steps=2", "log_steps=2", "workers=1")
    resumed = train(other)
    assert any(line.startswith("going on from ") for line in caplog.messages)
    one, two = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())
    assert train(own("2_instruct", "save_steps=7")) == resumed


def test_a_folder_that_holds_nothing_to_lose_does_not_refuse_a_run(own, tmp_path):
    recipe = own("2_instruct")
    partial = tmp_path / "2_instruct.partial"
    (partial / "runs").mkdir(parents=True)
    (partial / "final").mkdir()
    (partial / "checkpoint-1").mkdir()
    (partial / "checkpoint-1" / "unfinished").touch()
    (partial / "recipe.json").write_text(json.dumps(record_of(replace(recipe, seed=9))), encoding="utf-8")
    Path(recipe.output).mkdir()
    assert (train(recipe) / "model.safetensors").is_file()
    assert not partial.exists()


def dangling(place):
    place.symlink_to(place.with_name("nowhere"))


def file(place):
    place.write_text("mine", encoding="utf-8")


def device(place):
    place.symlink_to("/dev/full")


def full_folder(place):
    place.mkdir()
    (place / "notes.txt").write_text("mine", encoding="utf-8")


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (dangling, "is a link to what is not there"),
        (file, "is there and no directory"),
        (device, "is there and no directory"),
        (full_folder, "exists but was not written by this command"),
    ],
)
def test_an_output_that_cannot_become_a_directory_is_refused_before_training(own, there, message, tmp_path, capsys):
    recipe = own("2_instruct")
    there(Path(recipe.output))
    kept = os.lstat(recipe.output)
    start = time.monotonic()
    assert cli.main(command(recipe)[3:]) == 2
    assert message in capsys.readouterr().err
    assert time.monotonic() - start < 20
    assert os.path.samestat(kept, os.lstat(recipe.output))
    assert not (tmp_path / "2_instruct.partial").exists()


def test_dev_full_is_never_replaced(own, capsys):
    assert cli.main(command(replace(own("2_instruct"), output="/dev/full"))[3:]) == 2
    assert "/dev/full is there and no directory" in capsys.readouterr().err
    assert Path("/dev/full").is_char_device()


def test_an_output_below_a_file_is_refused_in_a_line(own, tmp_path, capsys):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert cli.main(command(replace(own("2_instruct"), output=str(tmp_path / "file" / "out")))[3:]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_a_base_replaced_while_adapters_train_is_seen_before_they_are_merged(own, tmp_path, monkeypatch):
    recipe = own("2_instruct", "learning_rates={}", "lora={rank: 2, alpha: 4}")
    monkeypatch.setattr("amalia_vl_hf.training.run.require_same_model", lambda *_: None)
    train(recipe)
    monkeypatch.undo()
    record = json.loads((Path(recipe.output) / "training.json").read_text(encoding="utf-8"))
    origin.require_same_model(recipe, record)
    replace_weights(tmp_path)
    with pytest.raises(RecipeError, match="base is not what it was when training began; the adapters do not fit"):
        origin.require_same_model(recipe, record)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight_decay", float("inf")),
        ("max_grad_norm", float("nan")),
        ("adam_betas", (0.9, float("nan"))),
        ("learning_rates", {"connector": float("nan")}),
        ("lora", Lora(rank=2, alpha=float("inf"))),
        ("epochs", float("inf")),
    ],
)
def test_numbers_that_are_not_finite_are_refused_in_code(own, key, value):
    with pytest.raises(RecipeError, match=rf"{key}(\.\w+)? must be a number, not (nan|inf)"):
        replace(own("2_instruct", "epochs=null"), **{key: value})


@pytest.mark.parametrize(
    "word", ["learning_rates.connector=.nan", "weight_decay=.inf", "max_grad_norm=.nan", "warmup=nan"]
)
def test_numbers_that_are_not_finite_are_refused_when_parsed(own, word):
    with pytest.raises(RecipeError, match=r"must be a number, not ('?nan'?|inf)"):
        own("2_instruct", word)


def test_a_processor_that_divides_by_nothing_finite_is_refused(own, tmp_path, capsys):
    recipe = own("2_instruct")
    file = tmp_path / "base" / "processor_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["image_processor"]["image_std"] = [0.5, float("nan"), 0.5]
    file.write_text(json.dumps(config), encoding="utf-8")
    assert cli.main(command(recipe)[3:]) == 2
    assert "image_std is [0.5, nan, 0.5]; every value must be a finite number" in capsys.readouterr().err


def test_images_in_parquet_files_count_where_they_are_paths(tmp_path):
    import pyarrow
    import pyarrow.parquet

    from amalia_vl_hf.samples.files import files_behind

    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    columns = {
        "structs": [[{"bytes": None, "path": "a.png"}, {"bytes": b"x", "path": "b.png"}], [], None],
        "texts": [["a.png"], ["b.png", "a.png"], ["http://example.org/d.png"]],
        "one": ["c.png", None, "a.png"],
    }
    expected = {"structs": ["a.png"], "texts": ["a.png", "b.png"], "one": ["a.png", "c.png"]}
    for name, cells in columns.items():
        table = pyarrow.table({"images": cells, "messages": [turns] * 3})
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
        listed = files_behind(tmp_path / f"{name}.parquet", "sft")
        assert [Path(path).name for path in listed.images] == expected[name]
        assert listed.rows == [tmp_path / f"{name}.parquet"]
    write_manifest(
        tmp_path / "m.parquet", {"source": [0], "row": [2]}, [Source("one", path=str(tmp_path / "one.parquet"))], {}
    )
    assert [Path(path).name for path in files_behind(tmp_path / "m.parquet", "sft").images] == ["a.png"]
