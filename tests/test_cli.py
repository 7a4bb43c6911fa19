import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, LlavaNextImageProcessorPil, LlavaNextProcessor, SiglipVisionModel

from amalia_vl_hf import __version__, cli
from amalia_vl_hf.conversion.compose import compose
from tests.tiny import (
    PINPOINTS,
    tiny_llava_next,
    tiny_text_config,
    tiny_tokenizer,
    tiny_vision_config,
)

RECIPE = str(Path(__file__).parents[1] / "recipes" / "tiny" / "1_align.yaml")
TURNS = [{"role": "user", "content": "O que se vê?"}, {"role": "assistant", "content": "um ponto"}]


@pytest.fixture(scope="module")
def amalia(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    model, processor = compose(SiglipVisionModel(tiny_vision_config()), text, tokenizer, max_tiles=4, seed=0)
    folder = tmp_path_factory.mktemp("amalia_vl")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def llava_next(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    model = tiny_llava_next(text=tiny_text_config(vocab_size=len(tokenizer)))
    model.config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    size = {"shortest_edge": 32}
    images = LlavaNextImageProcessorPil(size=size, crop_size=32, image_grid_pinpoints=[list(p) for p in PINPOINTS])
    processor = LlavaNextProcessor(images, tokenizer, patch_size=8, vision_feature_select_strategy="full")
    folder = tmp_path_factory.mktemp("llava_next")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "foto.png")
    return str(tmp_path / "foto.png")


def refusal(capsys, *arguments):
    """Run a command that must be refused, in one line and without a traceback."""
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("amalia-vl: ")
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize("command", ["ask", "inspect", "train", "demo"])
def test_help_gives_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"examples:\n  amalia-vl {command}" in capsys.readouterr().out


def test_version_is_the_packages(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"amalia-vl-hf {__version__}\n"


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("model", ["amalia", "llava_next"])
def test_ask_answers_about_images(model, images, picture, request, capsys):
    folder = request.getfixturevalue(model)
    assert cli.main(["ask", *[picture] * images, "Que cor?", "--model", folder, "--max-new-tokens", "4"]) == 0
    answer = capsys.readouterr().out
    assert answer.endswith("\n")
    assert "Que cor?" not in answer
    assert "<|im_end|>" not in answer


def test_ask_names_missing_images(amalia, picture, capsys):
    said = refusal(capsys, "ask", picture, "gone.png", "Que cor?", "--model", amalia)
    assert said == "amalia-vl: no such image: gone.png\n"


def test_ask_names_a_file_that_is_no_image(amalia, tmp_path, capsys):
    (tmp_path / "words.png").write_text("olá", encoding="utf-8")
    said = refusal(capsys, "ask", str(tmp_path / "words.png"), "Que cor?", "--model", amalia)
    assert "words.png" in said


def test_ask_names_a_model_that_is_not_there(picture, tmp_path, capsys):
    assert "nowhere" in refusal(capsys, "ask", picture, "Que cor?", "--model", str(tmp_path / "nowhere"))


def test_ask_without_a_model_says_how_to_get_one(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run `amalia-vl demo` first, or name a model" in refusal(capsys, "ask", picture, "Que cor?")


def test_inspect_reports_and_draws(picture, tmp_path, capsys):
    drawing = tmp_path / "tiles.png"
    assert cli.main(["inspect", picture, "--out", str(drawing)]) == 0
    said = capsys.readouterr().out
    assert f"{picture}: 40 px high, 50 px wide" in said
    assert "1 x 1 tiles of 384 px" in said
    assert min(Image.open(drawing).size) > 50, "larger than the picture: tiles are apart"


def test_inspect_takes_a_models_tiling_and_fewer_tiles(amalia, picture, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", picture, "--model", amalia]) == 0
    assert "2 x 2 tiles of 32 px" in capsys.readouterr().out
    assert cli.main(["inspect", picture, "--model", amalia, "--max-tiles", "0"]) == 0
    assert "none, only the 32 px thumbnail" in capsys.readouterr().out
    assert (tmp_path / "tiles.png").exists()


def test_inspect_names_missing_and_broken_images(picture, tmp_path, capsys):
    assert refusal(capsys, "inspect", picture, "gone.png") == "amalia-vl: no such image: gone.png\n"
    (tmp_path / "words.png").write_text("olá", encoding="utf-8")
    assert "words.png" in refusal(capsys, "inspect", str(tmp_path / "words.png"))


def test_train_trains_and_says_where(amalia, picture, tmp_path, capsys):
    data = Path(picture).with_name("data.jsonl")
    data.write_text(json.dumps({"images": ["foto.png"], "messages": TURNS}) + "\n", encoding="utf-8")
    output = tmp_path / "trained"
    values = [f"model={amalia}", f"data={data}", f"output={output}", "steps=1", "epochs=null"]
    assert cli.main(["train", RECIPE, *values, "--dry-run"]) == 0
    assert "stage      align (sft), at most 0 tiles an image" in capsys.readouterr().out
    assert not output.exists()
    assert cli.main(["train", RECIPE, *values]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"trained: {output}"
    assert (output / "training.json").is_file()


def test_train_names_a_model_that_is_not_there(picture, tmp_path, capsys):
    data = Path(picture).with_name("data.jsonl")
    data.write_text(json.dumps({"messages": TURNS}) + "\n", encoding="utf-8")
    values = [f"model={tmp_path}/no/where", f"data={data}", f"output={tmp_path / 'out'}"]
    assert "no/where" in refusal(capsys, "train", RECIPE, *values)


def test_demo_does_not_mix_two_runs(tmp_path, capsys):
    (tmp_path / "settings.json").write_text('{"seed": 5}', encoding="utf-8")
    assert "holds another run (seed was 5, now 0" in refusal(capsys, "demo", "--out", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RECIPE, "bach_size=1"], "unknown key 'bach_size' (did you mean 'batch_size'?)"),
        (["gone.yaml"], "No such file or directory: 'gone.yaml'"),
        ([RECIPE, "data=gone.jsonl"], "gone.jsonl"),
    ],
)
def test_train_names_what_is_wrong_with_a_recipe(arguments, message, capsys):
    assert message in refusal(capsys, "train", *arguments)
