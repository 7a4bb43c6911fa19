"""Invocations of a function that a model writes: asked for, parsed strictly, and held to literal arguments."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

from ..dataset import RejectedError
from .functions import Function

STEP = "invocations"  # of SePIC and of PTOutputsToCode; their prompts are the same
COUNT = 4
LONGEST = 200  # letters of a call


def ask_invocations(function: Function) -> Mapping[str, str]:
    """Fill the gaps of the prompt."""
    return {"code": function.source, "name": function.name, "count": str(COUNT)}


def calls_of(function: Function, answers: Mapping[str, str]) -> tuple[str, ...]:
    """Give the calls of a function: those that a model wrote, or the seeded ones.

    Raises:
        RejectedError: The model's answer is not what was asked for, or there is neither.
    """
    if STEP in answers:
        return read_invocations(answers[STEP], function)
    if not function.calls:
        raise RejectedError("a function without calls, and no model to write them", function.name)
    return function.calls


def read_invocations(text: str, function: Function) -> tuple[str, ...]:
    """Read a model's answer: a list in JSON of as many different calls as were asked for.

    Raises:
        RejectedError: It is anything else.
    """
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        raise RejectedError("the invocations are no JSON", text[:80]) from None
    if not isinstance(listed, list) or not all(isinstance(call, str) for call in listed):
        raise RejectedError("the invocations are no list of texts", text[:80])
    calls = tuple(dict.fromkeys(parse_call(call, function) for call in listed))
    if len(calls) != COUNT or len(listed) != COUNT:
        raise RejectedError("the invocations are not as many as asked for", f"{len(calls)} of {len(listed)}")
    if (longest := max(map(len, calls))) > LONGEST:
        raise RejectedError("an invocation is too long", f"{longest} letters, at most {LONGEST}")
    return calls


def parse_call(written: str, function: Function) -> str:
    """Hold an expression to a call of a function with literals alone, and write it as Python would.

    Raises:
        RejectedError: It is something else.
    """
    try:
        call = ast.parse(written.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RejectedError("an invocation is no expression", written[:80]) from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != function.name:
        raise RejectedError("an invocation calls something else", written[:80])
    try:
        for value in [*call.args, *(word.value for word in call.keywords)]:
            ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise RejectedError("an invocation has arguments that are no literals", written[:80]) from None
    if any(word.arg is None for word in call.keywords):
        raise RejectedError("an invocation has arguments that are no literals", written[:80])
    return ast.unparse(call)
