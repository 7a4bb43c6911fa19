"""Python functions to draw and run: seeded ones of our own, or the user's, of CodeSearchNet.

The paper keeps CodeSearchNet's functions that are syntactically right and have at most 50 lines (section 5.1). None is
run here: what a call prints is found out in the sandbox.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from string import Template
from typing import Any, NamedTuple

from ..dataset import Materials, RejectedError
from ..languages import LANGUAGES, Language
from .code_pictures import MAX_LETTERS, MAX_LINES, SUFFIXES, TAB, CodeLanguage, check_drawable, read_code
from .function_shapes import SHAPES, FunctionShape
from .function_words import CONSTANTS, KINDS, WORDS
from .program_runs import SEEDS, TOO_MUCH, run_programs

CALLS = 4  # seeded ones of a function
DOCUMENTED, ANNOTATED = 0.4, 0.3  # of the seeded functions
COLUMNS = ("func_code_string", "whole_func_string", "code", "func")  # any of them holds the source
LANGUAGE_COLUMN: dict[str, CodeLanguage] = {name: name for name in SUFFIXES}  # what its cells may say
OUTPUT_LINES, OUTPUT_LETTERS = 15, 600
_ADDRESS = re.compile(r"\b0x[0-9a-f]{8,}")


class Function(NamedTuple):
    """A function, written as it is drawn.

    Args:
        name: Of its `def`.
        source: One `def` at the left margin, without tabs, blanks at line ends or blank lines around it.
        calls: Expressions that call it; none for the user's.
        language: Of its names and texts; None for the user's.
        code: Which programming language it is in.
    """

    name: str
    source: str
    calls: tuple[str, ...] = ()
    language: Language | None = None
    code: CodeLanguage = "python"


# Gives the function of a number; the generator decides where the number does not.
FunctionSource = Callable[[Random, int], Function]


def draw_function(rng: Random, index: int, materials: Materials) -> tuple[Function, Language]:
    """Take the function of a sample, and the language to ask about it in: its own, or one of the two."""
    function: Function = (materials.functions or write_function)(rng, index)
    drawn = rng.choice(LANGUAGES)
    return function, function.language or drawn


def write_function(rng: Random, index: int) -> Function:
    """Write a function of one of the shapes, its names and constants drawn, with calls that run."""
    shape = rng.choice(SHAPES)
    language = rng.choice(LANGUAGES)
    name, slots = rng.choice(shape.names[language]), _fill(shape, language, rng)
    slots["f"] = name
    annotated = rng.random() < ANNOTATED
    parameters = [
        f"{slots[gap]}: {KINDS[kind].annotation}" if annotated else slots[gap] for gap, kind in shape.arguments.items()
    ]
    doc = f'\n    """{shape.doc[language]}"""' if rng.random() < DOCUMENTED else ""
    source = Template(f"def {name}({', '.join(parameters)}):{doc}{shape.body}").substitute(slots)
    return Function(name, source, _calls(name, shape, language, rng), language)


class UserFunctions:
    """The user's functions, in turn by number: those in Python, or those in any language that can be drawn.

    Args:
        rows: Of the file.
        column: Holds sources.
        path: Of the file, for errors.
    """

    def __init__(self, rows: Any, column: str, path: Path) -> None:
        self.rows, self.column, self.path = rows, column, path

    def __call__(self, rng: Random, index: int) -> Function:
        """Give a function in Python.

        Raises:
            ValueError: There is none.
        """
        return self._usable(index, {"python": "python"})

    def any_language(self, rng: Random, index: int) -> Function:
        """Give a function in one of CodeSearchNet's languages.

        Raises:
            ValueError: There is none.
        """
        return self._usable(index, LANGUAGE_COLUMN)

    def _usable(self, index: int, languages: Mapping[str, CodeLanguage]) -> Function:
        for step in range(len(self.rows)):
            (row,) = self.rows[(index + step) % len(self.rows)].to_pylist()
            language = languages.get((row.get("language") or "python").lower())
            function = language and read_function(row[self.column] or "", language)
            if function:
                return function
        kind = "Python function" if len(languages) == 1 else f"function in {', '.join(languages)}"
        raise ValueError(f"{self.path}: none of its {len(self.rows)} rows is a {kind} of at most {MAX_LINES} lines")


def read_functions(path: Path) -> UserFunctions:
    """Open the user's functions: parquet as CodeSearchNet has it.

    One of the columns `COLUMNS` holds sources. A column `language` says what they are written in; without it, all are
    Python. What is no single function of at most 50 lines that can be drawn is passed over; the others take turns by
    number.

    Raises:
        ValueError: The file has no such column; when one is drawn: no function is usable.
    """
    from datasets import Dataset

    rows = Dataset.from_parquet(str(path)).with_format("arrow")
    columns = [column for column in COLUMNS if column in rows.column_names]
    if not columns:
        raise ValueError(f"{path}: needs a column {' or '.join(COLUMNS)}, has {', '.join(rows.column_names)}")
    return UserFunctions(rows, columns[0], path)


def read_function(source: str, language: CodeLanguage = "python") -> Function | None:
    r"""Read a function, and write it as it is drawn; None if it cannot be drawn, or is not one `def` that parses.

    Of other languages than Python, the words alone are read.

    >>> read_function("    def f(x):\n        return x").source
    'def f(x):\n    return x'
    >>> read_function("print(1)")
    """
    lines = textwrap.dedent(source.expandtabs(TAB)).strip("\n").split("\n")
    source = "\n".join(line.rstrip() for line in lines).rstrip("\n")
    try:
        check_drawable(source)
        if language != "python":
            read_code(source, language)
            return Function("", source, code=language)
    except RejectedError:
        return None
    return parse_function(source)


def parse_function(source: str) -> Function | None:
    """Parse a function as it is written; None if it is anything but one `def`."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # all that hostile source makes the parser raise
        return None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        return None
    return Function(body[0].name, source)


