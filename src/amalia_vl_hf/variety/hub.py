"""A text classifier of the Hub in the place of the shipped weights."""

from __future__ import annotations

import math

_SUREST = 1e-4  # a model's probability is taken to be no nearer to 0 or 1, so that rules still count


class HubClassifier:
    """Judges by a Transformers text-classification model; pass it to `judge(text, classifier=...)`.

    Weights must be safetensors, and no code of the repository is run. A text beyond the model's longest is cut.

    Args:
        model_id: Directory or Hub id.
        label: The model's label for European Portuguese, as its config names it: `PT-PT`, `LABEL_0`...
        revision: Branch, tag or commit.

    Raises:
        ValueError: The model has no such label (those it has are named).
        OSError: There is no such model, or it has no safetensors weights.
    """

    def __init__(self, model_id: str, label: str, revision: str | None = None) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

        model = AutoModelForSequenceClassification.from_pretrained(
            model_id, revision=revision, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(model_id, revision=revision, trust_remote_code=False)
        self._classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
        labels = list(model.config.id2label.values())
        if label not in labels:
            raise ValueError(f"{model_id} has no label {label!r} for European Portuguese, but {', '.join(labels)}")
        self._label = label

    def __call__(self, text: str) -> float:
        """Give the log-odds, in nats, that a text is pt-PT."""
        scores = {answer["label"]: answer["score"] for answer in self._classify(text, top_k=None, truncation=True)}
        probability = min(max(scores[self._label], _SUREST), 1 - _SUREST)
        return math.log(probability / (1 - probability))
