"""Encoded images decoded within bounds: a small file never costs gigabytes or minutes, whatever it says of itself.

Before a pixel is decoded, the header decides: pixels, pixels for each byte of the file, the memory that the format's
decoder takes, the scans of a progressive JPEG, and whether the coded data can be those of the whole picture. Threads
that decode at once share one budget of memory.
"""

import contextlib
import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:  # optional: the same pixels as Pillow's in less time
    import simplejpeg
except ImportError:
    simplejpeg = None

MAX_PIXELS = 178_956_970  # Pillow's own limit for an error: 0.5 GiB of 24-bit pixels
FREE_PIXELS = 2**22  # of a picture whose file may be as small as it likes: 0.1 s and 100 MB at worst
PIXELS_A_BYTE = 1024  # beyond those: deflate's limit in grey; 8 times as many in black and white
PHOTO_PIXELS_A_BYTE = 512  # of formats that write one colour down in a few bytes, and take most memory
MAX_SCAN_PIXELS = 2**30  # pixels times scans of a progressive JPEG: about 3 s; a photo has 10 scans
DECODE_BYTES = 9 * MAX_PIXELS  # memory that decoding may take, of all threads together
# What is read, and how its files are called.
SUFFIX_OF = {
    **{"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif", "GIF": ".gif", "BMP": ".bmp", "DIB": ".dib"},
    **{"TIFF": ".tif", "JPEG2000": ".jp2", "PPM": ".ppm", "TGA": ".tga", "ICO": ".ico"},
}
FORMATS = tuple(SUFFIX_OF)
SUFFIXES = (*SUFFIX_OF.values(), ".jpeg", ".tiff")  # by which a folder's images are known

_DECODER_BYTES = {"JPEG2000": 20, "WEBP": 16, "AVIF": 16, "TIFF": 12, "HEIF": 16}  # a pixel, as measured; others 9
_GIF_PIXELS_A_BYTE = 2560  # LZW's longest run, 3,840 pixels, in a code of 12 bits
_TILE = (322, 323)  # TIFF's tags of a tile's width and height
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), (0xC2,)  # JPEG's frames of Huffman codes
# First column and row, and steps between columns and rows, of an interlaced PNG's passes.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # that ends a scan's data


class RefusedImageError(ValueError):
    """An image that could be read but that no rule accepts."""


class ArrayPicture(Image.Image):
    """An RGB picture whose pixels lie in an array until Pillow is asked for them; then they are Pillow's alone.

    Pillow keeps four bytes a pixel: of a large picture, giving it the pixels and taking them back takes as long as
    decoding does.

    Args:
        levels: `(H, W, 3)`, grey levels; not copied.
        info: What its file says beside them, EXIF data among it.
    """

    levels: NDArray[np.uint8] | None = None

    def __init__(self, levels: NDArray[np.uint8], info: Mapping[Any, Any] | None = None) -> None:
        super().__init__()
        self.levels, self.info = levels, dict(info or {})
        self._mode, self._size = "RGB", (levels.shape[1], levels.shape[0])

    def load(self) -> Any:
        """Give Pillow the pixels, as all of its methods ask before they touch any."""
        if self.levels is not None:
            self.im, self.levels = Image.fromarray(self.levels).im, None
        return super().load()


def read_header(file: Path | IO[bytes]) -> Image.Image:
    """Open an encoded image of one of `FORMATS`, or of one that the user has registered an opener for.

    Its pixels are not decoded yet.

    Raises:
        OSError: There is no such file, or it is no image of these formats.
    """
    return Image.open(file, formats=_formats_here())


def _formats_here() -> tuple[str, ...]:
    """List what may be opened: Pillow stumbles over the name of a format that its build does not read."""
    Image.init()
    return tuple(name for name, (opener, _) in Image.OPEN.items() if name in FORMATS or not _is_pillows(opener))


def _is_pillows(opener: object) -> bool:
    return str(getattr(opener, "__module__", "")).partition(".")[0] == "PIL"


def load_pixels(image: Image.Image, ours: bool = True) -> Image.Image:
    """Decode a picture, if its file is worth it, within the memory that all threads share.

    Args:
        image: The picture.
        ours: Whether nobody else holds it, so that another may take its place and its file be closed.

    Returns:
        The picture, its pixels in memory: the same one, or an [`ArrayPicture`] in its place.

    Raises:
        RefusedImageError: It has no pixels, too many, or too many for its file; or its file lacks most of them.
        OSError: It is truncated.
    """
    require_size(*image.size)
    cost = image.width * image.height * 9
    file = getattr(image, "fp", None)
    if file is not None and not file.closed:
        cost = _require_worth(image, file)
    with _budget.share(cost):
        levels = None if file is None else _jpeg_levels(image, file, ours)
        if levels is None and not isinstance(image, ArrayPicture):
            image.load()
    require_size(*image.size)  # an icon's frame may be larger than its directory says
    if image.format == "PNG" and file is not None and _ends_in_zeros(image):
        _require_whole_png(Path(image.filename).read_bytes() if file.closed else _bytes(file))  # type: ignore[attr-defined]
    return image if levels is None else ArrayPicture(levels, image.info)


