"""Who answers: a model in this process, its questions batched by length, or one behind an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..memory import best_device
from .parsing import LETTERS
from .questions import BenchmarkQuestion
from .results import weights_digest

if TYPE_CHECKING:
    from PIL import Image

    from ..asking.endpoint import Client, Endpoint

OWN_TYPES = ("amalia_vl", "llava_next", "llava_onevision")  # checkpoints that the package's own classes load


class GeneratedAnswer(NamedTuple):
    """What a model said.

    Args:
        text: Its words, which may be none.
        cut: Whether the token limit ended them.
        likelihoods: Of each option, where these were asked for: the sum over its tokens, in nats, and their number.
    """

    text: str
    cut: bool = False
    likelihoods: tuple[tuple[float, int], ...] = ()


class Unanswered(NamedTuple):
    """A question without an answer, and why."""

    question: BenchmarkQuestion
    problem: str


Images = Callable[[BenchmarkQuestion], "list[Image.Image]"]
Keep = Callable[[Sequence[tuple[BenchmarkQuestion, GeneratedAnswer]]], None]


class Backend(Protocol):
    """Whoever answers."""

    def record(self) -> dict[str, Any]:
        """Say what decides on the answers: model, weights, sampling."""

    def answer(
        self,
        questions: Sequence[BenchmarkQuestion],
        missing: Sequence[BenchmarkQuestion],
        images: Images,
        max_new_tokens: int,
        keep: Keep,
    ) -> list[Unanswered]:
        """Answer the missing ones among a task's questions, and give those that got no answer.

        Args:
            questions: All of the task, by which batches are made: they do not depend on what is missing.
            missing: Those to answer.
            images: Reads a question's images.
            max_new_tokens: Of an answer.
            keep: Is called with answers as they come.
        """

    def weigh(self, missing: Sequence[BenchmarkQuestion], images: Images, keep: Keep) -> None:
        """Say how likely each question's options are as its answer; the answer is the likeliest one's letter.

        Raises:
            ValueError: Whoever answers cannot tell.
        """


class LocalModel:
    """A model in this process, greedy.

    Args:
        name: Directory or Hub id: of the package's own kinds, or any that transformers loads for images and text.
        batch: Questions at once; answers do not depend on it.
        revision: Of the Hub id.
        device: Where it runs; an accelerator, if there is one, by default.
    """

    def __init__(self, name: str, batch: int = 8, revision: str | None = None, device: str | None = None) -> None:
        self.name = name
        self.batch = batch
        self.revision = revision
        self.device = device or best_device()
        self.model, self.processor = _load(name, revision)
        self.model = self.model.eval().to(self.device)

    def record(self) -> dict[str, Any]:
        """Say what decides on the answers."""
        commit = getattr(self.model.config, "_commit_hash", None)
        directory = Path(self.name)
        weights = weights_digest(directory) if directory.is_dir() else f"commit {commit or self.revision or 'unknown'}"
        return {
            "model": directory.name if directory.is_dir() else self.name,
            "weights": weights,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "sampling": {"temperature": 0.0},
        }

    def answer(
        self,
        questions: Sequence[BenchmarkQuestion],
        missing: Sequence[BenchmarkQuestion],
        images: Images,
        max_new_tokens: int,
        keep: Keep,
    ) -> list[Unanswered]:
        """Answer in batches of like length, the longest first, so that what does not fit fails at once."""
        from tqdm import tqdm  # type: ignore[import-untyped]

        keys = {question.key for question in missing}
        ordered = sorted(questions, key=lambda question: (-self._length(question), question.key))
        batches = [ordered[start : start + self.batch] for start in range(0, len(ordered), self.batch)]
        batches = [rest for batch in batches if (rest := [entry for entry in batch if entry.key in keys])]
        for batch in tqdm(batches, desc="answering", unit="batch", disable=len(batches) < 2):
            answers = generate_answers(self.model, self.processor, batch, images, max_new_tokens)
            keep(list(zip(batch, answers, strict=True)))
        return []

    def weigh(self, missing: Sequence[BenchmarkQuestion], images: Images, keep: Keep) -> None:
        """Weigh each question's options, one text at once, so that a figure depends on nothing else of the run."""
        from tqdm import tqdm

        for question in tqdm(missing, desc="weighing", unit="question", disable=len(missing) < 2):
            messages = _with_images(question, images(question))
            weighed = tuple(
                likelihood(self.model, self.processor, messages, text) for text in question.item["options"]
            )
            likeliest = max(range(len(weighed)), key=lambda place: weighed[place][0])
            keep([(question, GeneratedAnswer(LETTERS[likeliest], likelihoods=weighed))])

    def _length(self, question: BenchmarkQuestion) -> int:
        """Estimate a question's tokens."""
        count = getattr(self.processor, "num_visual_tokens", lambda height, width: height * width // 784)
        text = sum(len(part.get("text", "")) for turn in question.messages for part in turn["content"])
        videos = sum(part["type"] == "video" for turn in question.messages for part in turn["content"])
        each = self.processor.num_video_tokens(self.processor.num_frames) if videos else 0
        return sum(count(height, width) for height, width in question.sizes) + videos * each + text // 3


class ServedModel:
    """A model behind an OpenAI-compatible server, asked at temperature 0.

    Args:
        endpoint: Whom; its limit of tokens is a task's own.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = replace(endpoint, temperature=0.0)

    def record(self) -> dict[str, Any]:
        """Say what decides on the answers, as far as a client knows it."""
        sampling = {
            name: value for name, value in self.endpoint.record().items() if name not in ("model", "max_tokens")
        }
        return {"model": self.endpoint.model, "weights": f"served at {self.endpoint.base}", "sampling": sampling}

    def answer(
        self,
        questions: Sequence[BenchmarkQuestion],
        missing: Sequence[BenchmarkQuestion],
        images: Images,
        max_new_tokens: int,
        keep: Keep,
    ) -> list[Unanswered]:
        """Ask for all at once, as many as the endpoint takes."""
        endpoint = replace(self.endpoint, max_tokens=max_new_tokens)
        return asyncio.run(_ask_all(endpoint, missing, images, keep))

    def weigh(self, missing: Sequence[BenchmarkQuestion], images: Images, keep: Keep) -> None:
        """Refuse: a chat is asked for answers, and does not say how likely others would have been."""
        raise ValueError(
            f"{self.endpoint.base} is a server of chats, which does not say how likely a given answer is; give the"
            " model's directory or Hub id without --endpoint, or let it choose (metric: chooses)"
        )


def generate_answers(
    model: Any, processor: Any, batch: Sequence[BenchmarkQuestion], images: Images, max_new_tokens: int
) -> list[GeneratedAnswer]:
    """Answer questions at once.

    Args:
        model: In evaluation mode.
        processor: The model's.
        batch: The questions.
        images: Reads a question's images.
        max_new_tokens: Of an answer.
    """
    chats = [_with_images(question, images(question)) for question in batch]
    return generate_texts(model, processor, chats, max_new_tokens)


def generate_texts(
    model: Any, processor: Any, chats: Sequence[Sequence[Mapping[str, Any]]], max_new_tokens: int
) -> list[GeneratedAnswer]:
    """Answer chats at once, greedily, with the padding on the left whatever the processor's is.

    Args:
        model: In evaluation mode.
        processor: The model's.
        chats: Messages, images and videos in their slots.
        max_new_tokens: Of an answer.
    """
    import torch

    side, processor.tokenizer.padding_side = processor.tokenizer.padding_side, "left"
    try:
        inputs = processor.apply_chat_template(
            list(chats),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True},
        ).to(model.device, model.dtype)
    finally:
        processor.tokenizer.padding_side = side
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    made = tokens[:, inputs["input_ids"].shape[1] :]
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    texts = processor.batch_decode(made, skip_special_tokens=True)
    return [
        GeneratedAnswer(text, cut=len(row) >= max_new_tokens and not ends & set(row))
        for text, row in zip(texts, made.tolist(), strict=True)
    ]


def likelihood(model: Any, processor: Any, messages: Sequence[Mapping[str, Any]], answer: str) -> tuple[float, int]:
    """Give the log-likelihood of an answer, without the end of its turn.

    Args:
        model: In evaluation mode.
        processor: The model's.
        messages: What is asked, images in their places.
        answer: Its words.

    Returns:
        The sum over its tokens, in nats, and their number.

    Raises:
        ValueError: The answer has no token.
    """
    import torch

    inputs = processor.apply_chat_template(
        [list(messages)], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    ).to(model.device, model.dtype)
    tokens = processor.tokenizer(answer, add_special_tokens=False, return_tensors="pt")["input_ids"].to(model.device)
    count = tokens.shape[1]
    if not count:
        raise ValueError(f"{answer!r} has no token whose likelihood could be given")
    longer = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    for name in inputs.keys() & {"attention_mask", "input_ids", "mm_token_type_ids", "token_type_ids"}:
        inputs[name] = torch.cat((inputs[name], longer.get(name, torch.zeros_like(tokens))), dim=1)
    with torch.inference_mode():
        scores = model(**inputs).logits[0, -count - 1 : -1].float().log_softmax(dim=-1)  # (tokens, vocabulary)
    return round(float(scores.gather(-1, tokens[0][:, None]).sum()), 4), count


async def _ask_all(
    endpoint: Endpoint, questions: Sequence[BenchmarkQuestion], images: Images, keep: Keep
) -> list[Unanswered]:
    from ..asking.endpoint import Client

    client, turn = Client(endpoint), asyncio.Semaphore(endpoint.parallel)
    try:
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(_ask(client, turn, question, images, keep)) for question in questions]
    except* (OSError, ValueError) as errors:  # what ended the run
        raise errors.exceptions[0] from None
    finally:
        await client.close()
    return [problem for task in works if (problem := task.result()) is not None]


async def _ask(
    client: Client, turn: asyncio.Semaphore, question: BenchmarkQuestion, images: Images, keep: Keep
) -> Unanswered | None:
    async with turn:
        messages = _as_openai(_with_images(question, images(question)))
        reply = await client.ask({"messages": messages, **client.endpoint.record()})
    if reply.text is None and reply.words is None:
        return Unanswered(question, reply.problem or "no answer")
    text = reply.words if reply.text is None else reply.text
    keep([(question, GeneratedAnswer(text or "", cut=reply.text is None and bool((text or "").strip())))])
    return None


def _with_images(question: BenchmarkQuestion, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """Put images and videos into their slots."""
    left = iter(images)

    def filled(part: Mapping[str, Any]) -> Mapping[str, Any]:
        kind = part["type"]
        return {"type": kind, kind: next(left)} if kind in ("image", "video") else part

    return [{**turn, "content": [filled(part) for part in turn["content"]]} for turn in question.messages]


def _as_openai(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write messages as OpenAI-compatible servers take them: images are `image_url`, of PNG, which loses nothing."""
    return [{"role": turn["role"], "content": [_openai_part(part) for part in turn["content"]]} for turn in messages]


def _openai_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "video":
        raise ValueError("a server is asked about images; questions about videos need a model here, --model DIRECTORY")
    encoded = io.BytesIO()
    part["image"].save(encoded, format="PNG")
    url = f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _load(name: str, revision: str | None) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    from .. import AmaliaVLForConditionalGeneration, AmaliaVLProcessor

    if AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False).model_type in OWN_TYPES:
        kinds = AmaliaVLForConditionalGeneration, AmaliaVLProcessor
    else:
        kinds = AutoModelForImageTextToText, AutoProcessor
    model = kinds[0].from_pretrained(name, dtype="auto", revision=revision, trust_remote_code=False)
    return model, kinds[1].from_pretrained(name, revision=revision, trust_remote_code=False)
