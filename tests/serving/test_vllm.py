"""vLLM serves our type, its export, adapters and quantised checkpoints as `generate` answers; see `make test-vllm`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.conversion.llava_next import export_checkpoint
from amalia_vl_hf.training.stages import linear_layers
from tests.serving.test_server import image_part, picture, text_part
from tests.serving.tiny import served_parts
from tests.serving.twenty import asked, chats, differing, distinct, generated, image_count, prepared
from tests.serving.vllm_process import KINDS, counts, vllm_server

pytestmark = pytest.mark.vllm
ROOT = Path(__file__).parents[2]
BLOCK = 32  # tokens that its prefix cache keeps together; of its own 128 most of these prompts have not one
WHOLE, CUT = 2048, 48  # tokens a batch
IMAGES = ("--limit-mm-per-prompt", '{"image": 2}')
PRECISE = ("--dtype", "float32", "--block-size", str(BLOCK), *IMAGES)


@pytest.fixture(scope="module")
def parts():
    return served_parts(head_dim=64)  # the least that its CPU attention takes is 32


@pytest.fixture(scope="module")
def checkpoints(parts, tmp_path_factory):
    """A folder with our type and its export."""
    folder = tmp_path_factory.mktemp("served")
    for part in parts:
        part.save_pretrained(folder / "ours")
    export_checkpoint(folder / "ours", folder / "export")
    return folder


@pytest.fixture(scope="module")
def expected(parts):
    answers = generated(*parts, chats())
    assert distinct(answers) > 5
    return answers


@pytest.mark.parametrize("batched", [WHOLE, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_tokens_are_those_of_generate_and_again_at_once_from_its_caches(
    kind, batched, checkpoints, parts, expected
):
    processor = parts[1]
    images = [int((inputs["input_ids"] == processor.image_token_id).sum()) for inputs in prepared(processor, chats())]
    assert sum(visual > CUT for visual in images) > 5  # which 48 tokens a batch must cut
    options = (*PRECISE, *KINDS[kind], "--max-num-batched-tokens", str(batched))
    with vllm_server(checkpoints / kind, *options) as (address, _):
        assert asked(address, chats()) == expected
        before = counts(address)
        assert asked(address, chats(), at_once=20) == expected
        after = counts(address)
    hits = {name: after[f"{name}_cache_hits"] - before[f"{name}_cache_hits"] for name in ("prefix", "mm")}
    assert hits == {"prefix": sum((length - 1) // BLOCK * BLOCK for _, length in expected), "mm": image_count()}


def test_an_image_of_the_most_tokens_is_answered_and_so_is_a_photo(parts, tmp_path):
    """Cut into twelve tiles they take more than the largest square, which vLLM keeps room for by itself."""
    model, processor = parts
    wider = AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=12), processor.tokenizer)
    for part in (model, wider):
        part.save_pretrained(tmp_path)
    sizes = [(32, 384), (403, 302), (100, 100)]  # width, height
    prompts = [[{"role": "user", "content": [image_part(picture(*size)), text_part("que cor?")]}] for size in sizes]
    expected = generated(model, wider, prompts)
    assert expected[0][1] > expected[1][1] > expected[2][1]
    with vllm_server(tmp_path, *PRECISE, "--max-num-batched-tokens", str(CUT)) as (address, _):
        assert asked(address, prompts) == expected


def test_an_adapter_of_ours_served_by_name_answers_as_peft_does(checkpoints, parts, expected, tmp_path):
    base = AmaliaVLForConditionalGeneration.from_pretrained(checkpoints / "ours")
    config = LoraConfig(r=8, lora_alpha=16, target_modules=linear_layers(base, ("decoder",)), task_type="CAUSAL_LM")
    adapted = get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1, generator=generator)  # as if trained
    adapted.save_pretrained(tmp_path)
    answers = generated(adapted, parts[1], chats())
    assert differing(answers, expected) > 15
    options = (*PRECISE, "--enable-lora", "--lora-modules", f"adapter={tmp_path}")
    with vllm_server(checkpoints / "ours", *options) as (address, _):
        assert asked(address, chats(), name="adapter") == answers
        assert asked(address, chats()) == expected


@pytest.mark.parametrize("method", ["fp8", "w4a16"])
def test_a_quantised_checkpoint_answers_as_transformers_does(method, tmp_path):
    """Its kernels round otherwise than transformers, in bf16: of a random model's tokens a few have others near."""
    model, processor = served_parts(hidden_size=128, intermediate_size=256, head_dim=64)  # groups of 128
    with torch.no_grad():
        model.lm_head.weight.mul_(20)  # decided, as a trained model is
    model.to(torch.bfloat16).save_pretrained(tmp_path / "source")
    processor.save_pretrained(tmp_path / "source")
    programs, out = Path(os.environ["COMPRESS"]).resolve() / "bin", str(tmp_path / "out")
    quantise = ("convert", "quantise", str(tmp_path / "source"), "--out", out, "--method", method)
    subprocess.run([programs / "amalia-vl", *quantise], check=True)
    answering = [programs / "python", "-m", "tests.serving.twenty", out]
    answers = json.loads(subprocess.run(answering, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)
    with vllm_server(tmp_path / "out", *IMAGES) as (address, _):
        served = asked(address, chats())
    assert [length for _, length in served] == [length for _, length in answers]
    assert distinct(served) > 5
    assert sum(ours[0] == theirs[0] for (ours, _), (theirs, _) in zip(served, answers, strict=True)) >= 15
