"""Making batches for training: ours against transformers' own path, and against the image processor alone.

CPU time on one thread, median of turns taken in turn; images lie in memory, so that decoding is out of it, cut by the
torch resampler as in the recipes. Both paths give the same tensors, which is checked. The mix has the shapes of the
paper's Table 1: mostly one image with one question, some of many tiles, some dialogues, some text.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.samples.loading import conversation
from amalia_vl_hf.training.batches.collation import Encoder

TURNS = 7
MAX_TILES, MAX_LENGTH = 12, 100_000
TEXT = "o que se vê na imagem uma rua com duas pessoas e um cão que corre atrás de bola vermelha"
WORDS = TEXT.split()
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<image>")
LARGE, MEDIUM, SMALL = (1080, 1920), (600, 800), (384, 384)  # height, width: 12 tiles, 4 or 6, 1
MIX = [(MEDIUM, 1)] * 10 + [(SMALL, 1)] * 4 + [(LARGE, 1)] * 2 + [(MEDIUM, 5)] * 3 + [(None, 2)] * 5


def processor() -> AmaliaVLProcessor:
    """A processor at the model's size, with a tokenizer of a few words."""
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys([*SPECIAL, *WORDS]))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="<|im_end|>", pad_token="</s>"
    )
    return AmaliaVLProcessor(AmaliaVLImageProcessor(max_tiles=MAX_TILES, resampler="torch"), tokenizer)


def chat(size: tuple[int, int] | None, answers: int) -> list[dict[str, Any]]:
    """A conversation of so many answers of about 60 words, about an image of this height and width."""
    rng = np.random.default_rng(answers)
    turns = []
    for number in range(answers):
        slot = [{"type": "image"}] if size and not number else []
        question, answer = (" ".join(rng.choice(WORDS, count)) for count in (12, 60))
        turns.append({"role": "user", "content": [*slot, {"type": "text", "text": question}]})
        turns.append({"role": "assistant", "content": answer})
    pixels = rng.integers(0, 256, (*size, 3), np.uint8) if size else None
    return conversation(turns, [] if pixels is None else [Image.fromarray(pixels)], "a sample")


def by_transformers(reader: AmaliaVLProcessor, chats: list[list[dict[str, Any]]]) -> dict[str, torch.Tensor]:
    """Make a batch as the processor's own `apply_chat_template` does."""
    batch = reader.apply_chat_template(
        chats,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": "right", "max_tiles": MAX_TILES},
    )
    return {**batch, "assistant_masks": torch.as_tensor(batch["assistant_masks"])}


def images_of(chats: list[list[dict[str, Any]]]) -> list[Image.Image]:
    """List the images of conversations."""
    return [part["image"] for turns in chats for turn in turns for part in turn["content"] if "image" in part]


def race(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU milliseconds of each, taking turns after a turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(TURNS + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    """Print the table and the figures as JSON."""
    torch.set_num_threads(1)
    reader = processor()
    encode = Encoder(reader, MAX_TILES, MAX_LENGTH)
    cases = {f"12 tiles, answers: {answers}": [[chat(LARGE, answers)]] for answers in (1, 5, 20)}
    cases["the mix, a sample a batch"] = [[chat(*shape)] for shape in MIX]
    cases["the mix, rows of 8"] = [[chat(*shape) for shape in MIX[start : start + 8]] for start in range(0, 24, 8)]
    print(f"{'CPU ms a sample':<28}{'ours':>9}{'stock':>10}{'ratio':>8}{'images':>9}{'to images':>11}{'a second':>10}")
    results = {}
    for name, batches in cases.items():
        samples = sum(map(len, batches))
        for batch in batches:
            ours, stock = encode(batch, ["a sample"] * len(batch)), by_transformers(reader, batch)
            assert all(torch.equal(ours[key], value) for key, value in stock.items())
        told = race(
            {
                "ours": lambda batches=batches: [encode(batch, ["a sample"] * len(batch)) for batch in batches],
                "stock": lambda batches=batches: [by_transformers(reader, batch) for batch in batches],
                "images": lambda batches=batches: [reader.image_processor(images_of(batch)) for batch in batches],
            }
        )
        ours, stock, images = (told[key] / samples for key in ("ours", "stock", "images"))
        print(
            f"{name:<28}{ours:>9.1f}{stock:>10.1f}{stock / ours:>8.1f}{images:>9.1f}{ours / images:>11.2f}"
            f"{1000 / ours:>10.1f}",
            flush=True,
        )
        results[name] = {"ours": ours, "stock": stock, "ratio": stock / ours, "images": images, "unit": "CPU ms"}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
