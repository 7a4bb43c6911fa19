"""What a call does line by line, seen by Python's own tracing in the sandbox, and told in sentences."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import NamedTuple

from ..languages import Language
from .functions import Function
from .program_runs import run_checked

MOST_STEPS = 24  # lines that a trace tells; one that takes more is not told
LONGEST = 80  # letters of a value

_SENTENCES: dict[Language, dict[str, str]] = {
    "pt": {
        "start": "A chamada `{call}` começa com {values}.",
        "changed": "Depois de `{line}`, temos {values}.",
        "taken": "`{line}` verifica-se.",
        "not taken": "`{line}` não se verifica.",
        "next": "`{line}` passa a {values}.",
        "over": "`{line}` chega ao fim.",
        "printed": "`{line}` escreve {values}.",
        "returned": "`{line}` devolve `{values}`.",
        "failed": "`{line}` falha, e o erro é apanhado.",
        "run": "Executa-se `{line}`.",
        "and": " e ",
    },
    "en": {
        "start": "The call `{call}` starts with {values}.",
        "changed": "After `{line}`, we have {values}.",
        "taken": "`{line}` holds.",
        "not taken": "`{line}` does not hold.",
        "next": "`{line}` moves on to {values}.",
        "over": "`{line}` is over.",
        "printed": "`{line}` prints {values}.",
        "returned": "`{line}` returns `{values}`.",
        "failed": "`{line}` fails, and the error is caught.",
        "run": "`{line}` runs.",
        "and": " and ",
    },
}


class Moment(NamedTuple):
    """A function about to run a line, or returning: the line's number, the values of its names, what it has printed.

    Args:
        line: From 1.
        values: As Python shows them, by name.
        printed: So far.
        returned: What it gives back, as Python shows it; None before the end.
    """

    line: int
    values: dict[str, str]
    printed: str
    returned: str | None


class Header(NamedTuple):
    """A line that leads somewhere, or gives names a value.

    Args:
        kind: Of statement.
        body: Lines that it leads to.
        names: That it gives a value.
    """

    kind: type[ast.stmt]
    body: range
    names: tuple[str, ...]


def tell_trace(function: Function, call: str, language: Language) -> str | None:
    """Tell what a seeded call does, line by line; None where that takes too many lines or too long a value.

    Raises:
        RejectedError: The call does not end well in the sandbox.
    """
    moments = trace_call(function, call)
    if moments is None:
        return None
    lines, headers = function.source.split("\n"), _headers(function.source)
    sentences = [_SENTENCES[language]["start"].format(call=call, values=_listed(moments[0].values, language))]
    for before, after in pairwise(moments):
        line = lines[before.line - 1].strip().removesuffix(":")
        if not line.startswith(("try", "except")):
            kind, values = _step(before, after, headers, language)
            if lines[after.line - 1].strip().startswith("except"):
                kind = "failed"
            sentences.append(_SENTENCES[language][kind].format(line=line, values=values))
    return "\n".join(sentences)


def trace_call(function: Function, call: str) -> list[Moment] | None:
    """List the moments of a seeded call; None if it calls itself, ends early, or is too long to tell.

    Raises:
        RejectedError: The call does not end well in the sandbox.
    """
    code = _TRACER.format(source=ascii(function.source), call=ascii(call), name=ascii(function.name))
    seen = ast.literal_eval(run_checked(code, seeds=1))
    if not seen or len(seen) > MOST_STEPS + 1 or seen[-1][3] is None:
        return None
    moments = [Moment(*moment) for moment in seen]
    longest = max(len(value) for moment in moments for value in (*moment.values.values(), moment.returned or ""))
    several = "\n" in moments[-1].printed.rstrip("\n")
    return None if longest > LONGEST or several else moments


# Runs in the sandbox. Sets are shown in order; functions and iterators, which have addresses, are not shown.
_TRACER = """\
import io, sys

seen, names, depth = [], {{"__name__": "__main__"}}, 0
real, sys.stdout = sys.stdout, io.StringIO()
exec(compile({source}, "function", "exec"), names)
code = names[{name}].__code__

def show(value):
    if isinstance(value, (set, frozenset)) and value:
        return "{{" + ", ".join(sorted(map(repr, value))) + "}}"
    return repr(value)

def values(frame):
    shown = {{name: show(value) for name, value in frame.f_locals.items() if name in code.co_varnames}}
    return {{name: value for name, value in shown.items() if " at 0x" not in value}}

def enter(frame, event, argument):
    global depth
    if frame.f_code is not code:
        return None
    depth += 1
    return step

def step(frame, event, argument):
    if event == "line":
        seen.append((frame.f_lineno, values(frame), sys.stdout.getvalue(), None))
    elif event == "return":
        seen.append((frame.f_lineno, values(frame), sys.stdout.getvalue(), show(argument)))
    return step

sys.settrace(enter)
eval({call}, names)
sys.settrace(None)
sys.stdout = real
print(ascii(seen if depth == 1 else []))
"""


def _headers(source: str) -> dict[int, Header]:
    """Find the lines that branch, loop or give names a value, by their numbers."""
    headers = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If | ast.While | ast.For):
            body = range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)
            headers[node.lineno] = Header(type(node), body, _names(node.target) if isinstance(node, ast.For) else ())
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = tuple(name for target in targets for name in _names(target))
            headers.setdefault(node.lineno, Header(type(node), range(0), names))
    return headers


def _names(target: ast.expr) -> tuple[str, ...]:
    return tuple(
        node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _step(before: Moment, after: Moment, headers: dict[int, Header], language: Language) -> tuple[str, str]:
    """Say what a line did, and to which values, from what holds just before it and just before the next."""
    header = headers.get(before.line, Header(ast.Expr, range(0), ()))
    inside = after.line in header.body and after.returned is None
    if header.kind in (ast.If, ast.While):
        return "taken" if inside else "not taken", ""
    if header.kind is ast.For and not inside:
        return "over", ""
    if after.returned is not None and after.line == before.line and after.returned != "None":
        return "returned", after.returned
    if len(after.printed) > len(before.printed):
        return "printed", f"`{after.printed[len(before.printed) :].rstrip()}`"
    shown = {
        name: value for name, value in after.values.items() if name in header.names or before.values.get(name) != value
    }
    if shown:
        return "next" if header.kind is ast.For else "changed", _listed(shown, language)
    return "run", ""


def _listed(values: dict[str, str], language: Language) -> str:
    """Write names with their values, the last after an "and"."""
    parts = [f"`{name} = {value}`" for name, value in values.items()]
    return _SENTENCES[language]["and"].join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
