"""SimpleCodeOCR: write the code that a picture shows, letter by letter (paper, section 5.1).

The paper renders 300,000 functions of CodeSearchNet for naive transcription. Here they are the user's or seeded ones,
in any of its six languages.
"""

from __future__ import annotations

from random import Random

from ..dataset import Box, DatasetRow, DrawnSample, Exchange, Materials, ModelStep
from ..languages import Language
from ..rows import exchange, open_picture, png, truth_of
from .code_pictures import draw_code, line_boxes, picture_faults
from .elsewhere import write_any_function
from .functions import Function, draw_function, read_function

NAME = "simple-code-ocr"
TITLE = "SimpleCodeOCR"
VERSION = 4
USES: tuple[str, ...] = ("functions",)
SUMMARY = "Transcription of functions in six programming languages, in many themes, asked in Portuguese and English."
STEPS: tuple[ModelStep, ...] = ()

FENCED = 0.4  # of the answers
FENCE = "```{language}\n{code}\n```"
QUESTIONS: dict[Language, tuple[str, ...]] = {
    "pt": (
        "Transcreve o código da imagem.",
        "Escreve o código que aparece na imagem, tal e qual.",
        "Que código está na imagem? Escreve-o todo, com a mesma indentação.",
        "Passa o código da imagem para texto, sem mudar nada.",
        "Extrai a função que se vê na imagem.",
    ),
    "en": (
        "Transcribe the code in the image.",
        "Write the code shown in the image, exactly as it is.",
        "What code is in the image? Write all of it, with the same indentation.",
        "Turn the code in the image into text, without changing anything.",
        "Extract the function that the image shows.",
    ),
}
NO_NUMBERS: dict[Language, str] = {
    "pt": "Deixa de fora os números das linhas.",
    "en": "Leave the line numbers out.",
}
IN_FENCE: dict[Language, str] = {
    "pt": "Responde com um bloco de código Markdown.",
    "en": "Answer with a Markdown code block.",
}


def draw(rng: Random, index: int, materials: Materials) -> DrawnSample:
    """Draw a function, and ask for its code.

    Raises:
        RejectedError: A picture cannot hold the function.
    """
    every = getattr(materials.functions, "any_language", materials.functions or write_any_function)
    function, language = draw_function(rng, index, materials._replace(functions=every))
    picture = draw_code(function.source, rng, function.code, _file_name(function))
    fenced = rng.random() < FENCED and "```" not in function.source
    parts = [rng.choice(QUESTIONS[language])]
    parts += [NO_NUMBERS[language]] * picture.numbered + [IN_FENCE[language]] * fenced
    answer = FENCE.format(language=function.code, code=function.source) if fenced else function.source
    truth = {"code": function.source, "language": function.code, "picture": picture.truth()}
    task = "Markdown" if fenced else "plain"
    return DrawnSample(png(picture.image), (Exchange(" ".join(parts), answer),), task, truth, language)


def faults(row: DatasetRow) -> list[str]:
    """Hold a row to its truth: the lines are in the picture, and the answer, read as asked, is what they make up."""
    truth, (question, answer) = truth_of(row), exchange(row)
    problems = picture_faults(open_picture(row), truth["picture"], truth["code"])
    languages = [language for language, wordings in QUESTIONS.items() if question.startswith(wordings)]
    if languages != [row["language"]]:
        problems.append(f"{question!r} does not ask for code in {row['language']}")
    if any(NO_NUMBERS[language] in question for language in languages) != truth["picture"]["numbered"]:
        problems.append(f"{question!r} does not say of line numbers what the picture has")
    code = answer
    if any(IN_FENCE[language] in question for language in languages):
        before, after = FENCE.format(language=truth["language"], code="\0").split("\0")
        code = answer.removeprefix(before).removesuffix(after)
    drawn = [text for text, *_ in truth["picture"]["lines"]]
    read = read_function(code, truth["language"])
    if code != truth["code"] or [line for line in code.split("\n") if line] != drawn or read is None:
        problems.append(f"the answer {answer!r} is not the function whose lines are {drawn}")
    return problems


def _file_name(function: Function) -> str:
    """Name the file that a function may stand in, without its ending: Java's is a class, whose name is a noun's."""
    name = function.name.rstrip("?!")
    return name[:1].upper() + name[1:] if function.code == "java" else name


def boxes(row: DatasetRow) -> list[Box]:
    """Give where the lines of a row's picture are."""
    return line_boxes(truth_of(row)["picture"])
