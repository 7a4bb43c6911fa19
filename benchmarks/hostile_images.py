"""Pictures made to hurt: what the worst of them cost before they are refused or read, in seconds and memory.

Crafted files, each in a process of its own: small files that say they are large, files of which most is missing, scans
and tiles without end. Then mutants of small sound pictures in every format: bytes changed, cut out, repeated, sizes
overwritten. Each must be read or refused with ValueError; anything else is a fault. `--mutants 100000` for long runs.
"""

import argparse
import io
import json
import multiprocessing
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from amalia_vl_hf.processing.image_loading_amalia_vl import load_image

MIB = 2**20
FORMATS = {
    "PNG": {},
    "JPEG": {"quality": 80},
    "JPEG progressive": {"progressive": True},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "AVIF": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_deflate"},
    "TIFF LZW": {"compression": "tiff_lzw"},
    "JPEG2000": {},
    "PPM": {},
    "TGA": {"rle": True},
    "ICO": {},
}


def photograph(side: int = 96) -> Image.Image:
    """Soft shapes with some grain."""
    rng = np.random.default_rng(0)
    shapes = np.asarray(Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize((side, side)))
    return Image.fromarray((shapes + rng.integers(-9, 10, (side, side, 1))).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    """Write a picture in a format of `FORMATS`."""
    file = io.BytesIO()
    image.save(file, name.split()[0], **{**FORMATS[name], **options})
    return file.getvalue()


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """Write a PNG by hand, so that it may say what is not so."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def deflated(count: int) -> bytes:
    """Compress so many zeros without holding them."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(-(-count // MIB))) + packer.flush()


def lossless_webp(side: int) -> bytes:
    """Write a WebP of one colour: its size, and the shortest codes."""
    small = encoded(Image.new("RGB", (1, 1), "black"), "WEBP lossless")
    place = small.index(b"VP8L") + 9
    bits = int.from_bytes(small[place : place + 4], "little") & ~(2**28 - 1)
    bits |= (side - 1) | ((side - 1) << 14)
    return small[:place] + bits.to_bytes(4, "little") + small[place + 4 :]


def large_jpeg2000(side: int) -> bytes:
    """Overwrite the size of a small JPEG 2000 everywhere, so that one tile covers all."""
    content = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG2000", no_jp2=True))
    place = content.index(b"\xff\x51") + 6
    content[place : place + 8] = struct.pack(">II", side, side)
    content[place + 16 : place + 24] = struct.pack(">II", side, side)
    return bytes(content)


def many_scans(side: int, scans: int) -> bytes:
    """Repeat the last scan of a progressive JPEG of one colour."""
    content = encoded(Image.new("L", (side, side)), "JPEG progressive")
    start, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[start:end] * scans + content[end:]


def gif(width: int, height: int) -> bytes:
    """Write a GIF that ends before its first pixel."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"


def tiff(tags: dict[int, int], tile: bytes) -> bytes:
    """Write a grey TIFF of one deflated tile."""
    entries = {258: 8, 259: 8, 262: 1, 277: 1, 324: 8 + 2 + 12 * 10 + 4, 325: len(tile), **tags}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + tile


def bmp(width: int, height: int) -> bytes:
    """Write a BMP in runs that ends at once."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 64, 0, 0, 62) + head + bytes(8) + b"\x00\x01"


def ico(content: bytes) -> bytes:
    """Write an icon that says it is small."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(content), 22) + content


def photo(name: str, part: float, end: bytes = b"") -> bytes:
    """Cut a photograph of 1024x1024, and close it."""
    content = encoded(photograph(1024), name)
    return content[: int(len(content) * part)] + end


def taller_tiff() -> bytes:
    """Overwrite the height of a TIFF."""
    content = photo("TIFF", 1)
    return content.replace(struct.pack("<HHII", 257, 3, 1, 1024), struct.pack("<HHII", 257, 4, 1, 13_000))


NOISE = b"".join(b"\0" + random.Random(row).randbytes(3000) for row in range(10))  # noqa: S311
CRAFTED: dict[str, Callable[[], bytes]] = {
    "JPEG 2000 of 13000x13000, a tile": lambda: large_jpeg2000(13_000),
    "JPEG 2000 of 13000x13000, padded with 60 KB": lambda: large_jpeg2000(13_000) + bytes(60_000),
    "JPEG 2000 of 2000x2000, a tile": lambda: large_jpeg2000(2000),
    "WebP of 16383x16383": lambda: lossless_webp(16_383),
    "WebP of 9000x9000, padded with 60 KB": lambda: lossless_webp(9000) + bytes(60_000),
    "WebP of 2000x2000": lambda: lossless_webp(2000),
    "progressive JPEG, 2,000 scans of 1024x1024": lambda: many_scans(1024, 2000),
    "progressive JPEG, 2,000 scans of 4000x4000": lambda: many_scans(4000, 2000),
    "progressive JPEG, 250 scans of 2000x2000": lambda: many_scans(2000, 250),
    "JPEG of 1024x1024, 3 % of its data, then its end": lambda: photo("JPEG", 0.03, b"\xff\xd9"),
    "progressive JPEG, 1 % of its data, then its end": lambda: photo("JPEG progressive", 0.01, b"\xff\xd9"),
    "PNG of 13000x13000, RGB, whole": lambda: png(13_000, 13_000, deflated(13_000 * 39_001)),
    "PNG of 30000x5900, 1 bit, whole": lambda: png(30_000, 5900, deflated(5900 * 3751), depth=1, colour=0),
    "PNG of 5000x5000, RGBA, whole": lambda: png(5000, 5000, deflated(5000 * 20_001), colour=6),
    "PNG of 60000x60000, empty": lambda: png(60_000, 60_000, zlib.compress(b"")),
    "PNG of 1000x1000, ten rows": lambda: png(1000, 1000, zlib.compress(bytes(30_010))),
    "PNG of 1000x1000, ten rows of noise": lambda: png(1000, 1000, zlib.compress(NOISE)),
    "GIF of 65535x2700, empty": lambda: gif(65_535, 2700),
    "GIF of 1000x1000, empty": lambda: gif(1000, 1000),
    "TIFF of 1024x1024, cut": lambda: photo("TIFF", 0.02),
    "TIFF of 1024x1024 that says 13000 rows": taller_tiff,
    "TIFF of 64x64, one tile of 40000x40000": lambda: tiff(
        {256: 64, 257: 64, 322: 40_000, 323: 40_000}, deflated(64 * MIB)
    ),
    "BMP in runs, of 20000x8000, ended at once": lambda: bmp(20_000, 8000),
    "BMP in runs, of 1000x1000, ended at once": lambda: bmp(1000, 1000),
    "ICO of 16x16 with a PNG of 13000x13000": lambda: ico(png(13_000, 13_000, deflated(13_000 * 39_001))),
    "ICO of 16x16 with an empty PNG of 13000x13000": lambda: ico(png(13_000, 13_000, zlib.compress(b""))),
    "TGA in runs, of 20000x8000, empty": lambda: struct.pack(
        "<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 20_000, 8000, 24, 0
    ),
    "AVIF of 8000x8000, one colour": lambda: encoded(Image.new("RGB", (8000, 8000)), "AVIF", speed=10),
    "AVIF of 1024x1024, cut": lambda: photo("AVIF", 0.1),
    "WebP of 1024x1024, cut": lambda: photo("WEBP", 0.03),
    "JPEG 2000 of 1024x1024, cut": lambda: photo("JPEG2000", 0.02),
    "JPEG 2000 of 1024x1024, cut, then its end": lambda: photo("JPEG2000", 0.02, b"\xff\xd9"),
}


def mutant(content: bytes, rng: random.Random) -> bytes:
    """Change a file at one to four places."""
    body = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = int(len(body) * rng.random() ** rng.choice((1, 3)))  # headers more often
        change = rng.randrange(6)
        if change == 0:
            body[place : place + 1] = bytes([rng.randrange(256)])
        elif change == 1:
            body[place : place + 1] = bytes([(body[place : place + 1] or b"\0")[0] ^ (1 << rng.randrange(8))])
        elif change == 2:
            body[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x40\x00", b"\x00\x40\x00\x00")
            )
        elif change == 3:
            del body[place : place + rng.randint(1, max(1, len(body) // 2))]
        elif change == 4:
            body[place:place] = body[place : place + rng.randint(1, 400)] * rng.randint(1, 8)
        else:
            body[place:place] = rng.randbytes(rng.randint(1, 40))
    return bytes(body)


def resident(name: str) -> float:
    """Read this process's memory in MiB: `VmRSS` is now, `VmHWM` the most since it was last forgotten."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def cost(content: bytes) -> tuple[str, float, float]:
    """Load a file; give the outcome, CPU seconds, and MiB by which the process grew at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far, which a process inherits, too
    before, start = resident("VmRSS"), time.process_time()
    try:
        load_image(content, 0)
        outcome = "read"
    except ValueError as error:
        outcome = f"refused: {str(error).partition('cannot be used: ')[2]}"
    except BaseException as error:
        outcome = f"FAULT {type(error).__name__}: {error}"
    return outcome, time.process_time() - start, resident("VmHWM") - before


def alone(content: bytes) -> tuple[str, float, float]:
    """Load a file in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            return pool.apply_async(cost, (content,)).get(900)
        except multiprocessing.TimeoutError:
            return "FAULT more than 900 s", 900.0, 0.0


def mutants(count: int, seed: int) -> tuple[Counter[str], list[tuple[float, float, str]], float]:
    """Load mutants of each format in turn; give the outcomes, the slowest, and the MiB of the largest."""
    rng, outcomes, costs = random.Random(seed), Counter[str](), []  # noqa: S311
    most = 0.0
    parents = {name: encoded(photograph(48 if name == "ICO" else 96), name) for name in FORMATS}
    for number in range(count):
        name = list(parents)[number % len(parents)]
        outcome, seconds, grown = cost(mutant(parents[name], rng))
        most = max(most, grown)
        outcomes[outcome.partition(":")[0]] += 1
        costs = sorted([*costs, (seconds, grown, f"{name}, number {number}: {outcome[:60]}")], reverse=True)[:5]
        if grown > 50 or outcome.startswith("FAULT"):
            print(f"{number:>8} {name}: {seconds:.2f} s, {grown:.0f} MiB, {outcome[:100]}", flush=True)
    return outcomes, costs, most


def main() -> None:
    """Print the tables, and the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'crafted file':<50}{'bytes':>9}{'CPU s':>8}{'MiB':>7}  outcome")
    worst_time, worst_memory = 0.0, 0.0
    for name, make in CRAFTED.items():
        content = make()
        outcome, seconds, grown = alone(content)
        worst_time, worst_memory = max(worst_time, seconds), max(worst_memory, grown)
        print(f"{name:<50}{len(content):>9,}{seconds:>8.2f}{grown:>7.0f}  {outcome[:90]}", flush=True)
    start = time.monotonic()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        outcomes, costs, peak = pool.apply(mutants, (arguments.mutants, arguments.seed))
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(outcomes.items()))
    print(f"{arguments.mutants} mutants, seed {arguments.seed}: {told}")
    print(f"{'':>4}{time.monotonic() - start:.0f} s in all; the largest took {peak:.0f} MiB; the slowest:")
    for seconds, grown, name in costs:
        print(f"{'':>4}{seconds:.3f} s, {grown:.0f} MiB more: {name}")
    faults = sum(count for kind, count in outcomes.items() if kind.startswith("FAULT"))
    print(
        json.dumps(
            {
                "crafted files, worst": {"seconds": worst_time, "MiB": worst_memory},
                "mutants": {"count": arguments.mutants, "faults": faults, "seconds": costs[0][0], "MiB": peak},
            }
        )
    )


if __name__ == "__main__":
    main()
