"""Our models as lmms-eval asks them: batches of like length, greedy, and an error is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmms_eval.api.model import lmms
from tqdm import tqdm  # type: ignore[import-untyped]

from ..backends import LocalModel, generate_texts

LONGEST = 1024  # tokens, where a task of lmms-eval says nothing, as its own wrappers do


class AmaliaVLForLmmsEval(lmms):
    """A model in this process.

    Args:
        pretrained: Directory or Hub id, of the package's own kinds or any that transformers loads.
        batch_size: Requests at once; answers do not depend on it.
        device: Where it runs; an accelerator, if there is one, by default.
        revision: Of the Hub id.
        others: What lmms-eval gives to every model, and is not used.

    Raises:
        ValueError: `others` hold what would change the answers.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        batch_size: int | str = 1,
        device: str | None = None,
        revision: str | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        if given := {name: value for name, value in others.items() if name != "max_batch_size" and value is not None}:
            raise ValueError(f"model_args holds {', '.join(given)}; known: pretrained, batch_size, device, revision")
        self.batch_size_per_gpu = int(batch_size)
        self.local = LocalModel(pretrained, self.batch_size_per_gpu, revision, device)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests, in their order.

        Raises:
            ValueError: A task asks for sampling or beams.
        """
        chats, limits, stops = [], [], []
        for request in requests:
            _, to_messages, settings, document, task, split = request.args
            limits.append(_greedy_limit(settings, task))
            stops.append(_stops(settings))
            chats.append(_messages(to_messages(self.task_dict[task][split][document])))
        answers = [""] * len(chats)
        order = sorted(range(len(chats)), key=lambda place: (limits[place], -_size(chats[place]), place))
        for batch in tqdm(_batches(order, limits, self.batch_size_per_gpu), desc="answering", unit="batch"):
            local = self.local
            made = generate_texts(local.model, local.processor, [chats[place] for place in batch], limits[batch[0]])
            for place, answer in zip(batch, made, strict=True):
                answers[place] = _cut(answer.text, stops[place])
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: likelihoods are asked for by `amalia-vl eval run`."""
        raise NotImplementedError("amalia_vl gives no likelihoods to lmms-eval; amalia-vl eval run compares them")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: conversations are asked by `amalia-vl eval run`."""
        raise NotImplementedError("amalia_vl has no rounds in lmms-eval; amalia-vl eval run asks conversations")


def _greedy_limit(settings: Mapping[str, Any], task: str) -> int:
    if settings.get("do_sample") or settings.get("temperature") or settings.get("num_beams", 1) != 1:
        raise ValueError(f"{task} asks for sampling or beams, {dict(settings)}; answers here are greedy")
    return int(settings.get("max_new_tokens", LONGEST))


def _stops(settings: Mapping[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [text for text in ([until] if isinstance(until, str) else until) if text.strip()]


def _cut(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0]
    return text


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Read lmms-eval's messages, whose images and videos are called `url`."""

    def part(content: Mapping[str, Any]) -> dict[str, Any]:
        kind = content["type"]
        return dict(content) if kind == "text" else {"type": kind, kind: content["url"]}

    return [{"role": turn["role"], "content": [part(content) for content in turn["content"]]} for turn in messages]


def _size(chat: Sequence[Mapping[str, Any]]) -> int:
    """Estimate how long a chat is, by pixels and letters."""
    parts = [part for turn in chat for part in turn["content"]]
    pixels = sum(part["image"].width * part["image"].height for part in parts if part["type"] == "image")
    return pixels // 784 + sum(len(part["text"]) for part in parts if part["type"] == "text") // 3


def _batches(order: Sequence[int], limits: Sequence[int], size: int) -> list[list[int]]:
    """Cut places into batches of one limit each."""
    batches: list[list[int]] = []
    for place in order:
        if batches and len(batches[-1]) < size and limits[batches[-1][0]] == limits[place]:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
