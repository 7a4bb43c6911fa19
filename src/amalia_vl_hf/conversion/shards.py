"""Safetensors shards written tensor after tensor, so that memory holds a block of one tensor, never a model."""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from huggingface_hub import split_state_dict_into_shards_factory

from .tensor_files import (
    FLOATS,
    INDEX,
    ITEM_BYTES,
    WEIGHTS,
    read_checkpoint,
    rows_of_block,
    stored_blocks,
)

Blocks = Callable[[], Iterator[torch.Tensor]]
PATTERN = WEIGHTS.replace(".", "{suffix}.", 1)  # model-00001-of-00004.safetensors


class LazyTensor(NamedTuple):
    """A tensor, in a file, in memory or to be made, whose values come when its turn does."""

    dtype: str  # safetensors' name: "BF16"
    shape: tuple[int, ...]
    blocks: Blocks  # gives the values flat, in order, in this dtype; a block is valid until the next one

    @property
    def size(self) -> int:
        """Bytes."""
        return int(torch.Size(self.shape).numel()) * ITEM_BYTES[self.dtype]


def read_weights(directory: Path) -> dict[str, LazyTensor]:
    """List the tensors of a directory, as `read_checkpoint` does; their values stay in its files."""
    return {
        name: LazyTensor(tensor.dtype, tensor.shape, partial(stored_blocks, tensor))
        for name, tensor in read_checkpoint(directory).items()
    }


def recast(tensor: LazyTensor, dtype: str | None) -> LazyTensor:
    """Cast a tensor to a dtype, if it has another one; None leaves it as it is."""
    if dtype is None or dtype == tensor.dtype:
        return tensor
    return LazyTensor(dtype, tensor.shape, lambda: cast(tensor.blocks(), dtype))


def filled(value: float, shape: tuple[int, ...], dtype: str) -> LazyTensor:
    """Make a small tensor of one value."""
    return recast(in_memory(torch.full(shape, value)), dtype)


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
        with (directory / name).open("wb") as file:
            _write_file({member: tensors[member] for member in members}, file, advance)
    if split.is_sharded:
        parameters = sum(torch.Size(tensor.shape).numel() for tensor in tensors.values())
        index = {
            "metadata": {"total_parameters": parameters, "total_size": needed},
            "weight_map": dict(sorted(split.tensor_to_filename.items())),
        }
        (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(tensors: Mapping[str, LazyTensor], file: BinaryIO, advance: Callable[[int], object]) -> None:
    """Write one file in the safetensors library's order: wide dtypes first, so that all are aligned; then names."""
    dtypes = list(FLOATS)
    ordered = sorted(tensors.items(), key=lambda item: (dtypes.index(item[1].dtype), item[0]))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [end, end := end + tensor.size]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for name, tensor in ordered:
        written = 0
        for block in tensor.blocks():
            written += file.write(block.view(torch.uint8).numpy())  # type: ignore[call-overload]
            advance(block.nbytes)
        if written != tensor.size:
            raise ValueError(f"tensor {name} gave {written} bytes, but {tensor.size} were announced")
