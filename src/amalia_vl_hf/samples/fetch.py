"""Images that a dataset names by URL (PD12M, Multi-PixMo), fetched ahead of training.

A folder appears with `images/`, `samples.jsonl` that training reads as it is, and `failures.jsonl`. An image's file is
named by its URL and appears when it is whole and checked, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm  # type: ignore[import-untyped]

from ..processing.image_loading_amalia_vl import load_image
from .download import (
    Allowed,
    FetchError,
    Limits,
    download,
    is_public,
)
from .formats import read_record
from .sources import Rows, Source, open_rows

SAMPLES, FAILURES = "samples.jsonl", "failures.jsonl"
_URLS = ("image_url", "url")
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_HASHES = {"image_sha256": "sha256", "sha256": "sha256", "hash": "md5", "md5_hash": "md5"}  # PD12M gives MD5


class Wanted(NamedTuple):
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
class Fetched:
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
    limits: Limits | None = None,
    samples: int | None = None,
    seed: int = 0,
    language: str | None = None,
    threads: int = 16,
    allowed: Allowed = is_public,
) -> Fetched:
    """Fetch the images of a dataset, and write its samples with the images' paths.

    Calling again fetches what is missing, and nothing that is there.

    Args:
        source: Parquet or JSON file, or a folder with one, in a format of `training.readers` that names URLs.
        out: Folder to write.
        limits: What one image may take.
        samples: How many rows are drawn; all when left out.
        seed: Of the draw.
        language: Of the texts, where the rows do not say it.
        threads: Images fetched at once.
        allowed: Which addresses may be connected to; no command gives another than the public ones.

    Raises:
        ValueError: The rows name no URL, or there are fewer than asked for, or another run writes to the folder.
    """
    rows, out = open_rows(Source(Path(source).stem, path=str(source))), Path(out)
    known = {"language": language} if language else {}
    if not len(rows):
        raise ValueError(f"{source} holds no rows")
    if _wanted(rows[0]) is None:
        raise ValueError(f"{rows.name(0)}: no image URL; needs {' or '.join(_URLS)} but holds {', '.join(rows[0])}")
    numbers = _draw(len(rows), samples, seed)
    (out / "images").mkdir(parents=True, exist_ok=True)
    with _alone(out):
        shutil.rmtree(out / "partial", ignore_errors=True)  # left by a kill
        (out / "partial").mkdir()
        done, reasons = _fetch_all(rows, numbers, out, limits or Limits(), threads, allowed)
        _write_samples(rows, numbers, out, known, done, reasons)
        (out / "partial").rmdir()
    return done


def _draw(count: int, samples: int | None, seed: int) -> Sequence[int]:
    if samples is None:
        return range(count)
    if not 0 < samples <= count:
        raise ValueError(f"{samples} samples wanted, {count} rows there")
    drawn: list[int] = np.sort(np.random.default_rng(seed).permutation(count)[:samples]).tolist()
    return drawn


def _wanted(row: Any) -> Wanted | None:
    """Read the URL and the hash off a row; None if it names no URL."""
    if not isinstance(row, Mapping):
        return None
    url = next((row[name] for name in _URLS if isinstance(row.get(name), str)), None)
    if url is None:
        return None
    column = next((name for name in _HASHES if isinstance(row.get(name), str)), None)
    return Wanted(url, _HASHES[column], row[column].lower()) if column else Wanted(url, None, None)


def _fetch_all(
    rows: Rows, numbers: Sequence[int], out: Path, limits: Limits, threads: int, allowed: Allowed
) -> tuple[Fetched, dict[str, str]]:
    """Fetch what is missing; give the reasons of failures by the images' files."""
    done, reasons = Fetched(), dict[str, str]()
    running: dict[Future[None], str] = {}
    asked: set[str] = set()
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(numbers), desc="fetching", unit="image") as bar:
        for number in numbers:
            bar.update()
            wanted = _readable(rows, number)
            if wanted is None or wanted.file in asked:
                continue
            asked.add(wanted.file)
            if (out / wanted.file).exists():
                done.present += 1
                continue
            running[pool.submit(_fetch_one, wanted, out, limits, allowed)] = wanted.file
            if len(running) >= 4 * threads:  # enough to keep all threads busy, few enough to forget
                _collect(running, done, reasons)
        while running:
            _collect(running, done, reasons)
    return done, reasons


