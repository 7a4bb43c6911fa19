"""What a server says, read: the answer, the reasoning before it, why it ended, and the tokens it took."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

ENDINGS = {"length": "cut short at the token limit", "content_filter": "held back by the server's content filter"}
ONLY_REASONING = "reasoning without an answer"
NO_TEXT = "answer without text"
AGAIN = (ENDINGS["length"], ONLY_REASONING, NO_TEXT)  # problems that another seed may not have
_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))


class Usage(NamedTuple):
    """Tokens as the server counted them; reasoning is among those of the completion."""

    prompt: int = 0
    completion: int = 0


class Reply(NamedTuple):
    """What came back for a request.

    Args:
        text: The answer without its reasoning, None where there is none.
        problem: Why there is none.
        words: What the model did say, where that is no whole answer: cut at the token limit, or nothing at all. None
            where it said nothing that is meant for the user.
        reasoning: What it thought before, where that can be told.
    """

    text: str | None
    problem: str | None = None
    words: str | None = None
    reasoning: str | None = None


def read_reply(body: Any, thinking: bool | None = None) -> Reply:
    """Read an answer as OpenAI's chat completions give it.

    Args:
        body: The parsed JSON.
        thinking: Whether the model was told to think. Where it was told not to, some servers take the whole answer for
            reasoning.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: It has another form.
    """
    choice = body["choices"][0]
    message, ending = choice["message"], choice["finish_reason"]
    content = message["content"]
    text, reasoning = split_reasoning(content or "", thinking)
    reasoning = reasoning or message.get("reasoning_content") or message.get("reasoning") or ""
    if content is None and thinking is False and ending == "stop":
        text, reasoning = reasoning, ""
    (text + reasoning).encode()  # half of a surrogate pair is JSON, but no text
    problem = ENDINGS.get(ending)
    if problem is None and not text.strip():
        problem = ONLY_REASONING if reasoning.strip() else NO_TEXT
    silent = content is not None and ending == "stop" and not (text.strip() or reasoning)
    words = text if silent or (text.strip() and ending == "length") else None
    kept = reasoning or None
    return Reply(None, problem, words, kept) if problem else Reply(text, reasoning=kept)


def split_reasoning(content: str, thinking: bool | None = None) -> tuple[str, str]:
    """Part an answer from the reasoning that the model wrote before it; a text without any stays as it is.

    A chat template may open the reasoning itself, so that only its end is in the text; one that never ends has no
    answer.

    >>> split_reasoning("<think>2 e 2</think> 4")
    ('4', '2 e 2')
    """
    for opening, closing in _TAGS:
        before, closed, after = content.partition(closing)
        opened = before.lstrip().startswith(opening)
        if opened or (closed and thinking is not False and opening not in before):
            answer = after.strip() if closed else ""
            return answer, before.lstrip().removeprefix(opening).strip()
    return content, ""


def read_usage(body: Any) -> Usage:
    """Read how many tokens an answer took; none where the server does not say."""
    usage = body.get("usage") if isinstance(body, dict) else None
    counts = usage if isinstance(usage, dict) else {}
    return Usage(*(_count(counts.get(name)) for name in ("prompt_tokens", "completion_tokens")))


def parse(body: bytes) -> Any:
    """Parse what a server said.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("brackets by the thousand") from error


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
