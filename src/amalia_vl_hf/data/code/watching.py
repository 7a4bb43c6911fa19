"""Goes into the sandbox, in front of the programs that it runs there: counts their steps, and sees what a call does.

Programs are rewritten so that they say themselves where they are. Python's own tracing is not used: which lines it
names, above all in comprehensions, is something else in every version, and a dataset must not depend on the
interpreter.
"""

from __future__ import annotations

import _ast as ast  # the nodes alone: `ast` and `typing` would take longer to import than most programs to run
import builtins
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

PARSE_ONLY = 0x400  # `ast.PyCF_ONLY_AST`
BODIES = ("body", "orelse", "finalbody")
TOO_LONG = 3  # exit code of a program that goes on after it was stopped

Seen = tuple[int, int, dict[str, str], str, "str | None"]  # depth, line, values, printed, returned


class EnoughError(BaseException):
    """A program has run for long enough; not an `Exception`, which programs catch."""


def run_all(programs: list[str], steps: int, most: int) -> list[str | int | None]:
    """Run programs, none of which sees another's names.

    Args:
        programs: Sources.
        steps: Statements and turns of a comprehension after which one is stopped.
        most: Letters of an output.

    Returns:
        What each prints, its length where that is over `most`, None where it fails or does not end.
    """
    real = sys.stdout
    outputs: list[str | int | None] = []
    for program in programs:
        sys.stdout = stream = io.StringIO()
        try:
            code = compile(count_steps(_parse(program)), "program", "exec")
            _start_counting(steps)
            exec(code, {"__name__": "__main__"})  # noqa: S102  # inside the sandbox
        except BaseException:
            outputs.append(None)
        else:
            output = stream.getvalue()
            outputs.append(output if len(output) <= most else len(output))
        finally:
            sys.stdout = real
    return outputs


def watch_call(source: str, name: str, call: str, most: int) -> list[Seen]:
    """See what a call of a function does; nothing where it takes over `most` moments, or the function yields.

    A moment is before a statement runs, with the values of the function's names at that time and what was printed so
    far; the last one of a call has what it returns, too.
    """
    tree = _parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _walk(function)):
        return []
    watch = _Watch(most)
    names: dict[str, Any] = {"__name__": "__main__"}
    _tell(function)
    code = compile(tree, "function", "exec")
    for hook in ("at", "each", "back", "enter"):
        setattr(builtins, f"__{hook}__", getattr(watch, hook))
    real, sys.stdout = sys.stdout, watch.stream
    try:
        exec(code, names)  # noqa: S102  # inside the sandbox
        watch.known = frozenset(names[name].__code__.co_varnames)
        eval(call, names)  # noqa: S307
    except EnoughError:
        return []
    finally:
        sys.stdout = real
    return watch.seen


def show(value: Any) -> str:
    """Write a value; sets in order, whatever the hash seed."""
    if isinstance(value, set | frozenset) and value:
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return repr(value)


def count_steps(tree: ast.Module) -> ast.Module:
    """Make every statement, lambda and turn of a comprehension call `__tick__` first."""
    for node in list(_walk(tree)):
        for field in BODIES:
            body = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, _with_hooks(body, lambda statement: _call("__tick__", statement.lineno)))
        if isinstance(node, ast.comprehension):
            node.iter = _call("__ticks__", node.iter.lineno, node.iter)
        elif isinstance(node, ast.Lambda):
            node.body = _second(_call("__tick__", node.lineno), node.body)
    return tree


def _start_counting(steps: int) -> None:
    left = steps

    def tick() -> None:
        nonlocal left
        left -= 1
        if left < -steps:  # it catches everything, and goes on
            os._exit(TOO_LONG)
        if left < 0:
            raise EnoughError

    def ticks(values: Any) -> Iterator[Any]:
        for value in values:
            tick()
            yield value

    builtins.__tick__, builtins.__ticks__ = tick, ticks  # type: ignore[attr-defined]


