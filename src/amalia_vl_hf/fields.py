"""Values of a recipe as YAML gives them, read as the types that its fields have."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message says every fault found."""


def read_fields(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Build a dataclass from plain values, nested ones too.

    Args:
        kind: The dataclass; its fields are `str`, `bool`, `int`, `float`, tuples, `Mapping[str, float]`, dataclasses,
            or one of these `| None`.
        values: As YAML gives them. It reads `1e-3` as text, so numbers may come as text.
        prefix: Of the keys' names in errors.

    Raises:
        RecipeError: Unknown key, wrong type or missing value, all faults at once; or what the dataclass itself raises.
    """
    known = {entry.name: entry for entry in fields(kind)}
    hints = get_type_hints(kind)
    names = [prefix + name for name in known]
    faults = [unknown("key", f"{prefix}{key}", names) for key in values if key not in known]
    faults += [
        f"{prefix}{name} is missing"
        for name, entry in known.items()
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING
    ]
    typed: dict[str, Any] = {}
    for name in [name for name in known if name in values]:
        try:
            typed[name] = _typed(prefix + name, values[name], hints[name])
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise RecipeError("; ".join(faults))
    return kind(**typed)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, which one may be meant, and which ones there are."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {name!r}{hint}; known: {', '.join(known)}"


def _typed(name: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return None if value is None else _typed(name, value, get_args(hint)[0])
    if get_origin(hint) is tuple:
        return _items(name, value, get_args(hint)[0])
    if get_origin(hint) is not None:  # a mapping
        if not isinstance(value, dict):
            raise ValueError(f"{name} must hold `name: number` lines, not {value!r}")
        return {str(key): _number(f"{name}.{key}", entry, float) for key, entry in value.items()}
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{name} must hold `key: value` lines, not {value!r}")
        return read_fields(hint, value, prefix=f"{name}.")  # type: ignore[arg-type]
    return _PLAIN[hint](name, value)


def _items(name: str, value: Any, hint: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, not {value!r}")
    return tuple(_typed(name, entry, hint) for entry in value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r}")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    wanted = "a whole number" if kind is int else "a number"
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (kind is int and isinstance(value, float))
    ):
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name} must be {wanted}, not {value!r}") from None


_PLAIN: Mapping[type, Callable[[str, Any], Any]] = {
    str: _text,
    bool: _truth,
    int: lambda name, value: _number(name, value, int),
    float: lambda name, value: _number(name, value, float),
}
