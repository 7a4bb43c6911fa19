"""PTSimpleCodeOutputs: what a short program prints, in European Portuguese and English (paper, section 5.1).

The paper has a model write programs of at most 10 lines that print, and asks in yes/no, direct and multiple choice
formats. Every output is what the program printed in the sandbox, under several hash seeds; wrong options are what it
prints with a small mistake in it. Without a model the programs are written from a seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Literal

from ..choices import CHOICE_LETTERS, LETTER_ALONE, YES_NO, YES_NO_ALONE, Choices, list_choices, shuffle_choices
from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep, RejectedError
from ..languages import LANGUAGE_NAMES, LANGUAGES, ORDINALS, Language
from ..rows import exchange, open_picture, png, truth_of
from .code_pictures import draw_code, line_boxes, picture_faults
from .snippet_runs import check_snippet, mutate, output_of, outputs_of, read_answer
from .snippets import write_snippet

NAME = "pt-simple-code-outputs"
TITLE = "PTSimpleCodeOutputs"
VERSION = 4
USES: tuple[str, ...] = ()
SUMMARY = "What short Python programs print: direct, yes/no and multiple choice questions, in Portuguese and English."

QuestionStyle = Literal["direct", "yes-no", "choice"]
About = Literal["whole", "line", "last", "count"]
STYLES: tuple[QuestionStyle, ...] = ("direct", "yes-no", "choice")
RIGHT_CANDIDATES = 0.5
ALONE = 0.5  # of the answers are nothing but the answer
WRONG = (2, 4)  # options beside the right one
LEAST_LINES = (3, 7)  # that a model's program should have

TOPICS = (
    "listas e fatias", "ciclos for", "ciclos while", "condições", "dicionários", "cadeias de caracteres", "f-strings",
    "funções", "tuplos", "compreensões de listas", "ordenação", "recursão", "divisão inteira e restos", "matrizes",
    "contagens", "operadores lógicos", "exceções", "geradores", "range e enumerate", "zip",
)  # fmt: skip
SCENES = (
    "uma padaria", "um jogo", "uma biblioteca", "uma viagem de comboio", "o tempo que faz", "uma horta", "uma turma",
    "uma loja", "uma equipa", "uma banda", "uma receita", "um porto", "uma rua", "um museu", "números sem mais nada",
)  # fmt: skip

QUESTIONS: dict[Language, dict[About, tuple[str, ...]]] = {
    "pt": {
        "whole": (
            "O que escreve este programa?",
            "Qual é o resultado deste código?",
            "O que aparece no ecrã quando se executa este código?",
        ),
        "line": ("Qual é a {ordinal} linha que este programa escreve?", "O que diz a {ordinal} linha do resultado?"),
        "last": ("Qual é a última linha que este programa escreve?", "O que diz a última linha do resultado?"),
        "count": ("Quantas linhas escreve este programa?", "Quantas linhas tem o resultado deste código?"),
    },
    "en": {
        "whole": (
            "What does this program print?",
            "What is the output of this code?",
            "What appears on the screen when this code runs?",
        ),
        "line": ("What is the {ordinal} line that this program prints?", "What does the {ordinal} output line say?"),
        "last": ("What is the last line that this program prints?", "What does the last output line say?"),
        "count": ("How many lines does this program print?", "How many lines does the output of this code have?"),
    },
}
CANDIDATES: dict[Language, dict[About, tuple[str, ...]]] = {
    "pt": {
        "whole": (
            "Este programa escreve o seguinte?\n{candidate}",
            "É este o resultado do código da imagem?\n{candidate}",
        ),
        "line": ("A {ordinal} linha que este programa escreve é {candidate}?",),
        "last": ("A última linha que este programa escreve é {candidate}?",),
        "count": ("O número de linhas que este programa escreve é {candidate}?",),
    },
    "en": {
        "whole": (
            "Does this program print the following?\n{candidate}",
            "Is this the output of the code in the image?\n{candidate}",
        ),
        "line": ("Is {candidate} the {ordinal} line that this program prints?",),
        "last": ("Is {candidate} the last line that this program prints?",),
        "count": ("Is {candidate} the number of lines that this program prints?",),
    },
}
VALUE_ALONE: dict[Language, dict[About, str]] = {
    "pt": {
        "whole": "Responde apenas com o que o programa escreve.",
        "line": "Responde apenas com o texto dessa linha.",
        "last": "Responde apenas com o texto dessa linha.",
        "count": "Responde apenas com o número.",
    },
    "en": {
        "whole": "Answer with what the program prints only.",
        "line": "Answer with the text of that line only.",
        "last": "Answer with the text of that line only.",
        "count": "Answer with the number only.",
    },
}
STATEMENTS: dict[Language, dict[About, str]] = {
    "pt": {
        "whole": "O programa escreve{value}",
        "line": "A {ordinal} linha é{value}",
        "last": "A última linha é{value}",
        "count": "O número de linhas é{value}",
    },
    "en": {
        "whole": "The program prints{value}",
        "line": "The {ordinal} line is{value}",
        "last": "The last line is{value}",
        "count": "The number of lines is{value}",
    },
}
CHOSEN: dict[Language, str] = {"pt": "A opção certa é a {letter}.", "en": "The right option is {letter}."}


def draw(rng: random.Random, index: int, materials: Materials) -> DrawnSample:
    """Take a program, run it, draw it, and ask what it prints."""
    language, _, _ = _subject(rng)
    if "snippet" in materials.answers:
        source = read_answer(materials.answers["snippet"])
        output = output_of(source)
    else:
        source = write_snippet(rng, language)
        output = output_of(source, seeds=1)  # ours print the same under every hash seed, which a test holds them to
    picture = draw_code(source, rng, "python")
    asking = _ask(source, output, rng)
    truth = {"source": source, "output": output, **asking, "picture": picture.truth()}
    question = rng.choice(_questions(truth, language))
    answer = _answer(truth, _part(output, truth["about"], truth["number"]), language)
    return DrawnSample(
        png(picture.image), (Exchange(question, answer),), f"{truth['style']}, {language}", truth, language
    )


def faults(row: DatasetRow) -> list[str]:
    """Run the program again, as a script of its own, and hold the picture, the options and the answer to it."""
    truth, (question, answer), language = truth_of(row), exchange(row), row["language"]
    problems = picture_faults(open_picture(row), truth["picture"], truth["source"])
    try:
        check_snippet(truth["source"])
        output = output_of(truth["source"], seeds=1)
    except RejectedError as error:
        return [*problems, str(error)]
    if output != truth["output"]:
        problems.append(f"the program prints {output!r}, not {truth['output']!r}")
    lines = output.splitlines()
    parts = {"whole": output, "last": lines[-1], "count": str(len(lines))}
    right = parts.get(truth["about"]) or "".join(lines[truth["number"] - 1 : truth["number"]])
    if question not in _questions(truth, language):
        problems.append(f"{question!r} does not ask about {truth['about']} as {truth['style']}")
    options = truth["choices"] or [right]
    if options.count(right) != 1 or len(set(options)) < len(options):
        problems.append(f"the options {options} have {right!r} not once, or are not all different")
    elif answer != (expected := _answer(truth, right, language)):
        problems.append(f"the answer {answer!r} is not {expected!r}")
    return problems


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the lines of a row's picture are."""
    return line_boxes(truth_of(row)["picture"])


