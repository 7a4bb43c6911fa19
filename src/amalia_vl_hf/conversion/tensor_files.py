"""Safetensors files read with suspicion: what a checkpoint holds, known from its headers before any weight is read."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..fields import shortened, shown

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")  # formats that run code when they are read
MAX_DESCRIBED = 2**24  # bytes of a header or an index: some 100,000 tensors, a hundred times what such a model has
BLOCK = 2**17  # bytes in memory at a time: they stay in a core's own cache between reading and writing; 2**19 do not

# safetensors' names of the dtypes that weights may have, in the order in which its files hold them
FLOATS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


class StoredTensor(NamedTuple):
    """Where a tensor lies in a file."""

    file: Path
    dtype: str  # safetensors' name: "BF16"
    shape: tuple[int, ...]
    offset: int  # bytes from the file's start
    size: int  # bytes


def read_checkpoint(directory: Path) -> dict[str, StoredTensor]:
    """List the tensors of a directory, sharded or not, from the headers of its safetensors files.

    Args:
        directory: Holds `model.safetensors`, or `model.safetensors.index.json` and the shards that it names.

    Raises:
        ValueError: There are no safetensors weights (pickles are never read) or they are ambiguous; an index names
            anything but files beside it, or disagrees with them; a header is truncated or tampered with.
    """
    weights, index = directory / WEIGHTS, directory / INDEX
    if weights.is_file() and index.is_file():
        raise ValueError(f"{directory} has both {WEIGHTS} and {INDEX}; which of them is the model? Remove the other")
    if weights.is_file():
        return read_header(weights)
    if index.is_file():
        return _read_shards(directory, _read_index(index))
    pickles = sorted(path.name for path in directory.glob("*") if path.suffix in PICKLES)
    only = f", only {', '.join(pickles)}: pickled weights can run code and are never read" if pickles else ""
    raise ValueError(f"{directory} has neither {WEIGHTS} nor {INDEX}{only}")


def _read_index(path: Path) -> dict[str, str]:
    """Read which file holds which tensor, `{tensor: file name}`."""
    if (size := path.stat().st_size) > MAX_DESCRIBED:
        raise ValueError(f"{path} has {size} bytes; an index of tensors has at most {MAX_DESCRIBED}")
    index = parse_json(path.read_bytes(), path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ValueError(f"{path} has no weight_map of tensors to file names")
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors") or len(name) > 255:
            raise ValueError(
                f"{path} names {shown(name)}; a shard is a .safetensors file beside its index, never a path"
            )
        if not (path.parent / name).is_file():
            raise ValueError(f"{path} names {shortened(name, 100)}, which is missing; was the download cut?")
    return weight_map


def _read_shards(directory: Path, weight_map: Mapping[str, str]) -> dict[str, StoredTensor]:
    tensors: dict[str, StoredTensor] = {}
    for file in sorted(set(weight_map.values())):
        shard = read_header(directory / file)
        if twice := sorted(tensors.keys() & shard.keys()):
            raise ValueError(f"tensor {twice[0]} is in both {tensors[twice[0]].file.name} and {file}")
        tensors |= shard
    for name in sorted(weight_map.keys() | tensors.keys()):
        held = tensors[name].file.name if name in tensors else "no file"
        if weight_map.get(name) != held:
            raise ValueError(f"{INDEX} places tensor {name} in {weight_map.get(name, 'no file')}, but {held} holds it")
    return tensors


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Read a safetensors file's header and hold it against the file.

    The file is 8 bytes of header length (little endian), the header (JSON), then the tensors' bytes without gaps.

    Raises:
        ValueError: If the header is truncated, malformed, or describes other bytes than those that follow it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else -1
        if not 0 <= length <= min(size - 8, MAX_DESCRIBED):
            raise ValueError(f"{path} is not a safetensors file: {size} bytes cannot hold a header of {length}")
        header = parse_json(file.read(length), path)
    header.pop("__metadata__", None)
    start = 8 + length
    tensors = {name: _stored(path, name, entry, start) for name, entry in header.items()}
    end = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)):
        if tensor.offset != end:
            raise ValueError(
                f"{path}: tensor {shortened(name, 100)} starts at byte {tensor.offset}, but the one before ends "
                f"at {end}"
            )
        end += tensor.size
    if end != size:
        raise ValueError(f"{path} has {size} bytes, but its header describes {end}; was the download cut?")
    return tensors


def _stored(path: Path, name: str, entry: Any, start: int) -> StoredTensor:
    """Check one entry of a header: `{"dtype": ..., "shape": [...], "data_offsets": [begin, end]}`."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{path}: tensor {shortened(name, 100)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    tensor = f"{path}: tensor {shortened(name, 100)}"
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError(f"{tensor} has the unknown dtype {shown(dtype)}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{tensor} has shape {shown(shape)} and data_offsets {shown(offsets)}, not lists of sizes")
    size = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != size:
        raise ValueError(
            f"{tensor}, {dtype} {shown(shape)}, takes {shown(size)} bytes, but data_offsets are {shown(offsets)}"
        )
    return StoredTensor(path, dtype, tuple(shape), start + offsets[0], size)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """Read an object, a key of which stands once.

    Raises:
        ValueError: It is none.
    """

    def refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        parsed = dict(pairs)
        if len(parsed) < len(pairs):
            name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            raise ValueError(f"{shortened(name, 100)} is there twice")
        return parsed

    try:
        parsed = json.loads(text, object_pairs_hook=refuse_doubles)
    except (ValueError, RecursionError) as error:  # also of text that is not UTF-8
        raise ValueError(f"{path} cannot be read: {error}; is it truncated, or was it tampered with?") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} holds a {type(parsed).__name__}, not an object, where its tensors are described")
    return parsed


def stored_blocks(tensor: StoredTensor) -> Iterator[torch.Tensor]:
    """Read a tensor flat, block by block of whole rows; a block is valid until the next one.

    Raises:
        ValueError: If its dtype is none of the three that weights have, or the file ends early.
    """
    if tensor.dtype not in FLOATS:
        raise ValueError(f"{tensor.file} holds {tensor.dtype} where weights are {', '.join(FLOATS)}")
    row = math.prod(tensor.shape[1:]) * ITEM_BYTES[tensor.dtype]  # bytes
    buffer = bytearray(min(rows_of_block(row) * row, tensor.size))
    with tensor.file.open("rb", buffering=0) as file:
        file.seek(tensor.offset)
        left = tensor.size
        while left:
            block = memoryview(buffer)[: min(left, len(buffer))]
            _fill(file, block, tensor.file)
            left -= len(block)
            yield torch.frombuffer(block, dtype=FLOATS[tensor.dtype])


def rows_of_block(row: int) -> int:
    """Say how many rows of so many bytes are in memory at a time: at least one."""
    return max(BLOCK // (row or 1), 1)


def _fill(file: Any, block: memoryview, path: Path) -> None:
    """Read until the block is full: one read may give less."""
    filled = 0
    while filled < len(block):
        count = file.readinto(block[filled:])
        if not count:
            raise ValueError(f"{path} ended while it was read; is something writing to it?")
        filled += count
