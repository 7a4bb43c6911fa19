"""Any image a user may hold, turned into an upright 8-bit RGB picture, or refused with its name.

Sources: PIL images, NumPy arrays, torch tensors, paths, http(s) and `file://` addresses, `data:` URIs, base64 text,
encoded bytes, and the `{"bytes": ..., "path": ...}` cells of Hugging Face datasets. An address is the user's word, and
fetched from wherever it is, within `addresses_amalia_vl`'s limits; training passes none.

| what comes in | rule |
|---|---|
| EXIF orientation | applied, so the model sees the picture as people do; unreadable EXIF data are ignored |
| transparency (RGBA, LA, palette or `tRNS`) | composed on white |
| grey, 1-bit, palette, CMYK, YCbCr and other modes | Pillow's conversion to RGB |
| 16-bit grey (`I;16`, `uint16`) | full scale is 65535: divided by 257, rounded |
| `I`, and `int32` arrays (H, W), which are the same | 8-bit if no value is above 255, else 16-bit; 0-65535 |
| floats (`F`, float arrays) | full scale is 1.0: times 255, rounded; values outside 0-1 are refused |
| boolean arrays | `False` black, `True` white |
| other integer arrays | taken as 8-bit; values outside 0-255 are refused |
| complex numbers, objects, text, arrays with masked values | refused |
| arrays of 1, 3 or 4 channels | channels last if the last axis can be channels, else first; 2-D is grey, 4 is RGBA |
| animations, several pages | the first frame |
| formats but `FORMATS` and those that the user registered | refused: Pillow runs Ghostscript to draw EPS |
| files that cost much more than they hold | refused, see `decoding_amalia_vl` |
| pipes, devices, folders | refused |
"""

import base64
import binascii
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .addresses_amalia_vl import DownloadLimits, FetchError, download_named
from .decoding_amalia_vl import (
    MAX_PIXELS,
    ArrayPicture,
    RefusedImageError,
    load_pixels,
    read_header,
    require_size,
)

_BAND = 2**20  # pixels that are composed on white at once


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
        opened = _open(source)
        return _to_rgb(opened, ours=opened is not source)
    except Exception as error:  # decoders meet hostile files with OSError, SyntaxError, struct.error, EOFError...
        raise ValueError(f"image {index}{describe(source)} cannot be used: {_reason(error)}") from error


def describe(source: Any) -> str:
    """Name a source, as far as it has a name."""
    if isinstance(source, Mapping):
        return describe(source["path"]) if source.get("path") else describe(source.get("bytes"))
    if isinstance(source, bytes | bytearray | memoryview):
        return f" ({len(source)} bytes)"
    name = source if isinstance(source, str | Path) else getattr(source, "filename", "")
    name = str(name)
    return f" ({name[:100]}{'...' if len(name) > 100 else ''})" if name else ""


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, RefusedImageError):
        return str(error)
    if isinstance(error, FetchError):
        return f"the download failed ({error})"
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}; the limit is {MAX_PIXELS} pixels"
    return f"is the file truncated, or not an image? ({type(error).__name__}: {error})"


def _open(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, torch.Tensor):
        return _from_array(_to_array(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source))
    if isinstance(source, Path):
        return _open_file(source)
    if isinstance(source, str):
        return _open_text(source)
    if isinstance(source, Mapping) and (source.get("bytes") is not None or source.get("path")):
        return _open(source["bytes"] if source.get("bytes") is not None else str(source["path"]))
    raise RefusedImageError(
        f"{type(source).__name__} is not an image, an array, a path, a URL, bytes or a dataset cell with them"
    )


def _open_text(text: str) -> Image.Image:
    """Open what a string points at: an address, a `data:` URI, a file, or base64 itself."""
    if (stored := locate(text)) is not None:
        return _open_file(stored) if isinstance(stored, Path) else _decode(stored)
    try:
        return _decode(base64.b64decode(text, validate=True))
    except (binascii.Error, UnidentifiedImageError, ValueError) as error:  # ValueError: not ASCII
        raise FileNotFoundError(text) from error


