"""A dataset that four models write, as small as one can be: what tests of the engine build.

source (images) -> describe (captioner, 2 candidates) -> longest (all shards: the N longest of all) -> ask
(questioner: two questions an image) -> answer (answerer) -> verify (verifier: yes or no) -> gather (one an image)
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from amalia_vl_hf.data import prompts
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.dataset import WRITTEN, RejectedError
from amalia_vl_hf.data.image_manifest import index_images
from amalia_vl_hf.data.rows import FEATURES
from amalia_vl_hf.data.steps import AskAgainError, Item, Rejected, Step, StepAnswer, StepRequest

NAME = "toy-written"
PROMPTS = {
    "describe": "Descreve a imagem $image.",
    "ask": "Faz duas perguntas, uma por linha: $caption",
    "answer": "Responde: $question",
    "verify": "Diz sim ou não: $question $answer",
}


@dataclass(frozen=True)
class Settings:
    """Numbers of the toy.

    Args:
        longest: Captions that stay, of all shards.
    """

    longest: int = 1000


def _filled(step: str, **slots: str) -> str:
    return prompts.read_prompt(NAME, step).substitute(**slots)


def _describe(item: Item) -> list[StepRequest]:
    text = _filled("describe", image=item.data["image"][:8])
    return [StepRequest(text, images=(item.data["image"],), candidates=2)]


def _read_captions(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    texts = [answer.text for answer in answers]
    if "outra vez" in texts[0]:
        raise AskAgainError("a caption to be written again", texts[0])
    return [item.having(caption=max(texts))]


def _read_questions(item: Item, answers: Sequence[StepAnswer]) -> list[Item | Rejected]:
    lines = answers[0].text.splitlines()
    if len(lines) != 2:
        raise RejectedError("not two questions", answers[0].text[:80])
    children = [item.child(f"q{number}", question=line) for number, line in enumerate(lines)]
    return [child if child.data["question"].endswith("?") else child.rejected("no question") for child in children]


def _read_verdict(item: Item, answers: Sequence[StepAnswer]) -> list[Item]:
    if not answers[0].text.startswith("sim"):
        raise RejectedError("not verified", item.data["answer"])
    return [item]


def _gather(items: Iterable[Item]) -> Iterator[Item]:
    for _, children in groupby(items, key=lambda item: item.root):
        first, *others = children
        pairs = [[child.data["question"], child.data["answer"]] for child in (first, *others)]
        yield first.having(pairs=pairs)


def _steps(recipe: BuildRecipe) -> tuple[Step, ...]:
    def longest(items: Iterable[Item]) -> Iterator[Item | Rejected]:
        ranked = sorted(items, key=lambda item: (-len(item.data["caption"]), item.id))
        chosen = {item.id for item in ranked[: recipe.settings.longest]}
        for item in sorted(ranked, key=lambda item: item.id):
            yield item if item.id in chosen else item.rejected("a shorter caption")

    return (
        Step(
            "describe",
            role="captioner",
            ask=_describe,
            read=_read_captions,
            calls=2,
        ),
        Step("longest", work=longest, scope="all"),
        Step(
            "ask",
            role="questioner",
            ask=lambda item: [StepRequest(_filled("ask", caption=item.data["caption"]))],
            read=_read_questions,
        ),
        Step(
            "answer",
            role="answerer",
            ask=lambda item: [StepRequest(_filled("answer", question=item.data["question"]), system="Sê breve.")],
            read=lambda item, answers: [item.having(answer=answers[0].text)],
            calls=2,
        ),
        Step(
            "verify",
            role="verifier",
            ask=lambda item: [StepRequest(_filled("verify", **{n: item.data[n] for n in ("question", "answer")}))],
            read=_read_verdict,
            calls=2,
            paper_yield=0.75,
        ),
        Step("gather", work=_gather),
    )


def _row(item: Item, recipe: BuildRecipe) -> dict:
    turns = [turn for pair in item.data["pairs"] for turn in zip(("user", "assistant"), pair, strict=True)]
    return {
        "images": [item.data["image"]],
        "messages": [{"role": role, "content": text} for role, text in turns],
        "language": "pt",
        "task": "toy",
    }


DATASET = SimpleNamespace(
    NAME=NAME,
    TITLE="Toy",
    VERSION=1,
    SUMMARY="Questions about squares.",
    Settings=Settings,
    FEATURES=FEATURES,
    source=lambda recipe: recipe.manifest,
    steps=_steps,
    row=_row,
    faults=lambda row: [] if row["messages"] else ["no turns"],
)


def register(folder, set_item=dict.__setitem__, set_attribute=setattr) -> None:
    """Let the package know the toy, with prompts in a folder."""
    set_item(WRITTEN, NAME, "toys")
    set_item(sys.modules, "amalia_vl_hf.data.toys.toy_written", DATASET)
    set_attribute(prompts, "FOLDER", folder)
    for name, text in PROMPTS.items():
        path = folder / "toys" / "prompts" / NAME / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"versão: 1\n{text}\n", encoding="utf-8")


def write_images(folder, count):
    """Draw squares, each of a colour of its own, and list them."""
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (8, 8), (number % 256, number // 256, 99)).save(folder / f"{number:05}.png")
    return index_images(folder, folder.parent / "images.parquet", "CC0-1.0", "squares")


def say_of(text: str) -> str:
    """Answer as any of the toy's models, a bit differently to each question."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:6]
    if text.startswith("Faz duas"):
        return f"O que é {mark}?\nOnde está {mark}?"
    if text.startswith("Diz sim"):
        return "não" if mark[0] in "0123" else "sim"
    return f"Um quadrado {mark}"


if "TOY_WRITTEN" in os.environ:  # in processes that a test starts, and in their workers
    register(Path(os.environ["TOY_WRITTEN"]))
