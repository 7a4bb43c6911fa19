"""The part of a build that asks a model: a prompt for each sample, and a file of answers for each step and shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...disk import write_file
from ..dataset import Materials, ModelStep, RejectedError
from ..prompts import read_prompt
from .recipe import BuildRecipe

ANSWERS, REQUESTS = "answers", "asked"  # folders: what samples are made of, and what `asking` keeps of it
NO_ANSWER = "the model gave no answer"

StepAnswer = str | RejectedError  # what came back for a sample, or why nothing did
ChatMessages = list[dict[str, Any]]


def answers_path(out: Path, step: str, shard: int) -> Path:
    """Name the file with a step's answers for a shard."""
    return out / ANSWERS / step / f"{shard:05}.json"


def answers_under_way(out: Path, step: str) -> int:
    """Count the answers to a step that belong to shards that are not complete."""
    from ...asking.inference import under_way

    return under_way(out / ANSWERS / step / REQUESTS)


def ask_model(recipe: BuildRecipe, out: Path, step: ModelStep, shard: int, materials: Materials) -> None:
    """Ask for every sample of a shard, or go on asking; the file of answers appears when it is complete."""
    from ...asking.inference import ModelRequest, answer_all  # an HTTP client, which only these steps need

    if recipe.endpoint is None:
        raise ValueError(f"{recipe.name}: the step {step.name} asks a model, and the plan names none")
    answers: dict[int, StepAnswer] = {}
    requests = []
    for index, messages in prompts_of(recipe, out, step, shard, materials):
        if isinstance(messages, RejectedError):
            answers[index] = messages
        else:
            requests.append(ModelRequest(str(index), messages))
    path = answers_path(out, step.name, shard)
    for answer in answer_all(requests, recipe.endpoint, path.parent / REQUESTS, f"{shard:05}"):
        rejection = RejectedError(NO_ANSWER, answer.problem or "")
        answers[int(answer.id)] = rejection if answer.text is None else answer.text
    lines = {
        index: {"reason": answer.reason, "detail": answer.detail} if isinstance(answer, RejectedError) else answer
        for index, answer in sorted(answers.items())
    }
    write_file(path, json.dumps(lines, ensure_ascii=False, indent=0))


def prompts_of(
    recipe: BuildRecipe, out: Path, step: ModelStep, shard: int, materials: Materials
) -> Iterator[tuple[int, ChatMessages | RejectedError]]:
    """Write the messages of every sample of a shard, or say why there is nothing to ask."""
    template = read_prompt(recipe.name, step.name)
    earlier = read_answers(out, shard, recipe.steps[: recipe.steps.index(step)])
    for index in recipe.rows(shard):
        try:
            answers = answers_of(earlier, index)
            slots = step.ask(recipe.rng(index), index, materials._replace(answers=answers))
        except RejectedError as error:
            yield index, error
        else:
            yield index, [{"role": "user", "content": template.substitute(slots)}]


def read_answers(out: Path, shard: int, steps: Sequence[ModelStep]) -> dict[str, dict[int, StepAnswer]]:
    """Read a model's answers for a shard, by the step's name and the sample's number."""
    answers: dict[str, dict[int, StepAnswer]] = {}
    for step in steps:
        lines = json.loads(answers_path(out, step.name, shard).read_text(encoding="utf-8"))
        answers[step.name] = {
            int(index): RejectedError(**line) if isinstance(line, dict) else line for index, line in lines.items()
        }
    return answers


def answers_of(answers: Mapping[str, Mapping[int, StepAnswer]], index: int) -> dict[str, str]:
    """Give the answers for a sample by the step's name.

    Raises:
        RejectedError: A step has none.
    """
    texts: dict[str, str] = {}
    for step, by_index in answers.items():
        answer = by_index[index]
        if isinstance(answer, RejectedError):
            raise answer
        texts[step] = answer
    return texts
