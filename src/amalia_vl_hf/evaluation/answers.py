"""Answers on disk, one a line: each is there once it is told to be, whatever kills the process afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..disk import append_lines, cut_last_line, write_file
from .backends import GeneratedAnswer
from .questions import BenchmarkQuestion

ANSWERS = "answers.jsonl"


class AnswerFile:
    """A task's answers; a line that a kill cut short is cut off.

    Args:
        path: The file.
        questions: Those that the answers are to.

    Raises:
        ValueError: A line is no answer, or one to another question.
    """

    def __init__(self, path: Path, questions: Sequence[BenchmarkQuestion]) -> None:
        self.path = path
        self.questions = {question.key: question for question in questions}
        self.answers: dict[str, GeneratedAnswer] = {}
        cut_last_line(path)
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
                self._read(line, number)

    def missing(self) -> list[BenchmarkQuestion]:
        """Give the questions without an answer."""
        return [question for key, question in self.questions.items() if key not in self.answers]

    def add(self, answers: Sequence[tuple[BenchmarkQuestion, GeneratedAnswer]]) -> None:
        """Append answers; they are on the disk when this returns."""
        append_lines(self.path, "".join(_line(question, answer) for question, answer in answers))
        self.answers.update({question.key: answer for question, answer in answers})

    def settle(self) -> None:
        """Write complete answers in the order of their questions, so that how they came leaves no trace."""
        lines = "".join(_line(question, self.answers[key]) for key, question in self.questions.items())
        if self.path.read_bytes() != lines.encode():
            write_file(self.path, lines)

    def _read(self, line: str, number: int) -> None:
        place = f"{self.path}, line {number}"
        try:
            values: Mapping[str, Any] = json.loads(line)
            weighed = tuple((float(total), int(count)) for total, count in values.get("likelihoods", ()))
            key, answer = values["key"], GeneratedAnswer(str(values["answer"]), bool(values["cut"]), weighed)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{place}: no answer of this program ({error!r}); was the file edited?") from error
        if key not in self.questions:
            raise ValueError(
                f"{place}: an answer to {key[:12]}..., which is none of these {len(self.questions)} questions; is"
                " it the file of another run?"
            )
        self.answers.setdefault(key, answer)


def _line(question: BenchmarkQuestion, answer: GeneratedAnswer) -> str:
    values = {"key": question.key, "row": list(question.place), "answer": answer.text, "cut": answer.cut}
    if answer.likelihoods:
        values["likelihoods"] = answer.likelihoods
    return json.dumps(values, ensure_ascii=False) + "\n"
