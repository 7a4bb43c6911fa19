import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from amalia_vl_hf.conversion.shards import (
    LazyTensor,
    filled,
    in_memory,
    recast,
    write_shards,
)


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