def statement(function: Function, call: str) -> str:
    r"""Write the line that shows what a call does: it prints what it returns, or calls what returns nothing.

    >>> statement(Function("f", "def f():\n    return 1"), "f()")
    'print(f())'
    """
    return f"print({call})" if _gives(ast.parse(function.source).body[0]) else call


def run_call(function: Function, call: str) -> str:
    """Give what a call prints.

    Raises:
        RejectedError: It fails, does not end, prints otherwise another time, or nothing, or too much.
    """
    (output,) = run_calls([(function, call)])
    if isinstance(output, RejectedError):
        raise output
    return output


def run_calls(pairs: Sequence[tuple[Function, str]], seeds: int = SEEDS) -> list[str | RejectedError]:
    """Give what each call prints, or why it is of no use; many run in one go, each with names of its own.

    Args:
        pairs: Functions, and calls of them.
        seeds: Hash seeds under which each must print the same; one will do for the seeded functions and calls.
    """
    programs = [f"{function.source}\n\n{statement(function, call)}" for function, call in pairs]
    return [
        output if isinstance(output, RejectedError) else _checked(output) for output in run_programs(programs, seeds)
    ]


def _gives(function: ast.AST) -> bool:
    """Tell whether a function returns or yields a value; functions in it do not count."""
    inner = [node for node in ast.iter_child_nodes(function) if not isinstance(node, ast.FunctionDef | ast.Lambda)]
    gives = any(isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value for node in inner)
    return gives or any(map(_gives, inner))


def _checked(output: str) -> str | RejectedError:
    """Give an output as a picture can show it, or say why it is of no use."""
    lines = [line.rstrip() for line in output.rstrip().split("\n")]
    shown = "\n".join(lines)
    if not shown:
        return RejectedError("a program prints nothing")
    if len(lines) > OUTPUT_LINES or len(shown) > OUTPUT_LETTERS or max(map(len, lines)) > MAX_LETTERS:
        return RejectedError(TOO_MUCH, f"{len(lines)} lines, {len(shown)} letters")
    if _ADDRESS.search(shown):
        return RejectedError("a program prints an address", shown[:200])
    return shown


def _fill(shape: FunctionShape, language: Language, rng: Random) -> dict[str, str]:
    """Draw names, all different, and constants for the gaps of a shape."""
    slots: dict[str, str] = {}
    gaps = [*shape.arguments, *Template(shape.doc[language] + shape.body).get_identifiers()]
    for gap in dict.fromkeys(gaps):
        if gap in CONSTANTS:
            slots[gap] = CONSTANTS[gap](rng)
        elif gap in WORDS:
            slots[gap] = rng.choice([word for word in WORDS[gap][language] if word not in slots.values()])
    return slots


def _calls(name: str, shape: FunctionShape, language: Language, rng: Random) -> tuple[str, ...]:
    """Draw calls, no two alike."""
    calls: dict[str, None] = {}
    while len(calls) < CALLS:
        arguments = [KINDS[kind].draw(rng, language) for kind in shape.arguments.values()]
        calls[f"{name}({', '.join(arguments)})"] = None
    return tuple(calls)
