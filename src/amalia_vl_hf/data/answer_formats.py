"""The formats an answer is asked for in: plain, JSON, Markdown and tags, each written and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

AnswerFormat = Literal["plain", "json", "markdown", "tagged"]
FORMATS: tuple[AnswerFormat, ...] = ("plain", "json", "markdown", "tagged")
Fields = dict[str, Any]  # text, whole numbers, and yes or no, by their Portuguese names

VERDICT = "correta"  # the field that is yes or no; a text may stand beside it
ACCEPTED = "Sim, a transcrição está correta."
REFUTED = "Não, a transcrição não está correta. O texto correto é:\n"
_YES_NO = {True: "sim", False: "não"}


def request(names: Sequence[str], kind: AnswerFormat) -> str:
    """Ask for fields in a format; nothing is said of plain text.

    >>> request(["frase"], "tagged")
    'Responde com etiquetas, assim: <frase>…</frase>'
    """
    if kind == "plain":
        return ""
    if kind == "json":
        keys = " e ".join(f'"{name}"' for name in names)
        return f"Responde em JSON, com {'a chave' if len(names) == 1 else 'as chaves'} {keys}."
    if kind == "markdown":
        return f"Responde em Markdown, assim: {', '.join(f'**{name}:** …' for name in names)}"
    return f"Responde com etiquetas, assim: {', '.join(f'<{name}>…</{name}>' for name in names)}"


def write(fields: Mapping[str, Any], kind: AnswerFormat) -> str:
    """Write fields in a format.

    >>> write({"frase": "Chove."}, "markdown")
    '**frase:** Chove.'
    """
    if kind == "json":
        return json.dumps(fields, ensure_ascii=False)
    texts = {name: _YES_NO[value] if isinstance(value, bool) else str(value) for name, value in fields.items()}
    if kind == "markdown":
        return "\n\n".join(f"**{name}:** {text}" for name, text in texts.items())
    if kind == "tagged":
        return "\n".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    if VERDICT in fields:
        return ACCEPTED if fields[VERDICT] else REFUTED + "".join(texts[name] for name in texts if name != VERDICT)
    return "\n\n".join(texts.values())


def read(answer: str, kind: AnswerFormat, like: Mapping[str, Any]) -> Fields | None:
    """Read an answer back.

    Args:
        answer: Text of an assistant.
        kind: The format it should be in.
        like: Fields with the names and the types that are wanted; values do not matter.

    Returns:
        The fields; None if the answer is not in the format, or has other fields.
    """
    fields = _READERS[kind](answer, list(like))
    if fields is None or list(fields) != list(like):
        return None
    return {name: _typed(value, like[name]) for name, value in fields.items()}


def _typed(value: Any, like: Any) -> Any:
    """Give text the type of a value like it; what does not fit stays as it is."""
    if isinstance(like, bool) and value in _YES_NO.values():
        return value == _YES_NO[True]
    if isinstance(like, int) and not isinstance(like, bool) and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _read_json(answer: str, names: list[str]) -> Fields | None:
    try:
        fields = json.loads(answer)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _read_markdown(answer: str, names: list[str]) -> Fields | None:
    pattern = r"\n\n".join(rf"\*\*{name}:\*\* (.*)" for name in names)
    return _matched(pattern, answer, names)


def _read_tagged(answer: str, names: list[str]) -> Fields | None:
    pattern = r"\n".join(rf"<{name}>(.*)</{name}>" for name in names)
    return _matched(pattern, answer, names)


def _read_plain(answer: str, names: list[str]) -> Fields | None:
    if VERDICT not in names:
        parts = answer.split("\n\n") if len(names) > 1 else [answer]
        return dict(zip(names, parts, strict=True)) if len(parts) == len(names) else None
    if answer == ACCEPTED:
        return {VERDICT: _YES_NO[True]}
    others = [name for name in names if name != VERDICT]
    if not answer.startswith(REFUTED) or len(others) != 1:
        return None
    return {VERDICT: _YES_NO[False], others[0]: answer.removeprefix(REFUTED)}


def _matched(pattern: str, answer: str, names: list[str]) -> Fields | None:
    match = re.fullmatch(pattern, answer, re.DOTALL)
    return dict(zip(names, match.groups(), strict=True)) if match else None


_READERS: dict[AnswerFormat, Callable[[str, list[str]], Fields | None]] = {
    "plain": _read_plain,
    "json": _read_json,
    "markdown": _read_markdown,
    "tagged": _read_tagged,
}
