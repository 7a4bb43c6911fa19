"""Families of models, and recipes in which two are kin."""

import pytest

from amalia_vl_hf.data.families import families_of, require_strangers
from amalia_vl_hf.fields import RecipeError

PAPER = {
    "policy": "amalia-llm/AMALIA-VL-SFT",
    "editor": "google/gemma-4-31b-it",
    "judge": "Qwen/Qwen3-VL-30B-A3B-Instruct",
}


@pytest.mark.parametrize(
    ("model", "families"),
    [
        ("google/translategemma-27b-it", {"gemma"}),
        ("Qwen/Qwen3.5-122B", {"qwen"}),
        ("OpenGVLab/InternVL3_5-38B", {"qwen", "internlm"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", {"deepseek", "llama"}),
        ("mistralai/Ministral-3-8B", {"mistral"}),
        ("utter-project/EuroLLM-9B-Instruct", {"amalia"}),
        ("my-model", set()),
    ],
)
def test_names_tell_families(model, families):
    assert families_of(model) == families


def test_the_papers_three_are_strangers():
    require_strangers(PAPER, {})


@pytest.mark.parametrize(
    ("changes", "families", "faults"),
    [
        ({"judge": "google/gemma-3-27b-it"}, {}, ["roles.editor and roles.judge are both gemma"]),
        ({"editor": "Qwen/Qwen3-8B"}, {}, ["roles.editor and roles.judge are both qwen"]),
        ({"editor": "amalia-llm/AMALIA-9B"}, {}, ["roles.policy and roles.editor are both amalia"]),
        (
            dict.fromkeys(PAPER, "gemma"),
            {},
            ["policy and roles.editor", "policy and roles.judge", "editor and roles.judge"],
        ),
        ({"judge": "judge-7"}, {}, ["roles.judge: of which family is judge-7? Say it: settings.families.judge"]),
        ({"judge": "judge-7"}, {"judge": "Gemma"}, ["roles.editor and roles.judge are both gemma"]),
        ({}, {"writer": "gemma"}, ["settings.families: there is no role writer"]),
    ],
)
def test_kin_and_strangers_of_no_name_are_errors_all_at_once(changes, families, faults):
    with pytest.raises(RecipeError) as error:
        require_strangers({**PAPER, **changes}, families)
    assert all(fault in str(error.value) for fault in faults)
    assert str(error.value).count("roles.") + str(error.value).count("no role") >= len(faults)


def test_a_family_that_is_said_counts():
    require_strangers({**PAPER, "judge": "judge-7"}, {"judge": "mistral"})
