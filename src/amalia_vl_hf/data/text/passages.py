"""Texts to draw: sentences in European Portuguese from a seed, a list in the public domain, or the user's own.

`classics_pt.txt` holds proverbs and lines of Camões (1524-1580) and Pessoa (1888-1935), spelt as today.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..dataset import Passage, Passages
from ..typefaces import GLYPHS

CLASSICS = Path(__file__).with_name("classics_pt.txt")
MAX_LETTERS = 900  # of a passage that is drawn: about 20 lines
LONGEST_WORD = 25  # letters; at 20 pixels a letter the narrowest picture holds it
_PLACES = ("Braga", "Évora", "Lisboa", "Setúbal", "Guimarães", "Tavira", "Bragança", "Aveiro", "São João da Madeira")
_STREETS = ("Rua da Conceição", "Avenida da República", "Praça do Comércio", "Travessa do Açúcar", "Rua de São Bento")
_SHOPS = ("padaria", "farmácia", "biblioteca", "estação dos correios", "ourivesaria", "pastelaria", "drogaria")
_GOODS = ("pão de centeio", "queijo da Serra", "sumo de maçã", "chá de limão", "atum em lata", "feijão-verde")
_PEOPLE = ("Inês Gonçalves", "João Conceição", "Mário Simões", "Antónia Brandão", "Luís Araújo", "Zélia Patrício")
_DAYS = ("segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira")
_MONTHS = ("janeiro", "março", "abril", "junho", "agosto", "setembro", "outubro", "dezembro")
_TRANSPORTS = ("comboio", "autocarro", "elétrico", "barco")

# {place} and the others are drawn anew for each sentence.
_SENTENCES = (
    "O {transport} para {place} parte às {hour}.",
    "O {transport} das {hour} chega a {place} com {minutes} minutos de atraso.",
    "A {shop} da {street} está fechada à {weekday}.",
    "A {shop} abre às {hour} e fecha às {late}.",
    "Hoje há {good} a {price} o quilo!",
    "{person} mora na {street}, n.º {number}, em {place}.",
    "O ecrã do telemóvel de {person} partiu-se no {transport}.",
    "A reunião ficou marcada para o dia {day} de {month}, às {hour}.",
    "Perdeu-se um gato cinzento perto da {shop}.",
    "Quem o encontrar, por favor, ligue para o 2{phone}.",
    "Os bilhetes custam {price} e compram-se na {shop}.",
    "É favor não estacionar em frente ao portão.",
    "Em {month}, choveu {minutes} dias seguidos em {place}.",
    "{person} está a ler um livro sobre {place}.",
    "Já provaste o {good} que se vende na {street}?",
    "A câmara municipal vai pôr {number} árvores na {street}.",
    "Na cozinha há {good}, {other} e pouco mais.",
    "As inscrições terminam a {day} de {month}.",
    "{person} e {companion} apanham o {transport} todos os dias.",
    "Amanhã, em {place}, esperam-se {minutes} graus e céu limpo.",
)
_TITLES = ("Aviso", "Atenção!", "Horário", "Ementa do dia", "Lista de compras", "Informação", "Programa", "Nota")
_ENTRIES = ("{good}: {price}", "{place}, {hour}", "{person}", "{day} de {month}", "{shop}: {hour}-{late}", "{street}")
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
    """Make up to seven sentences from templates, or now and then take a classic."""
    if rng.random() < 0.1:
        text = rng.choice(_classics())
        return Passage(text, split_sentences(text))
    drawn = rng.sample(_SENTENCES, rng.randint(1, 7))
    sentences = tuple(_capitalised(fill(template, rng)) for template in drawn)
    return Passage(" ".join(sentences), sentences)


def write_title(rng: random.Random) -> str:
    """Give the title of a notice."""
    return rng.choice(_TITLES)


def write_entries(rng: random.Random, count: int) -> list[str]:
    """Make the lines of a list, all of one kind."""
    template = rng.choice(_ENTRIES)
    return [_capitalised(fill(template, rng)) for _ in range(count)]


def fill(template: str, rng: random.Random) -> str:
    """Fill the gaps of a template."""
    good, other = rng.sample(_GOODS, 2)
    person, companion = rng.sample(_PEOPLE, 2)
    return template.format(
        place=rng.choice(_PLACES),
        street=rng.choice(_STREETS),
        shop=rng.choice(_SHOPS),
        good=good,
        other=other,
        person=person,
        companion=companion,
        weekday=rng.choice(_DAYS),
        month=rng.choice(_MONTHS),
        transport=rng.choice(_TRANSPORTS),
        hour=f"{rng.randint(7, 12)}h{rng.choice(('00', '15', '30', '45'))}",
        late=f"{rng.randint(17, 21)}h{rng.choice(('00', '30'))}",
        price=f"{rng.randint(1, 19)},{rng.randint(10, 99)} €",
        number=rng.randint(2, 480),
        minutes=rng.randint(2, 30),
        day=rng.randint(2, 28),
        phone="".join(rng.choice("0123456789") for _ in range(8)),
    )


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
def _classics() -> tuple[str, ...]:
    return tuple(CLASSICS.read_text(encoding="utf-8").splitlines())


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
