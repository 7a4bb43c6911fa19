"""PTOutputsToCode: which function and invocation print what a picture shows (paper, section 5.1).

The paper renders the outputs of SePIC's invocations and asks, as multiple choice, for the pair that gives them. The
options are calls of one function, the function with a small change, and other functions. Each was run in the sandbox,
no two print the same, and any of them may be the one that is drawn: what options have in common does not tell it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from random import Random
from typing import NamedTuple

from ..choices import CHOICE_LETTERS, LETTER_ALONE, Choices, list_choices, shuffle_choices
from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..languages import Language
from ..rows import exchange, open_picture, png, truth_of
from .code_pictures import draw_code, line_boxes, picture_faults
from .functions import Function, draw_function, parse_function, run_calls, statement, write_function
from .invocations import STEP, ask_invocations, calls_of, parse_call
from .program_runs import SEEDS
from .snippet_runs import mutate

NAME = "pt-outputs-to-code"
TITLE = "PTOutputsToCode"
VERSION = 3
USES: tuple[str, ...] = ("functions",)
SUMMARY = "Which of four Python functions and calls prints what the picture shows, in Portuguese and in English."

OPTIONS = 4
NEIGHBOURS = 10  # other functions that are looked at for options; half of them may be in the other language
OWN_CALLS = 2  # that are tried of each
CHANGED = 4  # changes of the function that are tried
LETTER, PAIR = "letter", "letter and call"
OPTION = "`{statement}`\n```python\n{code}\n```"
QUESTIONS: dict[Language, tuple[str, ...]] = {
    "pt": (
        "A imagem mostra o que um programa em Python escreveu. Que função e que chamada dão esse resultado?",
        "Qual destas opções, função e chamada, escreve o que se vê na imagem?",
        "O resultado na imagem vem de uma destas chamadas. Qual é?",
        "Que opção escreve exatamente o que está na imagem?",
    ),
    "en": (
        "The image shows what a Python program printed. Which function and call give that output?",
        "Which of these options, function and call, prints what the image shows?",
        "The output in the image comes from one of these calls. Which one?",
        "Which option prints exactly what is in the image?",
    ),
}
LETTER_AND_CALL: dict[Language, str] = {
    "pt": "Responde com a letra e a chamada.",
    "en": "Answer with the letter and the call.",
}


FunctionWithCall = tuple[Function, str]  # with the call


class CallOption(NamedTuple):
    """A function, a call of it, the statement that shows what it does, and what that prints."""

    code: str
    call: str
    statement: str
    output: str

    @property
    def option(self) -> str:
        """Write it as an option of the question."""
        return OPTION.format(statement=self.statement, code=self.code)


def ask_for_invocations(rng: Random, index: int, materials: Materials) -> Mapping[str, str]:
    """Ask for calls of the function."""
    return ask_invocations(_functions(rng, index, materials)[0][0])


STEPS = (ModelStep(STEP, ask_for_invocations),)


def draw(rng: Random, index: int, materials: Materials) -> DrawnSample:
    """Run calls of functions, draw the output of one, and ask which it is of.

    Raises:
        RejectedError: Too few calls print something, and something else each, or what they print cannot be drawn.
    """
    functions, language = _functions(rng, index, materials)
    seeds = SEEDS if materials.answers else 1  # the seeded calls print the same under all, which a test holds them to
    right, *wrong = rng.sample(_pairs(functions, calls_of(functions[0], materials.answers), rng, seeds), OPTIONS)
    choices = shuffle_choices(right.option, [pair.option for pair in wrong], rng)
    picture = draw_code(right.output, rng, "text")
    task = rng.choice((LETTER, PAIR))
    request = LETTER_ALONE[language] if task == LETTER else LETTER_AND_CALL[language]
    question = f"{rng.choice(QUESTIONS[language])}\n{list_choices(choices)}\n{request}"
    answer = choices.letter if task == LETTER else f"{choices.letter}) `{right.statement}`"
    by_option = {pair.option: pair for pair in (right, *wrong)}
    truth = {
        "output": right.output,
        "pairs": [by_option[option]._asdict() for option in choices.texts],
        "picture": picture.truth(),
    }
    return DrawnSample(png(picture.image), (Exchange(question, answer),), task, truth, language)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: the output is in the picture, one option alone printed it, and the answer names it."""
    truth, (question, answer) = truth_of(row), exchange(row)
    language, pairs = row["language"], [CallOption(**pair) for pair in truth["pairs"]]
    problems = picture_faults(open_picture(row), truth["picture"], truth["output"])
    problems += [fault for pair in pairs for fault in _pair_faults(pair)]
    drawn = truth["output"].split()
    right = [number for number, pair in enumerate(pairs) if pair.output.split() == drawn]
    if len(pairs) != OPTIONS or len(right) != 1:
        return [*problems, f"{len(right)} of {len(pairs)} options print {truth['output']!r}"]
    listed = list_choices(Choices(tuple(pair.option for pair in pairs), ""))
    parts = question.replace(f"\n{listed}\n", "\n\n").split("\n\n")
    requests = {LETTER_ALONE[language]: "{letter}", LETTER_AND_CALL[language]: "{letter}) `{statement}`"}
    if len(parts) != 2 or parts[0] not in QUESTIONS[language] or parts[1] not in requests:
        return [*problems, f"{question!r} does not ask in {language} for one of {listed!r}"]
    expected = requests[parts[1]].format(letter=CHOICE_LETTERS[right[0]], statement=pairs[right[0]].statement)
    if answer != expected:
        problems.append(f"the answer {answer!r} is not {expected!r}")
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the lines of a row's picture are."""
    return line_boxes(truth_of(row)["picture"])


