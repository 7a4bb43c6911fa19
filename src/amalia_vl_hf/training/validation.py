"""A task that a model is put to while it trains: its figure and the loss of its references, in log and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from ..evaluation.backends import generate_answers
from ..evaluation.counting.totals import aggregate
from ..evaluation.sources import open_tasks
from .batches.collation import ConversationCollator, Encoder

if TYPE_CHECKING:
    from transformers import Trainer

    from ..evaluation.questions import BenchmarkQuestion

BATCH = 8  # questions at once


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
        self.collator = ConversationCollator(encoder)
        self.save_steps = save_steps
        self.trainer: Trainer | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Validate where a checkpoint is to follow: what is logged now is in it."""
        due = state.global_step % self.save_steps == 0 or state.global_step >= state.max_steps
        if self.trainer is not None and due:
            self.trainer.log(self.figures(self.trainer.model, self.trainer.processing_class))

    def figures(self, model: Any, processor: Any) -> dict[str, float]:
        """Answer every question, and score every reference.

        Returns:
            `validation/NAME`, the task's figure times its points, and `validation/loss`, a token's mean loss in nats.
        """
        task, questions = self.questions.task, self.questions.questions
        training = model.training
        model.eval()
        try:
            answers, sums = [], torch.zeros(2, dtype=torch.float64)
            for start in range(0, len(questions), BATCH):
                batch = questions[start : start + BATCH]
                answers += generate_answers(model, processor, batch, self.questions.images, task.max_new_tokens)
                sums += self._loss(model, batch)
        finally:
            model.train(training)
        pairs = zip(questions, answers, strict=True)
        items = [{**question.item, "answer": answer.text} for question, answer in pairs]
        figure = task.points * float(aggregate(task, items, "corrected"))
        return {f"validation/{task.name}": figure, "validation/loss": (sums[0] / sums[1]).item()}

    def _loss(self, model: Any, batch: list[BenchmarkQuestion]) -> torch.Tensor:
        """Add up the loss of the first references' tokens, and count the tokens: `(2,)`."""
        samples = [
            {
                "messages": [
                    *question.messages,
                    {"role": "assistant", "content": str(question.item["references"][0])},
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
        return torch.stack((losses[scored].sum(), scored.sum())).double().cpu()