def _jpeg_levels(image: Any, file: IO[bytes], ours: bool) -> NDArray[np.uint8] | None:
    """Decode a JPEG in grey or RGB by simplejpeg, where it is installed; whatever it warns of is left to Pillow.

    Returns:
        `(H, W, 3)`; None where the picture has them, as a grey one or another's has, or where Pillow is to decode.
    """
    colours = {"RGB": "RGB", "L": "GRAY"}.get(image.mode)
    if simplejpeg is None or image.format != "JPEG" or colours is None or file.closed:
        return None
    try:
        levels = simplejpeg.decode_jpeg(_bytes(file), colours, fastdct=False, fastupsample=False, strict=True)
    except ValueError:
        return None
    if levels.shape[:2] != (image.height, image.width):
        return None
    within = image.mode == "L" or not ours
    if within:
        image.im, image.tile = Image.fromarray(levels[..., 0] if image.mode == "L" else levels).im, []
    if image._exclusive_fp:  # a file that Pillow opened, and would close
        file.close()
        image.fp = None
    return None if within else levels


def require_size(width: int, height: int) -> None:
    """Hold a picture to have pixels, and not too many.

    Raises:
        RefusedImageError: It has none, or more than `MAX_PIXELS`.
    """
    if width == 0 or height == 0:
        raise RefusedImageError(f"it has no pixels, its size is {height}x{width}")
    if width * height > MAX_PIXELS:
        raise RefusedImageError(
            f"its {height}x{width} pixels are more than the {MAX_PIXELS} allowed; a decompression bomb?"
        )


def _require_worth(image: Image.Image, file: IO[bytes]) -> int:
    """Hold a picture's cost against its file; give the bytes that decoding it takes."""
    size = _size(file)
    pixels = _pixels(image)
    kind = image.format or ""
    most = PHOTO_PIXELS_A_BYTE if kind in _DECODER_BYTES and kind != "TIFF" else PIXELS_A_BYTE
    if pixels > FREE_PIXELS + most * size * (8 if image.mode == "1" else 1):
        raise RefusedImageError(f"{pixels} pixels in {size} bytes: almost all of it is missing, or it is a bomb")
    if kind == "GIF" and pixels > 4096 + _GIF_PIXELS_A_BYTE * size:
        raise RefusedImageError(f"{pixels} pixels in {size} bytes: almost all of the GIF is missing")
    each = _DECODER_BYTES.get(kind, 9)
    if kind in ("JPEG", "MPO"):
        each = _require_whole_jpeg(_bytes(file), pixels)
    if pixels * each > DECODE_BYTES:
        raise RefusedImageError(
            f"{pixels} pixels of {kind} take {pixels * each} bytes to decode, more than {DECODE_BYTES}; "
            "save it smaller, or as PNG or baseline JPEG"
        )
    return pixels * each


def _pixels(image: Image.Image) -> int:
    """Count the pixels that are decoded at once: a TIFF's tile or an icon's frame may be larger than the picture."""
    width, height = image.size
    if image.format == "TIFF":
        tile = [image.tag_v2.get(tag, 0) for tag in _TILE]  # type: ignore[attr-defined]
        if all(isinstance(length, int) for length in tile):
            return max(width * height, tile[0] * tile[1])
    if image.format == "ICO":
        frame = image.ico.getimage(image.ico.entry[0].dim)  # type: ignore[attr-defined]
        return max(width * height, frame.width * frame.height)
    return width * height


def _size(file: IO[bytes]) -> int:
    place = file.tell()
    try:
        return file.seek(0, io.SEEK_END)
    finally:
        file.seek(place)


def _bytes(file: IO[bytes]) -> bytes:
    place = file.tell()
    try:
        file.seek(0)
        return file.read()
    finally:
        file.seek(place)


