"""Results: targets are met or missed where they should be, and changed weights are found in single bits."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from amalia_vl_hf.demo.results import (
    Result,
    changed_modules,
    table,
    targets,
    verdicts,
)

KINDS = ("colour", "shape", "count", "where", "reading")
ALIGN = Result("1_align", 2.0, 1.0, 0.1, dict.fromkeys(KINDS, 0.1), 0.5, None, ("connector",), 60.0)
INSTRUCT = Result("2_instruct", 1.0, 0.1, 0.9, dict.fromkeys(KINDS, 0.9), 0.9, None, ("connector", "tower"), 200.0)
PREFER = Result("3_prefer", 0.7, 0.1, 0.9, dict.fromkeys(KINDS, 0.9), 0.95, 0.95, ("connector", "tower"), 60.0)


def missed(align=ALIGN, instruct=INSTRUCT, prefer=PREFER):
    return [text for text, met in verdicts([align, instruct, prefer]) if not met]


def test_a_good_run_meets_every_target():
    assert missed() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"align": {"loss_end": 1.61}}, "loss falls"),
        ({"align": {"changed_modules": ("connector", "tower")}}, "only the connector changed"),
        ({"instruct": {"exact_match_by_kind": {**INSTRUCT.exact_match_by_kind, "count": 0.89}}}, "worst 0.890"),
        ({"instruct": {"exact_match": 0.74}}, "all five kinds"),
        ({"prefer": {"preference_accuracy": 0.89}}, "preference"),
        ({"prefer": {"reward_accuracy": 0.89}}, "preference"),
        ({"prefer": {"exact_match": 0.87}}, "exact match down"),
    ],
)
def test_each_target_is_missed_on_its_own(changes, said):
    stages = {"align": ALIGN, "instruct": INSTRUCT, "prefer": PREFER}
    for stage, values in changes.items():
        stages[stage] = dataclasses.replace(stages[stage], **values)
    (text,) = missed(**stages)
    assert said in text


def test_a_missed_target_is_said_plainly():
    said = targets([ALIGN, dataclasses.replace(INSTRUCT, exact_match=0.5), PREFER]).splitlines()
    assert [line.startswith("NOT MET") for line in said].count(True) == 1


def test_the_table_has_a_row_a_stage():
    head, *rows = table([ALIGN, INSTRUCT, PREFER]).splitlines()
    assert [row.split()[0] for row in rows] == ["1_align", "2_instruct", "3_prefer"]
    assert all(kind in head for kind in KINDS)


def saved(folder, **changes):
    weights = {
        "model.multi_modal_projector.linear_1.weight": torch.ones(2),
        "model.vision_tower.embeddings.weight": torch.ones(2),
        "lm_head.weight": torch.ones(2),
    }
    folder.mkdir()
    save_file({**weights, **changes}, folder / "model.safetensors")
    return folder


def test_a_change_in_one_bit_is_found(tmp_path):
    before = saved(tmp_path / "before")
    smallest = torch.nextafter(torch.ones(2), torch.zeros(2))
    after = saved(tmp_path / "after", **{"lm_head.weight": smallest})
    assert changed_modules(before, after) == ("decoder",)
    assert changed_modules(before, before) == ()


def test_models_with_other_parameters_are_not_compared(tmp_path):
    before, after = saved(tmp_path / "before"), saved(tmp_path / "after", extra=torch.ones(1))
    with pytest.raises(ValueError, match=r"before and .*after differ in parameters: \['extra'\]"):
        changed_modules(before, after)
