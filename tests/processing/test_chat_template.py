"""The chat template's text, token ids and answer mask, held to files.

`REWRITE_GOLDEN=1 pytest tests/processing/test_chat_template.py` writes the files anew; read the diff.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from tests.tiny import tiny_tokenizer

GOLDEN = Path(__file__).parent / "golden"
IMAGE = {"type": "image"}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


CASES = {
    "one_turn": [
        {"role": "user", "content": [IMAGE, text("Que cor tem o carro?")]},
        {"role": "assistant", "content": [text("Vermelho.")]},
    ],
    "several_turns": [
        {"role": "user", "content": [IMAGE, text("Quantos gatos há?")]},
        {"role": "assistant", "content": "Dois."},
        {"role": "user", "content": "E cães?"},
        {"role": "assistant", "content": "Nenhum."},
    ],
    "several_images": [
        {"role": "user", "content": [IMAGE, IMAGE, text("São iguais?")]},
        {"role": "assistant", "content": "Não."},
        {"role": "user", "content": [text("E esta: "), IMAGE]},
        {"role": "assistant", "content": "Também não."},
    ],
    "text_only": [
        {"role": "user", "content": "Olá!"},
        {"role": "assistant", "content": "Olá, em que posso ajudar?"},
    ],
    "system": [
        {"role": "system", "content": "Responde em português europeu."},
        {"role": "user", "content": [IMAGE, text("Descreve o ecrã.")]},
        {"role": "assistant", "content": "Está desligado."},
    ],
}


@pytest.fixture
def processor(tokenizer):
    """Images become 2x2 patches and a newline: five tokens, so that the files stay readable."""
    return AmaliaVLProcessor(AmaliaVLImageProcessor(size=16, patch_size=8, max_tiles=0), tokenizer)


def with_images(messages, image):
    """Give each image slot its image."""
    return [
        message
        if isinstance(message["content"], str)
        else message | {"content": [part | {"image": image} if part == IMAGE else part for part in message["content"]]}
        for message in messages
    ]


def as_strings(messages):
    """The same conversation as plain text, as the official evaluation writes it."""
    plain = []
    for message in messages:
        parts = message["content"] if isinstance(message["content"], list) else [text(message["content"])]
        rendered = "".join("<image>\n" if part == IMAGE else part["text"] for part in parts)
        plain.append(message | {"content": rendered.removesuffix("\n")})
    return plain


@pytest.mark.parametrize("case", CASES)
def test_text_ids_and_mask_are_the_golden_ones(case, processor, image):
    messages = with_images(CASES[case], image)
    batch = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = batch["input_ids"][0], batch["assistant_masks"][0]
    rendered = processor.apply_chat_template(messages)
    actual = {"text": rendered, "ids": list(ids), "mask": list(mask)}
    path = GOLDEN / f"{case}.json"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(json.dumps(actual, ensure_ascii=False) + "\n", encoding="utf-8")
    assert actual == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_the_mask_covers_the_answers_and_their_ends_and_nothing_else(case, processor, image):
    batch = processor.apply_chat_template(
        with_images(CASES[case], image), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = torch.tensor(batch["input_ids"][0]), torch.tensor(batch["assistant_masks"][0]).bool()
    answers = [message["content"] for message in CASES[case] if message["role"] == "assistant"]
    answers = [answer if isinstance(answer, str) else answer[0]["text"] for answer in answers]
    assert processor.tokenizer.decode(ids[mask]) == "".join(f"{answer}<|im_end|>" for answer in answers)
    assert not mask[ids == processor.image_token_id].any()


@pytest.mark.parametrize("case", CASES)
def test_string_and_typed_content_render_the_same_text(case, processor):
    assert processor.apply_chat_template(as_strings(CASES[case])) == processor.apply_chat_template(CASES[case])


def test_evaluation_protocol(processor):
    question = "Que cor tem o carro?"
    typed = processor.apply_chat_template(
        [{"role": "user", "content": [IMAGE, text(question)]}], add_generation_prompt=True
    )
    string = processor.apply_chat_template(
        [{"role": "user", "content": f"<image>\n{question}"}], add_generation_prompt=True
    )
    assert typed == string == f"<s><|im_start|>user\n<image>\n{question}<|im_end|>\n<|im_start|>assistant\n"


def test_a_conversation_grows_without_changing_its_beginning(processor):
    messages = CASES["several_turns"]
    whole = processor.apply_chat_template(messages)
    for turns in range(1, len(messages)):
        assert whole.startswith(processor.apply_chat_template(messages[:turns]))
    assert whole.startswith(processor.apply_chat_template(messages[:1], add_generation_prompt=True))


@pytest.mark.parametrize("adds_bos", [True, False])
def test_sequences_begin_with_one_bos_however_they_are_made(processor, image, adds_bos):
    processor.tokenizer = tiny_tokenizer()
    if not adds_bos:
        processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    messages = with_images(CASES["one_turn"], image)
    rendered = processor.apply_chat_template(messages)
    whole = processor.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"][0]
    assert whole[:2] == [1, 3]
    assert processor(text=rendered, images=image)["input_ids"][0] == whole
    assert processor(text=rendered, images=image, add_special_tokens=False)["input_ids"][0] == whole
    assert processor(text=rendered, images=image, text_kwargs={"add_special_tokens": False})["input_ids"][0] == whole


def test_parts_of_other_kinds_are_refused(processor):
    with pytest.raises(Exception, match="parts of type 'image' and 'text', not 'video'"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}])