def _require_whole_jpeg(content: bytes, pixels: int) -> int:
    """Hold a JPEG to few scans, and to the bits that its blocks need at least; give the bytes a pixel that it takes.

    libjpeg fills what is missing with grey, and Pillow does not tell.
    """
    tables: dict[int, tuple[int, int]] = {}
    frame, parts, scans = 0, [(1, 1)], 0
    for marker, body in _segments(content):
        if marker == 0xC4:
            tables.update(_code_lengths(body))
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC) and len(body) >= 6 + 3 * body[5]:
            frame = marker
            parts = [(body[7 + 3 * index] >> 4, body[7 + 3 * index] & 15) for index in range(body[5])] or parts
        elif marker == 0xDA:
            scans += 1
            if scans == 1:
                _require_bits(content, frame, parts, tables, pixels)
            if frame in _BASELINE:
                return 9  # what follows the first scan is looked through for more of them, which count in others only
            if scans * pixels > MAX_SCAN_PIXELS:
                raise RefusedImageError(
                    f"{scans} scans or more of {pixels} pixels: a progressive JPEG made to keep decoders busy"
                )
    return 16


def _require_bits(
    content: bytes, frame: int, parts: list[tuple[int, int]], tables: dict[int, tuple[int, int]], pixels: int
) -> None:
    """Count the blocks of 8x8 samples: each takes a code of its first coefficient, and one that ends it."""
    if frame not in (*_BASELINE, *_PROGRESSIVE):
        return
    most = max(across * down for across, down in parts) or 1
    blocks = sum(pixels * across * down // (64 * most) for across, down in parts)
    first = min((shortest for table, (shortest, _) in tables.items() if table < 16), default=1)
    ending = min((end for table, (_, end) in tables.items() if table >= 16), default=1) if frame in _BASELINE else 0
    if blocks * (first + ending) > 8 * len(content):
        raise RefusedImageError(
            f"{pixels} pixels take {blocks * (first + ending) // 8} bytes at least, but there are {len(content)}: "
            "almost all of the JPEG is missing"
        )


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk over a JPEG's markers and what they hold, past the coded data, up to the end that it says itself."""
    place = 2
    while (found := _MARKER.search(content, place)) is not None:
        marker, start = content[found.end() - 1], found.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):
            place = start
            continue
        length = max(int.from_bytes(content[start : start + 2], "big"), 2)
        yield marker, content[start + 2 : start + length]
        place = start + length


def _ends_in_zeros(image: Image.Image) -> bool:
    """Tell whether the last row is zeros, as it is where data were missing; black pictures are, too."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return not any(last.tobytes())


def _require_whole_png(content: bytes) -> None:
    """Count what a PNG's data are when they are inflated: Pillow takes a stream that ends early for a whole one."""
    place, count, wanted, inflate = 8, 0, 0, zlib.decompressobj()
    while place + 8 <= len(content) and not inflate.eof:
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            wanted = _inflated_bytes(body)
        pending = body if kind == b"IDAT" else b""
        while pending and not inflate.eof:
            count += len(inflate.decompress(pending, 2**20))
            pending = inflate.unconsumed_tail
        place += 12 + length
    if count < wanted:
        raise RefusedImageError(f"only {count} of the PNG's {wanted} bytes of pixels are there; the rest is missing")


def _inflated_bytes(header: bytes) -> int:
    """Count the bytes of a PNG's rows, each with the filter's: of the whole picture, or of its seven passes."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes]
    return sum(rows * (1 + -(-cols * bits // 8)) for cols, rows in sizes if cols > 0 and rows > 0)


def _code_lengths(body: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Read, of each Huffman table, the bits of its shortest code, and of the cheapest end of a block."""
    place = 0
    while place + 17 <= len(body):
        table, counts = body[place], body[place + 1 : place + 17]
        lengths = [length for length, count in enumerate(counts, 1) for _ in range(count)]
        symbols = body[place + 17 : place + 17 + len(lengths)]
        shortest = lengths[0] if lengths else 1
        full = 4 * shortest  # runs of 16 up to the 63rd coefficient, after which a block ends by itself
        end = lengths[symbols.index(0)] if 0 in symbols else full
        yield table, (shortest, min(end, full))
        place += 17 + len(lengths)


class _Budget:
    """Memory that threads share; who asks for more than is left waits, one that asks for all of it gets it alone."""

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a process that was forked while others decoded."""
        self.taken = 0
        self.change = threading.Condition()

    @contextlib.contextmanager
    def share(self, size: int) -> Iterator[None]:
        """Hold a part of it."""
        with self.change:
            self.change.wait_for(lambda: self.taken == 0 or self.taken + size <= self.whole)
            self.taken += size
        try:
            yield
        finally:
            with self.change:
                self.taken -= size
                self.change.notify_all()


_budget = _Budget(DECODE_BYTES)
os.register_at_fork(after_in_child=_budget.reset)


def decoding_memory(size: int) -> contextlib.AbstractContextManager[None]:
    """Hold a part of the memory that all threads share while they decode; who asks for one part asks for no other.

    Args:
        size: Bytes.
    """
    return _budget.share(size)
