"""Short Python programs that print: written from a seed, in Portuguese or English, as PTSimpleCodeOutputs shows them.

Names and texts of a program are in its language; what it prints does not depend on the hash seed.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from string import Template

from ..languages import Language

SHAPES = Path(__file__).with_name("snippets.txt")
MAX_LINES = 10  # paper, section 5.1

# Names of one slot are never equal to those of another: a program uses several.
_NAMES: dict[Language, dict[str, tuple[str, ...]]] = {
    "pt": {
        "acc": ("total", "soma", "resultado", "acumulado"),
        "count": ("contador", "vezes", "contagem"),
        "seq": ("numeros", "valores", "notas", "idades", "pontos"),
        "item": ("n", "valor", "x", "elemento"),
        "pos": ("i", "indice", "pos"),
        "texts": ("palavras", "nomes_lidos", "lista", "termos"),
        "text": ("palavra", "termo", "texto"),
        "num": ("numero", "quantidade", "limite", "a"),
        "other": ("outro", "b", "passo"),
        "func": ("calcula", "aplica", "transforma", "combina"),
        "table": ("contagens", "votos", "pontos_por_nome", "tabela"),
        "key": ("chave", "entrada", "nome"),
        "res": ("res", "saida", "final"),
        "cls": ("Conta", "Caixa", "Contador"),
        "meth": ("soma_um", "avanca", "acrescenta"),
    },
    "en": {
        "acc": ("total", "result", "running", "amount"),
        "count": ("counter", "times", "hits"),
        "seq": ("numbers", "values", "grades", "ages", "points"),
        "item": ("n", "value", "x", "element"),
        "pos": ("i", "index", "pos"),
        "texts": ("words", "names_read", "entries", "terms"),
        "text": ("word", "term", "text"),
        "num": ("number", "quantity", "limit", "a"),
        "other": ("other", "b", "step"),
        "func": ("compute", "apply", "transform", "combine"),
        "table": ("counts", "votes", "scores", "table"),
        "key": ("key", "entry", "name"),
        "res": ("res", "output", "final"),
        "cls": ("Account", "Box", "Counter"),
        "meth": ("add_one", "advance", "increase"),
    },
}
_WORDS: dict[Language, tuple[str, ...]] = {
    "pt": (
        "maçã", "pão", "livro", "ponte", "comboio", "gato", "janela", "limão", "câmara", "praia", "chá", "açúcar",
        "farol", "avó", "telemóvel", "barco", "queijo", "lápis", "ecrã", "coração",
    ),
    "en": (
        "apple", "bread", "book", "bridge", "train", "cat", "window", "lemon", "camera", "beach", "tea", "sugar",
        "lighthouse", "grandma", "phone", "boat", "cheese", "pencil", "screen", "heart",
    ),
}  # fmt: skip
_SAID: dict[Language, dict[str, tuple[str, ...]]] = {
    "pt": {
        "yes": ("sim", "verdadeiro", "certo"),
        "no": ("não", "falso", "errado"),
        "bad": ("erro", "inválido", "falhou"),
        "greet": ("Olá", "Bom dia", "Viva"),
    },
    "en": {
        "yes": ("yes", "true", "right"),
        "no": ("no", "false", "wrong"),
        "bad": ("error", "invalid", "broken"),
        "greet": ("Hello", "Good morning", "Hi"),
    },
}


@lru_cache
def shapes() -> tuple[str, ...]:
    """Read the programs with gaps.

    `$i` < `$j` < `$k` are from 2 to 9, `$x` and `$y` from 11 to 60, `$nums` and `$words` lists of 4 to 6; the others
    are names and texts.
    """
    return tuple(SHAPES.read_text(encoding="utf-8").rstrip("\n").split("\n---\n"))


def write_snippet(rng: random.Random, language: Language) -> str:
    """Write a program of at most 10 lines that prints."""
    template = Template(rng.choice(shapes()))
    slots: dict[str, str] = {name: rng.choice(names) for name, names in _NAMES[language].items()}
    slots |= {name: rng.choice(texts) for name, texts in _SAID[language].items() if name not in ("yes", "no")}
    side = rng.randrange(len(_SAID[language]["yes"]))
    slots |= {name: _SAID[language][name][side] for name in ("yes", "no")}
    words = rng.sample(_WORDS[language], rng.randint(4, 6))
    quoted = ", ".join(f'"{word}"' for word in words)  # in double quotes, as the rest of a program has them
    slots |= {"word1": words[0], "word2": words[1], "word3": words[2], "words": f"[{quoted}]"}
    slots |= dict(zip("ijk", map(str, sorted(rng.sample(range(2, 10), 3))), strict=True))
    slots |= {"x": str(rng.randint(11, 60)), "y": str(rng.randint(11, 60))}
    slots["nums"] = str([rng.randint(1, 60) for _ in range(rng.randint(4, 6))])
    return template.substitute(slots)
