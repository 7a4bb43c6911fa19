"""Adapters on a decoder in 4 bits; most of it needs the quantise extra, which `make test-quantise` installs."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from amalia_vl_hf.quantisation import KEPT, in_blocks
from amalia_vl_hf.training.estimate import estimate_memory, model_without_weights
from amalia_vl_hf.training.models import load_model
from amalia_vl_hf.training.ranks import Sharing
from amalia_vl_hf.training.recipe import RecipeError, load_recipe
from amalia_vl_hf.training.run import train
from amalia_vl_hf.training.stages import module_of

QLORA = "small/2_instruct_qlora"


@pytest.fixture
def qlora(base, samples, tmp_path):
    def make(*overrides):
        here = [f"model={base}", f"data={samples['sft']}", f"output={tmp_path / 'out'}", "workers=0", "log_steps=1"]
        short = ["global_batch=null", "batch_size=2", "accumulation=1", "epochs=null", "steps=2", "warmup=0"]
        return load_recipe(QLORA, [*here, *short, *overrides])

    return make


def test_four_bits_take_a_quarter_of_what_bf16_does(qlora):
    quantised, whole = qlora(), qlora("lora.quantised=null")
    model = model_without_weights(quantised)
    memory = [estimate_memory(recipe, model, Sharing(1, "none")).weights for recipe in (quantised, whole)]
    assert in_blocks(model) == 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64), "two layers, all their linear ones"
    assert memory[1] - memory[0] == in_blocks(model) * (2 - 0.5625)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.quantised=int3", "unknown lora.quantised 'int3'; known: nf4"),
        ("precision=fp32", "lora.quantised=nf4 computes in bf16, but precision=fp32"),
    ],
)
def test_what_cannot_be_quantised_is_refused(qlora, override, message):
    with pytest.raises(RecipeError, match=message):
        qlora(override)


def test_ranks_that_would_take_the_weights_apart_are_refused(qlora):
    with pytest.raises(RecipeError, match="ZeRO-3 would take the quantised weights apart; train on one GPU"):
        load_model(qlora("accelerate=accelerate/zero3.yaml"))


@pytest.mark.quantise
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_decoder_learns_in_four_bits_and_comes_out_in_bf16(method, qlora, base, samples, tmp_path):
    prefer = [f"data={samples['dpo']}", "stage=prefer", "beta=0.1", "packing=false", "shared_prompt=true"]
    recipe = qlora(*(prefer if method == "dpo" else []), "steps=4", "learning_rates.decoder=1e-2")
    output = train(recipe)
    log = json.loads((output / "training.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    before, after = load_file(base / "model.safetensors"), load_file(output / "model.safetensors")
    assert before.keys() == after.keys(), "no trace of four bits"
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    for name, tensor in after.items():
        if module_of(name) == "tower" or name.startswith(KEPT[2:]) or "norm" in name:
            assert torch.equal(tensor, before[name].bfloat16()), name
    moved = [name for name in after if not torch.equal(after[name], before[name].bfloat16())]
    assert any(name.startswith("model.language_model.layers.1.mlp") for name in moved)
    model = AmaliaVLForConditionalGeneration.from_pretrained(output, dtype="auto")
    assert not hasattr(model.config, "quantization_config")


@pytest.mark.quantise
def test_the_merged_model_computes_what_was_trained(qlora, base):
    recipe = qlora("steps=4", "learning_rates.decoder=1e-2", "lora.dropout=0")
    output = train(recipe)
    merged = AmaliaVLForConditionalGeneration.from_pretrained(output, dtype=torch.bfloat16).eval()
    # In training mode: on a CPU, bitsandbytes packs the weights anew for inference, which needs wider layers.
    trained = PeftModel.from_pretrained(load_model(recipe), output / "adapter").train()
    processor = AmaliaVLProcessor.from_pretrained(output)
    ids = processor.tokenizer("uma imagem azul e mais", return_tensors="pt").input_ids
    with torch.inference_mode():
        expected, actual = (model(input_ids=ids).logits.float() for model in (trained, merged))
        start = AmaliaVLForConditionalGeneration.from_pretrained(base, dtype=torch.bfloat16).eval()
        untrained = start(input_ids=ids).logits.float()
    assert (expected - actual).abs().max() < 0.2 * (expected - untrained).abs().max()