def _subject(rng: random.Random) -> tuple[Language, str, str]:
    """Choose a language, and what a model's program should be about."""
    return rng.choice(LANGUAGES), rng.choice(TOPICS), rng.choice(SCENES)


def _ask_snippet(rng: random.Random, index: int, materials: Materials) -> Mapping[str, str]:
    language, topic, scene = _subject(rng)
    least = str(rng.randint(*LEAST_LINES))
    return {"language": LANGUAGE_NAMES[language], "topic": topic, "scene": scene, "least": least}


STEPS = (ModelStep("snippet", _ask_snippet),)


def _ask(source: str, output: str, rng: random.Random) -> dict[str, Any]:
    """Choose what is asked about an output, in which style, with which options."""
    lines = output.splitlines()
    style = rng.choice(STYLES)
    abouts: list[About] = ["whole", "whole"]
    if len(lines) > 1:
        options: list[About] = ["line", "last", "count"]
        abouts = options if style == "choice" else abouts + options  # an option is one line
    about = rng.choice(abouts)
    numbers = [number for number, line in enumerate(lines[:-1], 1) if line][: len(ORDINALS["pt"])]
    number = rng.choice(numbers) if about == "line" else None
    record = {"style": style, "about": about, "number": number, "alone": rng.random() < ALONE}
    right = _part(output, about, number) or ""
    candidate, choices = None, None
    if style == "yes-no":
        candidate = right if rng.random() < RIGHT_CANDIDATES else _wrong(source, right, about, number, rng)[0]
    elif style == "choice":
        wrong = _wrong(source, right, about, number, rng)[: rng.randint(*WRONG)]
        choices = list(shuffle_choices(right, wrong, rng).texts)
    return {**record, "candidate": candidate, "choices": choices}


