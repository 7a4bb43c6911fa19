"""Any image a user may hold, turned into an upright 8-bit RGB picture, or refused with its name.

Sources: PIL images, NumPy arrays, torch tensors, paths, http(s) URLs, `data:` URIs, base64 text, encoded bytes, and
the `{"bytes": ..., "path": ...}` cells of Hugging Face datasets.

| what comes in | rule |
|---|---|
| EXIF orientation | applied, so the model sees the picture as people do; unreadable EXIF data are ignored |
| transparency (RGBA, LA, palette or `tRNS`) | composed on white |
| grey, 1-bit, palette, CMYK, YCbCr and other modes | Pillow's conversion to RGB |
| 16-bit grey (`I;16`, `I`, `uint16`) | full scale is 65535: divided by 257, rounded |
| floats (`F`, float arrays) | full scale is 1.0: times 255, rounded; values outside 0-1 are refused |
| boolean arrays | `False` black, `True` white |
| other integer arrays | taken as 8-bit; values outside 0-255 are refused |
| arrays of 1, 3 or 4 channels | channels first if the first axis can be channels, else last; 2-D is grey, 4 is RGBA |
| animations, several pages | the first frame |
| other formats than `FORMATS` | refused: Pillow runs Ghostscript to draw EPS, and parses many a forgotten format |
"""

import base64
import binascii
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 178_956_970  # Pillow's own limit for an error: 0.5 GiB of 24-bit pixels
URL_TIMEOUT = 60.0  # seconds
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "TGA", "ICO")


def load_image(source: Any, index: int) -> Image.Image:
    """Decode one image.

    Args:
        source: The image, in any form the module lists.
        index: Position of the image in the call, for errors.

    Returns:
        An RGB picture, upright, its pixels in memory.

    Raises:
        ValueError: If the image is missing, empty, truncated, corrupt, huge or of an unknown kind; names the image.
    """
    try:
        return _to_rgb(_open(source))
    except Exception as error:  # decoders meet hostile files with OSError, SyntaxError, struct.error, EOFError...
        raise ValueError(f"image {index}{_describe(source)} cannot be used: {_reason(error)}") from error


def _describe(source: Any) -> str:
    """Name a source, as far as it has a name."""
    if isinstance(source, Mapping):
        return _describe(source["path"]) if source.get("path") else _describe(source.get("bytes"))
    if isinstance(source, bytes | bytearray | memoryview):
        return f" ({len(source)} bytes)"
    name = source if isinstance(source, str | Path) else getattr(source, "filename", "")
    name = str(name)
    return f" ({name[:100]}{'...' if len(name) > 100 else ''})" if name else ""


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, _RefusedError):
        return str(error)
    if isinstance(error, httpx.HTTPError):
        return f"the download failed ({error})"
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}; the limit is {MAX_PIXELS} pixels"
    return f"is the file truncated, or not an image? ({type(error).__name__}: {error})"


class _RefusedError(ValueError):
    """An image that could be read but that no rule accepts."""


def _open(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, torch.Tensor):
        pixels = source.detach().cpu()
        return _from_array((pixels.float() if pixels.dtype == torch.bfloat16 else pixels).numpy())
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source))
    if isinstance(source, Path):
        return read_header(source)
    if isinstance(source, str):
        return _open_text(source)
    if isinstance(source, Mapping) and (source.get("bytes") is not None or source.get("path")):
        return _open(source["bytes"] if source.get("bytes") is not None else str(source["path"]))
    raise _RefusedError(
        f"{type(source).__name__} is not an image, an array, a path, a URL, bytes or a dataset cell with them"
    )


def _open_text(text: str) -> Image.Image:
    """Open what a string points at: a URL, a `data:` URI, a file, or base64 itself."""
    if text.startswith(("http://", "https://")):
        reply = httpx.get(text, follow_redirects=True, timeout=URL_TIMEOUT)
        return _decode(reply.raise_for_status().content)
    if text.startswith("data:"):
        header, _, body = text.partition(",")
        if not header.endswith(";base64"):
            raise _RefusedError("a data: URI must be base64")
        return _decode(base64.b64decode(body))
    if len(text) < 4096 and Path(text).exists():  # longer than any path
        return read_header(Path(text))
    try:
        return _decode(base64.b64decode(text, validate=True))
    except (binascii.Error, UnidentifiedImageError) as error:
        raise FileNotFoundError(text) from error


def _decode(encoded: bytes) -> Image.Image:
    if not encoded:
        raise _RefusedError("it is empty, 0 bytes")
    return read_header(io.BytesIO(encoded))


def read_header(file: Path | IO[bytes]) -> Image.Image:
    """Open an encoded image of one of `FORMATS`; its pixels are not decoded yet.

    Raises:
        OSError: There is no such file, or it is no image of these formats.
    """
    return Image.open(file, formats=_formats_here())


@cache
def _formats_here() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow reads; it stumbles over the name of any other."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise _RefusedError(
            f"an array of shape {array.shape} is neither (H, W), (H, W, C) nor (C, H, W) with C = 1, 3 or 4"
        )
    if 0 in array.shape:
        raise _RefusedError(f"it has no pixels, its shape is {array.shape}")
    pixels = np.ascontiguousarray(_to_8_bit(array))
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _to_8_bit(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring any scale to 0-255, by the rules of the module."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 257 = 255, rounded
    limit = 1.0 if np.issubdtype(array.dtype, np.floating) else 255
    if not (array.min() >= 0 and array.max() <= limit):  # also true of NaN
        raise _RefusedError(f"{array.dtype} values must be within 0 and {limit}, found {array.min()} to {array.max()}")
    return (array * 255).round().astype(np.uint8) if limit == 1.0 else array.astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    width, height = image.size
    if width == 0 or height == 0:
        raise _RefusedError(f"it has no pixels, its size is {height}x{width}")
    if width * height > MAX_PIXELS:
        raise _RefusedError(
            f"its {height}x{width} pixels are more than the {MAX_PIXELS} allowed; a decompression bomb?"
        )
    image.load()  # decoded here, before its EXIF data are read: a second attempt would hide that it is truncated
    if orientation(image) != 1:  # exif_transpose copies even when there is nothing to do
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    elif image.mode == "F":
        image = _from_array(np.asarray(image))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    return image.convert("RGB") if image.mode != "RGB" else image


def orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; 1 is upright, and so is an image whose EXIF data are broken."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises SyntaxError, struct.error, KeyError...
        return 1


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise _RefusedError(
            f"mode {image.mode} values must be within 0 and 65535, found {values.min()} to {values.max()}"
        )
    return _from_array(values.astype(np.uint16))
