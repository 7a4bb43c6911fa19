"""The twenty prompts that vLLM is asked, and what `generate` answers to them.

    python -m tests.serving.twenty DIRECTORY

prints those answers of a checkpoint, for what another environment has to load.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from huggingface_hub.utils import httpx

from amalia_vl_hf import AmaliaVLForConditionalGeneration, AmaliaVLProcessor
from tests.serving.test_server import CHATS, image_part, picture, text_part, typed
from tests.serving.tiny import NAME

LENGTH = 16
QUESTIONS = ("que cor tem?", "o que se vê aqui?")
SIZES = [(64, 64), (40, 90), (128, 32), (33, 47), (64, 4), (5, 80), (200, 30), (31, 31), (90, 91), (32, 96)]


def chats():
    """Twenty prompts; a literal special token is left out, which vLLM renders with the tokenizer's own template."""
    contents = [[image_part(picture(*size)), text_part(question)] for question in QUESTIONS for size in SIZES]
    about = [[{"role": "user", "content": content}] for content in contents[:16]]
    return [*about, CHATS[6], CHATS[7], CHATS[9], [{"role": "user", "content": "outra pergunta"}]]


def image_count():
    return sum("image" in part for chat in chats() for turn in typed(chat) for part in turn["content"])


def prepared(processor, prompts):
    return [
        processor.apply_chat_template(
            typed(chat), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        for chat in prompts
    ]


def generated(model, processor, prompts):
    """What `generate` answers to each, in ids, and how many tokens the prompt has."""
    answers = []
    for inputs in prepared(processor, prompts):
        length = inputs["input_ids"].shape[1]
        tokens = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)[0, length:]
        answers.append([tokens.tolist(), length])
    return answers


def asked(address, prompts, at_once=1, name=NAME):
    """What a server answers to each, `at_once` of them at a time; as `generated`."""

    def ask(chat):
        body = {"model": name, "messages": chat, "max_tokens": LENGTH, "temperature": 0, "return_token_ids": True}
        reply = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=120).json()
        return [reply["choices"][0]["token_ids"], reply["usage"]["prompt_tokens"]]

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, prompts))


def differing(answers, others):
    return sum(answer != other for answer, other in zip(answers, others, strict=True))


def distinct(answers):
    return len({tuple(tokens) for tokens, _ in answers})


if __name__ == "__main__":
    directory = sys.argv[1]
    model = AmaliaVLForConditionalGeneration.from_pretrained(directory, dtype="auto", device_map="cpu").eval()
    print(json.dumps(generated(model, AmaliaVLProcessor.from_pretrained(directory), chats())))
