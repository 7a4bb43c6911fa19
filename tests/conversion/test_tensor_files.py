import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from amalia_vl_hf.conversion import tensor_files
from amalia_vl_hf.conversion.tensor_files import (
    INDEX,
    StoredTensor,
    read_checkpoint,
    read_header,
    stored_blocks,
)

WEIGHTS = {"a": torch.arange(12.0).view(3, 4), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros(0, 2)}
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path, header, data=b"\0" * 8):
    """Write a file as it comes, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_tensors_are_read_as_the_library_reads_them(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path, metadata={"format": "pt"})
    for name, tensor in read_checkpoint(tmp_path).items():
        read = torch.cat(
            [torch.empty(0, dtype=WEIGHTS[name].dtype), *(block.clone() for block in stored_blocks(tensor))]
        )
        assert torch.equal(read.view(tensor.shape), load_file(path)[name])


def test_blocks_hold_whole_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_files, "BLOCK", 40)
    save_file({"a": torch.arange(12.0).view(3, 4)}, tmp_path / "model.safetensors")
    (tensor,) = read_checkpoint(tmp_path).values()
    assert [block.tolist() for block in stored_blocks(tensor)] == [
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        [8.0, 9.0, 10.0, 11.0],
    ]


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{", b"", "cannot be read: .*; is it truncated, or was it tampered with"),
        (b"\xff\xfe", b"", "cannot be read"),
        (b"[" * 100_000, b"", "cannot be read"),
        (b'{"a": 1, "a": 2}', b"", "cannot be read: a is there twice"),
        (b"[]", b"", "holds a list, not an object"),
        ({"a": [1]}, b"", "tensor a is not described by dtype, shape and data_offsets"),
        ({"a": {"dtype": "F32"}}, b"", "tensor a is not described by dtype, shape and data_offsets"),
        ({"a": ENTRY | {"dtype": "F31"}}, b"\0" * 8, "tensor a has the unknown dtype 'F31'"),
        ({"a": ENTRY | {"dtype": ["F32"]}}, b"\0" * 8, r"tensor a has the unknown dtype \['F32'\]"),
        ({"a": ENTRY | {"shape": [-2]}}, b"\0" * 8, r"tensor a has shape \[-2\] and data_offsets"),
        ({"a": ENTRY | {"shape": [True, 2]}}, b"\0" * 8, "tensor a has shape"),
        ({"a": ENTRY | {"data_offsets": [0]}}, b"\0" * 8, r"and data_offsets \[0\], not lists of sizes"),
        ({"a": ENTRY | {"shape": [3]}}, b"\0" * 8, r"F32 \[3\], takes 12 bytes, but data_offsets are \[0, 8\]"),
        ({"a": ENTRY, "b": ENTRY}, b"\0" * 8, "tensor b starts at byte .*, but the one before ends at"),
        ({"a": ENTRY | {"data_offsets": [8, 16]}}, b"\0" * 16, "tensor a starts at byte"),
        ({"a": ENTRY}, b"\0" * 7, "has .* bytes, but its header describes .*; was the download cut"),
        ({"a": ENTRY}, b"\0" * 9, "has .* bytes, but its header describes"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header, data, message):
    path = write(tmp_path / "model.safetensors", header, data)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)
    assert path.exists()


@pytest.mark.parametrize("data", [b"", b"\1\2", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_files_that_cannot_hold_their_header_are_refused(tmp_path, data):
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=f"is not a safetensors file: {len(data)} bytes cannot hold a header of"):
        read_checkpoint(tmp_path)


def test_cutting_a_file_anywhere_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=str(path)):
            read_header(path)


def test_a_header_with_any_byte_changed_is_refused_or_stays_within_the_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    refused = 0
    for position in range(8 + length):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 7
        path.write_bytes(changed)
        try:
            tensors = read_header(path)
        except ValueError:
            refused += 1
        else:
            assert sum(tensor.size for tensor in tensors.values()) == len(whole) - 8 - length
            assert all(8 + length <= tensor.offset <= len(whole) - tensor.size for tensor in tensors.values())
    assert refused > length // 2


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    (tmp_path / "short").write_bytes(b"\0" * 4)
    with pytest.raises(ValueError, match="short ended while it was read; is something writing to it"):
        list(stored_blocks(StoredTensor(tmp_path / "short", "F32", (2,), 0, 8)))


def test_only_floats_are_read_as_weights(tmp_path):
    with pytest.raises(ValueError, match="holds I64 where weights are F32, BF16, F16"):
        list(stored_blocks(StoredTensor(tmp_path / "x", "I64", (1,), 0, 8)))


def shard(folder, **files):
    """Write shards `{file: tensors}`, and the index that belongs to them."""
    for name, tensors in files.items():
        save_file({tensor: torch.ones(2) for tensor in tensors}, folder / f"{name}.safetensors")
    return {tensor: f"{name}.safetensors" for name, tensors in files.items() for tensor in tensors}


def write_index(folder, weight_map):
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_read_together(tmp_path):
    write_index(tmp_path, shard(tmp_path, one=["a", "b"], two=["c"]))
    assert read_checkpoint(tmp_path).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    "name", ["../one.safetensors", "/etc/one.safetensors", "x/one.safetensors", "..\\one.safetensors", "..", "one.bin"]
)
def test_an_index_names_only_files_beside_it(tmp_path, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    shard(tmp_path, one=["a"])
    write_index(inner, {"a": name})
    with pytest.raises(ValueError, match=r"a shard is a \.safetensors file beside its index, never a path"):
        read_checkpoint(inner)


def test_a_missing_shard_is_named(tmp_path):
    write_index(tmp_path, shard(tmp_path, one=["a"], two=["b"]))
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ValueError, match=r"names two\.safetensors, which is missing; was the download cut"):
        read_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    write_index(tmp_path, shard(tmp_path, one=["a"], two=["a", "b"]))
    shard(tmp_path, one=["a"])
    write_index(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    with pytest.raises(ValueError, match=r"tensor a is in both one\.safetensors and two\.safetensors"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": "one.safetensors"}, r"places tensor z in one\.safetensors, but no file holds it"),
        ({"a": "two.safetensors"}, r"places tensor a in two\.safetensors, but one\.safetensors holds it"),
        ({"b": None}, r"places tensor b in no file, but one\.safetensors holds it"),
    ],
)
def test_an_index_that_disagrees_with_its_shards_is_refused(tmp_path, change, message):
    weight_map = shard(tmp_path, one=["a", "b"], two=["c"]) | change
    write_index(tmp_path, {tensor: file for tensor, file in weight_map.items() if file})
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_its_map_is_refused(tmp_path, index):
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(ValueError, match="has no weight_map of tensors to file names"):
        read_checkpoint(tmp_path)


def test_two_sets_of_weights_are_refused(tmp_path):
    write_index(tmp_path, shard(tmp_path, model=["a"]))
    with pytest.raises(ValueError, match=r"has both model\.safetensors and .*; which of them is the model"):
        read_checkpoint(tmp_path)


def test_pickles_are_never_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin: pickled weights can run code and are never read"):
        read_checkpoint(tmp_path)


def test_a_directory_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"has neither model\.safetensors nor model\.safetensors\.index\.json$"):
        read_checkpoint(tmp_path)
