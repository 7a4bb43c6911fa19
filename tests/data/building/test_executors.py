"""Where a build can run."""

import sys

import pytest

from amalia_vl_hf.data.building.executors import SlurmJob
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.run import build

RECIPE = BuildRecipe("pt-render-text", count=10, seed=3, shard_size=2)


def test_executors_that_are_not_here_say_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Slurm needs to know where: --partition NAME"):
        build(RECIPE, tmp_path / "a", "slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no sbatch here"):
        build(RECIPE, tmp_path / "a", "slurm", slurm=SlurmJob("cpu"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="ray is not installed: pip install ray"):
        build(RECIPE, tmp_path / "a", "ray")
