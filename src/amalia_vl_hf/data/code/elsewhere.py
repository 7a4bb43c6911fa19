"""Seeded functions in the languages that CodeSearchNet has beside Python, to be read, not run: `elsewhere.txt`.

They are written as such code is: doc comments before a part of them, names in the language's own manner, words of
their texts in Portuguese or in English.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from random import Random
from string import Template
from typing import NamedTuple, cast

from ..languages import LANGUAGES, Language
from .code_pictures import CodeLanguage
from .function_words import CONSTANTS, WORDS, Options
from .functions import DOCUMENTED, Function, write_function

SHAPES = Path(__file__).with_name("elsewhere.txt")
PYTHON = 0.3  # of the functions; the other five languages are as likely each
MORE_WORDS: dict[str, Options] = {
    "path": {"pt": ("caminho", "ficheiro"), "en": ("path", "file")},
    "price": {"pt": ("preco", "custo"), "en": ("price", "cost")},
}
# A comment before a function, as each language has it.
_COMMENTS: dict[CodeLanguage, str] = {
    "java": "/**\n * {doc}\n */\n",
    "javascript": "/**\n * {doc}\n */\n",
    "php": "/**\n * {doc}\n */\n",
    "ruby": "# {doc}\n",
    "go": "// {name} {doc}\n",
}
_EITHER = re.compile(r"\[\[([^|\]]*)\|([^\]]*)\]\]")


class ForeignShape(NamedTuple):
    """A function with gaps.

    Args:
        code: Its language.
        names: What it may be called.
        doc: What it does.
        body: All of it but the comment before it, in both languages.
    """

    code: CodeLanguage
    names: Options
    doc: dict[Language, str]
    body: str


def write_any_function(rng: Random, index: int) -> Function:
    """Write a function in one of CodeSearchNet's six languages."""
    if rng.random() < PYTHON:
        return write_function(rng, index)
    code = rng.choice(sorted(_COMMENTS))
    shape = rng.choice([shape for shape in foreign_shapes() if shape.code == code])
    return write_foreign(shape, rng.choice(LANGUAGES), rng)


def write_foreign(shape: ForeignShape, language: Language, rng: Random) -> Function:
    """Fill a shape's gaps, the names of one function all different."""
    name = rng.choice(shape.names[language])
    text = _EITHER.sub(lambda either: either[LANGUAGES.index(language) + 1], shape.body)
    if rng.random() < DOCUMENTED:
        text = _COMMENTS[shape.code].format(name="$f", doc=shape.doc[language]) + text
    slots = {"f": name}
    for gap in dict.fromkeys(Template(text).get_identifiers()):
        if gap in CONSTANTS:
            slots[gap] = CONSTANTS[gap](rng)
        elif gap != "f":
            words = {**WORDS, **MORE_WORDS}[gap][language]
            slots[gap] = rng.choice([word for word in words if word not in slots.values()])
    return Function(name, Template(text).substitute(slots), (), language, shape.code)


@lru_cache(maxsize=1)
def foreign_shapes() -> tuple[ForeignShape, ...]:
    """Read the shapes."""
    _, *blocks = SHAPES.read_text(encoding="utf-8").split("\n== ")
    return tuple(_shape(*block.split("\n", 1)) for block in blocks)


def _shape(head: str, body: str) -> ForeignShape:
    code, _, rest = head.partition(" ")
    names, docs = ([part.strip() for part in half.split(" | ")] for half in rest.split(" :: "))
    own: Options = {language: tuple(words.split()) for language, words in zip(LANGUAGES, names, strict=True)}
    return ForeignShape(cast(CodeLanguage, code), own, dict(zip(LANGUAGES, docs, strict=True)), body.rstrip("\n"))
