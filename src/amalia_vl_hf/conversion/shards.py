"""Safetensors shards written tensor after tensor, so that memory holds a block of one tensor, never a model.

What stays as it is stored is copied by the kernel, from file to file: such bytes never come into this process.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import FileIO
from mmap import PAGESIZE
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import split_state_dict_into_shards_factory

from .tensor_files import (
    BLOCK,
    FLOATS,
    INDEX,
    ITEM_BYTES,
    WEIGHTS,
    StoredTensor,
    read_checkpoint,
    rows_of_block,
    stored_blocks,
)

Blocks = Callable[[], Iterator[torch.Tensor]]
COPIED_AT_ONCE = 2**26  # bytes, so that the progress bar moves
PATTERN = WEIGHTS.replace(".", "{suffix}.", 1)  # model-00001-of-00004.safetensors


class LazyTensor(NamedTuple):
    """A tensor, in a file, in memory or to be made, whose values come when its turn does."""

    dtype: str  # safetensors' name: "BF16"
    shape: tuple[int, ...]
    blocks: Blocks  # gives the values flat, in order, in this dtype; a block is valid until the next one
    origin: StoredTensor | None = None  # where the very bytes lie in a file, if they do

    @property
    def size(self) -> int:
        """Bytes."""
        return int(torch.Size(self.shape).numel()) * ITEM_BYTES[self.dtype]


def read_weights(directory: Path) -> dict[str, LazyTensor]:
    """List the tensors of a directory, as `read_checkpoint` does; their values stay in its files."""
    return {
        name: LazyTensor(tensor.dtype, tensor.shape, partial(stored_blocks, tensor), origin=tensor)
        for name, tensor in read_checkpoint(directory).items()
    }


def recast(tensor: LazyTensor, dtype: str | None) -> LazyTensor:
    """Cast a tensor to a dtype, if it has another one; None leaves it as it is."""
    if dtype is None or dtype == tensor.dtype:
        return tensor
    return LazyTensor(dtype, tensor.shape, lambda: cast(tensor.blocks(), dtype))


def filled(value: float, shape: tuple[int, ...], dtype: str) -> LazyTensor:
    """Make a small tensor of one value."""

    def blocks() -> Iterator[torch.Tensor]:
        yield torch.full(shape, value, dtype=FLOATS[dtype]).flatten()

    return LazyTensor(dtype, shape, blocks)


def in_memory(tensor: torch.Tensor) -> LazyTensor:
    """Take a tensor that is in memory, in blocks of whole rows as those of files are."""
    row = math.prod(tensor.shape[1:])
    values = torch.split(tensor.detach().flatten(), rows_of_block(row * tensor.element_size()) * row or 1)
    names = {dtype: name for name, dtype in FLOATS.items()}
    return LazyTensor(names.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape), lambda: iter(values))


def values_of(tensor: LazyTensor) -> torch.Tensor:
    """Give a tensor whole, in memory of its own on the CPU."""
    values = torch.empty(tensor.shape, dtype=FLOATS[tensor.dtype])
    start = 0
    for block in tensor.blocks():
        values.view(-1)[start : start + block.numel()] = block.flatten()
        start += block.numel()
    return values


def cast(blocks: Iterable[torch.Tensor], dtype: str) -> Iterator[torch.Tensor]:
    """Cast values block by block.

    Raises:
        ValueError: If a finite value is too large for the dtype; only fp16 is that narrow.
    """
    for block in blocks:
        result = block.to(FLOATS[dtype])
        if dtype == "F16" and (result.isinf() & block.isfinite()).any():
            raise ValueError(f"fp16 ends at 65504, but a weight is {block.abs().max().item():.6g}; use bf16 or fp32")
        yield result


def write_shards(
    tensors: Mapping[str, LazyTensor],
    directory: Path,
    *,
    max_shard_size: int | str,
    advance: Callable[[int], object],
) -> None:
    """Write a checkpoint's weights as transformers does: one file, or shards and an index.

    Args:
        tensors: By name. Shards take them sorted by name.
        directory: Where to.
        max_shard_size: Most bytes of a shard, or "4GB"; a larger tensor has a shard of its own.
        advance: Told how many bytes were written, each time.

    Raises:
        OSError: There is not enough room; nothing is written then.
        ValueError: A source changed while it was read, or a value does not fit its dtype.
    """
    free, needed = shutil.disk_usage(directory).free, sum(tensor.size for tensor in tensors.values())
    if needed > free:
        raise OSError(f"{directory.parent} has {free / 1e9:.3g} GB free, but the weights take {needed / 1e9:.3g} GB")
    split = split_state_dict_into_shards_factory(
        dict(sorted(tensors.items())),
        get_storage_size=lambda tensor: tensor.size,
        filename_pattern=PATTERN,
        max_shard_size=max_shard_size,
    )
    for name, members in split.filename_to_tensors.items():
        with (directory / name).open("wb", buffering=0) as file:
            _write_file({member: tensors[member] for member in members}, file, advance)
    if split.is_sharded:
        parameters = sum(torch.Size(tensor.shape).numel() for tensor in tensors.values())
        index = {
            "metadata": {"total_parameters": parameters, "total_size": needed},
            "weight_map": dict(sorted(split.tensor_to_filename.items())),
        }
        (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(tensors: Mapping[str, LazyTensor], file: FileIO, advance: Callable[[int], object]) -> None:
    """Write one file in the safetensors library's order: wide dtypes first, so that all are aligned; then names."""
    dtypes = list(FLOATS)
    ordered = sorted(tensors.items(), key=lambda item: (dtypes.index(item[1].dtype), item[0]))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [end, end := end + tensor.size]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    _write_all(file, struct.pack("<Q", len(text)) + text)
    for name, tensor in _runs(ordered):
        if tensor.origin:
            copy_stored(tensor.origin, file, advance)
            continue
        written = 0
        for block in tensor.blocks():
            _write_all(file, block.view(torch.uint8).numpy().data)
            advance(block.nbytes)
            written += block.nbytes
        if written != tensor.size:
            raise ValueError(f"tensor {name} gave {written} bytes, but {tensor.size} were announced")


