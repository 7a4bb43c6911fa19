from pathlib import Path

import pytest

from amalia_vl_hf.training.recipe import Recipe, load_recipe
from tests.training.tiny_run import tiny_parts, write_base, write_pictures, write_samples

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"


@pytest.fixture(scope="session")
def parts():
    return tiny_parts()


@pytest.fixture(scope="session")
def base(parts, tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("models") / "base", parts)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def samples(pictures):
    """A JSONL file for each training method, of eight samples."""
    return write_samples(pictures)


@pytest.fixture
def recipe_for(base, samples, tmp_path):
    """Make a tiny recipe read the test's model and data; overrides come last.

    Batches are prepared in the process itself: others take longer to start than their batches.
    """

    def make(name: str, *overrides: str) -> Recipe:
        method = "dpo" if name == "3_prefer" else "sft"
        here = [f"model={base}", f"data={samples[method]}", f"output={tmp_path / name}", "batch_size=2", "log_steps=1"]
        return load_recipe(RECIPES / f"{name}.yaml", [*here, "workers=0", "epochs=null", "steps=2", *overrides])

    return make
