"""Recipe keys that change how a step is computed: they are read, and the step is the same."""

import json
import os
import warnings

import pytest
import torch
from safetensors.torch import load_file

from amalia_vl_hf.training.building import _device_options
from amalia_vl_hf.training.recipe import RecipeError
from amalia_vl_hf.training.run import build_trainer, train
from amalia_vl_hf.training.trainers import StoppedError

STEADY = ("warmup=0", "schedule=constant", "steps=3", "log_steps=1", "max_grad_norm=1e9")
SHARED, APART = "shared_prompt=true", "shared_prompt=false"


def logged(output, *names):
    log = json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"]
    return [[entry[name] for name in names] for entry in log if "loss" in entry]


def test_packed_conversations_are_as_many_a_step_and_resume_where_they_stopped(recipe_for, tmp_path):
    values = (*STEADY, "packing=true", "batch_size=4", "save_steps=1", "max_length=256")
    whole = train(recipe_for("2_instruct", *values, f"output={tmp_path / 'whole'}"))
    recipe = recipe_for("2_instruct", *values, f"output={tmp_path / 'stopped'}")
    trainer = build_trainer(recipe, tmp_path / "stopped.partial")
    rows = trainer._rows
    taken = [sum(len(row) for row in list(rows)[step * rows.rows : (step + 1) * rows.rows]) for step in range(3)]
    assert taken == [4, 4, 4]
    trainer.training_step = stop_at(trainer, trainer.training_step, step=2)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    (tmp_path / "stopped.partial" / "recipe.json").write_text(
        json.dumps({"origin": json.loads((whole / "training.json").read_text())["origin"] | {"output": recipe.output}})
    )
    resumed = train(recipe)
    one, other = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert logged(whole, "step", "loss") == logged(resumed, "step", "loss")


def stop_at(trainer, training_step, step):
    def stopping(*arguments):
        if trainer.state.global_step == step:
            raise KeyboardInterrupt
        return training_step(*arguments)

    return stopping


def test_one_packed_step_over_all_conversations_moves_the_weights_as_an_unpacked_one(recipe_for, tmp_path):
    values = ("warmup=0", "schedule=constant", "steps=1", "batch_size=8", "max_grad_norm=1e9")
    plain = train(recipe_for("2_instruct", *values, f"output={tmp_path / 'plain'}"))
    packed = train(recipe_for("2_instruct", *values, "packing=true", f"output={tmp_path / 'packed'}"))
    names = ("loss", "grad_norm")
    assert logged(packed, *names)[0] == pytest.approx(logged(plain, *names)[0], rel=1e-4)


@pytest.mark.parametrize("key", [(SHARED,), (SHARED, "precompute_reference=true")], ids=["shared", "precomputed"])
def test_shared_prompts_give_the_same_losses(key, recipe_for, tmp_path):
    plain = train(recipe_for("3_prefer", *STEADY, APART, f"output={tmp_path / 'plain'}"))
    shared = train(recipe_for("3_prefer", *STEADY, *key, f"output={tmp_path / 'shared'}"))
    names = ("loss", "rewards/margins", "logps/chosen", "grad_norm")
    assert torch.tensor(logged(shared, *names)) == pytest.approx(
        torch.tensor(logged(plain, *names)), rel=2e-3, abs=1e-4
    )


def test_losses_are_added_up_by_their_weights(recipe_for, tmp_path):
    first = {}
    for name, loss in {"sft": "{sft: 1.0}", "sigmoid": "{sigmoid: 1.0}", "both": "{sigmoid: 0.8, sft: 0.5}"}.items():
        output = train(recipe_for("3_prefer", *STEADY, "steps=1", f"loss={loss}", f"output={tmp_path / name}"))
        first[name] = logged(output, "loss")[0][0]
    assert first["both"] == pytest.approx(0.8 * first["sigmoid"] + 0.5 * first["sft"], rel=1e-4)


def test_adapters_train_with_shared_prompts_against_the_model_without_them(recipe_for, tmp_path):
    adapters = ("learning_rates={decoder: 1e-3}", "lora={rank: 4, alpha: 8}")
    logs = [
        logged(train(recipe_for("3_prefer", *STEADY, *adapters, *key, f"output={tmp_path / str(key)}")), "loss")
        for key in ((APART,), (SHARED,))
    ]
    assert logs[0][0] == pytest.approx([torch.tensor(2.0).log().item()], rel=1e-4)
    assert torch.tensor(logs[0]) == pytest.approx(torch.tensor(logs[1]), rel=1e-3)


