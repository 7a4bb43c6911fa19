from PIL import Image

from amalia_vl_hf import cli
from tests.processing.clips import write_clip


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


def test_inspect_shows_the_frames_taken(tmp_path, capsys, refusal):
    clip, drawing = write_clip(tmp_path / "clip.mp4"), tmp_path / "frames.png"
    assert cli.main(["inspect", str(clip), "--out", str(drawing)]) == 0
    said = capsys.readouterr().out
    assert f"{clip}: 50 frames, 2.00 s, 48 px high, 64 px wide" in said
    assert "frames taken   32: 0 (0.00 s), 1 (0.04 s), 3 (0.12 s)" in said
    assert "visual tokens  4609 = 32 x 144 + 1 newline" in said
    assert "This video in one prompt" in said
    assert Image.open(drawing).width > 8 * 160
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-50])
    assert "cut.mp4) cannot be used: it ends early" in refusal("inspect", str(tmp_path / "cut.mp4"))
    assert refusal("inspect", "gone.mp4") == "amalia-vl: no such video: gone.mp4\n"
