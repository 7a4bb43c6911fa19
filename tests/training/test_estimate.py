"""The estimate of memory, held to laws and to what torch really keeps; and what a dry run says of the data."""

import json
from dataclasses import replace

import pytest
import torch

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.training.estimate import describe_training, estimate_memory, model_without_weights
from amalia_vl_hf.training.ranks import Sharing, check_batch, planned_sharing
from amalia_vl_hf.training.recipe import RecipeError
from amalia_vl_hf.training.stages import count_parameters, module_of

ALONE = Sharing(1, "none")
ADAPTERS = ("learning_rates={}", "lora={rank: 4, alpha: 8}")


@pytest.fixture
def memory_of(recipe_for):
    def estimate(*overrides, sharing=ALONE, name="2_instruct"):
        recipe = recipe_for(name, *overrides)
        return estimate_memory(recipe, model_without_weights(recipe), sharing)

    return estimate


def test_weights_gradients_and_moments_are_what_torch_allocates(memory_of, base):
    model = AmaliaVLForConditionalGeneration.from_pretrained(base)
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    moments = [state[key] for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    memory = memory_of()
    assert memory.weights == sum(parameter.nbytes for parameter in model.parameters())
    assert memory.gradients == sum(parameter.grad.nbytes for parameter in model.parameters())
    assert memory.optimiser == sum(moment.nbytes for moment in moments)
    assert memory.total == memory.weights + memory.gradients + memory.optimiser + memory.activations


def kept_bytes(model, tokens, tiles):
    """Bytes that autograd keeps for a backward pass, parameters left out, each storage once."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        hidden = (
            model.vision_tower(tiles).last_hidden_state.sum() + model.language_model(tokens).last_hidden_state.sum()
        )
    hidden.backward()
    return sum(kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_about_what_autograd_keeps(memory_of, base, checkpointing):
    model = AmaliaVLForConditionalGeneration.from_pretrained(base).train().model
    if checkpointing:
        model.gradient_checkpointing_enable()
    estimated = memory_of(
        "batch_size=2", "max_length=96", "max_tiles=3", f"gradient_checkpointing={str(checkpointing).lower()}"
    ).activations
    kept = kept_bytes(model, torch.randint(7, 90, (2, 96)), torch.randn(2 * 4, 3, 32, 32))
    if not checkpointing:
        assert estimated == pytest.approx(kept, rel=0.25)
    else:
        assert kept < estimated < 6 * kept, "one layer comes on top while it is computed again"


def test_ranks_share_what_their_kind_shares(memory_of):
    alone = memory_of()
    for kind, shared in {
        "DDP": (),
        "ZeRO-1": ("optimiser",),
        "ZeRO-2": ("optimiser", "gradients"),
        "ZeRO-3": ("optimiser", "gradients", "weights"),
        "FSDP": ("optimiser", "gradients", "weights"),
    }.items():
        memory = memory_of(sharing=Sharing(4, kind))
        for part in ("optimiser", "gradients", "weights"):
            assert getattr(memory, part) == getattr(alone, part) / (4 if part in shared else 1), (kind, part)
        assert memory.activations == alone.activations


def test_checkpointing_bf16_and_adapters_take_less(memory_of):
    plain, checkpointed = memory_of(), memory_of("gradient_checkpointing=true")
    assert checkpointed.activations < plain.activations
    assert memory_of("precision=bf16").activations == plain.activations / 2
    adapted = memory_of(*ADAPTERS, "precision=bf16")
    assert adapted.optimiser < plain.optimiser / 10
    assert adapted.weights < plain.weights * 0.6
    zero = memory_of("precision=bf16", sharing=Sharing(1, "ZeRO-3"))
    assert zero.weights + zero.gradients + zero.optimiser == plain.weights * 4, "16 bytes a parameter"


def test_dpo_keeps_a_reference_unless_it_trains_adapters(memory_of):
    assert memory_of(name="3_prefer").reference == memory_of(name="3_prefer").weights
    assert memory_of(*ADAPTERS, name="3_prefer").reference == 0


def test_only_adapters_of_the_chosen_modules_are_trained(recipe_for):
    trained = count_parameters(model_without_weights(recipe_for("2_instruct", *ADAPTERS)), trained=True)
    assert trained["tower"] == 0 < trained["connector"] < trained["decoder"]


def test_the_description_says_what_would_be_trained(recipe_for, base):
    text = describe_training(
        recipe_for("1_align", "steps=null", "epochs=3", "accumulation=2", "learning_rates.connector=2e-3")
    )
    counts = AmaliaVLForConditionalGeneration.from_pretrained(base)
    connector = sum(p.numel() for name, p in counts.named_parameters() if module_of(name) == "connector")
    assert f"connector  {connector:>14,} parameters, learning rate 0.002" in text
    assert "parameters, frozen" in text
    assert "batch      4 = 2 a device x 2 accumulated x 1 devices" in text
    assert "steps      6 over 8 samples, schedule constant" in text
    assert "tokens     at most 17 an image, 2,048 a sample, 8,192 a step" in text
    assert "GiB on one GPU: weights 0.00 + gradients 0.00 + optimiser 0.00 + reference 0.00 + activations" in text


def test_the_description_of_adapters_names_them(recipe_for):
    text = describe_training(recipe_for("2_instruct", *ADAPTERS, "processes=4"))
    assert "in adapters)" in text
    assert "on each of 4 GPUs, DDP" in text


def test_a_global_batch_that_does_not_come_out_is_refused(recipe_for):
    recipe = recipe_for("2_instruct", "global_batch=64", "accumulation=4", "processes=8")
    assert check_batch(recipe, 8) == 64
    with pytest.raises(RecipeError, match=r"global_batch=64, but batch_size=2 x accumulation=2 x 8 processes = 32"):
        describe_training(replace(recipe, accumulation=2))
    with pytest.raises(RecipeError, match="processes=8, but 1 run; start it with `amalia-vl train`"):
        check_batch(recipe, 1)


def test_sharing_is_read_from_the_accelerate_config(recipe_for, tmp_path):
    config = tmp_path / "config.yaml"
    text = "distributed_type: DEEPSPEED\nnum_processes: 6\ndeepspeed_config: {zero_stage: 2}\n"
    config.write_text(text, encoding="utf-8")
    assert planned_sharing(recipe_for("2_instruct", f"accelerate={config}")) == Sharing(6, "ZeRO-2")
    assert planned_sharing(recipe_for("2_instruct", f"accelerate={config}", "processes=3")) == Sharing(3, "ZeRO-2")
    config.write_text("processes: 2\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"config\.yaml names no distributed_type; was it written by"):
        planned_sharing(recipe_for("2_instruct", f"accelerate={config}"))


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_sound_data_are_counted_with_their_longest(recipe_for):
    text = describe_training(recipe_for("2_instruct", "steps=4", "save_steps=2"))
    (line,) = lines(text, "data ")
    assert line.startswith("data       8 of 8 samples looked at can be trained on; longest ")
    assert lines(text, "saved") == ["saved      every 2 steps"]


def test_a_run_without_a_checkpoint_before_its_end_says_so(recipe_for):
    text = describe_training(recipe_for("2_instruct", "steps=4", "save_steps=100"))
    assert lines(text, "saved") == ["saved      at the end only: 100 steps between"]


@pytest.mark.parametrize(("name", "other"), [("2_instruct", "dpo"), ("3_prefer", "sft")])
def test_data_of_another_stage_are_refused(recipe_for, samples, name, other):
    with pytest.raises(
        RecipeError, match=r"none of 8 samples can be trained on in stage .*; is it the data of another"
    ):
        describe_training(recipe_for(name, f"data={samples[other]}"))


def test_missing_images_and_long_samples_are_named(recipe_for, samples, pictures):
    rows = [json.loads(line) for line in samples["sft"].read_text(encoding="utf-8").splitlines()]
    rows[1]["images"] = ["nowhere.png"]
    mixed = pictures / "mixed_faults.jsonl"
    mixed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = describe_training(recipe_for("2_instruct", f"data={mixed}"))
    assert "data       7 of 8 samples looked at can be trained on" in text
    assert "nowhere.png" in text
    assert "the first of them ends the run" in text
    assert "the first of them ends the run" not in describe_training(
        recipe_for("2_instruct", f"data={mixed}", "max_bad_share=0.5")
    )
    assert "tokens, more than 100" in describe_training(recipe_for("2_instruct", "max_length=100"))
