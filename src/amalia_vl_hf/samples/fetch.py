"""Images that a dataset names by URL (PD12M, Multi-PixMo), fetched ahead of training.

A folder appears with `images/`, `samples.jsonl` that training reads as it is, and `failures.jsonl`. An image's file is
named by its URL and appears when it is whole and checked, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm  # type: ignore[import-untyped]

from ..disk import sole_writer, whole_file, write_file
from ..fields import printable
from ..processing.addresses_amalia_vl import Allowed, DownloadLimits, FetchError, download, is_public
from ..processing.image_loading_amalia_vl import load_image
from .formats import language_of, read_record
from .sources import Rows, Source, open_rows

SAMPLES, FAILURES = "samples.jsonl", "failures.jsonl"
_URLS = ("image_url", "url")
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_HASHES = {"image_sha256": "sha256", "sha256": "sha256", "hash": "md5", "md5_hash": "md5"}  # PD12M gives MD5


class RemoteImage(NamedTuple):
    """An image to fetch.

    Args:
        url: Where it is.
        algorithm: Of the hash that the dataset gives for it, if any.
        digest: That hash, in hexadecimal.
    """

    url: str
    algorithm: str | None
    digest: str | None

    @property
    def file(self) -> str:
        """Its path in the output folder: many folders, since one with a million files is slow."""
        name = hashlib.sha256(self.url.encode("utf-8", "surrogatepass")).hexdigest()
        return f"images/{name[:2]}/{name}"


@dataclass
class FetchTally:
    """What a run did.

    Args:
        new: Images fetched.
        present: Images that were there before.
        samples: Samples written.
        failures: Row, URL and reason of each sample that has no image.
    """

    new: int = 0
    present: int = 0
    samples: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def table(self) -> str:
        """Say what was done, and how often each reason stood in the way."""
        lines = [f"{self.new} images fetched, {self.present} were there, {self.samples} samples written"]
        reasons = Counter(reason for _, _, reason in self.failures)
        if reasons:
            lines += [f"{len(self.failures)} samples left out, listed in {FAILURES}:"]
            lines += [f"{count:>10}  {printable(reason)}" for reason, count in reasons.most_common(20)]
        if len(reasons) > 20:
            lines.append(f"{'':>10}  and {len(reasons) - 20} other reasons")
        return "\n".join(lines)


def fetch(
    source: str | Path,
    out: str | Path,
    *,
    limits: DownloadLimits | None = None,
    samples: int | None = None,
    seed: int = 0,
    language: str | None = None,
    threads: int = 16,
    allowed: Allowed = is_public,
) -> FetchTally:
    """Fetch the images of a dataset, and write its samples with the images' paths.

    Calling again fetches what is missing, and nothing that is there.

    Args:
        source: Parquet or JSON file, or a folder with one, in a format of `samples.formats` that names URLs.
        out: Folder to write.
        limits: What one image may take.
        samples: How many rows are drawn; all when left out.
        seed: Of the draw.
        language: Of the texts, where the rows do not say it.
        threads: Images fetched at once.
        allowed: Which addresses may be connected to; no command gives another than the public ones.

    Raises:
        ValueError: The rows name no URL, or there are fewer than asked for.
        BlockingIOError: Another run writes to the folder.
    """
    rows, out = open_rows(Source(Path(source).stem, path=str(source))), Path(out)
    known = {"language": language} if language else {}
    if not len(rows):
        raise ValueError(f"{source} holds no rows")
    if not any(_readable(rows, number) for number in range(len(rows))):
        raise ValueError(f"{rows.name(0)}: no image URL; needs {' or '.join(_URLS)} but holds {_columns(rows)}")
    numbers = _draw(len(rows), samples, seed)
    (out / "images").mkdir(parents=True, exist_ok=True)
    with sole_writer(out / ".lock", f"fetching into {out}"):
        done, reasons = _fetch_all(rows, numbers, out, limits or DownloadLimits(), threads, allowed)
        _write_samples(rows, numbers, out, known, done, reasons)
    return done


def _draw(count: int, samples: int | None, seed: int) -> Sequence[int]:
    if samples is None:
        return range(count)
    if not 0 < samples <= count:
        raise ValueError(f"{samples} samples wanted, {count} rows there")
    numbers: list[int] = np.sort(np.random.default_rng(seed).permutation(count)[:samples]).tolist()
    return numbers


def _image_of(row: Any) -> RemoteImage | None:
    """Read the URL and the hash off a row; None if it names no URL."""
    if not isinstance(row, Mapping):
        return None
    url = next((row[name] for name in _URLS if isinstance(row.get(name), str)), None)
    if url is None:
        return None
    column = next((name for name in _HASHES if isinstance(row.get(name), str)), None)
    return RemoteImage(url, _HASHES[column], row[column].lower()) if column else RemoteImage(url, None, None)


def _fetch_all(
    rows: Rows, numbers: Sequence[int], out: Path, limits: DownloadLimits, threads: int, allowed: Allowed
) -> tuple[FetchTally, dict[str, str]]:
    """Fetch what is missing; give the reasons of failures by the images' files."""
    done, reasons = FetchTally(), dict[str, str]()
    running: dict[Future[None], str] = {}
    files: set[str] = set()
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(numbers), desc="fetching", unit="image") as bar:
        try:
            for number in numbers:
                bar.update()
                image = _readable(rows, number)
                if image is None or image.file in files:
                    continue
                files.add(image.file)
                if (out / image.file).exists():
                    done.present += 1
                    continue
                running[pool.submit(_fetch_one, image, out, limits, allowed)] = image.file
                if len(running) >= 4 * threads:  # enough to keep all threads busy, few enough to forget
                    _collect(running, done, reasons)
            while running:
                _collect(running, done, reasons)
        except BaseException:  # Ctrl-C above all: what waits is not begun, and not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done, reasons


