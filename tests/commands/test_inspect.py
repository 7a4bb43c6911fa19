from PIL import Image

from amalia_vl_hf import cli


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


def test_inspect_names_missing_and_broken_images(picture, tmp_path, refusal):
    assert refusal("inspect", picture, "gone.png") == "amalia-vl: no such image: gone.png\n"
    (tmp_path / "words.png").write_text("olá", encoding="utf-8")
    assert "words.png" in refusal("inspect", str(tmp_path / "words.png"))