def _part(output: str, about: About, number: int | None) -> str | None:
    """Take what is asked about out of an output; None where it has no such line."""
    lines = output.splitlines()
    if about == "line":
        return lines[number - 1] if number and number <= len(lines) else None
    return {"whole": output, "last": lines[-1], "count": str(len(lines))}[about]


def _wrong(source: str, right: str, about: About, number: int | None, rng: random.Random) -> list[str]:
    """List wrong answers: what the program would print with a small mistake in it first, near misses after."""
    mutants = mutate(source, rng)
    outputs = outputs_of(mutants) if mutants else []
    printed = [_part(output, about, number) for output in outputs if output]
    candidates = [text for text in dict.fromkeys(printed) if text]
    rng.shuffle(candidates)
    seen, wrong = {"".join(right.split())}, []
    for text in [*candidates, *near_misses(right, rng)]:
        bare = "".join(text.split())  # two that differ in their spaces alone would look the same
        if bare and bare not in seen:
            wrong.append(text)
            seen.add(bare)
    return wrong


def near_misses(text: str, rng: random.Random) -> list[str]:
    """Write what is taken for a text: a number one off, words or letters in another order, the other truth value.

    At least two have other letters: the last three are the text with its last letter once less, once and twice more.

    >>> near_misses("7", random.Random(0))
    ['8', '6', '17', '77', '777']
    """
    misses = []
    if numbers := list(re.finditer(r"\d+", text)):
        match = rng.choice(numbers)
        for step in (1, -1, 10):
            value = int(match[0]) + step
            misses.append(text[: match.start()] + str(abs(value)) + text[match.end() :])
    swapped = re.sub(r"True|False", lambda word: str(word[0] == "False"), text)
    misses += [swapped, " ".join(reversed(text.split(" "))), text.swapcase(), text[::-1]]
    misses += [text[:-1], text + text[-1], text + 2 * text[-1]]
    return [miss for miss in dict.fromkeys(misses) if miss.strip() and miss != text]


def _questions(truth: Mapping[str, Any], language: Language) -> list[str]:
    """List the ways to ask."""
    style, about, alone = truth["style"], truth["about"], truth["alone"]
    wordings = (CANDIDATES if style == "yes-no" else QUESTIONS)[language][about]
    candidate = truth["candidate"] or ""
    shown = _fenced(candidate) if about == "whole" else _quoted(candidate, about)
    ordinal = _ordinal(truth["number"], language)
    questions = [wording.replace("{ordinal}", ordinal).replace("{candidate}", shown) for wording in wordings]
    ending = ""
    if style == "choice":
        questions = [f"{question}\n{list_choices(Choices(tuple(truth['choices']), ''))}" for question in questions]
        ending = f"\n{LETTER_ALONE[language]}"
    elif style == "yes-no":
        ending = f"\n{YES_NO_ALONE[language]}"
    else:
        ending = f" {VALUE_ALONE[language][about]}"
    return [question + ending if alone else question for question in questions]


def _answer(truth: Mapping[str, Any], right: str | None, language: Language) -> str:
    """Write the answer, where `right` is what is asked about."""
    right = right or ""
    about, style = truth["about"], truth["style"]
    value = f":\n{_fenced(right)}" if "\n" in right else f" {_quoted(right, about)}."
    statement = STATEMENTS[language][about].format(ordinal=_ordinal(truth["number"], language), value=value)
    if style == "direct":
        return right if truth["alone"] else statement
    if style == "yes-no":
        verdict = YES_NO[language][0 if truth["candidate"] == right else 1]
        return verdict if truth["alone"] else f"{verdict}. {statement}"
    letter = CHOICE_LETTERS[truth["choices"].index(right)]
    return letter if truth["alone"] else f"{CHOSEN[language].format(letter=letter)} {statement}"


def _ordinal(number: int | None, language: Language) -> str:
    return ORDINALS[language][number - 1] if number else ""


def _quoted(text: str, about: About) -> str:
    return text if about == "count" else f"`{text}`"


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"
