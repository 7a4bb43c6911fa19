import json
from pathlib import Path

import pytest

from amalia_vl_hf import cli

RECIPE = "tiny/1_align"
TURNS = [{"role": "user", "content": "O que se vê?"}, {"role": "assistant", "content": "um ponto"}]


def test_train_trains_and_says_where(amalia, picture, tmp_path, capsys):
    data = Path(picture).with_name("data.jsonl")
    data.write_text(json.dumps({"images": ["foto.png"], "messages": TURNS}) + "\n", encoding="utf-8")
    output = tmp_path / "trained"
    values = [f"model={amalia}", f"data={data}", f"output={output}", "steps=1", "epochs=null"]
    assert cli.main(["train", RECIPE, *values, "--dry-run"]) == 0
    assert "stage      align (sft), at most 0 tiles an image" in capsys.readouterr().out
    assert not output.exists()
    assert cli.main(["train", RECIPE, *values]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"trained: {output}; report {output / 'report.html'}"
    assert (output / "training.json").is_file()


@pytest.mark.parametrize("name", ["runs/amalia_vl/1_align", "nowhere", "./nowhere"])
@pytest.mark.parametrize("command", ["train", "data check", "data mix"])
def test_a_mistyped_folder_is_called_one(command, name, refusal, picture, tmp_path):
    mixture = tmp_path / "mine.yaml"
    mixture.write_text("samples: 1\nseed: 0\ncategories: {}\n")
    words = {
        "train": [RECIPE, f"model={name}", "--dry-run"],
        "data check": [str(tmp_path), "--model", name],
        "data mix": [str(mixture), "--out", str(tmp_path / "o.parquet"), "--model", name],
    }
    said = refusal(*command.split(), *words[command])
    assert said == f"amalia-vl: there is no directory {name}, and a Hub id is written organisation/name\n"


def test_train_names_a_model_that_is_not_there(picture, tmp_path, refusal):
    data = Path(picture).with_name("data.jsonl")
    data.write_text(json.dumps({"messages": TURNS}) + "\n", encoding="utf-8")
    values = [f"model={tmp_path}/no/where", f"data={data}", f"output={tmp_path / 'out'}"]
    assert "no/where" in refusal("train", RECIPE, *values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RECIPE, "bach_size=1"], "unknown key 'bach_size' (did you mean 'batch_size'?)"),
        (["gone.yaml"], "there is no gone.yaml, here or in the package"),
        ([RECIPE, "model=.", "data=gone.jsonl"], "gone.jsonl"),
    ],
)
def test_train_names_what_is_wrong_with_a_recipe(arguments, message, refusal):
    assert message in refusal("train", *arguments)


def test_train_refuses_a_model_whose_weights_would_be_made_up(incomplete, picture, tmp_path, capsys):
    data = Path(picture).with_name("data.jsonl")
    data.write_text(json.dumps({"images": ["foto.png"], "messages": TURNS}) + "\n", encoding="utf-8")
    values = [f"model={incomplete}", f"data={data}", f"output={tmp_path / 'trained'}", "steps=1", "epochs=null"]
    assert cli.main(["train", RECIPE, *values]) == 2
    assert "language_model.layers.1." in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "trained").exists()
