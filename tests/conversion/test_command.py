"""`amalia-vl convert`, through the command line's own entry."""

import json
from shutil import copytree

import pytest
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf import cli
from tests.conversion.checkpoints import edit_weights, write_amalia
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
    assert "added: model.image_newline, model.connector.linear_1.weight" in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vision_config"]["num_hidden_layers"] == 2


def cut(source):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def pickle_only(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "out", "message"),
    [
        (cut, "out", "was the download cut?"),
        (pickle_only, "out", "pickled weights can run code and are never read"),
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