def _collect(running: dict[Future[None], str], done: Fetched, reasons: dict[str, str]) -> None:
    """Wait for an image, and count it."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        file = running.pop(future)
        try:
            future.result()
            done.new += 1
        except FetchError as error:
            reasons[file] = str(error)


def _fetch_one(wanted: Wanted, out: Path, limits: Limits, allowed: Allowed) -> None:
    """Fetch an image, check it, and put it in its place in one rename."""
    body = download(wanted.url, limits, allowed)
    if wanted.algorithm and wanted.digest:
        found = hashlib.new(wanted.algorithm, body, usedforsecurity=False).hexdigest()
        if found != wanted.digest:
            raise FetchError(f"not the {wanted.algorithm} that the dataset gives: it has changed since")
    _require_image(body)
    file = out / wanted.file
    file.parent.mkdir(exist_ok=True)
    partial = out / "partial" / file.name
    partial.write_bytes(body)
    partial.rename(file)


def _require_image(body: bytes) -> None:
    """Hold a file to be a whole picture of a format that is only that: Pillow runs Ghostscript for EPS."""
    try:
        Image.open(io.BytesIO(body), formats=_FORMATS).close()
        load_image(body, 0)
    except UnidentifiedImageError as error:
        raise FetchError(f"no image of {', '.join(_FORMATS)}") from error
    except Exception as error:  # decoders meet hostile files with OSError, SyntaxError, struct.error, ValueError...
        raise FetchError(f"no image: {str(error).partition('cannot be used: ')[2] or error}") from error


def _readable(rows: Rows, number: int) -> Wanted | None:
    try:
        return _wanted(rows[number])
    except ValueError:  # a line that is no JSON; it is among the failures
        return None


def _write_samples(
    rows: Rows,
    numbers: Sequence[int],
    out: Path,
    known: Mapping[str, str],
    done: Fetched,
    reasons: Mapping[str, str],
) -> None:
    """Write the samples whose images are there, and the failures, each file in one rename."""
    with (out / "partial" / SAMPLES).open("w", encoding="utf-8") as file:
        for number in numbers:
            try:
                sample = _sample(rows, number, out, known, reasons)
            except FetchError as error:
                done.failures.append((rows.name(number), _url(rows, number), str(error)))
                continue
            file.write(json.dumps(sample, ensure_ascii=False) + "\n")
            done.samples += 1
    with (out / "partial" / FAILURES).open("w", encoding="utf-8") as file:
        for entry in done.failures:
            file.write(json.dumps(dict(zip(("row", "url", "reason"), entry, strict=True))) + "\n")
    for name in (SAMPLES, FAILURES):
        (out / "partial" / name).rename(out / name)


def _sample(
    rows: Rows, number: int, out: Path, known: Mapping[str, str], reasons: Mapping[str, str]
) -> dict[str, Any]:
    """Turn a row into a sample with its fetched image.

    Raises:
        FetchError: It has no image, or is not readable.
    """
    try:
        row = rows[number]
        wanted = _wanted(row)
        if wanted is None:
            raise FetchError("the row names no URL")
        if not (out / wanted.file).exists():
            raise FetchError(reasons[wanted.file])
        row = {**known, **{name: value for name, value in row.items() if value is not None}}
        record = read_record(row, "sft", rows.name(number))
    except ValueError as error:
        raise FetchError(str(error)) from error
    language = {"language": row["language"]} if "language" in row else {}
    return {**record, "images": [wanted.file], **language}


def _url(rows: Rows, number: int) -> str:
    wanted = _readable(rows, number)
    return wanted.url if wanted else ""


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second run from writing to the folder; the lock goes with its process, however that ends."""
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another fetch writes to {out}") from None
        yield


def printable(text: str) -> str:
    """Replace what could command a terminal: the text comes from strangers."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
