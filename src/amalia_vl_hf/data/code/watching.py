"""Goes into the sandbox, in front of the programs that it runs there: counts their steps, and sees what a call does.

Programs are rewritten so that they say themselves where they are. Python's own tracing is not used: which lines it
names, above all in comprehensions, is something else in every version, and a dataset must not depend on the
interpreter.
"""

from __future__ import annotations

import ast
import builtins
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

TOO_LONG = 3  # exit code of a program that goes on after it was stopped

Seen = tuple[int, int, dict[str, str], str, str | None]  # depth, line, values, printed, returned


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
            code = compile(count_steps(ast.parse(program)), "program", "exec")
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
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
        return []
    watch = _Watch(most)
    names: dict[str, Any] = {"__name__": "__main__"}
    _Telling().tell(function)
    code = compile(ast.fix_missing_locations(tree), "function", "exec")
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
    for node in list(ast.walk(tree)):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                setattr(node, field, _with_hooks(body, lambda statement: _call("__tick__")))
        if isinstance(node, ast.comprehension):
            node.iter = _call("__ticks__", node.iter)
        elif isinstance(node, ast.Lambda):
            node.body = _second(_call("__tick__"), node.body)
    return ast.fix_missing_locations(tree)


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


class _Telling(ast.NodeTransformer):
    """Makes the statements of one function call the hooks of a watch; functions in it stay as they are."""

    def tell(self, function: ast.FunctionDef) -> None:
        function.body = [self.visit(statement) for statement in function.body]
        docstring = ast.get_docstring(function) is not None
        body = self._told(function.body[docstring:])
        end = ast.Expr(_call("__back__", ast.Constant(None)))
        function.body = [*function.body[:docstring], ast.Expr(_call("__enter__")), *body, end]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list) and body:
                setattr(node, field, self._told(body))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = _call("__each__", ast.Constant(node.lineno), node.iter)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        node.test = _second(_call("__at__", ast.Constant(node.lineno)), node.test)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        node.body = [ast.Expr(_call("__at__", ast.Constant(node.lineno))), *node.body]
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        node.value = _call("__back__", ast.Constant(node.lineno), node.value or ast.Constant(None))
        return node

    def _told(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Put a hook before each statement, but for those that have one of their own."""
        own = (ast.For, ast.While, ast.Try)
        return _with_hooks(
            body, lambda node: None if isinstance(node, own) else _call("__at__", ast.Constant(node.lineno))
        )


def _with_hooks(body: list[Any], hook: Callable[[ast.stmt], ast.expr | None]) -> list[Any]:
    """Put an expression before each statement; what has to stand first in its body does."""
    told: list[Any] = []
    for number, statement in enumerate(body):
        if not isinstance(statement, ast.stmt):  # handlers, cases
            return body
        first = number == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        expression = None if first or future else hook(statement)
        if expression is not None:
            told.append(ast.copy_location(ast.Expr(expression), statement))
        told.append(statement)
    return told


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _second(first: ast.expr, second: ast.expr) -> ast.expr:
    """Write an expression that works out two, and has the second one's value."""
    return ast.Subscript(ast.Tuple([first, second], ast.Load()), ast.Constant(1), ast.Load())
