"""Files of videos held to what they say of themselves, before FFmpeg reads them: it takes what is there for the whole.

A file that is shorter than its parts say is truncated. A table of frames is read into memory at its own word, some 24
bytes for each, so that a file of a few hundred bytes could take gigabytes.
"""

import io
import struct
from collections.abc import Iterator
from typing import IO

from .decoding_amalia_vl import RefusedImageError

MOST_FRAMES = 2**20  # of a video: 9 hours at 30 a second

_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")  # boxes that hold boxes
_SEGMENT, _UNKNOWN = 0x18538067, -1  # Matroska's, and a size that nobody wrote down


def require_whole(file: IO[bytes]) -> None:
    """Hold a file's structure to its size, and its tables of frames to `MOST_FRAMES`.

    Raises:
        RefusedImageError: It ends early, or counts more frames than a video may have.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if not size:
        raise RefusedImageError("it is empty, 0 bytes")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"):
        _require_boxes(file, size)
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        _require_end(_end_of_matroska(file), size)
    elif head[:4] == b"RIFF":
        stated = struct.unpack("<I", head[4:8])[0]
        _require_end(8 + stated if 0 < stated < 2**32 - 1 else _UNKNOWN, size)
    elif head[:3] == b"GIF":
        _require_gif(file)
    elif head[:1] == b"\x47" and size > 188 and _byte(file, 188) == 0x47:
        _require_end(size if size % 188 == 0 else size + 188 - size % 188, size)
    file.seek(0)


def _require_end(end: int, size: int) -> None:
    if end > size:
        raise RefusedImageError(f"it ends early: {end} bytes by its header, but there are {size}")


def _require_boxes(file: IO[bytes], size: int) -> None:
    """Walk over the boxes of an MP4."""
    frames = 0
    for kind, start, end in _boxes(file, 0, size):
        _require_end(end, size)
        if kind == b"cmov":
            raise RefusedImageError("its tables are compressed, as no camera has written them for decades")
        if kind in (b"stsz", b"stz2", b"trun"):
            file.seek(start)
            table = file.read(12)
            frames += int.from_bytes(table[4:8] if kind == b"trun" else table[8:12], "big")
            if frames > 16 * MOST_FRAMES:  # of all its tracks: sound has several for each frame
                raise RefusedImageError(f"its tables count {frames} frames or more; a bomb?")


def _boxes(file: IO[bytes], place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of what each box holds, those inside others included; without recursion."""
    ends = [end]
    while place + 8 <= ends[0]:
        while len(ends) > 1 and place + 8 > ends[-1]:
            place = ends.pop()
        if place + 8 > ends[0]:
            return
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        start = place + 8
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
            start += 8
        stop = ends[-1] if length == 0 else place + max(length, start - place)
        yield kind, start, stop
        if kind in _FOLDERS and len(ends) < 16:
            ends.append(min(stop, ends[-1]))
            place = start
        else:
            place = stop


def _require_gif(file: IO[bytes]) -> None:
    """Walk over the blocks of a GIF up to the one that ends it."""
    file.seek(10)
    _skip_colours(file, _number(file), 2)
    while (kind := _number(file)) != 0x3B:
        if kind == 0x2C:
            file.seek(8, io.SEEK_CUR)
            _skip_colours(file, _number(file), 0)
        file.seek(1, io.SEEK_CUR)  # label of an extension, or code size of a picture
        while length := _number(file):
            file.seek(length, io.SEEK_CUR)


def _skip_colours(file: IO[bytes], flags: int, more: int) -> None:
    """Skip what follows a GIF's flags: other bytes, and a table of colours if there is one."""
    file.seek(more + (3 << (flags & 7) + 1 if flags & 0x80 else 0), io.SEEK_CUR)


def _number(file: IO[bytes]) -> int:
    """Read a byte of a GIF."""
    if not (byte := file.read(1)):
        raise RefusedImageError(f"it ends early, after {file.seek(0, io.SEEK_END)} bytes: the GIF lacks its end")
    return byte[0]


def _byte(file: IO[bytes], place: int) -> int:
    file.seek(place)
    return file.read(1)[0]


def _end_of_matroska(file: IO[bytes]) -> int:
    """Say where the segment of a Matroska file ends; live ones do not."""
    file.seek(4)
    length, _ = _variable_number(file)
    file.seek(length, io.SEEK_CUR)
    if int.from_bytes(file.read(4), "big") != _SEGMENT:
        return _UNKNOWN
    length, unknown = _variable_number(file)
    return _UNKNOWN if unknown else file.tell() + length


def _variable_number(file: IO[bytes]) -> tuple[int, bool]:
    """Read a number of one to eight bytes, and whether it stands for an unknown one: all its bits are set."""
    first = file.read(1)
    width = 9 - first[0].bit_length() if first and first[0] else 1
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << 7 * width) - 1)
    return value, value == (1 << 7 * width) - 1
