import base64
import http.server
import io
import os
import threading
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from amalia_vl_hf import AmaliaVLImageProcessor
from amalia_vl_hf.processing import addresses_amalia_vl, decoding_amalia_vl, image_loading_amalia_vl
from amalia_vl_hf.processing.image_loading_amalia_vl import load_image

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)  # (H, W, 3)
GREYS = COLOURS[..., 0]


def encoded(image: Image.Image | None = None, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(COLOURS)).save(buffer, format, **options)
    return buffer.getvalue()


def loaded(source) -> np.ndarray:
    image = load_image(source, index=0)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "foto.png"
    path.write_bytes(encoded())
    return path


@pytest.fixture
def server():
    """An HTTP server on this machine: /foto.png, and 404 for the rest."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == "/foto.png"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(encoded() if found else b"")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_every_kind_of_source_gives_the_same_picture(photo, server):
    content = encoded()
    text = base64.b64encode(content).decode()
    sources = [
        Image.fromarray(COLOURS),
        Image.open(photo),
        COLOURS,
        np.moveaxis(COLOURS, -1, 0),
        torch.from_numpy(COLOURS),
        torch.from_numpy(COLOURS).permute(2, 0, 1),
        (COLOURS / 255),
        (COLOURS / 255).astype(np.float32),
        (torch.from_numpy(COLOURS).double() / 255).requires_grad_(),
        COLOURS.astype(np.int64),
        COLOURS.astype(np.uint16) * 257,
        photo,
        str(photo),
        f"{server}/foto.png",
        content,
        bytearray(content),
        memoryview(content),
        text,
        f"data:image/png;base64,{text}",
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(photo)},
        {"path": str(photo)},
        {"bytes": content, "path": "gone.png"},
    ]
    for source in sources:
        assert np.array_equal(loaded(source), COLOURS), type(source)


@pytest.mark.parametrize(
    "source",
    [
        GREYS,
        GREYS[..., None],
        GREYS[None],
        torch.from_numpy(GREYS),
        Image.fromarray(GREYS),
        GREYS.astype(np.uint16) * 257,
    ],
)
def test_grey_becomes_equal_channels(source):
    assert np.array_equal(loaded(source), grey_rgb(GREYS))


def test_bfloat16_tensors_are_read():
    values = torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.bfloat16)
    assert loaded(values)[0, :, 0].tolist() == [0, 128, 255]


def test_loading_twice_changes_nothing():
    once = load_image(COLOURS[:3, :3], index=0)  # 3x3x3: the array could be channels first or last, the picture is not
    assert load_image(once, index=0) is once


def test_transparency_is_composed_on_white():
    alpha = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 0, np.uint8)])
    half = Image.fromarray(np.array([[[0, 0, 0, 128]]], np.uint8))
    grey_alpha = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8))
    for clear in (
        Image.fromarray(alpha),
        alpha,
        np.moveaxis(alpha, -1, 0),
        torch.from_numpy(alpha),
        encoded(Image.fromarray(alpha)),
    ):
        assert (loaded(clear) == 255).all()
    assert loaded(half).tolist() == [[[127, 127, 127]]]
    assert loaded(grey_alpha).tolist() == [[[255] * 3, [10] * 3]]
    assert loaded(Image.fromarray(alpha).convert("RGBa")).min() == 255  # premultiplied


def test_palettes_and_transparent_colours():
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert loaded(palette).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    palette.info["transparency"] = 1
    assert loaded(palette).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    assert loaded(encoded(palette, transparency=2)).tolist()[0][2] == [255, 255, 255]
    assert loaded(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3))).tolist() == [[[255] * 3]]


def test_one_bit_cmyk_and_ycbcr():
    assert loaded(Image.fromarray(np.array([[True, False]]))).tolist() == [[[255] * 3, [0] * 3]]
    assert loaded(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert loaded(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).tolist() == [[[255, 0, 0]]]
    colour = Image.new("RGB", (1, 1), (200, 30, 40))
    assert np.abs(loaded(colour.convert("YCbCr")).astype(int) - (200, 30, 40)).max() <= 2


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bits_are_scaled_not_clipped(mode):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    image = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values.astype(np.int32))
    assert image.mode == mode
    expected = [0, 0, 1, 1, 128, 255]
    assert loaded(image)[0, :, 0].tolist() == expected
    assert loaded(encoded(image, "TIFF"))[0, :, 0].tolist() == expected
    assert loaded(values)[0, :, 0].tolist() == expected


def test_float_pictures_are_parts_of_one():
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert image.mode == "F"
    assert loaded(image)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    content = encoded(exif=exif)
    expected = upright[orientation](COLOURS)
    assert np.array_equal(loaded(content), expected)
    once = load_image(content, index=0)
    assert np.array_equal(loaded(once), expected)  # not turned a second time


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored():
    content = encoded(format="JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")
    assert loaded(content).shape == COLOURS.shape
    assert loaded(encoded(format="JPEG", exif=b"Exif\x00\x00nonsense")).shape == COLOURS.shape


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert loaded(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", r"image 7 \(0 bytes\) cannot be used: it is empty"),
        (b"not an image", r"image 7 \(12 bytes\).*not an image"),
        (encoded()[:60], r"image 7 \(60 bytes\).*truncated"),
        (encoded(Image.fromarray(COLOURS).resize((200, 200)), "JPEG")[:2000], r"image 7 \(2000 bytes\).*truncated"),
        ({"bytes": encoded()[:60], "path": "a/b.png"}, r"image 7 \(a/b.png\).*truncated"),
        ({"bytes": b"", "path": "a/b.png"}, r"\(a/b.png\).*it is empty"),
        ({"bytes": None, "path": None}, "dict is not an image"),
        ("/nowhere/foto.png", r"image 7 \(/nowhere/foto.png\) cannot be used: no such file"),
        ("foto", r"image 7 \(foto\).*no such file"),
        ("A" * 5000, r"\(A{100}\.\.\.\).*no such file"),
        ("data:image/png,abc", "a data: URI must be base64"),
        ("data:image/png;base64,aGVsbG8=", "not an image"),
        (None, "NoneType is not an image"),
        (3, "int is not an image"),
        (np.zeros((0, 4, 3), np.uint8), r"it has no pixels, its shape is \(0, 4, 3\)"),
        (Image.new("RGB", (0, 5)), "it has no pixels, its size is 5x0"),
        (np.zeros((5, 4, 2), np.uint8), r"shape \(5, 4, 2\) is neither"),
        (np.zeros(4, np.uint8), r"shape \(4,\) is neither"),
        (np.full((2, 2), 1.5), "float64 values must be within 0 and 1.0, found 1.5 to 1.5"),
        (np.full((2, 2), np.nan), "float64 values must be within 0 and 1.0, found nan"),
        (np.full((2, 2), 256), "int64 values must be within 0 and 255, found 256"),
        (np.full((2, 2), -1, np.int8), "int8 values must be within 0 and 255"),
        (Image.fromarray(np.full((2, 2), 70000, np.int32)), "mode I values must be within 0 and 65535"),
        (Image.fromarray(np.full((2, 2), 7.0, np.float32)), "float32 values must be within 0 and 1.0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(source, message):
    with pytest.raises(ValueError, match=message):
        load_image(source, index=7)


@pytest.mark.parametrize("format", ["EPS", "PCX", "IM"])
def test_formats_that_nobody_sends_are_not_parsed(format, tmp_path):
    path = tmp_path / "fotografia.png"  # the name decides nothing
    path.write_bytes(encoded(format=format))
    assert Image.open(path).format == format
    for source in (path, str(path), path.read_bytes(), {"bytes": path.read_bytes(), "path": None}):
        with pytest.raises(ValueError, match=r"image 0 .*is the file truncated, or not an image\?"):
            load_image(source, index=0)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA", "ICO"])
def test_formats_that_people_send_are_read(format):
    assert loaded(encoded(Image.new("RGB", (16, 16), "white"), format)).tolist() == [[[255] * 3] * 16] * 16


def test_failed_download_is_refused(server):
    with pytest.raises(ValueError, match=r"image 2 \(http://127.*nada.png\).*the download failed.*404"):
        load_image(f"{server}/nada.png", index=2)


def test_decompression_bombs_are_refused_before_they_are_decoded(monkeypatch):
    header = bytearray(encoded(Image.new("1", (8, 8))))
    header[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height in PNG's first chunk, then its checksum
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(ValueError, match=r"image 0 .*decompression bomb.*limit is 178956970"):
        load_image(bytes(header), index=0)
    monkeypatch.setattr(decoding_amalia_vl, "MAX_PIXELS", 50)
    with pytest.raises(ValueError, match=r"its 6x9 pixels are more than the 50 allowed; a decompression bomb\?"):
        load_image(COLOURS, index=0)


@pytest.mark.parametrize("shape", [(4, 60, 3), (1, 60, 3), (3, 60, 4), (3, 3, 3), (60, 1, 3), (4, 5, 1), (1, 1, 3)])
def test_arrays_that_could_be_either_have_their_channels_last(shape):
    values = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    picture = loaded(Image.fromarray(values[..., 0] if shape[2] == 1 else values))
    for source in (values, torch.from_numpy(values), values.astype(np.int64)):
        assert np.array_equal(loaded(source), picture)


def test_an_integer_picture_and_its_array_are_the_same():
    for values in ([[0, 7, 255]], [[0, 7, 256]], [[300, 65535, 0]]):
        image = Image.fromarray(np.array(values, np.int32))
        assert image.mode == "I"
        assert np.array_equal(loaded(image), loaded(np.asarray(image)))
        assert np.array_equal(loaded(image), loaded(torch.from_numpy(np.array(values, np.int32))))
    assert loaded(Image.fromarray(np.array([[0, 7, 255]], np.int32)))[0, :, 0].tolist() == [0, 7, 255]
    for mode, kind in (("I;16", "<u2"), ("I;16B", ">u2")):
        image = Image.frombytes(mode, (3, 1), np.array([[0, 257, 65535]], kind).tobytes())
        assert loaded(image)[0, :, 0].tolist() == loaded(np.asarray(image))[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.full((2, 2), 0.5, object), "an array of object holds no grey levels"),
        (np.full((2, 2), 0.5 + 0.5j), "an array of complex128 holds no grey levels"),
        (torch.full((2, 2), 0.5 + 0.5j), "an array of complex64 holds no grey levels"),
        (np.full((2, 2), "a"), "holds no grey levels"),
        (np.zeros((2, 2), "datetime64[s]"), "holds no grey levels"),
        (np.ma.masked_less(COLOURS, 100), "an array with masked values"),
        (torch.zeros(2, 2, device="meta"), "a tensor of torch.float32"),
        (torch.eye(3).to_sparse(), r"a tensor of torch.float32, torch.sparse_coo"),
        (np.full((2, 2), 70000, np.int32), "int32 values must be within 0 and 65535"),
        (np.full((2, 2, 3), 256, np.int32), "int32 values must be within 0 and 255"),
        (np.broadcast_to(np.uint8(0), (100_000, 100_000)), "its 100000x100000 pixels are more than"),
    ],
)
def test_arrays_without_a_rule_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        load_image(source, index=7)


def test_arrays_without_masked_values_and_small_floats_are_read():
    assert np.array_equal(loaded(np.ma.array(COLOURS)), COLOURS)
    assert loaded(torch.tensor([[0.0, 0.5, 1.0]]).to(torch.float8_e4m3fn))[0, :, 0].tolist() == [0, 128, 255]
    assert loaded(np.array([[0.0, 0.5, 1.0]], np.float16))[0, :, 0].tolist() == [0, 128, 255]


def test_large_transparent_pictures_are_composed_band_by_band(monkeypatch):
    layers = np.random.default_rng(2).integers(0, 256, (37, 11, 4), np.uint8)
    expected = loaded(layers)
    monkeypatch.setattr(image_loading_amalia_vl, "_BAND", 50)
    assert np.array_equal(loaded(layers), expected)
    palette = Image.fromarray(COLOURS).quantize(7)
    palette.info["transparency"] = 3
    banded = loaded(palette)
    monkeypatch.undo()
    assert np.array_equal(loaded(palette), banded)


def test_base64_may_be_longer_than_any_name():
    grain = np.random.default_rng(3).integers(0, 256, (20, 20, 3), np.uint8)
    text = base64.b64encode(encoded(Image.fromarray(grain))).decode()
    assert 255 < len(text) < 4096
    assert np.array_equal(loaded(text), grain)


def test_file_addresses_are_paths_of_this_machine(photo, tmp_path):
    odd = tmp_path / "uma fotografia é.png"
    odd.write_bytes(photo.read_bytes())
    for address in (photo.as_uri(), odd.as_uri(), f"file://localhost{photo}", f"file:{photo}"):
        assert np.array_equal(loaded(address), COLOURS), address
    with pytest.raises(ValueError, match="a file: address of another machine, server"):
        load_image("file://server/foto.png", 0)
    with pytest.raises(ValueError, match="no such file"):
        load_image("file:///nowhere/foto.png", 0)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", str(tmp_path / "pipe"), f"file://{tmp_path}/pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="it is a pipe, a socket or a device, not a file"):
            load_image(source, 0)
    with pytest.raises(ValueError, match="it is a folder, not a file"):
        load_image(tmp_path, 0)


def test_formats_that_the_user_registered_are_read_from_bytes(tmp_path):
    """As HEIC is, after `pillow_heif.register_heif_opener()`."""

    class Opened(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self.fp.seek(4)
            self._size, self._mode = (9, 6), "RGB"
            self.tile = [ImageFile._Tile("raw", (0, 0, 9, 6), 4, ("RGB", 0, 1))]

    content = b"HEIC" + COLOURS.tobytes()
    with pytest.raises(ValueError, match="not an image"):
        load_image(content, 0)
    Image.register_open("HEIF", Opened, lambda prefix: prefix.startswith(b"HEIC"))
    try:
        (tmp_path / "foto.heic").write_bytes(content)
        for source in (content, tmp_path / "foto.heic", {"bytes": content}):
            assert np.array_equal(loaded(source), COLOURS)
    finally:
        Image.ID.remove("HEIF")
        del Image.OPEN["HEIF"]


def test_an_address_in_code_is_fetched_within_limits_and_not_led_to_private_ones(server, monkeypatch):
    assert np.array_equal(loaded(f"{server}/foto.png"), COLOURS)
    monkeypatch.setattr(addresses_amalia_vl.DownloadLimits.__init__, "__defaults__", (10, 60.0, 5, 1, 0.0, ()))
    with pytest.raises(ValueError, match=r"the download failed \(more than 10 bytes\)"):
        load_image(f"{server}/foto.png", 0)


def test_an_array_is_read_where_it_lies_and_stays_as_it_is():
    picture = load_image(array := COLOURS.copy(), 0)
    assert np.shares_memory(picture.levels, array)
    picture.putpixel((0, 0), (9, 9, 9))  # Pillow has pixels of its own
    assert np.array_equal(array, COLOURS)


def test_an_array_that_is_read_only_is_taken_without_a_warning(recwarn):
    array = COLOURS.copy()
    array.flags.writeable = False
    tiles = AmaliaVLImageProcessor(resampler="torch")(array)["pixel_values"]
    assert torch.equal(tiles, AmaliaVLImageProcessor(resampler="torch")(Image.fromarray(COLOURS))["pixel_values"])
    assert not recwarn
