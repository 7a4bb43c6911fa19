"""Answers that a rule can check: a letter, yes or no, a number, or one of them after reasoning.

Where the reference is one of these, nobody needs to judge whether an answer is right, and no wrong one is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ...evaluation.parsing import letter, number, numbers, yes_no
from ..choices import CHOICE_LETTERS, LETTER_ALONE, final_answer

_OPTION = re.compile(r"^\s*\(?([A-Z])[).:]\s+(\S.*?)\s*$", re.MULTILINE)
_YES_NO = re.compile(r"\W*(?:sim|não|yes|no)\W*", re.IGNORECASE)
_NUMBER = r"-?\d+(?:[.,]\d+)?"
_BOX = re.compile(
    r"<\|?(?:box|bbox|loc|ref|quad)|\bb(?:ounding[ -]?)?box(?:es)?\b|\bbbox|caixas? delimitadoras?"
    r"|coordenadas d[ae]s? caixas?"
    rf"|[\[({{<]\s*{_NUMBER}(?:(?:\s*[,;]\s*|\s+){_NUMBER}){{3}}\s*[\])}}>]"
    r"|[\"']?\b(?:x_?min|x_?1|left|esquerda)[\"']?\s*[:=]\s*-?\d",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\d+(?:[.,\s]\d+)*|[^\W\d_]+")
_ALONE = re.compile(r"\b(?:só|somente|apenas|unicamente|only|single|uma palavra|um número)\b", re.IGNORECASE)

Verdict = bool | None
CheckAnswer = Callable[[str], Verdict]


class AnswerRule(NamedTuple):
    """How answers to a prompt are checked.

    Args:
        kind: `"letter"`, `"yes or no"` or `"number"`.
        check: Says whether an answer is right; None where it says nothing that the rule reads.
        bare: Whether the reference is that alone, without reasoning: nothing is left to judge.
        alone: Whether the question asks for that alone, so that an answer which the rule cannot read is wrong.
    """

    kind: str
    check: CheckAnswer
    bare: bool
    alone: bool


def names_boxes(*texts: str) -> bool:
    """Tell whether a prompt or its answer is about boxes; the paper leaves those out (section 5.2).

    >>> names_boxes("Where is it?", "[0.1, 0.2, 0.35, 0.9]"), names_boxes("Quantos há?", "4, 5 ou 6")
    (True, False)
    """
    return any(_BOX.search(text) is not None for text in texts)


def rule_for(question: str, reference: str) -> AnswerRule | None:
    r"""Find the rule that answers to a question can be checked by; None where only a judge can.

    >>> rule = rule_for("Quantos são?", "São 2 + 1.\nResposta: 3")
    >>> rule.kind, rule.check("Contei-os bem."), rule.check("Resposta: 3"), rule.check("1 + 1\nResposta: dois")
    ('number', None, True, False)
    """
    final, alone = _final(reference), _ALONE.search(question) is not None
    stated, bare = (final, False) if final is not None else (reference.strip(), True)
    options = dict(_OPTION.findall(question))
    if len(options) > 1 and list(options) == list(CHOICE_LETTERS[: len(options)]):
        read = _letter_among(options)
        right = read(stated)
        if right and (len(stated) <= 3 or final is not None or _repeats(stated, options)):
            return AnswerRule("letter", _checked(read, right), bare, alone)
        return None
    if any(request in question for request in LETTER_ALONE.values()):
        return None  # options of a form that is not known
    if _YES_NO.fullmatch(stated):
        return AnswerRule("yes or no", _checked(yes_no, yes_no(stated)), bare, alone)
    if number(stated) is not None:
        return AnswerRule("number", _same_number(stated), bare, alone)
    return None


def _letter_among(options: dict[str, str]) -> Callable[[str], str | None]:
    return lambda text: letter(text, tuple(options), tuple(options.values()))


def _checked(read: Callable[[str], str | None], right: str | None) -> CheckAnswer:
    def check(answer: str) -> Verdict:
        said = read(_stated(answer))
        return None if said is None else said == right

    return check


def _same_number(reference: str) -> CheckAnswer:
    targets = numbers(reference)

    def check(answer: str) -> Verdict:
        stated = _stated(answer)
        values = numbers(stated) or _only_number(stated)
        return bool(set(values) & set(targets)) if values else None

    return check


def _only_number(text: str) -> tuple[float, ...]:
    """Read the number that a sentence holds, if it holds one alone."""
    held = {value for word in _TOKEN.findall(text) if (value := numbers(word.lower()))}
    return held.pop() if len(held) == 1 else ()


def _stated(answer: str) -> str:
    final = _final(answer)
    return answer.strip() if final is None else final


def _final(text: str) -> str | None:
    """Give what a last line states, "Resposta: …", with or without reasoning before it."""
    padded = f".\n{text.strip()}"
    return next((said.strip(" .*") for language in ("pt", "en") if (said := final_answer(padded, language))), None)


def _repeats(stated: str, options: dict[str, str]) -> bool:
    """Tell whether an answer is an option, with or without its letter, and nothing else."""
    bare = re.sub(r"^\(?[A-Z][).:]\s*", "", stated).strip(" .").lower()
    return bare in {text.strip(" .").lower() for text in options.values()}
