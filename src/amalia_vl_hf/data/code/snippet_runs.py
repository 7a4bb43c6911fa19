"""What short programs print, and what they would print if something small were different: run in the sandbox.

A program is parsed and held to a short list of what it may import and call before it runs; the sandbox is what makes
running it safe.
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..dataset import RejectedError
from .program_runs import SEEDS, TOO_MUCH, run_programs, run_script
from .snippets import MAX_LINES

MODULES = frozenset({"math", "string", "collections", "itertools", "functools", "statistics", "textwrap", "operator"})
# Input, code from text, and what is not the same in every run.
BANNED = frozenset({
    "input", "open", "exec", "eval", "compile", "__import__", "breakpoint", "exit", "quit", "help", "globals",
    "locals", "vars", "id", "hash",
})  # fmt: skip
MUTANTS = 12  # at most, of one program
MAX_OUTPUT = 240  # letters
MAX_OUTPUT_LINES = 12
LONGEST_LINE = 100  # letters of the source; what a picture can show
_FENCE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


def read_answer(text: str) -> str:
    """Take the program out of a model's answer: one fenced block and nothing else.

    Raises:
        RejectedError: The answer is anything else, or the program is not as it was asked for.
    """
    match = _FENCE.fullmatch(text.strip())
    if match is None or "```" in match[1]:
        raise RejectedError("the answer is not one block of Python", text[:80])
    source = match[1].rstrip()
    check_snippet(source)
    return source


def check_snippet(source: str) -> None:
    """Hold a program to what the dataset shows: short, printing, and without input or state of the machine.

    Raises:
        RejectedError: It is not so.
    """
    lines = source.splitlines()
    if not 1 <= len(lines) <= MAX_LINES:
        raise RejectedError(f"the program has over {MAX_LINES} lines or none", str(len(lines)))
    if max(map(len, lines)) > LONGEST_LINE or not "".join(lines).isprintable():
        raise RejectedError("a line of the program cannot be drawn", max(lines, key=len)[:LONGEST_LINE])
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RejectedError("the program is no Python", str(error)) from error
    if imported := sorted(_imported(tree) - MODULES):
        raise RejectedError("the program imports what it must not", ", ".join(imported))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if banned := sorted(names & BANNED):
        raise RejectedError("the program calls what it must not", ", ".join(banned))
    if any(isinstance(node, ast.Attribute) and node.attr.startswith("__") for node in ast.walk(tree)):
        raise RejectedError("the program calls what it must not", "a double underscore")
    if not any(isinstance(node, ast.Call) and ast.unparse(node.func) == "print" for node in ast.walk(tree)):
        raise RejectedError("the program does not print")


def output_of(source: str, seeds: int = SEEDS) -> str:
    """Run a program; gives what it prints, without the last line break.

    Raises:
        RejectedError: It fails, does not end, prints nothing or too much, or prints something else under another hash
            seed.
    """
    return checked_output(run_script(source, seeds))


def checked_output(stdout: str) -> str:
    """Hold an output to what a question can show.

    Raises:
        RejectedError: It is empty, too long, or has marks that cannot be seen.
    """
    output = "\n".join(line.rstrip() for line in stdout.rstrip().split("\n"))
    if not output.strip():
        raise RejectedError("the program prints nothing that can be seen")
    if len(output) > MAX_OUTPUT or output.count("\n") >= MAX_OUTPUT_LINES:
        raise RejectedError(TOO_MUCH, f"{len(output)} letters")
    if not output.replace("\n", "").isprintable() or "`" in output or output[0].isspace():
        raise RejectedError("the output cannot be shown", repr(output[:LONGEST_LINE]))
    return output


def outputs_of(sources: Sequence[str], seeds: int = 1) -> list[str | None]:
    """Run programs; gives what each prints, as `output_of` does, and None where that would reject the program."""
    return [None if isinstance(output, RejectedError) else _shown(output) for output in run_programs(sources, seeds)]


def mutate(source: str, rng: random.Random) -> list[str]:
    """Write programs that differ in one number, sign or comparison: mistakes that a reader makes."""
    tree = ast.parse(source)
    count = sum(1 for _ in _changes(tree))
    chosen = sorted(rng.sample(range(count), min(count, MUTANTS)))
    mutants = []
    for place in chosen:
        changed = copy.deepcopy(tree)
        for number, change in enumerate(_changes(changed)):
            if number == place:
                change()
                break
        mutants.append(ast.unparse(ast.fix_missing_locations(changed)))
    return [mutant for mutant in dict.fromkeys(mutants) if mutant != ast.unparse(tree)]


# What a sign is taken for.
_SIGNS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv,
    ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def _changes(tree: ast.AST) -> Iterator[Callable[[], None]]:
    """List the small changes of a program, in an order that is always the same."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield partial(setattr, node, "value", node.value + 1)
            if node.value > 0:
                yield partial(setattr, node, "value", node.value - 1)
        elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _SIGNS:
            yield partial(setattr, node, "op", _SIGNS[type(node.op)]())
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SIGNS:
            yield partial(setattr, node, "ops", [_SIGNS[type(node.ops[0])](), *node.ops[1:]])


def _shown(stdout: str) -> str | None:
    try:
        return checked_output(stdout)
    except RejectedError:
        return None


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names
