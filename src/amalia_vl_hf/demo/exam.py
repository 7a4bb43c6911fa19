"""Put a trained model to held-out questions and preference pairs, in a process of its own.

    python -m amalia_vl_hf.demo.exam runs/demo/3_prefer runs/demo/data runs/demo/evaluation/3_prefer.json

The model is loaded as any user loads it, by `AutoModelForImageTextToText` and `AutoProcessor`.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import AutoModelForImageTextToText, AutoProcessor

import amalia_vl_hf  # noqa: F401  registers the classes

from ..disk import write_json
from ..evaluation.metrics import exact_match, exact_match_by_kind, preference_accuracy
from ..training.batches.collation import Encoder, PreferenceCollator
from ..training.launch import watch_parent
from .scene_sets import read_rows

Row = dict[str, Any]
Item = TypeVar("Item")

QUESTIONS, PREFERENCES = "test_questions", "test_preferences"
MAX_NEW_TOKENS = 24  # the longest right answer is about half of it
BATCH = 50
MAX_LENGTH = 2048  # tokens of a prompt with one answer, visual ones included; the recipes' own


def evaluate(model_directory: Path, data: Path) -> dict[str, Any]:
    """Answer every held-out question greedily, and score both answers of every held-out pair.

    Args:
        model_directory: Model and processor.
        data: Folder that holds the sets `test_questions` and `test_preferences`.

    Returns:
        `exact_match`, `exact_match_by_kind`, `preference_accuracy`, and what they were counted from: `answers`, and
        `chosen` and `rejected`, the log-likelihoods of the pairs' answers.
    """
    model = AutoModelForImageTextToText.from_pretrained(model_directory, trust_remote_code=False).eval()
    processor = AutoProcessor.from_pretrained(model_directory, trust_remote_code=False)
    questions, pairs = read_rows(data / QUESTIONS), read_rows(data / PREFERENCES)
    answers = answer_questions(model, processor, questions)
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


@torch.inference_mode()
def answer_questions(model: Any, processor: Any, rows: Sequence[Row]) -> list[str]:
    """Answer each row's `question` about its `images`, greedily."""
    answers: list[str] = []
    for batch in _batches(rows, "answering"):
        chats = []
        for row in batch:
            slots = [{"type": "image", "image": image} for image in row["images"]]
            chats.append([{"role": "user", "content": [*slots, {"type": "text", "text": row["question"]}]}])
        inputs = processor.apply_chat_template(
            chats,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True},
        )
        tokens = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers += processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


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
    result = evaluate(arguments.model, arguments.data)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.result, result)


if __name__ == "__main__":
    main()