def _collect(running: dict[Future[None], str], done: FetchTally, reasons: dict[str, str]) -> None:
    """Wait for an image, and count it."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        file = running.pop(future)
        try:
            future.result()
            done.new += 1
        except FetchError as error:
            reasons[file] = str(error)


def _fetch_one(image: RemoteImage, out: Path, limits: DownloadLimits, allowed: Allowed) -> None:
    """Fetch an image, check it, and put it in its place."""
    body = download(image.url, limits, allowed)
    if image.algorithm and hashlib.new(image.algorithm, body, usedforsecurity=False).hexdigest() != image.digest:
        raise FetchError(f"not the {image.algorithm} that the dataset gives: it has changed since")
    _require_image(body)
    file = out / image.file
    file.parent.mkdir(exist_ok=True)
    write_file(file, body)


def _require_image(body: bytes) -> None:
    """Hold a file to be a whole picture of a format that is only that: Pillow runs Ghostscript for EPS."""
    try:
        Image.open(io.BytesIO(body), formats=_FORMATS).close()
        load_image(body, 0)
    except UnidentifiedImageError as error:
        raise FetchError(f"no image of {', '.join(_FORMATS)}") from error
    except Exception as error:  # decoders meet hostile files with OSError, SyntaxError, struct.error, ValueError...
        raise FetchError(f"no image: {str(error).partition('cannot be used: ')[2] or error}") from error


def _readable(rows: Rows, number: int) -> RemoteImage | None:
    try:
        return _image_of(rows[number])
    except ValueError:  # a line that is no JSON; it is among the failures
        return None


def _write_samples(
    rows: Rows,
    numbers: Sequence[int],
    out: Path,
    known: Mapping[str, str],
    done: FetchTally,
    reasons: Mapping[str, str],
) -> None:
    """Write the samples whose images are there, and the failures."""
    with whole_file(out / SAMPLES) as scratch, scratch.open("w", encoding="utf-8") as file:
        for number in numbers:
            try:
                sample = _sample(rows, number, out, known, reasons)
            except FetchError as error:
                image = _readable(rows, number)
                done.failures.append((rows.name(number), image.url if image else "", str(error)))
                continue
            file.write(sample)
            done.samples += 1
    lines = [json.dumps(dict(zip(("row", "url", "reason"), entry, strict=True))) + "\n" for entry in done.failures]
    write_file(out / FAILURES, "".join(lines))


def _sample(rows: Rows, number: int, out: Path, known: Mapping[str, str], reasons: Mapping[str, str]) -> str:
    """Turn a row into a line: a sample with its fetched image.

    Raises:
        FetchError: It has no image, or is not readable.
    """
    try:
        row = rows[number]
        image = _image_of(row)
        if image is None:
            raise FetchError("the row names no URL")
        if not (out / image.file).exists():
            raise FetchError(reasons[image.file])
        row = {**known, **{name: value for name, value in row.items() if value is not None}}
        record = read_record(row, "sft", rows.name(number))
        language = {"language": language_of(row, rows.name(number))} if "language" in row else {}
        line = json.dumps({**record, "images": [image.file], **language}, ensure_ascii=False) + "\n"
        line.encode()  # UnicodeEncodeError, of half a character, is a ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise FetchError(str(error)) from error
    return line


def _columns(rows: Rows) -> str:
    """Name what the first row holds."""
    try:
        row = rows[0]
    except ValueError as error:
        return str(error)
    return ", ".join(map(str, row))[:200] if isinstance(row, Mapping) else type(row).__name__