class _Watch:
    """What the function's hooks write down."""

    def __init__(self, most: int) -> None:
        self.most, self.known = most, frozenset[str]()
        self.frames: list[Any] = []
        self.seen: list[Seen] = []
        self.stream = io.StringIO()

    def enter(self) -> None:
        self.frames.append(sys._getframe(1))

    def at(self, line: int) -> None:
        self._add(line, sys._getframe(1), None)

    def each(self, line: int, values: Any) -> Iterator[Any]:
        iterator = iter(values)
        while True:
            self._add(line, sys._getframe(1), None)
            try:
                value = next(iterator)
            except StopIteration:
                return
            yield value

    def back(self, line: int | None, value: Any = None) -> Any:
        frame = sys._getframe(1)
        self._leave_inner(frame)
        last = next(moment[1] for moment in reversed(self.seen) if moment[0] == len(self.frames))
        self._add(line or last, frame, show(value))
        return value

    def _leave_inner(self, frame: Any) -> None:
        """Drop the calls that are over, those that an error ended, too."""
        while self.frames[-1] is not frame:
            self.frames.pop()

    def _add(self, line: int, frame: Any, returned: str | None) -> None:
        if len(self.seen) == self.most:
            raise EnoughError
        self._leave_inner(frame)
        shown = {name: show(value) for name, value in frame.f_locals.items() if name in self.known}
        values = {name: value for name, value in shown.items() if " at 0x" not in value}  # functions and iterators
        self.seen.append((len(self.frames), line, values, self.stream.getvalue(), returned))


def _tell(function: ast.FunctionDef) -> None:
    """Make the statements of one function call the hooks of a watch; functions in it stay as they are."""
    docstring = _is_text(function.body[0])
    last = function.end_lineno or 0
    body = _told(function.body[docstring:])
    ends = [
        _expression(_call("__enter__", last), last),
        *body,
        _expression(_call("__back__", last, _value(None, last)), last),
    ]
    function.body = [*function.body[:docstring], *ends]


def _told(body: list[Any]) -> list[Any]:
    """Put a hook before each statement, and tell what stands in it."""
    told: list[Any] = []
    for statement in body:
        line = statement.lineno
        here = _call("__at__", line, _value(line, line))
        if isinstance(statement, ast.For):
            statement.iter = _call("__each__", line, _value(line, line), statement.iter)
        elif isinstance(statement, ast.While):
            statement.test = _second(here, statement.test)
        elif not isinstance(statement, ast.Try):
            told.append(_expression(here, line))
        if isinstance(statement, ast.Return):
            given = statement.value or _value(None, line)
            statement.value = _call("__back__", line, _value(line, line), given)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _tell_inside(statement)
        told.append(statement)
    return told


def _tell_inside(statement: Any) -> None:
    """Tell the statements that stand in one: of branches, loops, handlers and cases."""
    for field in BODIES:
        body = getattr(statement, field, None)
        if isinstance(body, list) and body:
            setattr(statement, field, _told(body))
    for handler in getattr(statement, "handlers", ()):
        line = handler.lineno
        handler.body = [_expression(_call("__at__", line, _value(line, line)), line), *_told(handler.body)]
    for case in getattr(statement, "cases", ()):
        case.body = _told(case.body)


def _with_hooks(body: list[Any], hook: Callable[[Any], Any]) -> list[Any]:
    """Put an expression before each statement; what has to stand first in its body does."""
    told: list[Any] = []
    for number, statement in enumerate(body):
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not future and not (number == 0 and _is_text(statement)):
            told.append(_expression(hook(statement), statement.lineno))
        told.append(statement)
    return told


def _parse(source: str) -> Any:
    return compile(source, "program", "exec", PARSE_ONLY)


def _walk(node: ast.AST) -> Iterator[Any]:
    """Give a node and all in it, those further out first."""
    waiting = [node]
    while waiting:
        node = waiting.pop(0)
        yield node
        for field in node._fields:
            inner = getattr(node, field, None)
            waiting += [part for part in (inner if isinstance(inner, list) else [inner]) if isinstance(part, ast.AST)]


def _is_text(statement: Any) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _call(name: str, line: int, *arguments: Any) -> Any:
    return _placed(ast.Call(_placed(ast.Name(name, ast.Load()), line), list(arguments), []), line)


def _value(value: Any, line: int) -> Any:
    return _placed(ast.Constant(value), line)


def _expression(value: Any, line: int) -> Any:
    return _placed(ast.Expr(value), line)


def _second(first: Any, second: Any) -> Any:
    """Write an expression that works out two, and has the second one's value."""
    both = _placed(ast.Tuple([first, second], ast.Load()), first.lineno)
    return _placed(ast.Subscript(both, _value(1, first.lineno), ast.Load()), first.lineno)


def _placed(node: Any, line: int) -> Any:
    """Say where a node stands, which the compiler asks for."""
    node.lineno = node.end_lineno = line
    node.col_offset = node.end_col_offset = 0
    return node
