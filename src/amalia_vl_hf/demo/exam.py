"""Put a trained model to held-out questions and preference pairs, in a process of its own.

    python -m amalia_vl_hf.demo.exam runs/demo/3_prefer runs/demo/data runs/demo/evaluation/3_prefer.json

The questions are a task that `evaluation` runs; for the pairs the model is loaded as any user loads it, by
`AutoModelForImageTextToText` and `AutoProcessor`.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import AutoModelForImageTextToText, AutoProcessor

import amalia_vl_hf  # noqa: F401  registers the classes

from ..disk import write_file, write_json
from ..evaluation.backends import LocalModel
from ..evaluation.metrics import exact_match, exact_match_by_kind, preference_accuracy
from ..evaluation.recount import read_items
from ..evaluation.run import ITEMS, RunSettings
from ..evaluation.run import evaluate as run_tasks
from ..evaluation.sources import open_tasks
from ..training.batches.collation import Encoder, PreferenceCollator
from ..training.launch import watch_parent
from .scene_sets import read_rows

Row = dict[str, Any]
Item = TypeVar("Item")

QUESTIONS, PREFERENCES = "test_questions", "test_preferences"
EXAM = "exam"  # the task that the questions are
MAX_NEW_TOKENS = 24  # the longest right answer is about half of it
BATCH = 50
MAX_LENGTH = 2048  # tokens of a prompt with one answer, visual ones included; the recipes' own


def evaluate(model_directory: Path, data: Path, folder: Path) -> dict[str, Any]:
    """Answer every held-out question greedily, and score both answers of every held-out pair.

    Args:
        model_directory: Model and processor.
        data: Folder that holds the sets `test_questions` and `test_preferences`.
        folder: For the run of the questions.

    Returns:
        `exact_match`, `exact_match_by_kind`, `preference_accuracy`, and what they were counted from: `answers`, and
        `chosen` and `rejected`, the log-likelihoods of the pairs' answers.
    """
    model = AutoModelForImageTextToText.from_pretrained(model_directory, trust_remote_code=False).eval()
    processor = AutoProcessor.from_pretrained(model_directory, trust_remote_code=False)
    questions, pairs = read_rows(data / QUESTIONS), read_rows(data / PREFERENCES)
    answers = answer_questions(model_directory, data, folder)
    chosen, rejected = pair_log_likelihoods(model, processor, pairs)
    expected = [row["answer"] for row in questions]
    return {
        "exact_match": exact_match(answers, expected),
        "exact_match_by_kind": exact_match_by_kind(answers, expected, [row["kind"] for row in questions]),
        "preference_accuracy": preference_accuracy(chosen, rejected),
        "answers": answers,
        "chosen": chosen,
        "rejected": rejected,
    }


def answer_questions(model_directory: Path, data: Path, folder: Path, batch: int = BATCH) -> list[str]:
    """Answer every held-out question greedily, as `amalia-vl eval run --task exam.yaml` does; a killed run goes on.

    Args:
        model_directory: Model and processor.
        data: Folder of the set `test_questions`; the task's file is written beside it.
        folder: For the run: answers, figures, pictures.
        batch: Questions at once; answers do not depend on it.

    Returns:
        The answers, in the order of the questions.
    """
    questions = open_tasks([], [str(write_exam(data))])
    run_tasks(questions, LocalModel(str(model_directory), batch, device="cpu"), RunSettings(folder))
    return [item["answer"] for item in read_items(folder / EXAM / ITEMS)]


def write_exam(data: Path) -> Path:
    """Write the held-out questions as a task's file."""
    path = data / f"{EXAM}.yaml"
    lines = (f"name: {EXAM}", f"data: {QUESTIONS}", "metric: exact", "category: kind")
    write_file(path, "\n".join((*lines, f"max_new_tokens: {MAX_NEW_TOKENS}")) + "\n")
    return path


@torch.inference_mode()
def pair_log_likelihoods(model: Any, processor: Any, rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Sum the log-likelihood, in nats, of the tokens of each pair's chosen and rejected answer.

    It is what DPO compares, so that a policy's implicit reward is the difference to its reference's.
    """
    collate = PreferenceCollator(Encoder(processor, processor.image_processor.max_tiles, MAX_LENGTH))
    chosen: list[float] = []
    rejected: list[float] = []
    for batch in _batches([{**row, "sample": f"pair {number}"} for number, row in enumerate(rows)], "comparing"):
        inputs = collate(batch)
        answer = inputs.pop("completion_mask")[:, 1:]  # (2 * pairs, length - 1)
        scores = model(**inputs).logits[:, :-1].log_softmax(dim=-1)
        tokens = scores.gather(-1, inputs["input_ids"][:, 1:, None]).squeeze(-1)  # (2 * pairs, length - 1)
        better, worse = (tokens * answer).sum(dim=1).chunk(2)
        chosen += better.tolist()
        rejected += worse.tolist()
    return chosen, rejected


def _batches(rows: Sequence[Item], title: str) -> Iterator[Sequence[Item]]:
    for start in tqdm(range(0, len(rows), BATCH), desc=title, unit="batch"):
        yield rows[start : start + BATCH]


def main() -> None:
    """Evaluate as the command line says; the result appears when it is whole."""
    parser = argparse.ArgumentParser(description="Put a trained model to held-out questions and preference pairs.")
    parser.add_argument("model", type=Path, help="directory of the model and its processor")
    parser.add_argument("data", type=Path, help=f"folder with {QUESTIONS} and {PREFERENCES}")
    parser.add_argument("result", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    watch_parent()
    result = evaluate(arguments.model, arguments.data, arguments.result.with_suffix(""))
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.result, result)


if __name__ == "__main__":
    main()
