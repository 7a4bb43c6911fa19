"""Strict, typed values: YAML files and `key=value` words, read as the types that a dataclass's fields have."""

from __future__ import annotations

import difflib
import math
import reprlib
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

RECIPES = Path(__file__).with_name("recipes")
INLINE = {"inline": True}  # metadata of a field whose dataclass has its keys beside those of the others
_MOST_FAULTS = 20  # listed in one error
_MOST_YAML = 2**16  # characters; the parser reads some 30,000 values a second
_MOST_KEYS = 1000  # of a mapping
_DEEPEST = 50  # brackets in one another; the parser takes a second for a thousand of them
_MOST_FILES = 10_000  # of a folder that a mistyped name is looked for in


class RecipeError(ValueError):
    """Values that cannot be followed; the message says every fault there is."""


def recipe_file(name: str | Path) -> Path:
    """Find a YAML file: the one of that path, or where there is none the recipe of the package of that name.

    An example: `recipe_file("amalia_vl/2_instruct")`; also with `.yaml`, or `recipes/` before it.

    Raises:
        FileNotFoundError: There is neither.
    """
    path, inside = Path(name), RECIPES / str(name).removeprefix("recipes/")
    for candidate in (path, inside, inside.with_name(f"{inside.name}.yaml")):
        if candidate.is_file():
            return candidate
    if path.exists():  # a pipe, or a folder, which whoever reads it refuses
        return path
    recipes = [file.relative_to(RECIPES).with_suffix("").as_posix() for file in sorted(RECIPES.glob("*/*.yaml"))]
    close = difflib.get_close_matches(str(name), recipes, n=1)
    known = [recipe for recipe in recipes if (RECIPES / recipe).parent == inside.parent]
    if close:
        raise FileNotFoundError(f"there is no {name}; did you mean {close[0]}?")
    raise FileNotFoundError(
        f"{missing(name)}; the package has {', '.join(known)}" if known else f"{missing(name)}, here or in the package"
    )


def missing(path: str | Path) -> str:
    """Say that a file is not there, and which of its folder may be meant."""
    path = Path(path)
    try:
        beside = [entry.name for entry in islice(path.parent.iterdir(), _MOST_FILES)]
    except OSError:
        return f"there is no {path}, nor a folder {path.parent}"
    close = difflib.get_close_matches(path.name, beside, n=1)
    return f"there is no {path}" + (f" (did you mean {path.parent / close[0]}?)" if close else "")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a file of `key: value` lines, by its path or by the name that a recipe of the package has.

    Raises:
        RecipeError: It is no YAML, with line and column; a key stands twice; or it is one value or list.
        FileNotFoundError: There is no such file.
    """
    try:
        values = parse_yaml(recipe_file(path).read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one as well
        raise RecipeError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must consist of `key: value` lines, not of one {type(values).__name__}")
    return values


def parse_yaml(text: str) -> Any:
    """Read a text as YAML, a key of a mapping once.

    Raises:
        RecipeError: It is none; the message says at which line and column.
    """
    if len(text) > _MOST_YAML:
        raise RecipeError(f"{len(text)} characters, more than the {_MOST_YAML} that people write; is it another file?")
    try:
        return _UniqueKeys(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise RecipeError(": ".join(filter(None, (error.context, error.problem))) + place) from error
    except (yaml.YAMLError, ValueError) as error:  # a control character; a day or a number that cannot be
        raise RecipeError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise RecipeError("lists or mappings in one another by the hundred") from error


class _UniqueKeys(yaml.SafeLoader):
    """YAML's own loader takes the last value of a key that stands twice."""

    def fetch_flow_collection_start(self, token_class: type[yaml.Token]) -> None:
        if self.flow_level >= _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_DEEPEST} brackets in one another", problem_mark=self.get_mark()
            )
        super().fetch_flow_collection_start(token_class)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:  # merges of merges grow tenfold each
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST_KEYS} keys", problem_mark=node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {shown(key.value)} stands twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def override(values: dict[str, Any], word: str) -> None:
    """Put the value of a word `key=value` in the place of another one; keys of nested values are dotted.

    Raises:
        RecipeError: The word has another form, its value is no YAML, or its key leads into a single value.
    """
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {word!r} is not of the form key=value")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise RecipeError(f"override {word!r}: {parent} holds one value, not several")
    try:
        values[last] = parse_yaml(text)
    except RecipeError as error:
        raise RecipeError(f"override {word!r}: {error}") from error


