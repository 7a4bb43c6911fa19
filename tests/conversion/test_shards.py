import errno
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from amalia_vl_hf.conversion import shards
from amalia_vl_hf.conversion.shards import (
    LazyTensor,
    copy_stored,
    filled,
    in_memory,
    read_weights,
    recast,
    write_shards,
)
from amalia_vl_hf.conversion.tensor_files import StoredTensor


def write(folder, tensors, max_shard_size="1GB"):
    told = []
    write_shards(tensors, folder, max_shard_size=max_shard_size, advance=told.append)
    return sum(told)


@pytest.mark.parametrize("dtypes", [("F32",), ("BF16",), ("BF16", "F32", "F16")])
def test_files_are_byte_equal_to_the_librarys(tmp_path, dtypes):
    names = ("z", "ação", "a.b", "a.a")
    torch.manual_seed(0)
    values = {name: torch.randn(index + 1, 3) for index, name in enumerate(names)}
    tensors = {name: recast(in_memory(values[name]), dtypes[index % len(dtypes)]) for index, name in enumerate(names)}
    written = write(tmp_path, tensors)
    ours = (tmp_path / "model.safetensors").read_bytes()
    loaded = load_file(tmp_path / "model.safetensors")
    save_file(loaded, tmp_path / "library.safetensors", metadata={"format": "pt"})
    assert ours == (tmp_path / "library.safetensors").read_bytes()
    assert all(torch.equal(loaded[name], values[name].to(loaded[name].dtype)) for name in names)
    assert written == sum(weight.nbytes for weight in loaded.values())


def test_shards_are_no_larger_than_asked_and_the_index_finds_all(tmp_path):
    write(tmp_path, {f"t{number}": filled(number, (10,), "F32") for number in range(10)}, max_shard_size=100)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_parameters": 100, "total_size": 400}
    assert set(index["weight_map"].values()) == {f"model-{number:05}-of-00005.safetensors" for number in range(1, 6)}
    for name, file in index["weight_map"].items():
        shard = load_file(tmp_path / file)
        assert shard[name].tolist() == [float(name[1:])] * 10
        assert sum(weight.nbytes for weight in shard.values()) <= 100


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path):
    huge = LazyTensor("F32", (10**15,), lambda: iter(()))
    with pytest.raises(OSError, match=r"has .* GB free, but the weights take 4e\+06 GB"):
        write(tmp_path, {"a": huge})
    assert not list(tmp_path.iterdir())


def test_a_tensor_that_gives_other_bytes_than_announced_is_noticed(tmp_path):
    short = LazyTensor("F32", (3,), lambda: iter([torch.ones(2)]))
    with pytest.raises(ValueError, match="tensor a gave 8 bytes, but 12 were announced"):
        write(tmp_path, {"a": short})


def test_infinities_stay_when_cast(tmp_path):
    write(tmp_path, {"a": recast(in_memory(torch.tensor([torch.inf, 1.0])), "F16")})
    assert load_file(tmp_path / "model.safetensors")["a"].tolist() == [torch.inf, 1.0]


def stored_weights(folder):
    """Weights of one file as a source holds them: `b` and `c` lie side by side, `a` is elsewhere."""
    torch.manual_seed(1)
    folder.mkdir()
    weights = {f"{name}{number}": torch.randn(3, 5) for name in "zbc" for number in range(4)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    lazy = read_weights(folder)
    return {name.replace("z", "a"): tensor for name, tensor in lazy.items()}, weights


@pytest.fixture
def one_place(monkeypatch):
    """Pages of a byte: all bytes keep their place in a page."""
    monkeypatch.setattr(shards, "PAGESIZE", 1)


@pytest.fixture
def calls(monkeypatch):
    """Sizes of the copies that the kernel makes."""
    sizes = []
    plain = os.copy_file_range

    def copy(source, target, count, offset):
        sizes.append(count)
        return plain(source, target, count, offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    return sizes


def assert_copied(folder, weights):
    loaded = load_file(folder / "model.safetensors")
    assert loaded.keys() == {name.replace("z", "a") for name in weights}
    assert all(torch.equal(loaded[name.replace("z", "a")], weight) for name, weight in weights.items())


@pytest.mark.usefixtures("one_place")
def test_what_stays_as_it_is_stored_is_copied_by_the_kernel_in_runs(tmp_path, calls):
    tensors, weights = stored_weights(tmp_path / "source")
    size = 3 * 5 * 4
    assert write(tmp_path, tensors) == len(weights) * size
    assert calls == [4 * size, 8 * size]  # `a` comes first here and last there
    assert_copied(tmp_path, weights)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, None])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.usefixtures("one_place")
def test_where_the_kernel_does_not_copy_bytes_are_read_and_written(tmp_path, monkeypatch, code, after):
    tensors, weights = stored_weights(tmp_path / "source")
    plain, counts = os.copy_file_range, []

    def refuse(source, target, count, offset):
        if len(counts) == after:
            if code:
                raise OSError(code, os.strerror(code))
            return 0  # as some network file systems answer
        counts.append(count)
        return plain(source, target, 7, offset)  # a kernel may copy less

    monkeypatch.setattr(os, "copy_file_range", refuse)
    write(tmp_path, tensors)
    assert_copied(tmp_path, weights)


@pytest.mark.usefixtures("one_place")
def test_a_system_without_that_call_writes_the_same(tmp_path, monkeypatch):
    tensors, weights = stored_weights(tmp_path / "source")
    monkeypatch.delattr(os, "copy_file_range")
    write(tmp_path, tensors)
    assert_copied(tmp_path, weights)


@pytest.mark.usefixtures("one_place")
def test_another_error_of_the_kernel_is_not_hidden(tmp_path, monkeypatch):
    tensors, _ = stored_weights(tmp_path / "source")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, tensors)


@pytest.mark.parametrize("page", [1, 4096])
def test_a_file_that_shrinks_while_it_is_copied_is_noticed(tmp_path, monkeypatch, page):
    monkeypatch.setattr(shards, "PAGESIZE", page)
    tensors, _ = stored_weights(tmp_path / "source")
    os.truncate(tmp_path / "source" / "model.safetensors", 900)
    with pytest.raises(ValueError, match=r"model\.safetensors ended while it was read; is something writing to it\?"):
        write(tmp_path, tensors)


def test_bytes_that_change_their_place_in_a_page_are_written_a_page_once(tmp_path, calls, monkeypatch):
    """Many buffers full, from an odd place to another."""
    monkeypatch.setattr(shards, "BLOCK", 2 * 4096)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(100_003))
    ends = []
    with target.open("wb", buffering=0) as file:
        file.write(b"odd")
        copy_stored(StoredTensor(source, "F32", (25_000,), 2, 100_000), file, lambda _: ends.append(file.tell()))
    assert calls == []
    assert all(end % 4096 == 0 for end in ends[:-1])
    assert target.read_bytes() == b"odd" + source.read_bytes()[2:100_002]


def test_cast_weights_are_not_copied(tmp_path, calls):
    tensors, weights = stored_weights(tmp_path / "source")
    write(tmp_path, {name: recast(tensor, "BF16") for name, tensor in tensors.items()})
    loaded = load_file(tmp_path / "model.safetensors")
    assert calls == []
    assert all(torch.equal(loaded[name.replace("z", "a")], weight.bfloat16()) for name, weight in weights.items())
