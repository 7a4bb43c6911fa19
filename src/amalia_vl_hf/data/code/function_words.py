"""What fills the gaps of the seeded functions: names, constants and arguments, in Portuguese and in English."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ..languages import Language

Options = dict[Language, tuple[str, ...]]


class ArgumentKind(NamedTuple):
    """A kind of argument: how it is annotated, and how one is drawn, as Python writes it."""

    annotation: str
    draw: Callable[[Random, Language], str]


THINGS: Options = {
    "pt": ("maçã", "pera", "limão", "figo", "romã", "pão", "queijo", "café", "chá", "mel", "arroz", "noz"),
    "en": ("apple", "pear", "lemon", "fig", "plum", "bread", "cheese", "coffee", "tea", "honey", "rice", "nut"),
}
SENTENCES: Options = {
    "pt": (
        "a chuva cai devagar", "o gato dorme no muro", "quem tudo quer tudo perde", "hoje há sopa de peixe",
        "o comboio parte cedo", "amanhã vamos à praia", "devagar se vai ao longe", "o mar está calmo",
    ),
    "en": (
        "the rain falls slowly", "a cat sleeps on the wall", "well begun is half done", "there is fish soup today",
        "the train leaves early", "we go to the beach", "slow and steady wins", "the sea is calm",
    ),
}  # fmt: skip


def _list(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def _integers(rng: Random, language: Language) -> str:
    return _list([str(rng.randint(-9, 30)) for _ in range(rng.randint(3, 7))])


def _things(rng: Random, language: Language) -> str:
    return _list([f'"{rng.choice(THINGS[language])}"' for _ in range(rng.randint(3, 5))])


def _stock(rng: Random, language: Language) -> str:
    chosen = rng.sample(THINGS[language], rng.randint(2, 4))
    return "{" + ", ".join(f'"{thing}": {rng.randint(1, 20)}' for thing in chosen) + "}"


def _matrix(rng: Random, language: Language) -> str:
    side = rng.randint(2, 3)
    return _list([_list([str(rng.randint(0, 12)) for _ in range(side)]) for _ in range(side)])


def _prices(rng: Random, language: Language) -> str:
    return _list([f"{rng.randint(1, 40)}.{rng.choice(('25', '5', '75'))}" for _ in range(rng.randint(2, 4))])


def _brackets(rng: Random, language: Language) -> str:
    return f'"{"".join(rng.choice("()[]a") for _ in range(2))}{rng.choice(("()", "[()]", "(]", "([])", "(()"))}"'


def _repeats(rng: Random, language: Language) -> str:
    return f'"{"".join(rng.choice("abcxyz") * rng.randint(1, 4) for _ in range(rng.randint(2, 5)))}"'


def _mixed(rng: Random, language: Language) -> str:
    parts = [rng.choice((str(rng.randint(1, 99)), rng.choice(THINGS[language]))) for _ in range(rng.randint(3, 5))]
    return f'"{" ".join(parts)}"'


KINDS = {
    "integers": ArgumentKind("list[int]", _integers),
    "things": ArgumentKind("list[str]", _things),
    "stock": ArgumentKind("dict[str, int]", _stock),
    "matrix": ArgumentKind("list[list[int]]", _matrix),
    "prices": ArgumentKind("list[float]", _prices),
    "sentence": ArgumentKind("str", lambda rng, language: f'"{rng.choice(SENTENCES[language])}"'),
    "thing": ArgumentKind("str", lambda rng, language: f'"{rng.choice(THINGS[language])}"'),
    "brackets": ArgumentKind("str", _brackets),
    "mixed": ArgumentKind("str", _mixed),
    "repeats": ArgumentKind("str", _repeats),
    "few": ArgumentKind("int", lambda rng, language: str(rng.randint(2, 6))),
    "some": ArgumentKind("int", lambda rng, language: str(rng.randint(0, 40))),
    "number": ArgumentKind("int", lambda rng, language: str(rng.randint(12, 9999))),
}

CONSTANTS: dict[str, Callable[[Random], str]] = {
    "k": lambda rng: str(rng.randint(2, 5)),
    "n": lambda rng: str(rng.randint(6, 12)),
    "m": lambda rng: str(rng.randint(3, 9)),
    "mark": lambda rng: rng.choice("-+*/:_#"),
    "step": lambda rng: str(rng.choice((1, 2, 3))),
}

WORDS: dict[str, Options] = {
    "values": {"pt": ("valores", "numeros", "lista"), "en": ("values", "numbers", "items")},
    "value": {"pt": ("valor", "numero", "x"), "en": ("value", "number", "x")},
    "words": {"pt": ("palavras", "nomes", "textos"), "en": ("words", "names", "texts")},
    "word": {"pt": ("palavra", "nome", "termo"), "en": ("word", "name", "term")},
    "text": {"pt": ("texto", "frase"), "en": ("text", "sentence")},
    "letter": {"pt": ("letra", "c"), "en": ("letter", "ch")},
    "stock": {"pt": ("stock", "precos", "contagens"), "en": ("stock", "prices", "counts")},
    "key": {"pt": ("chave", "produto"), "en": ("key", "product")},
    "total": {"pt": ("total", "acumulado"), "en": ("total", "acc")},
    "result": {"pt": ("resultado", "saida", "res"), "en": ("result", "output", "res")},
    "count": {"pt": ("conta", "quantos", "n"), "en": ("count", "tally", "n")},
    "index": {"pt": ("indice", "i", "pos"), "en": ("index", "i", "pos")},
    "other": {"pt": ("outro", "j"), "en": ("other", "j")},
    "limit": {"pt": ("limite", "maximo"), "en": ("limit", "bound")},
    "best": {"pt": ("melhor", "escolhido"), "en": ("best", "chosen")},
    "last": {"pt": ("ultimo", "anterior"), "en": ("last", "previous")},
    "row": {"pt": ("linha", "fila"), "en": ("row", "line")},
    "table": {"pt": ("tabela", "matriz"), "en": ("table", "matrix")},
    "size": {"pt": ("tamanho", "lado"), "en": ("size", "width")},
    "low": {"pt": ("baixo", "inicio"), "en": ("low", "start")},
    "high": {"pt": ("alto", "fim"), "en": ("high", "end")},
    "stack": {"pt": ("pilha", "abertos"), "en": ("stack", "opened")},
    "even": {"pt": ("par", "PAR"), "en": ("even", "EVEN")},
    "odd": {"pt": ("ímpar", "ÍMPAR"), "en": ("odd", "ODD")},
    "yes": {"pt": ("sim", "está certo"), "en": ("yes", "it is right")},
    "no": {"pt": ("não", "está errado"), "en": ("no", "it is wrong")},
    "none": {"pt": ("nada", "sem solução"), "en": ("nothing", "no solution")},
    "vowels": {"pt": ("aeiouáéíóúãõâê",), "en": ("aeiou",)},
    "inner": {"pt": ("aplica", "passo"), "en": ("apply", "advance")},
    "wrong": {"pt": ("inválidos", "sem número"), "en": ("invalid", "without a number")},
}