def locate(text: str, limits: DownloadLimits | None = None) -> Path | bytes | None:
    """Find the file that a string names: an address, which is fetched, a `data:` URI, or a path; None if it is none.

    Args:
        text: The string.
        limits: Of what is fetched.

    Raises:
        FetchError: It was not fetched.
        ValueError: A URI that is not read.
    """
    if text.startswith(("http://", "https://")):
        return download_named(text, limits)
    if text.startswith("file:"):
        return _file_of(text)
    if text.startswith("data:"):
        header, _, body = text.partition(",")
        if not header.endswith(";base64"):
            raise RefusedImageError("a data: URI must be base64")
        return base64.b64decode(body)
    return Path(text) if _exists(text) else None


def _file_of(address: str) -> Path:
    """Give the path of a `file:` address of this machine."""
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise RefusedImageError(f"a file: address of another machine, {parts.netloc}")
    return Path(url2pathname(parts.path))


def _exists(text: str) -> bool:
    """Tell whether a text is the path of something: base64 may be longer than any path, or than any name in one."""
    try:
        return len(text) < 4096 and Path(text).exists()
    except (OSError, ValueError):
        return False


def _open_file(path: Path) -> Image.Image:
    require_file(path)
    return read_header(path)


def require_file(path: Path) -> None:
    """Refuse what is there but no file: opening a pipe would wait for whoever writes to it.

    Raises:
        RefusedImageError: It is something else.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise RefusedImageError(f"it is {kind}, not a file")


def _decode(encoded: bytes) -> Image.Image:
    if not encoded:
        raise RefusedImageError("it is empty, 0 bytes")
    return read_header(io.BytesIO(encoded))


def _to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Copy a tensor of any device to NumPy, which has no bfloat16 or 8-bit floats."""
    try:
        values = tensor.detach().cpu()
        known = not values.is_floating_point() or values.dtype in (torch.float16, torch.float32, torch.float64)
        return (values if known else values.float()).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise RefusedImageError(f"a tensor of {tensor.dtype}, {tensor.layout}, is no array ({error})") from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype.kind not in "buif":
        raise RefusedImageError(f"an array of {array.dtype} holds no grey levels; give integers, floats or booleans")
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        raise RefusedImageError("an array with masked values; fill them first")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise RefusedImageError(
            f"an array of shape {array.shape} is neither (H, W), (H, W, C) nor (C, H, W) with C = 1, 3 or 4"
        )
    if 0 in array.shape:
        raise RefusedImageError(f"it has no pixels, its shape is {array.shape}")
    require_size(array.shape[1], array.shape[0])  # before it is copied: a view may be larger than its memory
    pixels = np.ascontiguousarray(_to_8_bit(np.asarray(array)))
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return ArrayPicture(pixels)
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _to_8_bit(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring any scale to 0-255, by the rules of the module."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    limit = 1.0 if array.dtype.kind == "f" else 255
    if array.dtype == np.uint16 or (array.dtype == np.int32 and array.ndim == 2 and array.max() > 255):
        limit = 65535
    if not (array.min() >= 0 and array.max() <= limit):  # also true of NaN
        raise RefusedImageError(
            f"{array.dtype} values must be within 0 and {limit}, found {array.min()} to {array.max()}"
        )
    if limit == 65535:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 257 = 255, rounded
    return (array * 255).round().astype(np.uint8) if limit == 1.0 else array.astype(np.uint8)


def _to_rgb(image: Image.Image, ours: bool) -> Image.Image:
    # Decoded before its EXIF data are read: a second attempt would hide that it is truncated.
    image = load_pixels(image, ours)
    if orientation(image) != 1:  # exif_transpose copies even when there is nothing to do
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _from_integers(image)
    elif image.mode == "F":
        image = _from_array(np.asarray(image))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        return on_white(image)
    return image.convert("RGB") if image.mode != "RGB" else image


def on_white(image: Image.Image) -> Image.Image:
    """Compose a transparent picture on white, band by band, since that takes several copies."""
    width, height = image.size
    whole = Image.new("RGB", image.size)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height))).convert("RGBA")
        whole.paste(Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB"), (0, top))
    return whole


def orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; 1 is upright, and so is an image whose EXIF data are broken."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises SyntaxError, struct.error, KeyError...
        return 1


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise RefusedImageError(
            f"mode {image.mode} values must be within 0 and 65535, found {values.min()} to {values.max()}"
        )
    return _from_array(values if image.mode == "I" else values.astype(np.uint16))
