"""Xet's store in a local folder: the real client fills and reads it; this only finds what the hub must know of it.

The client takes `local://FOLDER` for the address of a store, and keeps there what it would send to the Hub's: blocks
of chunks, and shards, files that say of what chunks each uploaded file is made.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HEADER = 48  # bytes: a tag of 32, version, footer size
ENTRY = 48  # bytes of everything that a shard lists
VERIFIED = 1 << 31  # flag: a hash of each segment follows the segments
END = b"\xff" * 32


class XetFile(NamedTuple):
    """One file that was uploaded."""

    sha256: str
    xet_hash: str
    size: int  # bytes


class XetStore:
    """The store in `folder`, or what clients find at `url` when they are sent elsewhere."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.url = url or f"local://{folder}"

    def find(self, sha256: str) -> XetFile | None:
        """Look up a file by what the Hub's commits call it."""
        shards = sorted(self.folder.rglob("xorbs/shards/*.mdb"))
        files = (file for shard in shards for file in read_shard(shard.read_bytes()))
        return next((file for file in files if file.sha256 == sha256), None)

    def read(self, file: XetFile) -> bytes:
        """Put a file together from its chunks, as a client does that downloads it."""
        import hf_xet  # opens its log, in the user's cache unless the environment says otherwise

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "file")
            with hf_xet.XetSession().new_file_download_group(endpoint=self.url) as group:
                group.start_download_file(hf_xet.XetFileInfo(file.xet_hash, file.size), str(out))
            return out.read_bytes()


def read_shard(shard: bytes) -> Iterator[XetFile]:
    """List the files of a shard: each a head, its segments, their hashes where there are any, and its SHA-256."""
    head = HEADER
    while shard[head : head + 32] != END:
        flags, segments = struct.unpack_from("<II", shard, head + 32)
        first = head + ENTRY
        sizes = [struct.unpack_from("<I", shard, first + number * ENTRY + 36)[0] for number in range(segments)]
        last = first + segments * ENTRY * (2 if flags & VERIFIED else 1)
        yield XetFile(_hash(shard, last), _hash(shard, head), sum(sizes))
        head = last + ENTRY


def _hash(shard: bytes, start: int) -> str:
    """Write a hash as Xet does: four words, each with its highest digit first."""
    return "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", shard, start))
