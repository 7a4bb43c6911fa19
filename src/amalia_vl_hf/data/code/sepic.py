"""SePIC, semantic parsing of image-based code: what a call of a drawn function prints (paper, section 5.1).

The paper takes Python functions of CodeSearchNet of at most 50 lines, has a small model write invocations, runs them
in a sandbox, and asks for their output, with chains of thought by a larger model. Without a model, functions and calls
are seeded, and the steps are those that Python's tracing saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

from ..choices import STEP_BY_STEP, final_answer, reasoned
from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..languages import LANGUAGE_NAMES, Language
from ..rows import exchanges, open_picture, png, truth_of
from .code_pictures import draw_code, line_boxes, picture_faults
from .code_traces import tell_trace
from .functions import Function, draw_function, parse_function, run_calls, statement
from .invocations import STEP, ask_invocations, calls_of, parse_call
from .program_runs import SEEDS

NAME = "sepic"
TITLE = "SePIC"
VERSION = 3
USES: tuple[str, ...] = ("functions",)
SUMMARY = "What a call of a drawn Python function prints, answered at once or step by step."

DIRECT, TRACED, EXPLAINED = "direct", "step by step", "direct, then step by step"
LONGEST_TRACE = 4000  # letters; the prompt asks for 20 lines
QUESTIONS: dict[Language, tuple[str, ...]] = {
    "pt": (
        "A imagem mostra uma função em Python. O que escreve no ecrã `{statement}`?",
        "Com a função da imagem, qual é o resultado de executar `{statement}`?",
        "O que aparece no ecrã quando se executa `{statement}` com o código da imagem?",
        "Se executares `{statement}` depois do código da imagem, o que é escrito?",
    ),
    "en": (
        "The image shows a Python function. What does `{statement}` print?",
        "With the function in the image, what is the output of `{statement}`?",
        "What appears on the screen when `{statement}` runs with the code in the image?",
        "If you run `{statement}` after the code in the image, what is printed?",
    ),
}
OUTPUT_ALONE: dict[Language, str] = {
    "pt": "Responde apenas com o que é escrito.",
    "en": "Answer with what is printed only.",
}
WHY: dict[Language, tuple[str, ...]] = {
    "pt": ("Como se chega a esse resultado?", "Porque é que é esse o resultado?"),
    "en": ("How is that output reached?", "Why is that the output?"),
}


class FunctionCall(NamedTuple):
    """A function, a call of it and what that prints."""

    function: Function
    language: Language
    call: str
    output: str


def ask_for_invocations(rng: Random, index: int, materials: Materials) -> Mapping[str, str]:
    """Ask for calls of the function."""
    return ask_invocations(draw_function(rng, index, materials)[0])


def ask_for_trace(rng: Random, index: int, materials: Materials) -> Mapping[str, str]:
    """Ask for the steps to an output that is known.

    Raises:
        RejectedError: No call is of use.
    """
    subject = _subject(rng, index, materials)
    return {
        "code": subject.function.source,
        "statement": statement(subject.function, subject.call),
        "output": subject.output,
        "language": LANGUAGE_NAMES[subject.language],
        "ending": reasoned("", subject.output, subject.language).strip(),
    }


STEPS = (ModelStep(STEP, ask_for_invocations), ModelStep("trace", ask_for_trace))


def draw(rng: Random, index: int, materials: Materials) -> DrawnSample:
    """Draw a function, run a call of it, and ask what that prints.

    Raises:
        RejectedError: No call is of use, a picture cannot hold the function, or a model's answer is not as asked for.
    """
    subject = _subject(rng, index, materials)
    steps = _steps(subject, materials.answers)
    task = rng.choice([DIRECT, TRACED, EXPLAINED]) if steps else DIRECT
    if "trace" in materials.answers:  # a model's steps are not thrown away
        task = rng.choice([TRACED, EXPLAINED])
    picture = draw_code(subject.function.source, rng, "python", subject.function.name)
    conversation = _converse(subject, task, steps or "", rng)
    truth = {
        "code": subject.function.source,
        "call": subject.call,
        "output": subject.output,
        "picture": picture.truth(),
    }
    return DrawnSample(png(picture.image), conversation, task, truth, subject.language)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: the code is in the picture, the call is one of it, and answers end in its output."""
    truth, conversation = truth_of(row), exchanges(row)
    problems = picture_faults(open_picture(row), truth["picture"], truth["code"])
    function = parse_function(truth["code"])
    if function is None:
        return [*problems, f"{truth['code']!r} is not one function"]
    try:
        parse_call(truth["call"], function)
    except RejectedError as error:
        problems.append(str(error))
    shown = f"`{statement(function, truth['call'])}`"
    wordings = [wording.replace("`{statement}`", shown) for wording in QUESTIONS[row["language"]]]
    if not conversation[0].question.startswith(tuple(wordings)):
        problems.append(f"{conversation[0].question!r} does not ask for {shown} in {row['language']}")
    for question, answer in conversation:
        if _answered(question, answer, row["language"]) != truth["output"]:
            problems.append(f"{answer!r} does not answer {question!r} with {truth['output']!r}")
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the lines of a row's picture are."""
    return line_boxes(truth_of(row)["picture"])


def _subject(rng: Random, index: int, materials: Materials) -> FunctionCall:
    """Choose a function and one of its calls; where a model gives the steps, one that prints a single line."""
    function, language = draw_function(rng, index, materials)
    calls = calls_of(function, materials.answers)
    single = STEP in materials.answers
    # The seeded calls print the same under every hash seed, which a test holds them to.
    outputs = run_calls([(function, call) for call in calls], seeds=SEEDS if single else 1)
    usable = [
        (call, output)
        for call, output in zip(calls, outputs, strict=True)
        if isinstance(output, str) and not (single and "\n" in output)
    ]
    if not usable:
        several = RejectedError("every call prints several lines")
        raise next((output for output in outputs if isinstance(output, RejectedError)), several)
    return FunctionCall(function, language, *rng.choice(usable))


def _steps(subject: FunctionCall, answers: Mapping[str, str]) -> str | None:
    """Give the steps to the output, without the last line that says it; None where they cannot be told.

    Raises:
        RejectedError: A model's steps do not end in the output, or are too long.
    """
    if "trace" not in answers:
        return tell_trace(subject.function, subject.call, subject.language)
    text = answers["trace"].strip()
    if final_answer(text, subject.language) != subject.output:
        raise RejectedError("the steps do not end in the output", text[-80:])
    if len(text) > LONGEST_TRACE:
        raise RejectedError("the steps are too long", f"{len(text)} letters, at most {LONGEST_TRACE}")
    return text.rpartition("\n")[0].rstrip()


def _converse(subject: FunctionCall, task: str, steps: str, rng: Random) -> tuple[Exchange, ...]:
    language = subject.language
    line = statement(subject.function, subject.call)
    question = rng.choice(QUESTIONS[language]).format(statement=line)
    alone = Exchange(f"{question} {OUTPUT_ALONE[language]}", subject.output)
    if task == DIRECT:
        return (alone,)
    traced = reasoned(steps, subject.output, language)
    if task == TRACED:
        return (Exchange(f"{question} {STEP_BY_STEP[language]}", traced),)
    return alone, Exchange(f"{rng.choice(WHY[language])} {STEP_BY_STEP[language]}", traced)


def _answered(question: str, answer: str, language: Language) -> Any:
    """Read an answer as its question asks for it; None where that cannot be done."""
    if question.endswith(STEP_BY_STEP[language]):
        return final_answer(answer, language)
    return answer if question.endswith(OUTPUT_ALONE[language]) else None
