"""The committed recipes of preferences and of instructions are read by the real parser."""

import json

import pytest

from amalia_vl_hf.data.building.recipe import load_build

from .test_preferences import write_samples
from .test_preferences_mpo import write_mmpr


@pytest.mark.parametrize("name", ["preferences", "preferences_text", "preferences_original", "preferences_contrast"])
def test_recipes_of_pairs_are_read(name, tmp_path):
    samples = write_samples(tmp_path / "data", 3)
    recipe = load_build(f"data/{name}", [f"samples={samples}", f"images={tmp_path / 'prompts/images.parquet'}"])
    assert recipe.count == 4
    assert {step.role for step in recipe.written.steps(recipe)} - {None} == set(recipe.roles)


def test_the_recipe_of_mpo_is_read_and_takes_what_it_lists(tmp_path):
    write_mmpr(tmp_path)
    words = [f"samples={tmp_path / 'annotations'}", f"images={tmp_path / 'images.parquet'}"]
    recipe = load_build("data/preferences_mpo", words)
    assert recipe.count == 12 + 3  # AI2D and VQAv2; ScienceQA is listed, and restrictive


def test_recipes_of_instructions_are_read(tmp_path):
    recipe = load_build("data/self_identification")
    assert recipe.count * recipe.settings.questions == 156  # paper, Table 1
    personas = tmp_path / "personas.jsonl"
    personas.write_text("".join(json.dumps({"persona": f"Pessoa {number}"}) + "\n" for number in range(4)))
    assert load_build("data/persona_instructions", [f"samples={personas}", "count=4"]).count == 4
