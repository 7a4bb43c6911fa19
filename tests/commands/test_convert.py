"""`amalia-vl convert`, through the command line's own entry."""

import io
import json
import re
import sys
from shutil import copytree
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf import cli
from amalia_vl_hf.conversion.tensor_files import INDEX
from tests.conversion.checkpoints import edit_weights, weights_of, write_amalia
from tests.conversion.test_compose import text_tokenizer
from tests.tiny import tiny_text_config, tiny_vision_config


@pytest.fixture(scope="module")
def amalia(tmp_path_factory):
    return write_amalia(tmp_path_factory.mktemp("amalia"), -2)


@pytest.fixture
def source(amalia, tmp_path):
    return copytree(amalia, tmp_path / "source")


def run(*arguments):
    return cli.main(["convert", *map(str, arguments)])


def test_import_export_and_verify(source, tmp_path, capsys):
    ours, theirs, report = tmp_path / "ours", tmp_path / "theirs", tmp_path / "ours" / "verify.json"
    assert run("import", source, "--out", ours) == 0
    said = capsys.readouterr().out
    assert f"written: {ours}, 61 tensors" in said
    assert "left behind: 29 tensors (past the feature layer)" in said
    assert run("export", ours, "--format", "llava_next", "--out", theirs, "--max-shard-size", "50KB") == 0
    assert "added: vision_tower.vision_model.post_layernorm.weight" in capsys.readouterr().out
    assert run("verify", source, theirs, "--json", report) == 0
    assert "the same" in capsys.readouterr().out
    assert json.loads(report.read_text())["passed"] is True


class Terminal(io.StringIO):
    """A text stream that is looked at."""

    def isatty(self):
        return True


def test_progress_is_told_in_bytes_with_the_time_left(source, tmp_path, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert run("import", source, "--out", tmp_path / "ours") == 0
    size = sum(weight.nbytes for weight in weights_of(tmp_path / "ours").values())
    first, *_, last = [line for line in screen.getvalue().split("\r") if line.startswith("writing ours")]
    shown = tqdm.format_sizeof(size)
    assert f"0.00/{shown}" in first
    assert "100%|" in last
    assert re.search(rf"{shown}/{shown} \[\d\d:\d\d<\d\d:\d\d, \S+B/s\]", last)


def test_verify_tells_drift_by_its_exit_code(source, tmp_path, capsys):
    ours = tmp_path / "ours"
    assert run("import", source, "--out", ours, "--dtype", "fp32") == 0
    edit_weights(ours, lambda weights: weights | {"lm_head.weight": weights["lm_head.weight"] * 1.5})
    assert run("verify", source, ours) == 1
    assert "NOT the same" in capsys.readouterr().out


def test_compose(tmp_path, capsys):
    tokenizer = text_tokenizer()
    SiglipVisionModel(tiny_vision_config()).save_pretrained(tmp_path / "vision")
    AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer))).save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    parts = ("--vision", tmp_path / "vision", "--text", tmp_path / "text")
    assert run("compose", *parts, "--out", tmp_path / "out", "--max-tiles", 4, "--drop-vision-layers", 1) == 0
    assert "added: model.image_newline.weight, model.multi_modal_projector.linear_1.weight" in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vision_config"]["num_hidden_layers"] == 2


def cut(source):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def tampered(source):
    """Let the first tensor begin a byte later."""
    path = source / "model.safetensors"
    whole = path.read_bytes()
    begin = whole.index(b'"data_offsets":[') + 16
    end = whole.index(b",", begin)
    path.write_bytes(whole[:begin] + b"1" + whole[end:])


def pickle_only(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")


def sharded(source, edit):
    """Split the weights into two shards, and change the index that names them."""
    weights = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    names, shards = sorted(weights), ("one.safetensors", "two.safetensors")
    halves = (names[:40], names[40:])
    for shard, half in zip(shards, halves, strict=True):
        save_file({name: weights[name] for name in half}, source / shard)
    weight_map = {name: shard for shard, half in zip(shards, halves, strict=True) for name in half}
    edit(source, weight_map)
    (source / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def shard_missing(source):
    sharded(source, lambda folder, _: (folder / "two.safetensors").unlink())


def tensor_twice(source):
    sharded(source, lambda folder, _: save_file(load_file(folder / "one.safetensors"), folder / "two.safetensors"))


def path_traversal(source):
    sharded(source, lambda _, weight_map: weight_map.update(image_newline="../one.safetensors"))


def wrong_shape(source):
    edit_weights(source, lambda weights: weights | {"image_newline": torch.ones(31)})


@pytest.mark.parametrize(
    ("spoil", "out", "message"),
    [
        (cut, "out", "was the download cut?"),
        (tampered, "out", "takes 128 bytes, but data_offsets are [1, 128]"),
        (pickle_only, "out", "pickled weights can run code and are never read"),
        (shard_missing, "out", "names two.safetensors, which is missing"),
        (tensor_twice, "out", "is in both one.safetensors and two.safetensors"),
        (path_traversal, "out", "names '../one.safetensors'; a shard is a .safetensors file beside its index"),
        (wrong_shape, "out", "model.image_newline.weight has shape [31], not [32]"),
        (lambda source: (source / "config.json").unlink(), "out", "holds no config.json"),
        (lambda source: None, "source", "exists already; nothing is ever written over"),
        (lambda source: None, "source/config.json/out", "config.json"),
        (lambda source: None, "/proc/out", "/proc"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(source, tmp_path, capsys, spoil, out, message):
    spoil(source)
    before = sorted(tmp_path.rglob("*"))
    assert run("import", source, "--out", tmp_path / out) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("amalia-vl: ")
    assert message in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("conversion", ["compose", "import", "export", "verify"])
def test_each_conversion_explains_itself(conversion, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(conversion, "--help")
    assert stopped.value.code == 0
    assert "DIR" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["fp8", "w4a16"])
def test_quantise_says_first_that_llm_compressor_is_not_here(tmp_path, refusal, monkeypatch, method):
    monkeypatch.setattr("amalia_vl_hf.commands.convert.find_spec", lambda name: None)
    said = refusal("convert", "quantise", "no/model", "--out", str(tmp_path / "out"), "--method", method)
    assert said.strip() == (
        f"amalia-vl: {method} is written by llm-compressor, which is not installed here; "
        "it takes an environment of its own: docs/serve.md has the way"
    )


def test_quantise_measures_on_the_demos_scenes_where_no_pictures_are_given(tmp_path, monkeypatch, capsys):
    seen = []

    def quantise(source, out, method, *, images, **rest):
        seen.append(sorted(path.name for path in images.iterdir()))
        return SimpleNamespace(table=lambda: "measured")

    monkeypatch.setattr("amalia_vl_hf.conversion.quantise.quantise_checkpoint", quantise)
    assert run("quantise", "model", "--out", tmp_path / "out", "--method", "int8") == 0
    assert seen == [[f"{number:02}.png" for number in range(16)]]
    assert capsys.readouterr().out == "measured\n"
