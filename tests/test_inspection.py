import doctest

import pytest
from PIL import Image, ImageChops

from amalia_vl_hf import AmaliaVLImageProcessor, inspection
from amalia_vl_hf.inspection import (
    draw_tiles,
    inspect_image,
    inspect_images,
    memory_estimate,
)
from amalia_vl_hf.processing.tiling_amalia_vl import TileLayout


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "foto.png"
    Image.new("RGB", (1920, 1080), "red").save(path)
    return str(path)


def test_report_says_what_the_processor_makes(photo):
    processor = AmaliaVLImageProcessor()
    for max_tiles in (None, 6, 0):
        report = inspect_image(photo, processor, max_tiles)
        batch = processor(photo, max_tiles=max_tiles)
        assert report.layout == TileLayout(*batch["tile_layouts"][0].tolist())
        assert report.pixel_bytes == batch["pixel_values"].nbytes
        assert report.visual_tokens == processor.num_visual_tokens(1080, 1920, max_tiles=max_tiles)
        assert (report.height, report.width, report.side) == (1080, 1920, 24)


def test_memory_is_that_of_the_real_model():
    estimate = memory_estimate(1000)
    assert estimate["weights"] == 19.2e9
    assert estimate["cache"] == 1000 * 42 * 8 * 128 * 2 * 2  # layers, key and value heads, head size, K and V, bytes
    assert estimate["activations"] == 1000 * (3 * 12288 + 2 * 4096) * 2
    assert memory_estimate(2000)["cache"] == 2 * estimate["cache"]
    assert doctest.testmod(inspection).failed == 0


def test_text_of_one_image(photo):
    assert inspect_images([photo]) == (
        f"{photo}: 1080 px high, 1920 px wide\n"
        "  grid           3 x 4 tiles of 384 px, and the thumbnail: 13 in all\n"
        "  padding        9 rows of patches cut above, 9 below\n"
        "  visual tokens  5814 = 576 (thumbnail) + 54 rows x (96 + 1 newline)\n"
        "  pixel_values   23.0 MB in float32\n"
        "\n"
        "This image in one prompt of AMALIA-VL (9.6 B, bfloat16)\n"
        "  context        5814 visual tokens, 35 % of 16384\n"
        "  memory         19.2 GB weights + 1.0 GB cache + 0.5 GB activations = 20.7 GB, before text"
    )


def test_text_without_tiling_and_without_padding(photo, tmp_path):
    untiled = inspect_images([photo], max_tiles=0)
    assert "none, only the 384 px thumbnail" in untiled
    assert "577 = 576 + 1 newline" in untiled
    Image.new("RGB", (200, 300)).save(tmp_path / "alta.png")
    assert "4 columns of patches cut at the left, 4 at the right" in inspect_images([str(tmp_path / "alta.png")])
    Image.new("RGB", (384, 384)).save(tmp_path / "quadrada.png")
    assert "padding        none" in inspect_images([str(tmp_path / "quadrada.png")])


def test_images_that_do_not_fit_together_are_called_out(photo):
    report = inspect_images([photo] * 3)
    assert "These 3 images" in report
    assert "17442 visual tokens, 106 % of 16384; they do not fit: lower --max-tiles" in report


def test_the_tiling_of_a_model_is_used(photo, tmp_path):
    AmaliaVLImageProcessor(size=64, patch_size=16, max_tiles=2).save_pretrained(tmp_path / "model")
    assert "1 x 2 tiles of 64 px" in inspect_images([photo], model=str(tmp_path / "model"))


def test_an_unusable_image_is_named():
    with pytest.raises(ValueError, match=r"gone.png\) cannot be used: no such file"):
        inspect_images(["gone.png"])


@pytest.mark.parametrize(
    ("size", "max_tiles", "grid"), [((1080, 1920), None, (3, 4)), ((1600, 700), 6, (3, 2)), ((20, 900), None, (1, 3))]
)
def test_drawing_shows_thumbnail_tiles_and_cut_padding(size, max_tiles, grid):
    image = Image.new("RGB", size[::-1], "red")
    processor = AmaliaVLImageProcessor()
    report = inspect_image(image, processor, max_tiles)
    assert report.layout.grid == grid
    drawing = draw_tiles(image, processor, max_tiles)
    rows, cols = grid
    side = min(inspection.LARGEST_TILE, inspection.LONGEST_SIDE // max(rows, cols + 1))
    red = Image.new("RGB", drawing.size, "red")
    mask = ImageChops.difference(drawing, red).convert("L").point(lambda value: 255 if value < 8 else 0)
    shown = mask.histogram()[255] / side**2  # tiles' worth of image; badges and outlines cover a little
    kept = (rows * 24 - 2 * report.layout.pad_rows) * (cols * 24 - 2 * report.layout.pad_cols) / 24**2
    assert (1 + kept) * 0.9 < shown <= 1 + kept
    assert drawing.getpixel((inspection.GAP + side // 2, inspection.GAP + side // 2)) == (255, 0, 0)


def test_drawings_are_written_one_file_an_image(photo, tmp_path):
    out = tmp_path / "tiles.png"
    assert f"Tiles of {photo} drawn in {out}" in inspect_images([photo], out=str(out))
    assert Image.open(out).size == draw_tiles(photo, AmaliaVLImageProcessor()).size
    inspect_images([photo, photo], out=str(out), max_tiles=0)
    assert sorted(path.name for path in tmp_path.glob("tiles*")) == ["tiles-1.png", "tiles-2.png", "tiles.png"]
