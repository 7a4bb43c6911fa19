"""Holds an adapter's targets against the model: one that matches nothing would train less than asked, silently."""

import re
from collections.abc import Iterable
from typing import Any

# What may follow a group's opening bracket and belongs to all of its alternatives.
_GROUP_KIND = re.compile(r"\?(?:P<\w+>|<?[=!]|>|[a-zA-Z-]*:)")


def require_targets(config: Any, names: Iterable[str]) -> None:
    """Refuse an adapter of which a target matches no module.

    PEFT refuses only what matches nothing as a whole. Here each entry of a list must match, each alternative of an
    expression, and each entry of `modules_to_save`.

    Args:
        config: A `PeftConfig` of an adapter to be trained; what was trained before is held against its weights.
        names: Names of the model's modules.

    Raises:
        ValueError: A target matches no module.
    """
    if getattr(config, "inference_mode", False):
        return
    modules = list(names)
    targets = getattr(config, "target_modules", None) or ()
    if isinstance(targets, str):
        idle = [one for one in _alternatives(targets) if not any(re.fullmatch(one, name) for name in modules)]
    else:
        idle = [target for target in targets if not _is_named(target, modules)]
    idle += [f"{one} (modules_to_save)" for one in config.modules_to_save or () if not _is_named(one, modules)]
    if idle:
        children = sorted({".".join(name.split(".")[:2]) for name in modules if name.startswith("model.")})
        raise ValueError(
            f"targets of the adapter that match no module: {', '.join(sorted(idle))}; it would train less than asked. "
            f"The model has {', '.join(children)}"
        )


def _is_named(target: str, modules: Iterable[str]) -> bool:
    return any(f".{name}".endswith(f".{target}") for name in modules)


def _alternatives(expression: str) -> list[str]:
    """List the expression with one alternative left of each alternation in turn; itself alone where there is none."""
    branches, groups = _parts(expression)
    if len(branches) > 1:
        return [one for branch in branches for one in _alternatives(branch)]
    listed: list[str] = []
    for start, end in groups:
        inner = _alternatives(expression[start:end])
        if len(inner) > 1:
            listed += [expression[:start] + one + expression[end:] for one in inner]
    return listed or [expression]


def _parts(expression: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Split at the outermost bars, and give where the contents of the outermost groups begin and end."""
    branches, groups = [], []
    begin = start = depth = 0
    for token in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[(|)]", expression, re.DOTALL):  # escapes, classes
        if token[0] == "(":
            if depth == 0:
                kind = _GROUP_KIND.match(expression, token.end())
                start = kind.end() if kind else token.end()
            depth += 1
        elif token[0] == ")":
            depth -= 1
            if depth == 0:
                groups.append((start, token.start()))
        elif token[0] == "|" and depth == 0:
            branches.append(expression[begin : token.start()])
            begin = token.end()
    return [*branches, expression[begin:]], groups


__all__ = ["require_targets"]
