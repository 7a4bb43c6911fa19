"""Texts to draw: our own European Portuguese texts with gaps, a list in the public domain, or the user's own.

`texts_pt.txt` has our texts, one a line, under headings that name topic and register, some after a title and `::`; a
passage is the first sentences of one. `conversations_pt.txt` and `stories_pt.txt` have those in parts. `{n:2-9}` and
the like are drawn anew for each passage, the same twice in it; of `[one|another]` one is taken. `classics_pt.txt`
holds proverbs and lines of Camões (1524-1580) and Pessoa (1888-1935), spelt as today.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..dataset import Passage, Passages
from ..typefaces import GLYPHS
from . import words
from .words import GROCERIES, HOUSEHOLD, MONTHS, WEEKDAYS, clock, date, money, phone, price, woman_or_man

CLASSICS = Path(__file__).with_name("classics_pt.txt")
TEXTS = Path(__file__).with_name("texts_pt.txt")
CONVERSATIONS = Path(__file__).with_name("conversations_pt.txt")
STORIES = Path(__file__).with_name("stories_pt.txt")
MAX_LETTERS = 900  # of a passage that is drawn: about 20 lines
LONGEST_WORD = 25  # letters; at 20 pixels a letter the narrowest picture holds it
TITLED = " :: "  # after the title of a text
PART = " || "  # between the parts of one
CLASSIC = 0.04  # of the passages
_GAP = re.compile(r"\{(\w+)(?::([\d.]+)-([\d.]+))?\}")
_EITHER = re.compile(r"\[([^\]|]+\|[^\]]+)\]")
# A mark that ends a sentence, and after it, where the next one may begin.
_BOUNDARY = re.compile(r"""(?:(?<=[.!?…])|(?<=[.!?…][»”"']))\s+(?=[«“"'—–-]?\s?[A-ZÁÀÂÃÉÊÍÓÔÕÚÇ0-9])""")
# Full stops that need not end a sentence: titles, abbreviations, initials, numbers.
_DOUBTFUL = re.compile(r"\b(?:[A-ZÁÉÍÓÚ]|Sr|Sra|Dr|Dra|Prof|Eng|Av|Exmo|Exma|etc|art|pág|vol|cf|ex|n|\d+)\.[ºª]?\s")


def split_sentences(text: str) -> tuple[str, ...]:
    """Cut a text at its sentences; nothing if one of its full stops leaves a doubt.

    >>> split_sentences("Chove. Já viste? O comboio parte às 8.")
    ('Chove.', 'Já viste?', 'O comboio parte às 8.')
    >>> split_sentences("O Sr. Silva saiu.")
    ()
    """
    if _DOUBTFUL.search(text):
        return ()
    return tuple(" ".join(sentence.split()) for sentence in _BOUNDARY.split(text.strip()))


def write_passage(rng: random.Random, index: int) -> Passage:
    """Take the first sentences of one of our texts and fill its gaps, or now and then take a classic."""
    if rng.random() < CLASSIC:
        text = rng.choice(_classics())
        return Passage(text, split_sentences(text))
    text = rng.choice([line for lines in texts().values() for line in lines])
    return shorten(fill(text.rpartition(TITLED)[2], rng), rng)


def shorten(text: str, rng: random.Random) -> Passage:
    """Keep the first sentences of a text, all of them as a rule: what they refer to stands before."""
    sentences = split_sentences(text)
    if sentences and rng.random() < 0.4:
        sentences = sentences[: rng.randint(1, len(sentences))]
        text = " ".join(sentences)
    return Passage(text, sentences)


def write_conversation(rng: random.Random) -> list[str]:
    """Give the messages of a conversation."""
    return fill(rng.choice(_in_parts(CONVERSATIONS)), rng).split(PART)


def write_story(rng: random.Random) -> tuple[str, list[str]]:
    """Give the title and the paragraphs of a page of a story."""
    title, _, text = fill(rng.choice(_in_parts(STORIES)), rng).partition(TITLED)
    return title, text.split(PART)


def write_title(rng: random.Random) -> str:
    """Give the title of a note."""
    return rng.choice(_TITLES)


def write_list(rng: random.Random, count: int) -> list[str]:
    """Make a list: its title, then lines of one kind, none twice; what has a time is in its order."""
    titles, entry = rng.choice(_LISTS)
    lines: dict[str, None] = {}
    while len(lines) < count:
        lines[_capitalised(entry(rng))] = None
    return [rng.choice(titles), *sorted(lines, key=_TIMES.get(entry, lambda _: 0))]


def fill(text: str, rng: random.Random) -> str:
    """Fill the gaps of a text: the same gap is filled alike, and `{woman2}` is another woman than `{woman}`."""
    text = _EITHER.sub(lambda match: rng.choice(match[1].split("|")), text)
    known: dict[str, str] = {}
    for match in _GAP.finditer(text):
        while match[0] not in known or (match[1] in _NAMES and list(known.values()).count(known[match[0]]) > 1):
            known[match[0]] = _draw(match[1], match[2], match[3], rng)
    return _GAP.sub(lambda match: known[match[0]], text)


def _draw(kind: str, least: str | None, most: str | None, rng: random.Random) -> str:
    """Draw what fills a gap."""
    if least is None or most is None:
        return _WORDS[kind.rstrip("2")](rng) if kind != "day2" else str(rng.randint(15, 28))
    if kind == "eur":
        return money(rng.randrange(round(100 * float(least)), round(100 * float(most)) + 1, 5))
    if kind == "h":
        return clock(60 * rng.randint(int(least), int(most)) + rng.choice((0, 15, 30, 45)))
    return str(rng.randint(int(least), int(most)))


_NAMES = ("woman", "woman2", "man", "man2")
_WORDS: dict[str, Callable[[random.Random], str]] = {
    "woman": lambda rng: rng.choice(words.WOMEN),
    "man": lambda rng: rng.choice(words.MEN),
    "surname": lambda rng: rng.choice(words.SURNAMES),
    "place": lambda rng: rng.choice(words.PLACES),
    "coast": lambda rng: rng.choice(words.COASTS),
    "rail": lambda rng: rng.choice(words.RAILS),
    "street": lambda rng: rng.choice(words.STREETS),
    "weekday": lambda rng: rng.choice(WEEKDAYS),
    "month": lambda rng: rng.choice(MONTHS),
    "date": date,
    "day": lambda rng: str(rng.randint(2, 12)),
    "phone": phone,
}
_TITLES = (
    "Apontamento", "Nota", "Recado", "Em resumo", "Do diário", "Página do mês", "Últimas", "Memórias", "Por aqui",
    "Ontem e hoje", "Breves", "Caderno", "Rascunho", "Sabia que…", "Da janela", "Rubrica do leitor", "Ideias soltas",
    "Fica o registo", "Para ler devagar", "Notas de viagem", "Vale a pena ler", "Recortes", "À margem", "Correio",
    "Destaque", "Uma história", "Hoje", "Em poucas linhas",
)  # fmt: skip


def _bought(rng: random.Random) -> str:
    return rng.choice((*GROCERIES, *HOUSEHOLD)).name


def _leaving(rng: random.Random) -> str:
    return f"{rng.choice(words.PLACES)}, {clock(rng.randint(84, 264) * 5)}"


def _dated(rng: random.Random) -> str:
    return f"{date(rng)}: {rng.choice(_EVENTS)}"


def _address(rng: random.Random) -> str:
    return f"{rng.choice(words.STREETS)}, {rng.randint(2, 180)}"


def _priced(rng: random.Random) -> str:
    ware = rng.choice((*GROCERIES, *HOUSEHOLD))
    return f"{ware.name}: {money(price(ware, rng))}" + (f"/{ware.unit}" if ware.unit != "un." else "")


_EVENTS = (
    "consulta de rotina", "entrega do trabalho", "reunião de pais", "festa da escola", "jantar de turma",
    "exame de código", "inspeção do carro", "visita ao museu", "fecho das inscrições", "aniversário da avó",
    "vacina do cão", "ensaio geral", "mudança da hora", "teste de Geografia", "assembleia do condomínio",
    "feira medieval", "corrida dos sinos", "piquenique",
)  # fmt: skip
_CHORES = (
    "regar os vasos da varanda", "pagar a conta da água", "levantar o fato na lavandaria", "telefonar ao dentista",
    "passar a roupa a ferro", "comprar pilhas para o relógio", "devolver os livros", "marcar a revisão do carro",
    "despejar o lixo", "mudar a lâmpada do corredor", "responder à carta do banco", "levar o cão à rua",
    "descongelar o peixe", "arrumar a garagem", "imprimir os bilhetes", "pôr a mesa para seis", "limpar os óculos",
    "arranjar o estore", "encomendar o bolo", "escrever ao senhorio",
)  # fmt: skip
# Titles of a list, and what makes one of its lines.
_LISTS: tuple[tuple[tuple[str, ...], Callable[[random.Random], str]], ...] = (
    (("Preços", "Tabela de preços", "Quanto custou", "Promoções", "Esta semana"), _priced),
    (("Lista de compras", "Falta em casa", "Comprar", "Para a despensa"), _bought),
    (("Partidas", "Horários", "Próximas partidas", "Saídas de hoje"), _leaving),
    (("Convidados", "Turma", "Inscritos", "Voluntários", "Quem vem", "Sócios novos"), woman_or_man),
    (("Agenda", "Datas a reter", "Próximos dias", "Calendário"), _dated),
    (("Moradas", "Entregas", "Visitas", "Distribuição"), _address),
    (("Contactos", "Telefones", "Em caso de urgência", "Ligar a"), lambda rng: f"{woman_or_man(rng)}, {phone(rng)}"),
    (("Tarefas", "Por fazer", "A não esquecer", "Sábado de manhã"), lambda rng: rng.choice(_CHORES)),
)
# When the lines of a list are, to be sorted by: «Beja, 9h05» and «5 de maio: ensaio geral».
_TIMES: dict[Callable[[random.Random], str], Callable[[str], int]] = {
    _leaving: lambda line: int(re.sub(r"\D", "", line.rpartition(", ")[2])),
    _dated: lambda line: 100 * MONTHS.index(line.split(":")[0].split()[2]) + int(line.split()[0]),
}


def read_passages(path: Path) -> Passages:
    """Open the user's texts: a text file with one on each line, or parquet.

    Parquet has a column `text`, and may have `image`, encoded pictures that show the texts. Passages take turns by
    number; a text without a picture is passed over if it is too long to draw, or has a letter that fonts may lack.

    Raises:
        ValueError: The file is of another kind, or has no column `text`; when one is drawn: no text is usable.
    """
    rows = _rows(path)
    return lambda rng, index: _usable(rows, index, path)


def _rows(path: Path) -> Any:
    if path.suffix == ".txt":
        return [{"text": line} for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix != ".parquet":
        raise ValueError(f"{path}: texts are read from .txt and .parquet files")
    from datasets import Dataset

    rows = Dataset.from_parquet(str(path)).with_format("arrow")
    if "text" not in rows.column_names:
        raise ValueError(f"{path}: needs a column text, has {', '.join(rows.column_names)}")
    return rows


def _usable(rows: Any, index: int, path: Path) -> Passage:
    for step in range(len(rows)):
        row = rows[(index + step) % len(rows)]
        row = row if isinstance(row, dict) else row.to_pylist()[0]
        if passage := _read(row):
            return passage
    raise ValueError(f"{path}: none of its {len(rows)} texts can be drawn: too long, empty or with unknown letters")


def _read(row: dict[str, Any]) -> Passage | None:
    text, picture = row["text"] or "", (row.get("image") or {}).get("bytes")
    if picture is None:
        text = " ".join(text.split())
        return Passage(text, split_sentences(text)) if text and _drawable(text) else None
    return Passage(text.strip(), split_sentences(text), picture) if text.strip() else None


def _drawable(text: str) -> bool:
    longest = max(map(len, text.split()))
    return set(text) <= GLYPHS | {" "} and len(text) <= MAX_LETTERS and longest <= LONGEST_WORD


@lru_cache
def texts() -> dict[str, tuple[str, ...]]:
    """Give our texts, with their gaps, by topic and register."""
    found: dict[str, list[str]] = {}
    for line in TEXTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            lines = found.setdefault(line[2:], [])
        else:
            lines.append(line)
    return {name: tuple(lines) for name, lines in found.items()}


@lru_cache
def _in_parts(path: Path) -> tuple[str, ...]:
    """Read texts in parts, one a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))


@lru_cache
def _classics() -> tuple[str, ...]:
    return tuple(CLASSICS.read_text(encoding="utf-8").splitlines())


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
