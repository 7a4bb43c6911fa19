"""The part of a build that asks a model: a prompt for each sample, and a file of answers for each step and shard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dataset import Materials, RejectedError, Step
from ..prompts import read_prompt
from .recipe import Plan

ANSWERS, ASKED = "answers", "asked"
NO_ANSWER = "the model gave no answer"

Said = str | RejectedError  # what came back for a sample, or why nothing did
Messages = list[dict[str, Any]]


def answers_path(out: Path, step: str, shard: int) -> Path:
    """Name the file with a step's answers for a shard."""
    return out / ANSWERS / step / f"{shard:05}.json"


def answers_under_way(out: Path, step: str) -> int:
    """Count the answers to a step that belong to shards that are not complete."""
    from ...asking.inference import under_way

    return under_way(out / ANSWERS / step / ASKED)


def ask_model(plan: Plan, out: Path, step: Step, shard: int, materials: Materials) -> None:
    """Ask for every sample of a shard, or go on asking; the file of answers appears when it is complete."""
    from ...asking.inference import Request, answer_all  # an HTTP client, which only these steps need

    if plan.endpoint is None:
        raise ValueError(f"{plan.name}: the step {step.name} asks a model, and the plan names none")
    said: dict[int, Said] = {}
    requests = []
    for index, asked in prompts_of(plan, out, step, shard, materials):
        if isinstance(asked, RejectedError):
            said[index] = asked
        else:
            requests.append(Request(str(index), asked))
    folder = answers_path(out, step.name, shard).parent / ASKED
    for answer in answer_all(requests, plan.endpoint, folder, f"{shard:05}"):
        said[int(answer.id)] = RejectedError(NO_ANSWER, answer.problem or "") if answer.text is None else answer.text
    _write(answers_path(out, step.name, shard), said)


def prompts_of(
    plan: Plan, out: Path, step: Step, shard: int, materials: Materials
) -> Iterator[tuple[int, Messages | RejectedError]]:
    """Write the messages of every sample of a shard, or say why there is nothing to ask."""
    template = read_prompt(plan.name, step.name)
    earlier = read_answers(plan, out, shard, plan.steps[: plan.steps.index(step)])
    for index in plan.rows(shard):
        try:
            answers = answers_of(earlier, index)
            slots = step.ask(plan.rng(index), index, materials._replace(answers=answers))
        except RejectedError as error:
            yield index, error
        else:
            yield index, [{"role": "user", "content": template.substitute(slots)}]


def read_answers(plan: Plan, out: Path, shard: int, steps: Sequence[Step]) -> dict[str, dict[int, Said]]:
    """Read what a model said for a shard, by the step's name and the sample's number."""
    return {step.name: _read(answers_path(out, step.name, shard)) for step in steps}


def answers_of(said: Mapping[str, Mapping[int, Said]], index: int) -> dict[str, str]:
    """Give the answers for a sample by the step's name.

    Raises:
        RejectedError: A step has none.
    """
    answers: dict[str, str] = {}
    for step, given in said.items():
        answer = given[index]
        if isinstance(answer, RejectedError):
            raise answer
        answers[step] = answer
    return answers


def _write(path: Path, said: Mapping[int, Said]) -> None:
    lines = {
        index: {"reason": answer.reason, "detail": answer.detail} if isinstance(answer, RejectedError) else answer
        for index, answer in sorted(said.items())
    }
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(lines, ensure_ascii=False, indent=0), encoding="utf-8")
    partial.replace(path)


def _read(path: Path) -> dict[int, Said]:
    lines = json.loads(path.read_text(encoding="utf-8"))
    return {int(index): RejectedError(**said) if isinstance(said, dict) else said for index, said in lines.items()}
