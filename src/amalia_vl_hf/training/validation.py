"""A task that a model is put to while it trains: its figure and the loss of its references, in log and report."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import TrainerCallback

from ..disk import write_json
from ..evaluation.backends import GeneratedAnswer, generate_answers
from ..evaluation.counting.totals import aggregate
from ..evaluation.sources import open_tasks
from .batches.collation import ConversationCollator, Encoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image
    from transformers import Trainer

    from ..evaluation.questions import BenchmarkQuestion

BATCH = 8  # questions at once
SHOWN = 12  # questions of the report
_BEFORE = "answers_before.json"  # beside the checkpoints, for the report of a run that goes on


class ShownAnswer(NamedTuple):
    """A question of the report with what the model said.

    Args:
        images: Its pictures.
        question: Its words.
        reference: The first right answer.
        before: What was said before training; None where that is not known any more.
        after: What was said after it.
    """

    images: list[Image.Image]
    question: str
    reference: str
    before: str | None
    after: str


class ValidationTask(TrainerCallback):
    """Puts a task of one's own to the model before each checkpoint and at the end.

    It draws nothing at random, so that the weights are those of a run without it. The figure is the corrected
    protocol's.

    Args:
        path: The task's YAML file, see `evaluation.own_tasks`.
        encoder: What the training samples are made into tensors by.
        save_steps: Steps between checkpoints.
    """

    def __init__(self, path: str, encoder: Encoder, save_steps: int) -> None:
        (self.questions,) = open_tasks([], [path])
        task = self.questions.task
        if task.row_form == "turns" or task.asks != "answer":
            raise ValueError(
                f"{path}: {task.name} is of conversations or likelihoods, but a model in training is asked questions"
                " one by one and held to references; measure a checkpoint with amalia-vl eval run"
            )
        self.collator = ConversationCollator(encoder)
        self.save_steps = save_steps
        self.trainer: Trainer | None = None
        self._before: list[str | None] = [None] * len(self._shown)
        self._after: list[str] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let the model answer the questions of the report before it has learned anything."""
        path, keys = Path(args.output_dir) / _BEFORE, [question.key for question in self._shown]
        if self.trainer is not None and state.global_step == 0:
            with _answering(self.trainer.model):
                answers = self._answers(self.trainer.model, self.trainer.processing_class, self._shown)
            write_json(path, {"questions": keys, "answers": [answer.text for answer in answers]})
        known = json.loads(path.read_bytes()) if path.is_file() else {}
        self._before = known["answers"] if known.get("questions") == keys else [None] * len(keys)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Validate where a checkpoint is to follow: what is logged now is in it."""
        due = state.global_step % self.save_steps == 0 or state.global_step >= state.max_steps
        if self.trainer is not None and due:
            to_log = control.should_log  # which logging takes back, and the step's own entry is still to come
            self.trainer.log(self.figures(self.trainer.model, self.trainer.processing_class))
            control.should_log = to_log

    def figures(self, model: Any, processor: Any) -> dict[str, float]:
        """Answer every question, and score every reference.

        Returns:
            `validation/NAME`, the task's figure times its points, and `validation/loss`, a token's mean loss in nats.
        """
        task, questions = self.questions.task, self.questions.questions
        with _answering(model):
            answers = self._answers(model, processor, questions)
            sums = sum(
                (self._loss(model, batch) for batch in _batches(questions)), torch.zeros(2, dtype=torch.float64)
            )
        self._after = [answer.text for answer in answers[:SHOWN]]
        pairs = zip(questions, answers, strict=True)
        items = [{**question.item, "answer": answer.text} for question, answer in pairs]
        figure = task.points * float(aggregate(task, items, "corrected"))
        return {f"validation/{task.name}": figure, "validation/loss": (sums[0] / sums[1]).item()}

    def shown(self) -> list[ShownAnswer]:
        """Give the first questions with the answers before training and of the last validation."""
        rows = zip(self._shown, self._before, self._after, strict=True)
        return [
            ShownAnswer(self.questions.images(question), _words(question), _reference(question), before, after)
            for question, before, after in rows
        ]

    @property
    def _shown(self) -> list[BenchmarkQuestion]:
        return self.questions.questions[:SHOWN]

    def _answers(self, model: Any, processor: Any, questions: Sequence[BenchmarkQuestion]) -> list[GeneratedAnswer]:
        images, limit = self.questions.images, self.questions.task.max_new_tokens
        batches = (generate_answers(model, processor, batch, images, limit) for batch in _batches(questions))
        return [answer for batch in batches for answer in batch]

    def _loss(self, model: Any, batch: Sequence[BenchmarkQuestion]) -> torch.Tensor:
        """Add up the loss of the first references' tokens, and count the tokens: `(2,)`."""
        samples = [
            {
                "messages": [
                    *question.messages,
                    {"role": "assistant", "content": _reference(question)},
                ],
                "images": self.questions.images(question),
                "sample": self.questions.rows.name(question.place[0]),
                "fault": None,
            }
            for question in batch
        ]
        inputs = {name: value.to(model.device) for name, value in self.collator(samples).items()}
        labels = inputs.pop("labels")[:, 1:]
        with torch.inference_mode():
            scores = model(**inputs).logits[:, :-1].float().log_softmax(dim=-1)
        scored = labels != -100
        losses = -scores.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
        return torch.stack((losses[scored].sum(), scored.sum())).cpu().double()


@contextmanager
def _answering(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _batches(questions: Sequence[BenchmarkQuestion]) -> list[Sequence[BenchmarkQuestion]]:
    return [questions[start : start + BATCH] for start in range(0, len(questions), BATCH)]


def _reference(question: BenchmarkQuestion) -> str:
    return str(question.item["references"][0])


def _words(question: BenchmarkQuestion) -> str:
    """Give the words of a question's last turn."""
    parts = question.messages[-1]["content"]
    return " ".join(part["text"] for part in parts if part["type"] == "text").strip()
