"""vLLM serves our type by its transformers backend, and answers as `generate` does; see `make test-vllm`."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from huggingface_hub.utils import httpx

from tests.serving.test_server import CHATS, image_part, picture, text_part, typed
from tests.serving.tiny import listening, served_parts

pytestmark = pytest.mark.vllm
LENGTH = 16
QUESTIONS = ("que cor tem?", "o que se vê aqui?")
SIZES = [(64, 64), (40, 90), (128, 32), (33, 47), (64, 4), (5, 80), (200, 30), (31, 31), (90, 91), (32, 96)]


@pytest.fixture(scope="module")
def parts():
    return served_parts(head_dim=64)  # the least that its CPU attention takes is 32


@pytest.fixture(scope="module", params=[2048, 48], ids=["whole", "cut"])
def server(request, parts, tmp_path_factory):
    """Its address; with 48 tokens a batch, prompts are cut inside images."""
    directory = tmp_path_factory.mktemp("served")
    for part in parts:
        part.save_pretrained(directory)
    listener, address = listening()
    listener.close()
    command = [
        *(str(Path(os.environ["VLLM"]) / "bin" / "vllm"), "serve", str(directory), "--served-model-name", "tiny"),
        *("--port", address.rpartition(":")[2], "--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"),
        *("--max-num-batched-tokens", str(request.param), "--limit-mm-per-prompt", '{"image": 2}'),
    ]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment) as process:
        try:
            end = time.monotonic() + 300
            while not answers(address):
                assert process.poll() is None, "vLLM ended"
                assert time.monotonic() < end, "vLLM did not start in 300 s"
                time.sleep(1)
            yield address
        finally:
            process.terminate()


def answers(address):
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def chats():
    """Twenty prompts; a literal special token is left out, which vLLM renders with the tokenizer's own template."""
    contents = [[image_part(picture(*size)), text_part(question)] for question in QUESTIONS for size in SIZES]
    about = [[{"role": "user", "content": content}] for content in contents[:16]]
    return [*about, CHATS[6], CHATS[7], CHATS[9], [{"role": "user", "content": "outra pergunta"}]]


def test_its_tokens_are_those_of_generate_and_again_from_its_caches(server, parts):
    model, processor = parts
    prompts = chats()
    assert len(prompts) == 20
    for _ in range(2):  # the second time its prefix and image caches hit
        outputs = []
        for chat in prompts:
            inputs = processor.apply_chat_template(
                typed(chat), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            length = inputs["input_ids"].shape[1]
            expected = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)[0, length:].tolist()
            body = {
                "model": "tiny",
                "messages": chat,
                "max_tokens": LENGTH,
                "temperature": 0,
                "return_token_ids": True,
            }
            reply = httpx.post(f"{server}/v1/chat/completions", json=body, timeout=120).json()
            assert (reply["choices"][0]["token_ids"], reply["usage"]["prompt_tokens"]) == (expected, length)
            outputs.append(tuple(expected))
        assert len(set(outputs)) > 5