def _runs(tensors: Iterable[tuple[str, LazyTensor]]) -> Iterator[tuple[str, LazyTensor]]:
    """Join those that lie side by side in a file, here and there: one copy of many bytes, not many of few."""
    run: tuple[str, LazyTensor] | None = None
    for name, tensor in tensors:
        before, origin = run and run[1].origin, tensor.origin
        if run and before and origin and (before.file, before.offset + before.size) == (origin.file, origin.offset):
            run = run[0], run[1]._replace(origin=before._replace(size=before.size + origin.size))
            continue
        if run:
            yield run
        run = name, tensor
    if run:
        yield run


def copy_stored(tensor: StoredTensor, target: FileIO, advance: Callable[[int], object]) -> None:
    """Append a tensor's bytes to a file, copied inside the kernel where that is quick.

    It is where bytes keep their place in a page of memory; others pass through a small buffer, up to the end of a page
    of the target each time, so that no page is written twice.

    Raises:
        ValueError: Its file ends early.
    """
    offset, position, end = tensor.offset, target.tell(), tensor.offset + tensor.size
    in_kernel = (position - offset) % PAGESIZE == 0
    buffer = memoryview(bytearray(BLOCK))
    with tensor.file.open("rb", buffering=0) as source:
        while left := end - offset:
            copied = _copy_in_kernel(source, target, offset, min(left, COPIED_AT_ONCE)) if in_kernel else 0
            if not copied:  # it cannot, or the file has ended: reading tells
                in_kernel = False
                copied = os.preadv(source.fileno(), [buffer[: min(left, BLOCK - position % PAGESIZE)]], offset)
                if not copied:
                    raise ValueError(f"{tensor.file} ended while it was read; is something writing to it?")
                _write_all(target, buffer[:copied])
            offset, position = offset + copied, position + copied
            advance(copied)


def _copy_in_kernel(source: FileIO, target: FileIO, offset: int, count: int) -> int:
    """Copy up to `count` bytes; give how many, 0 where kernel or file systems do not do it."""
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), count, offset)
    except AttributeError:  # not Linux
        return 0
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def _write_all(file: FileIO, content: bytes | memoryview) -> None:
    """Write until nothing is left: one write may take less."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