def _functions(rng: Random, index: int, materials: Materials) -> tuple[list[Function], Language]:
    """Take the function of a sample, then others to choose between, in its language where they have one."""
    first, language = draw_function(rng, (1 + NEIGHBOURS) * index, materials)
    source = materials.functions or write_function
    others = [source(rng, (1 + NEIGHBOURS) * index + number) for number in range(1, 1 + NEIGHBOURS)]
    return [first, *(other for other in others if other.language == first.language)], language


def _pairs(functions: Sequence[Function], calls: Sequence[str], rng: Random, seeds: int) -> list[CallOption]:
    """Choose pairs that print something else each: of the first function and a call, and of kinds that are like them.

    Raises:
        RejectedError: They are too few, or no call of the first function prints anything of use.
    """
    # As Python would write them, without comments: the one of an option with a change is written so.
    first, *others = (function._replace(source=ast.unparse(ast.parse(function.source))) for function in functions)
    call = _working(first, calls, rng, seeds)
    changed = mutate(first.source, rng)
    kinds = [
        [(first, other) for other in calls if other != call],
        [(first._replace(source=source), call) for source in rng.sample(changed, min(CHANGED, len(changed)))],
        [(other, other.name + call.removeprefix(first.name)) for other in others],
        [(other, own) for other in others for own in other.calls[:OWN_CALLS]],
    ]
    candidates = [(first, call), *(pair for kind in kinds for pair in kind)]
    outputs = dict(zip(candidates, run_calls(candidates, seeds), strict=True))
    turns = zip_longest([candidates[0]], *rng.sample([rng.sample(kind, len(kind)) for kind in kinds], len(kinds)))
    return _choose([pair for turn in turns for pair in turn if pair], outputs)


def _working(function: Function, calls: Sequence[str], rng: Random, seeds: int) -> str:
    """Choose one of the calls that print something of use."""
    outputs = run_calls([(function, call) for call in calls], seeds)
    working = [call for call, output in zip(calls, outputs, strict=True) if isinstance(output, str)]
    if not working:
        raise next(output for output in outputs if isinstance(output, RejectedError))
    return rng.choice(working)


def _choose(
    candidates: Sequence[FunctionWithCall], outputs: Mapping[FunctionWithCall, str | RejectedError]
) -> list[CallOption]:
    """Take the first pairs that print something, and something else than those before.

    Raises:
        RejectedError: They are too few.
    """
    chosen: dict[str, CallOption] = {}
    for function, call in candidates:
        output = outputs[function, call]
        if isinstance(output, str):  # blanks may not tell outputs apart: they are hard to see
            chosen.setdefault(
                "".join(output.split()), CallOption(function.source, call, statement(function, call), output)
            )
    if len(chosen) < OPTIONS:
        raise RejectedError("too few calls print something else", f"{len(chosen)} of {OPTIONS}")
    if any("```" in pair.code for pair in chosen.values()):
        raise RejectedError("a function with a Markdown fence in it")
    return list(chosen.values())[:OPTIONS]


def _pair_faults(pair: CallOption) -> list[str]:
    """Hold an option to one function and a statement that calls it."""
    function = parse_function(pair.code)
    if function is None:
        return [f"{pair.code!r} is not one function"]
    try:
        parse_call(pair.call, function)
    except RejectedError as error:
        return [str(error)]
    if pair.statement != statement(function, pair.call):
        return [f"{pair.statement!r} does not show what {pair.call!r} does"]
    return []
