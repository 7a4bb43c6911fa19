"""The demo's data on disk: JSONL files for the three stages and two held-out test sets, with their pictures.

One folder a file, `<name>/samples.jsonl` and `<name>/images/00000.png`, so that each is finished, or not, on its own.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from ..disk import new_directory
from .scene_texts import (
    CAPTION_REQUEST,
    KINDS,
    REJECTIONS,
    Question,
    Rejection,
    ask,
    ask_all,
    caption,
    reject,
)
from .scenes import (
    Scene,
    Split,
    draw_scene,
    render,
)

Row = dict[str, Any]
SAMPLES = "samples.jsonl"
ROUNDS = 2  # of the five kinds of question, in a conversation
# False answers are much harder to tell from right ones than other wording or another format: half of the pairs are so.
TRAIN_REJECTIONS: tuple[Rejection, ...] = ("wrong", "brazilian", "wrong", "format")


@dataclass(frozen=True)
class SetSizes:
    """How much is drawn.

    Args:
        captions: Scenes with a caption, for stage 1.
        instructions: Scenes with one question of each kind they allow, for stage 2.
        preferences: Preference pairs, for stage 3.
        questions: Held-out questions of each of the five kinds.
        test_preferences: Held-out preference pairs for each of the three reasons to reject.
    """

    captions: int
    instructions: int
    preferences: int
    questions: int
    test_preferences: int


def write_sets(folder: Path, seed: int, sizes: SetSizes) -> None:
    """Write the sets that are not in `folder` yet; the same seed writes the same bytes.

    A set appears under its name only when it is complete, so that a run that was killed starts again where it was.
    """
    sets: dict[str, Callable[[random.Random], Iterator[tuple[Scene, Row]]]] = {
        "align": lambda rng: caption_rows(rng, sizes.captions),
        "instruct": lambda rng: instruction_rows(rng, sizes.instructions),
        "prefer": lambda rng: preference_rows(rng, "train", TRAIN_REJECTIONS, sizes.preferences),
        "test_questions": lambda rng: question_rows(rng, sizes.questions),
        "test_preferences": lambda rng: preference_rows(
            rng, "test", REJECTIONS, sizes.test_preferences * len(REJECTIONS)
        ),
    }
    for name, rows in sets.items():
        if not (folder / name).exists():
            # A seed of its own for each set, so that one set's size does not change the next one.
            _write(folder / name, rows(random.Random(f"{seed} {name}")))  # noqa: S311


def read_rows(folder: Path) -> list[Row]:
    """Read a set back; image paths become absolute."""
    rows = [json.loads(line) for line in (folder / SAMPLES).read_text(encoding="utf-8").splitlines()]
    return [{**row, "images": [str(folder / image) for image in row["images"]]} for row in rows]


def caption_rows(rng: random.Random, count: int) -> Iterator[tuple[Scene, Row]]:
    """Draw scenes with their captions."""
    for _ in range(count):
        scene = draw_scene(rng, "train")
        yield scene, {"kind": "caption", "messages": [_user(CAPTION_REQUEST), _assistant(caption(scene))]}


def instruction_rows(rng: random.Random, count: int) -> Iterator[tuple[Scene, Row]]:
    """Draw scenes with a conversation about each: up to two questions of each kind, a turn each."""
    for _ in range(count):
        scene = draw_scene(rng, "train")
        questions = ask_all(scene, rng, ROUNDS)
        turns = [turn for question in questions for turn in (_user(question.text), _assistant(question.answer))]
        yield scene, {"kind": "questions", "messages": turns}


def question_rows(rng: random.Random, count: int) -> Iterator[tuple[Scene, Row]]:
    """Draw `count` held-out questions of each kind, each about a scene of its own."""
    for scene, question in _scenes_with_question(rng, "test", count * len(KINDS)):
        yield scene, {"kind": question.kind, "question": question.text, "answer": question.answer}


def preference_rows(
    rng: random.Random, split: Split, reasons: Sequence[Rejection], count: int
) -> Iterator[tuple[Scene, Row]]:
    """Draw preference pairs; the reasons to reject, and the kinds of question, take turns."""
    for index, (scene, question) in enumerate(_scenes_with_question(rng, split, count)):
        pair = reject(question, reasons[index // len(KINDS) % len(reasons)], rng)
        yield (
            scene,
            {
                "kind": question.kind,
                "rejection": pair.rejection,
                "prompt": [_user(question.text)],
                "chosen": [_assistant(question.answer)],
                "rejected": [_assistant(pair.rejected)],
            },
        )


def _scenes_with_question(rng: random.Random, split: Split, count: int) -> Iterator[tuple[Scene, Question]]:
    """Draw `count` scenes with a question about each, the kinds taking turns."""
    for index in range(count):
        question = None
        while question is None:
            scene = draw_scene(rng, split)
            question = ask(scene, KINDS[index % len(KINDS)], rng)
        yield scene, question


def _write(folder: Path, rows: Iterable[tuple[Scene, Row]]) -> None:
    with new_directory(folder) as staging, (staging / SAMPLES).open("w", encoding="utf-8") as file:
        (staging / "images").mkdir()
        for index, (scene, row) in enumerate(tqdm(rows, desc=f"drawing {folder.name}", unit="picture")):
            image = f"images/{index:05}.png"
            render(scene).save(staging / image, compress_level=1)
            file.write(json.dumps({"images": [image], **row}, ensure_ascii=False) + "\n")


def _user(text: str) -> Row:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}
