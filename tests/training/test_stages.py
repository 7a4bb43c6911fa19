import re

import pytest
from torch import nn
from transformers import AutoModelForCausalLM

from amalia_vl_hf.training.stages import (
    MODULES,
    STAGES,
    count_parameters,
    freeze,
    linear_layers,
    module_of,
    parameter_groups,
)
from tests.tiny import tiny_model, tiny_text_config


def test_every_parameter_belongs_to_one_module():
    model = tiny_model()
    for name, _ in model.named_parameters():
        assert sum(name.startswith(prefixes) for prefixes in MODULES.values()) == 1
    assert sum(count_parameters(model).values()) == model.num_parameters()
    assert module_of("lm_head.weight") == "decoder"


def test_a_parameter_outside_the_modules_is_an_error():
    with pytest.raises(ValueError, match=r"parameter adapter\.weight belongs to none of the modules tower, connector"):
        module_of("adapter.weight")


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_groups_hold_exactly_the_trainable_parameters_once(stage):
    model = tiny_model()
    freeze(model, stage.trainable)
    groups = parameter_groups(model, stage.learning_rates, weight_decay=0.1)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    wanted = [id(p) for name, p in model.named_parameters() if module_of(name) in stage.trainable]
    assert sorted(grouped) == sorted(wanted)
    assert {id(p) for p in model.parameters() if p.requires_grad} == set(wanted)
    for group in groups:
        assert group["lr"] == stage.learning_rates[group["module"]]
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.1}


def test_the_pattern_of_linear_layers_matches_exactly_those_of_its_modules():
    model = tiny_model()
    linears = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    for modules in (("decoder",), ("connector", "decoder"), ("tower",)):
        pattern = re.compile(linear_layers(model, modules))
        matched = {name for name, _ in model.named_modules() if pattern.fullmatch(name)}
        assert matched == {name for name in linears if module_of(f"{name}.") in modules and name != "lm_head"}
    assert module_of("base_model.model.model.multi_modal_projector.linear_1.lora_A.default.weight") == "connector"


def test_a_module_without_linear_layers_takes_no_adapters():
    model = nn.ModuleDict({"lm_head": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=r"modules \['decoder'\] have no linear layer to adapt"):
        linear_layers(model, ("decoder",))


def test_tied_embeddings_are_optimised_once():
    text = tiny_text_config(tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(text)
    tied = nn.ModuleDict({"model": nn.ModuleDict({"language_model": model.model}), "lm_head": model.lm_head})
    groups = parameter_groups(tied, {"decoder": 1e-3}, weight_decay=0.0)
    assert sum(p.numel() for group in groups for p in group["params"]) == model.num_parameters()


def test_training_a_module_without_parameters_is_an_error():
    model = nn.ModuleDict({"lm_head": nn.Linear(2, 2)})
    with pytest.raises(
        ValueError, match=r"modules \['tower'\] match no parameter; parameters by module: .*'tower': 0"
    ):
        freeze(model, ("tower", "decoder"))


def test_freezing_can_be_taken_back():
    model = tiny_model()
    freeze(model, ("connector",))
    freeze(model, ("tower", "connector", "decoder"))
    assert all(parameter.requires_grad for parameter in model.parameters())
