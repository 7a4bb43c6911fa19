import pytest

from amalia_vl_hf import cli


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


def test_ask_names_a_file_that_is_no_image(amalia, tmp_path, refusal):
    (tmp_path / "words.png").write_text("olá", encoding="utf-8")
    said = refusal("ask", str(tmp_path / "words.png"), "Que cor?", "--model", amalia)
    assert "words.png" in said


def test_ask_names_a_model_that_is_not_there(picture, tmp_path, refusal):
    assert "nowhere" in refusal("ask", picture, "Que cor?", "--model", str(tmp_path / "nowhere"))


def test_ask_without_a_model_says_how_to_get_one(picture, tmp_path, refusal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run `amalia-vl demo` first, or name a model" in refusal("ask", picture, "Que cor?")
