"""What a call does line by line, as the function itself says it in the sandbox, told in sentences.

A comprehension is one step; a call of the function by itself is told where it happens; of a long run, the first
steps and the last.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from ..languages import Language
from .functions import Function
from .program_runs import run_watching

MOST_STEPS = 24  # sentences of a trace; one that takes more has `FIRST` and `LAST`, and what lies between in one
FIRST, LAST = 12, 9
MOST_MOMENTS = 400  # of a call that is told
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
        "called": "`{line}` chama `{call}`, que começa com {values}.",
        "resumed": "De volta a `{call}`: {sentence}",
        "left out": "Seguem-se mais {count} passos do mesmo género, ao fim dos quais temos {values}.",
        "and": " e ",
        "nothing": "nenhum valor",
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
        "called": "`{line}` calls `{call}`, which starts with {values}.",
        "resumed": "Back in `{call}`: {sentence}",
        "left out": "{count} more steps of the same kind follow, after which we have {values}.",
        "and": " and ",
        "nothing": "no values",
    },
}


class Moment(NamedTuple):
    """A function about to run a line, or returning.

    Args:
        depth: Of the call, from 1; a call that the function makes of itself is one deeper.
        line: From 1.
        values: Of its names, as Python shows them.
        printed: So far.
        returned: What it gives back, as Python shows it; None before the end.
    """

    depth: int
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
    """Tell what a seeded call does, line by line; None where that takes too long, or has too long a value.

    Raises:
        RejectedError: The call does not end well in the sandbox.
    """
    moments = trace_call(function, call)
    if moments is None:
        return None
    wording = _SENTENCES[language]
    sentences = [wording["start"].format(call=call, values=_listed(moments[0].values, language))]
    steps = _tell_steps(function, call, moments, language)
    if len(steps) > MOST_STEPS:
        (_, known), count = steps[-LAST - 1], len(steps) - FIRST - LAST
        between = wording["left out"].format(count=count, values=_listed(known, language))
        steps = [*steps[:FIRST], (between, known), *steps[-LAST:]]
    return "\n".join([*sentences, *(sentence for sentence, _ in steps)])


def trace_call(function: Function, call: str) -> list[Moment] | None:
    """List the moments of a seeded call; None if it yields, is too long to tell, or has a value that is.

    Raises:
        RejectedError: The call does not end well in the sandbox.
    """
    arguments = ", ".join(map(ascii, (function.source, function.name, call, MOST_MOMENTS)))
    seen = ast.literal_eval(run_watching(f"print(ascii(watch_call({arguments})))", seeds=1))
    if not seen:
        return None
    moments = [Moment(*moment) for moment in seen]
    longest = max(len(value) for moment in moments for value in (*moment.values.values(), moment.returned or ""))
    several = "\n" in moments[-1].printed.rstrip("\n")
    return None if longest > LONGEST or several else moments


class OpenCall(NamedTuple):
    """A call that is not over: how it is written, where it is, and whether it has made a call of its own there."""

    call: str
    moment: Moment
    left: bool = False


def _tell_steps(
    function: Function, call: str, moments: list[Moment], language: Language
) -> list[tuple[str, dict[str, str]]]:
    """Tell each step in a sentence, with the values after it."""
    wording, lines, headers = _SENTENCES[language], function.source.split("\n"), _headers(function.source)
    (definition,) = ast.parse(function.source).body
    parameters = [
        argument.arg for argument in ast.walk(getattr(definition, "args", definition)) if isinstance(argument, ast.arg)
    ]
    stack, steps = [OpenCall(call, moments[0])], []
    for moment in moments[1:]:
        del stack[moment.depth :]  # calls that an error ended
        top = stack[-1]
        line = _line(lines, top.moment.line)
        if moment.depth > len(stack):
            stack[-1] = top._replace(left=True)
            arguments = ", ".join(moment.values[name] for name in parameters if name in moment.values)
            stack.append(OpenCall(f"{function.name}({arguments})", moment))
            values = _listed(moment.values, language)
            steps.append((wording["called"].format(line=line, call=stack[-1].call, values=values), moment.values))
            continue
        if not line.startswith(("try", "except")):
            kind, values = _step(top.moment, moment, headers, language)
            if _line(lines, moment.line).startswith("except"):
                kind = "failed"
            sentence = wording[kind].format(line=line, values=values)
            if top.left:
                sentence = wording["resumed"].format(call=top.call, sentence=sentence)
            steps.append((sentence, moment.values))
        if moment.returned is None:
            stack[-1] = OpenCall(top.call, moment)
        else:
            stack.pop()
    return steps


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1].strip().removesuffix(":")


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
    if not values:
        return _SENTENCES[language]["nothing"]
    parts = [f"`{name} = {value}`" for name, value in values.items()]
    return _SENTENCES[language]["and"].join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