def read_fields(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Build a dataclass from plain values, nested ones too.

    Args:
        kind: The dataclass; its fields are `str`, `bool`, `int`, `float`, tuples, mappings from `str`, dataclasses,
            `Any`, or one of these `| None`.
        values: As YAML gives them. It reads `1e-3` as text, so numbers with a fraction may come as text.
        prefix: Of the keys' names in errors.

    Raises:
        RecipeError: Unknown key, wrong type, missing value or a number that is not finite, all faults at once; or what
            the dataclass itself raises.
    """
    known, hints = {entry.name: entry for entry in fields(kind)}, get_type_hints(kind)
    inline = {name: [part.name for part in fields(hints[name])] for name in known if known[name].metadata == INLINE}
    for name, keys in inline.items():
        inner = {key: values[key] for key in values if key in keys}
        values = {**{key: values[key] for key in values if key not in keys}, name: inner}
    names = [prefix + part for name in known for part in inline.get(name, [name])]
    faults = [unknown("key", f"{prefix}{key}", names) for key in values if key not in known]
    faults += [
        f"{prefix}{name} is missing"
        for name, entry in known.items()
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING
    ]
    typed: dict[str, Any] = {}
    for name in [name for name in known if name in values]:
        try:
            if name in inline:
                typed[name] = read_fields(hints[name], values[name], prefix)
            else:
                typed[name] = _typed(prefix + name, values[name], hints[name])
        except ValueError as error:
            faults.append(str(error))
    if faults:
        rest = [f"and {len(faults) - _MOST_FAULTS} more faults"] if len(faults) > _MOST_FAULTS else []
        raise RecipeError("; ".join(faults[:_MOST_FAULTS] + rest))
    return kind(**typed)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, which one may be meant, and which ones there are."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {shown(name)}{hint}; known: {', '.join(known)}"


def printable(text: str) -> str:
    """Replace what could command a terminal, in a line that may hold a stranger's words."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, most: int = 4000) -> str:
    """Leave the middle of a long text out: an error may quote a stranger's value of any length."""
    left = len(text) - most
    return text if left <= 0 else f"{text[: most // 2]} [... {left} characters ...] {text[-most // 2 :]}"


def shown(value: Any) -> str:
    """Write a value for an error: in one line, and no longer than a line is, however much it holds."""
    short = reprlib.Repr()
    short.maxstring, short.maxother, short.maxlevel = 100, 100, 2
    return short.repr(value)


def _typed(name: str, value: Any, hint: Any) -> Any:
    if hint is Any:
        return value
    kind = get_origin(hint)
    if kind in (Union, types.UnionType):
        return None if value is None else _typed(name, value, get_args(hint)[0])
    if kind is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, not {shown(value)}")
        labels = [entry.get("name", place) if isinstance(entry, dict) else place for place, entry in enumerate(value)]
        pairs = zip(labels, value, strict=True)
        return tuple(_typed(f"{name}[{label}]", entry, get_args(hint)[0]) for label, entry in pairs)
    if kind is not None or is_dataclass(hint):  # a mapping
        if not isinstance(value, dict):
            what = "key: value" if is_dataclass(hint) else f"name: {_WORDS.get(get_args(hint)[1], 'value')}"
            raise ValueError(f"{name} must hold `{what}` lines, not {shown(value)}")
        if is_dataclass(hint):
            return _nested(name, value, hint)  # type: ignore[arg-type]
        return {str(key): _typed(f"{name}.{key}", entry, get_args(hint)[1]) for key, entry in value.items()}
    return _PLAIN[hint](name, value)


def _nested(name: str, value: Mapping[str, Any], kind: type) -> Any:
    try:
        return read_fields(kind, value, prefix=f"{name}.")
    except RecipeError:
        raise
    except ValueError as error:  # of the dataclass itself, which does not know what it is here
        raise RecipeError(f"{name}: {error}") from error


def _exactly(kind: type[Any]) -> Callable[[str, Any], Any]:
    """Accept values of a type; `True` is an int of Python's, and none of ours."""

    def check(name: str, value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{name} must be {_WORDS[kind]}, not {shown(value)}")
        return value

    return check


def _number(name: str, value: Any) -> float:
    try:
        number = float(value) if type(value) in (int, float, str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, not {shown(value)}")
    return number


_WORDS: Mapping[type, str] = {str: "text", bool: "true or false", int: "a whole number", float: "number"}
_PLAIN: Mapping[type, Callable[[str, Any], Any]] = {
    **{kind: _exactly(kind) for kind in (str, bool, int)},
    float: _number,
}
