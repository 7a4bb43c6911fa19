"""Reward models by id: a number for an answer to a conversation, from a sequence classifier with one output."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...memory import best_device

BATCH = 8  # answers at once


class RewardModel:
    """Scores answers.

    Args:
        name: Directory or Hub id of a sequence classifier with one label, or one that gives a `score`, as ArmoRM does.
        remote_code: Whether its own code may run, which ArmoRM has; only where the recipe says so.

    Raises:
        ValueError: It gives several numbers, or has no chat template.
    """

    def __init__(self, name: str, remote_code: bool = False) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.name = name
        self.device = best_device()
        loaded = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=remote_code)
        self.model = loaded.eval().to(self.device)
        self.tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=remote_code, padding_side="right")
        if not self.tokenizer.chat_template:
            raise ValueError(f"{name} has no chat template: how it is shown a conversation is not known")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.config.pad_token_id = self.tokenizer.pad_token_id

    def score(self, prompt: Sequence[dict[str, str]], answers: Sequence[str]) -> list[float]:
        """Give each answer's reward; images are not shown.

        Raises:
            ValueError: The model gives several numbers, or its chat template cannot be rendered.
        """
        from ...processing.plain_text_amalia_vl import of_template

        chats = [[*prompt, {"role": "assistant", "content": answer}] for answer in answers]
        with of_template():
            texts = [self.tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
        return [
            value for start in range(0, len(texts), BATCH) for value in self._rewards(texts[start : start + BATCH])
        ]

    def _rewards(self, texts: Sequence[str]) -> list[float]:
        import torch

        tokens = self.tokenizer(list(texts), padding=True, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            output: Any = self.model(
                tokens["input_ids"].to(self.device), attention_mask=tokens["attention_mask"].to(self.device)
            )
        rewards = output.score if getattr(output, "score", None) is not None else output.logits
        if rewards.ndim == 2 and rewards.shape[1] != 1:
            raise ValueError(f"{self.name} gives {rewards.shape[1]} numbers an answer; a reward model gives one")
        return rewards.reshape(-1).float().tolist()


@lru_cache(maxsize=1)
def load_reward_model(name: str, remote_code: bool) -> RewardModel:
    """Load a reward model once a process."""
    return RewardModel(name, remote_code)