def test_bad_samples_are_replaced_up_to_the_share_and_counted(recipe_for, samples, pictures):
    lines = samples["sft"].read_text(encoding="utf-8").splitlines()
    broken = pictures / "broken.png"
    broken.write_bytes((pictures / "2.png").read_bytes()[:60])
    data = pictures / "with_broken.jsonl"
    data.write_text("\n".join([*lines, lines[0].replace("0.png", "broken.png")]), encoding="utf-8")
    values = ("steps=9", "batch_size=1", f"data={data}")
    output = train(recipe_for("1_align", *values, "max_bad_share=0.2"))
    assert logged(output, "dropped")[-1] == [1]
    assert logged(output, "dropped/with_broken")[-1] == [1]
    with pytest.raises(ValueError, match=r"broken\.png"):
        train(recipe_for("1_align", *values, f"output={output}_2", "workers=0"))


@pytest.mark.parametrize("earlier", ["fp16", None])
def test_a_recipes_precision_is_not_the_next_trainers(earlier, recipe_for, tmp_path, monkeypatch):
    name = "ACCELERATE_MIXED_PRECISION"
    if earlier is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, earlier)
    trainer = build_trainer(recipe_for("2_instruct", "precision=bf16", "workers=0"), tmp_path / "checkpoints")
    assert trainer.accelerator.mixed_precision == "bf16"
    assert os.environ.get(name) == earlier


@pytest.mark.parametrize("stage", ["2_instruct", "3_prefer"])
def test_nobody_is_warned_of_a_name_that_transformers_gave_up(stage, recipe_for):
    """PEFT and TRL ask and switch gradient checkpointing by its old name; so did we."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        train(
            recipe_for(stage, *STEADY, "gradient_checkpointing=true", "lora={rank: 2, alpha: 4}", "learning_rates={}")
        )


@pytest.mark.parametrize(("device", "pins"), [("mps", False), ("cuda", True)])
def test_an_accelerator_is_trained_on(device, pins, recipe_for, monkeypatch):
    """Of Apple's, whose memory is the host's, nothing is pinned. Neither is here."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device(device))
    options = _device_options(recipe_for("2_instruct", "precision=bf16"))
    assert options == {"bf16": True, "dataloader_pin_memory": pins}


def test_what_replaces_a_bad_sample_of_a_packed_row_is_no_longer_than_it(recipe_for, tmp_path):
    values = ("packing=true", "max_bad_share=0.2", "workers=0")
    bad_samples = build_trainer(recipe_for("2_instruct", *values), tmp_path / "checkpoints").data_collator.bad_samples
    lengths = bad_samples.lengths
    assert len(set(lengths.tolist())) > 1
    for sample in bad_samples.dataset:
        others = [lengths[other["index"]] for other in bad_samples.substitutes(sample)]
        assert len(others) == (lengths <= lengths[sample["index"]]).sum() - 1
        assert all(other <= lengths[sample["index"]] for other in others)


def test_a_loss_that_is_not_finite_stops_the_run_before_the_weights_change(recipe_for, tmp_path):
    recipe = recipe_for("2_instruct", "workers=0")
    trainer = build_trainer(recipe, tmp_path / "checkpoints")
    with torch.no_grad():
        trainer.model.lm_head.weight[7] = float("nan")
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    with pytest.raises(StoppedError, match="the loss is nan in step 1; the weights of the last checkpoint are sound"):
        trainer.train()
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)


def test_a_gradient_that_is_not_finite_stops_the_run_too(recipe_for, tmp_path):
    trainer = build_trainer(recipe_for("2_instruct", "workers=0"), tmp_path / "checkpoints")
    trainer.model.model.image_newline.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(StoppedError, match=r"the gradient norm is (inf|nan) in step 1"):
        trainer.train()


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("3_prefer", "packing=true", "stage prefer does not read packing=True"),
        ("2_instruct", SHARED, "stage instruct does not read shared_prompt=True"),
        ("2_instruct", "loss={sigmoid: 1}", "stage instruct does not read loss="),
        ("3_prefer", "precompute_reference=true", "precompute_reference needs shared_prompt: true"),
        ("3_prefer", "loss={sigmoi: 1}", "unknown loss 'sigmoi' .did you mean 'sigmoid'"),
        ("3_prefer", "loss={sigmoid: 0}", "loss.sigmoid must be positive, not 0"),
        ("1_align", "max_bad_share=1", "max_bad_share is a share of the samples, 0 <= max_bad_share < 1, not 1"),
    ],
)
def test_keys_that_a_stage_does_not_read_are_refused(name, override, message, recipe_for):
    with pytest.raises(RecipeError, match=message):
        recipe_for(name, "shared_prompt=false", override)
