import json
import shutil

import pytest
import torch
from huggingface_hub import constants

from amalia_vl_hf import cli
from amalia_vl_hf.serving import loading
from tests.processing.clips import write_clip


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("model", ["amalia", "llava_next"])
def test_ask_answers_about_images(model, images, picture, request, capsys):
    folder = request.getfixturevalue(model)
    assert cli.main(["ask", *[picture] * images, "Que cor?", "--model", folder, "--max-new-tokens", "4"]) == 0
    answer = capsys.readouterr().out
    assert answer.endswith("\n")
    assert "Que cor?" not in answer
    assert "<|im_end|>" not in answer


def test_ask_names_missing_images(amalia, picture, refusal):
    said = refusal("ask", picture, "gone.png", "Que cor?", "--model", amalia)
    assert said == "amalia-vl: no such image: gone.png\n"


def test_a_folder_is_called_one(picture, tmp_path, refusal):
    said = f"amalia-vl: {tmp_path} is a folder, no image"
    assert refusal("inspect", picture, str(tmp_path)) == f"{said}\n"
    assert (
        refusal("ask", str(tmp_path), "Que cor?")
        == f"{said}; with --out answers.jsonl each image in it is asked about\n"
    )


def test_ask_names_a_file_that_is_no_image(amalia, tmp_path, refusal):
    (tmp_path / "words.png").write_text("olá", encoding="utf-8")
    said = refusal("ask", str(tmp_path / "words.png"), "Que cor?", "--model", amalia)
    assert "words.png" in said


def test_ask_names_a_model_that_is_not_there(picture, tmp_path, refusal):
    assert "nowhere" in refusal("ask", picture, "Que cor?", "--model", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("command", ["ask", "inspect", "serve", "chat"])
def test_offline_a_hub_model_says_what_its_cache_lacks(command, picture, refusal, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    words = {
        "ask": [picture, "Que cor?", "--model"],
        "inspect": [picture, "--model"],
        "serve": [],
        "chat": ["--model"],
    }
    said = refusal(command, *words[command], "amalia-llm/AMALIA-VL-DPO")
    assert "the cache in" in said
    assert "lacks its config.json, tokenizer_config.json; with a network: hf download amalia-llm/AMALIA-VL-DPO" in said


def test_ask_without_a_model_says_how_to_get_one(picture, tmp_path, refusal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run `amalia-vl demo` first, or name a model" in refusal("ask", picture, "Que cor?")


def test_ask_answers_about_each_image_of_a_folder_and_goes_on(amalia, picture, tmp_path, capsys, monkeypatch):
    folder, out = tmp_path / "scans", tmp_path / "answers.jsonl"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        shutil.copy(picture, folder / name)
    (folder / "c.png").write_text("nenhuma imagem", encoding="utf-8")
    words = ["ask", str(folder), "Que cor?", "--model", amalia, "--max-new-tokens", "4", "--out", str(out)]
    assert cli.main(words) == 1  # one of them is no image; the others have their answers
    said = capsys.readouterr()
    assert "c.png" in said.err
    assert "2 answers in" in said.out
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["image"] for line in lines] == [str(folder / "a.png"), str(folder / "b.png")]
    whole = out.read_bytes()
    out.write_bytes(whole[:-5])  # killed while it wrote
    (folder / "c.png").unlink()
    assert cli.main(words) == 0
    assert out.read_bytes() == whole
    monkeypatch.setattr(loading, "load_model", lambda name: pytest.fail("nothing is left to ask"))
    assert cli.main(words) == 0


def test_a_model_answers_on_the_best_device(amalia, monkeypatch):
    monkeypatch.setattr(loading, "best_device", lambda: torch.device("meta"))  # stands for one that is not here
    model, _ = loading.load_model(amalia)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_ask_names_a_directory_that_is_mistyped(picture, refusal):
    for name in ("runs/demo/3_prefr", "./prefer", "3_prefer"):
        assert f"there is no directory {name}" in refusal("ask", picture, "Que cor?", "--model", name)


def test_ask_refuses_a_model_whose_weights_would_be_made_up(incomplete, picture, refusal):
    assert "language_model.layers.1." in refusal("ask", picture, "Que cor?", "--model", incomplete)


def test_ask_answers_about_a_clip(towervideo, amalia, picture, tmp_path, capsys, refusal):
    clip = str(write_clip(tmp_path / "clip.mp4"))
    words = ["O que acontece?", "--model", towervideo, "--max-new-tokens", "4"]
    assert cli.main(["ask", clip, *words]) == 0
    assert capsys.readouterr().out.endswith("\n")
    assert cli.main(["ask", picture, clip, *words]) == 0
    capsys.readouterr()
    assert "has no <video>" in refusal("ask", clip, "O que acontece?", "--model", amalia)
    assert refusal("ask", str(tmp_path / "gone.mp4"), *words).startswith("amalia-vl: no such video: ")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:-50])
    assert "cut.mp4) cannot be used: it ends early" in refusal("ask", str(tmp_path / "cut.mp4"), *words)
    assert "asked about images" in refusal("ask", clip, "?", "--endpoint", "http://127.0.0.1:9")
    assert "the last file is a video" in refusal("ask", clip, *words, "--boxes", "caixas.png")


def test_ask_answers_about_a_folder_with_clips(towervideo, picture, tmp_path, capsys):
    folder, out = tmp_path / "all", tmp_path / "answers.jsonl"
    folder.mkdir()
    write_clip(folder / "b.mp4", frames=3)
    shutil.copy(picture, folder / "a.png")
    (folder / "c.mp4").write_bytes(b"nada")
    words = ["ask", str(folder), "?", "--model", towervideo, "--out", str(out), "--max-new-tokens", "2"]
    assert cli.main(words) == 1
    assert [json.loads(line)["image"][-5:] for line in out.read_text().splitlines()] == ["a.png", "b.mp4"]
    assert "c.mp4" in capsys.readouterr().err


def test_ask_in_the_words_of_a_preset(amalia, picture, tmp_path, refusal, capsys):
    out = tmp_path / "answers.jsonl"
    words = ["ask", picture, "Que cor?", "--model", amalia, "--max-new-tokens", "4", "--out", str(out)]
    assert cli.main([*words, "--preset", "palavra"]) == 0
    (line,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    capsys.readouterr()
    assert line["question"] == "Que cor?\nResponde à pergunta com uma única palavra."
    assert "unknown preset 'letras' (did you mean 'letra'?)" in refusal(*words, "--preset", "letras")
