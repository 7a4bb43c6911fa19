"""What is asked for preferences: turns of stage 2's mixture, drawn once, without boxes, none of them twice.

A folder appears with `prompts.jsonl` and the images that the prompts show, named by their content, as a build takes
images: those of a mixture lie in parquet files and folders of many sources.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...disk import fingerprint, new_directory, write_file, write_json
from ...processing.decoding_amalia_vl import SUFFIX_OF, read_header
from ...processing.image_loading_amalia_vl import load_image
from ...samples.loading import load_samples, require_readable
from ...variety.text import is_portuguese
from ..dataset import RejectedError
from ..image_manifest import index_images
from ..steps import StepRequest
from .rules import names_boxes

PROMPTS, DRAWN = "prompts.jsonl", "drawn.json"

Turn = dict[str, str]


class DrawnPrompts(NamedTuple):
    """Which prompts are wanted.

    Args:
        samples: Mixture's manifest, or data that training reads.
        folder: Where prompts and images are put, new or of the same draw.
        wanted: How many; all there are when left out.
        seed: Of the draw.
    """

    samples: str
    folder: str
    wanted: int | None
    seed: int


class PromptSource:
    """Prompts as a build's items.

    Args:
        folder: As `draw_prompts` writes it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROMPTS
        self.lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]

    def __len__(self) -> int:
        return len(self.lines)

    def read(self, start: int, stop: int) -> Iterator[Mapping[str, Any]]:
        """Give prompts: `images`, `prompt`, `reference`, `language`, `sample` and `origin`."""
        for line in self.lines[start:stop]:
            yield json.loads(line)

    def fingerprint(self) -> str:
        """Tell the prompts from others."""
        return fingerprint(self.path)


@lru_cache(maxsize=4)
def open_prompts(draw: DrawnPrompts) -> PromptSource:
    """Open the prompts of a draw, or draw them first.

    Raises:
        ValueError: The folder holds something else, or there is nothing to ask.
    """
    folder = Path(draw.folder)
    record = {"samples": fingerprint(draw.samples), "wanted": draw.wanted, "seed": draw.seed}
    if folder.exists():
        try:
            drawn = json.loads((folder / DRAWN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} holds something else than drawn prompts; name another folder") from error
        if differing := [name for name in record if record[name] != drawn.get(name)]:
            raise ValueError(f"{folder} holds another draw of prompts ({', '.join(differing)}); name another folder")
    else:
        with new_directory(folder) as staging:
            left_out = draw_prompts(draw, staging)
            write_json(staging / DRAWN, {**record, "left out": left_out})
    return PromptSource(folder)


def draw_prompts(draw: DrawnPrompts, folder: Path) -> dict[str, int]:
    """Draw turns of conversations, one of each, and write them with their images.

    Returns:
        How many samples were left out, by the reason.

    Raises:
        ValueError: Nothing is left.
    """
    data = load_samples(draw.samples, "sft", every_row=False)
    order = np.random.default_rng(draw.seed).permutation(len(data)).tolist()
    lines: list[str] = []
    seen: set[str] = set()
    left_out: Counter[str] = Counter()
    for place in order:
        if len(lines) == draw.wanted:
            break
        try:
            prompt = _prompt(data[place], random.Random(f"{draw.seed} {place}"), folder)  # noqa: S311
        except RejectedError as error:
            left_out[error.reason] += 1
            continue
        if (key := _key(prompt)) in seen:
            left_out["a prompt that is there"] += 1
            continue
        seen.add(key)
        lines.append(json.dumps(prompt, ensure_ascii=False))
    if not lines:
        raise ValueError(f"{draw.samples} has no prompt to ask: {dict(left_out)}")
    write_file(folder / PROMPTS, "".join(f"{line}\n" for line in lines))
    if (folder / "images").is_dir():
        index_images(folder / "images", folder / "images.parquet", "as its sample", "stage 2")
    return dict(left_out)


def conversation_text(turns: Sequence[Turn]) -> str:
    """Write a conversation for a model that is to look at its last answer."""
    who = {"user": "Utilizador", "assistant": "Assistente", "system": "Sistema"}
    return "\n\n".join(f"{who[turn['role']]}: {turn['content']}" for turn in turns)


def request_of(prompt: Sequence[Turn], images: Sequence[str], candidates: int = 1) -> StepRequest:
    """Ask what the prompt asks, with what was said before.

    Raises:
        RejectedError: Its turns are not the user's and the assistant's in turn.
    """
    turns = list(prompt)
    system = turns.pop(0)["content"] if turns and turns[0]["role"] == "system" else None
    if [turn["role"] for turn in turns] != [("user", "assistant")[place % 2] for place in range(len(turns))] or (
        len(turns) % 2 == 0
    ):
        raise RejectedError("turns that do not alternate", ", ".join(turn["role"] for turn in turns))
    texts = [turn["content"] for turn in turns]
    earlier = tuple(zip(texts[:-1:2], texts[1::2], strict=True))
    return StepRequest(texts[-1], tuple(images), candidates, system, earlier)


def _prompt(sample: Mapping[str, Any], rng: random.Random, folder: Path) -> dict[str, Any]:
    """Make a prompt of one answer of a sample.

    Raises:
        RejectedError: It is none, or is about boxes.
    """
    try:
        require_readable(sample)
    except ValueError as error:
        raise RejectedError("a sample that cannot be read", str(error)) from error
    turns = [{"role": turn["role"], "content": _text(turn["content"])} for turn in sample["messages"]]
    answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant" and turn["content"].strip()]
    if not answers or not any(turn["role"] == "user" for turn in turns[: answers[-1]]):
        raise RejectedError("a sample without an answer")
    if names_boxes(*(turn["content"] for turn in turns)):
        raise RejectedError("boxes")
    place = rng.choice(answers)
    request_of(turns[:place], ())
    reference = turns[place]["content"]
    return {
        "images": [_keep_image(cell, folder, number) for number, cell in enumerate(sample["images"])],
        "prompt": turns[:place],
        "reference": reference,
        "language": sample["language"] or _language(turns[place - 1]["content"], reference),
        "sample": sample["sample"],
        "origin": sample["source"],
    }


def _language(*texts: str) -> str:
    return "pt" if is_portuguese("\n".join(texts)) else "en"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text" and part.get("text"))


def _keep_image(cell: Any, folder: Path, number: int) -> str:
    """Write an image's file under its content's hash, once."""
    try:
        encoded = Path(cell).read_bytes() if isinstance(cell, str | Path) else bytes(cell["bytes"])
        load_image(encoded, number)
        suffix = SUFFIX_OF[read_header(io.BytesIO(encoded)).format or ""]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise RejectedError("an image that cannot be read", str(error)[:200]) from error
    name = hashlib.sha256(encoded).hexdigest()
    path = folder / "images" / name[:2] / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(encoded)
    return name


def _key(prompt: Mapping[str, Any]) -> str:
    """Tell prompts apart: by their images and their words, without case and spaces."""
    words = [" ".join(turn["content"].lower().split()) for turn in prompt["prompt"]]
    return hashlib.sha256(repr((prompt["images"], words)).encode()).hexdigest()
