"""JPEG files decoded by simplejpeg, where it is installed, against Pillow: the same pixels, or Pillow's own."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from amalia_vl_hf.processing import decoding_amalia_vl as decoding
from amalia_vl_hf.processing.image_loading_amalia_vl import load_image

pytest.importorskip("simplejpeg")


def encoded(mode, size, **options):
    noise = np.random.default_rng(0).integers(0, 256, (*size, len(Image.new(mode, (1, 1)).getbands())), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise[..., 0] if mode == "L" else noise, mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture
def by_pillow(monkeypatch):
    """Count what is left to Pillow."""
    loads, load = [], ImageFile.ImageFile.load

    def spy(image):
        if image.tile:
            loads.append(image)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", spy)
    return loads


def alone(content, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(decoding, "simplejpeg", None)
        return np.asarray(load_image(content, 0))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(64, 48), (17, 33), (1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_pixels_are_pillows(mode, size, subsampling, progressive, by_pillow, monkeypatch):
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    content = encoded(mode, size, quality=80, progressive=progressive, **options)
    fast = np.asarray(load_image(content, 0))
    assert not by_pillow
    assert np.array_equal(fast, alone(content, monkeypatch))


def test_orientation_is_applied(by_pillow, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded("RGB", (20, 30), exif=exif)
    fast = np.asarray(load_image(content, 0))
    assert fast.shape == (30, 20, 3)
    assert not by_pillow
    assert np.array_equal(fast, alone(content, monkeypatch))


def test_cmyk_and_truncated_files_are_pillows(by_pillow, monkeypatch):
    load_image(encoded("CMYK", (20, 30)), 0)
    assert len(by_pillow) == 1
    with pytest.raises(ValueError, match="truncated"):
        load_image(encoded("RGB", (64, 64))[:-900], 0)
    assert len(by_pillow) == 2


def test_files_are_closed(tmp_path, by_pillow):
    (tmp_path / "a.jpg").write_bytes(encoded("RGB", (20, 30)))
    picture = Image.open(tmp_path / "a.jpg")
    file = picture.fp
    assert load_image(picture, 0).size == (30, 20)
    assert file.closed
    assert not by_pillow
    assert picture.getpixel((0, 0)) is not None


def test_a_large_jpeg_is_an_array_until_pillow_is_asked(monkeypatch):
    content = encoded("RGB", (48, 64), quality=80)
    picture = load_image(content, 0)
    assert isinstance(picture, decoding.ArrayPicture)
    assert picture.levels.shape == (48, 64, 3)
    copied = picture.copy()
    assert picture.levels is None  # what Pillow's methods change from here on is what there is
    assert np.array_equal(np.asarray(copied), alone(content, monkeypatch))
    picture.putpixel((0, 0), (1, 2, 3))
    assert np.asarray(picture)[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("scan", [b"", b"\xff\x00" * 50_000])
def test_data_of_a_baseline_jpeg_are_not_looked_through(scan, monkeypatch):
    content = encoded("RGB", (64, 64), quality=90)
    start = content.index(b"\xff\xda") + 14
    searched = []

    class Marker:
        def search(self, text, place):
            searched.append(place)
            return found.search(text, place)

    found = decoding._MARKER
    monkeypatch.setattr(decoding, "_MARKER", Marker())
    assert decoding._require_whole_jpeg(content[:start] + scan + content[start:], 64 * 64) == 9
    assert max(searched) < start
