"""A tiny model, pictures, and samples for each training method, on disk."""

import json
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForCausalLM, SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose
from tests.tiny import tiny_text_config, tiny_tokenizer, tiny_vision_config

SIZES = ((40, 30), (30, 70), (64, 64), (100, 33))  # (height, width), px, of 32 px tiles
ANSWERS = ("um quadrado azul", "dois pontos", "nada", "uma estrela e um sol")


def tiny_parts():
    """Tower, decoder and tokenizer, the same each time."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    text = AutoModelForCausalLM.from_config(tiny_text_config(vocab_size=len(tokenizer)))
    return SiglipVisionModel(tiny_vision_config(num_hidden_layers=2)), text, tokenizer


def write_base(folder: Path, parts) -> Path:
    """Write the composed model and its processor."""
    model, processor = compose(*parts, max_tiles=4, seed=0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_pictures(folder: Path) -> Path:
    """Write a picture of noise for each size."""
    for index, (height, width) in enumerate(SIZES):
        noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{index}.png")
    return folder


def write_samples(pictures: Path) -> dict[str, Path]:
    """Write a JSONL file of eight samples for each training method, beside its pictures."""
    rows = {"sft": [_conversation(index) for index in range(8)], "dpo": [_pair(index) for index in range(8)]}
    for method, lines in rows.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (pictures / f"{method}.jsonl").write_text(text, encoding="utf-8")
    return {method: pictures / f"{method}.jsonl" for method in rows}


def user(text: str) -> dict[str, str]:
    """A question."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    """An answer."""
    return {"role": "assistant", "content": text}


def _conversation(index: int) -> dict[str, object]:
    turns = [user("O que se vê?"), assistant(ANSWERS[index % 4]), user("E mais?"), assistant(f"mais {index}.")]
    return {"images": [f"{index % 4}.png"], "messages": turns[: 2 + 2 * (index % 2)]}


def _pair(index: int) -> dict[str, object]:
    prompt = [user("O que se vê?"), assistant("uma imagem"), user("Qual?")] if index % 2 else [user("O que é?")]
    chosen, rejected = [assistant(ANSWERS[index % 4])], [assistant(ANSWERS[(index + 1) % 4] + " errado")]
    return {"images": [f"{index % 4}.png"], "prompt": prompt, "chosen": chosen, "rejected": rejected}
