"""Collation against the road through transformers: CPU time of a batch on one thread that is pinned to a core.

Stock is `apply_chat_template` with transformers' answer mask on the same processor, which is what collation was: it
tokenises every position of an image, and compares each token with each answer. Both give the same tensors, which is
checked. `pixels` is the image processor alone, on the same pictures. The mixture has lengths and tiles like Table 1's;
its pictures come decoded, or as JPEG bytes. The contestants take turns, and each figure is the
least of its turns, since what else runs on the machine only adds.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from io import BytesIO
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as in a DataLoader's workers

import torch
from packing import length_mix
from PIL import Image
from preprocessing import photograph

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.demo.backbones.tokenizer import train_tokenizer
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder
from amalia_vl_hf.training.batches.packing import PackedConversationCollator

MAX_TILES, MAX_LENGTH, VOCABULARY = 12, 10**6, 8000
PIXELS = "uint8"  # as in the recipes
MIX, ROW, TURNS = 32, 4, 5  # conversations of the mixture, and of a packed row
WORDS = files("amalia_vl_hf.data.text").joinpath("classics_pt.txt").read_text(encoding="utf-8").split()

Conversation = list[dict[str, Any]]


class StockEncoder(Encoder):
    """Conversations made into tensors by transformers alone."""

    def __call__(self, conversations: Sequence[Conversation], names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the tensors of `Encoder`."""
        options = {"padding": True, "padding_side": "right", "max_tiles": self.max_tiles, "pixels": self.pixels}
        batch = self.processor.apply_chat_template(
            list(conversations),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            return_assistant_tokens_mask=True,
            processor_kwargs=options,
        )
        return {**batch, "assistant_masks": torch.as_tensor(batch["assistant_masks"])}


def processor() -> AmaliaVLProcessor:
    """The fast resampler, as the recipes use it, and a tokenizer of Portuguese."""
    tokenizer = train_tokenizer(WORDS, VOCABULARY)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return AmaliaVLProcessor(AmaliaVLImageProcessor(resampler="torch"), tokenizer)


def sample(image: Any, words: int, answers: int = 1) -> dict[str, Any]:
    """A conversation of so many words, 60 % of them the assistant's."""
    text = [WORDS[index % len(WORDS)] for index in range(words)]
    step = max(1, words // answers)
    messages = []
    for start in range(0, answers * step, step):
        turn = text[start : start + step]
        cut = int(0.4 * len(turn))
        messages.append({"role": "user", "content": " ".join(turn[:cut])})
        messages.append({"role": "assistant", "content": " ".join(turn[cut:]) + "."})
    images = [] if image is None else [image]
    return {"sample": f"{words} words", "images": images, "messages": messages, "fault": None}


def mixture(encoded: bool) -> list[dict[str, Any]]:
    """Conversations as long as Table 1's."""
    rows = []
    for one in length_mix(MIX, seed=1):
        picture = photograph(*one.size) if one.size else None
        rows.append(sample(jpeg(picture) if encoded and picture else picture, max(4, int(one.words / 1.4))))
    return rows


def jpeg(picture: Image.Image) -> dict[str, bytes]:
    """A dataset's cell of JPEG bytes."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=90)
    return {"bytes": file.getvalue()}


def race(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least CPU milliseconds of each, taking turns after a turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(TURNS + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            times[name].append(1000 * (time.process_time() - start))
    return {name: min(taken[1:]) for name, taken in times.items()}


def ways(
    whole: AmaliaVLProcessor, rows: list[dict[str, Any]], packed: bool = False
) -> dict[str, Callable[[], object]]:
    """Collate rows by both roads, one a batch or one packed row after the other, and cut their pictures alone."""
    kind = PackedConversationCollator if packed else ConversationCollator
    step = ROW if packed else 1
    batches = [rows[start : start + step] for start in range(0, len(rows), step)]
    makers = {"ours": Encoder, "stock": StockEncoder}
    made = {name: kind(maker(whole, MAX_TILES, MAX_LENGTH, PIXELS)) for name, maker in makers.items()}
    for batch in batches[:2]:
        ours, stock = (collate(batch) for collate in made.values())
        assert all(
            torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value
            for name, value in stock.items()
        )
    cut = partial(whole.image_processor, max_tiles=MAX_TILES, pixels=PIXELS)
    images = [[image for row in batch for image in row["images"]] for batch in batches]
    runs: dict[str, Callable[[], object]] = {"pixels": partial(consume, cut, images)}
    for name, collate in made.items():
        runs[name] = partial(consume, collate, batches)
    return runs


def consume(collate: Callable[[Any], object], batches: list[Any]) -> None:
    """Make batches, and keep none."""
    for batch in batches:
        collate(batch)


def main() -> None:
    """Print a row for each comparison, then all of them as JSON."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    whole = processor()
    picture = photograph(1080, 1920)  # 13 tiles, 5,814 visual tokens
    cases = {
        f"12 tiles, 600 words, {count} answer{'s' * (count > 1)}": [sample(picture, 600, count)]
        for count in (1, 5, 20)
    }
    runs = {f"{case}: {name}": run for case, rows in cases.items() for name, run in ways(whole, rows).items()}
    times = race(runs)
    mixes = {
        "mixture": (mixture(False), False),
        "mixture, packed rows of 4": (mixture(False), True),
        "mixture, JPEG bytes": (mixture(True), False),
    }
    for case, (rows, packed) in mixes.items():
        taken = race({f"{case}: {name}": run for name, run in ways(whole, rows, packed).items()})
        times |= {name: spent / len(rows) for name, spent in taken.items()}
    columns = f"{'ours':>9}{'stock':>9}{'stock/ours':>12}{'pixels':>9}{'ours/pixels':>13}{'ours/s':>8}"
    print(f"{'CPU ms a sample':<34}{columns}")
    results = {}
    for case in (*cases, *mixes):
        ours, stock, pixels = (times[f"{case}: {name}"] for name in ("ours", "stock", "pixels"))
        print(
            f"{case:<34}{ours:>9.1f}{stock:>9.1f}{stock / ours:>12.1f}{pixels:>9.1f}{ours / pixels:>13.2f}"
            f"{1000 / ours:>8.1f}"
        )
        results[f"collation, {case}"] = {
            "ours": ours,
            "stock": stock,
            "ratio": stock / ours,
            "unit": "CPU ms a sample",
        }
    first, *_, last = cases
    growth = {name: times[f"{last}: {name}"] / times[f"{first}: {name}"] for name in ("ours", "stock")}
    print(f"20 answers take {growth['ours']:.2f} times what one takes; stock {growth['stock']:.1f} times")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
