"""Good translations, and what goes wrong with them: each kind of fault planted into pairs that are held apart.

`pairs.jsonl` has 180 pairs, written for this test: rules and thresholds were made by the 120 of `development` alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from amalia_vl_hf.translation.masks import protected
from amalia_vl_hf.translation.quality import sentences
from amalia_vl_hf.translation.segments import options


class Pair(NamedTuple):
    source: str
    translation: str


def pairs(which: str) -> list[Pair]:
    lines = Path(__file__).with_name("pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    return [Pair(row["source"], row["translation"]) for row in rows if row["set"] == which]


def planted(kind: str, held: list[Pair], seed: int = 0) -> Iterator[Pair]:
    """Give the pairs that a fault can be planted into, with it."""
    rng = random.Random(f"{kind} {seed}")
    for number, pair in enumerate(held):
        others = [other for at, other in enumerate(held) if at != number]
        wrong = FAULTS[kind](pair, rng, others)
        if wrong is not None and wrong != pair.translation:
            yield Pair(pair.source, wrong)


def _changed_number(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    found = list(re.finditer(r"\d+", pair.translation))
    if not found:
        return None
    match = rng.choice(found)
    return pair.translation[: match.start()] + str(int(match[0]) + rng.randint(1, 8)) + pair.translation[match.end() :]


def _lost_number(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    found = re.findall(r" ?\d+(?:[.,]\d+)?", pair.translation)
    return pair.translation.replace(rng.choice(found), "", 1) if found else None


def _shifted_decimal(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return re.sub(r"(\d),(\d)", r"\1\2", pair.translation, count=1)


def _lost_token(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    pieces = list(protected(pair.translation))
    return pair.translation.replace(rng.choice(pieces), "", 1) if pieces else None


def _changed_token(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    pieces = list(protected(pair.translation))
    if not pieces:
        return None
    piece = rng.choice(pieces)
    return pair.translation.replace(piece, piece[:-2] + "x" + piece[-1:], 1)


def _lost_letter(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return re.sub(r"(?m)^\(?B[.)] ", "", pair.translation, count=1) if options(pair.source) else None


def _lost_option(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return pair.translation.rpartition("\n")[0] if options(pair.source) else None


def _same_options(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    texts = list(options(pair.translation).values())
    return pair.translation.replace(texts[0], texts[1], 1) if len(texts) > 1 else None


def _lost_line(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return pair.translation.replace("\n", " ", 1) if "\n" in pair.translation else None


def _spanish(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    words = {
        "a": "la",
        "o": "el",
        "de": "de",
        "é": "es",
        "não": "no",
        "está": "está",
        "um": "un",
        "uma": "una",
        "e": "y",
    }
    words |= {
        "com": "con",
        "em": "en",
        "os": "los",
        "as": "las",
        "na": "en la",
        "no": "en el",
        "do": "del",
        "da": "de la",
    }
    words |= {"que": "que", "são": "son", "há": "hay", "mais": "más", "dos": "de los", "das": "de las", "à": "a la"}
    words |= {"à": "a la", "ao": "al", "num": "en un", "numa": "en una", "se": "se", "por": "por", "para": "para"}
    text = re.sub(r"[^\W\d_]+", lambda match: words.get(match[0].lower(), match[0]), pair.translation)
    return text.replace("ção", "ción").replace("ã", "a").replace("õ", "o") if text.count(" ") > 5 else None


def _preamble(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    before = (
        "Aqui está a tradução:\n",
        "Tradução: ",
        "Claro! Aqui tens a tradução para português europeu: ",
        "**Tradução:** ",
    )
    return rng.choice(before) + pair.translation


def _afterword(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    after = ("\n\nNota: mantive os números.", "\n\nEspero que ajude!", "\n(Nota do tradutor: termo técnico.)")
    return pair.translation + rng.choice(after)


def _loop(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    words = pair.translation.split()
    return " ".join([*words, *words[-2:] * 8]) if len(words) > 3 else None


def _sentence_loop(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    last = sentences(pair.translation)[-1]
    return " ".join([pair.translation, *[last] * 3]) if len(last.split()) > 3 else None


def _half_english(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    ours, theirs = pair.translation.split(), pair.source.split()
    if len(theirs) < 8:
        return None
    return " ".join(ours[: len(ours) // 2] + theirs[len(theirs) // 2 :])


def _truncated(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    words = pair.translation.split(" ")
    return " ".join(words[: int(len(words) * 0.6)]) if len(words) > 9 else None


def _several(pair: Pair) -> list[str] | None:
    parts = sentences(pair.translation)
    return parts if len(parts) > 1 and "\n" not in pair.translation else None


def _dropped(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    parts = _several(pair)
    if parts is None:
        return None
    del parts[rng.randrange(len(parts))]
    return " ".join(parts)


def _added(pair: Pair, rng: random.Random, others: list[Pair]) -> str | None:
    return (
        f"{pair.translation} {sentences(rng.choice(others).translation)[0]}"
        if pair.translation.count(" ") > 3
        else None
    )


def _shuffled(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    parts = _several(pair)
    return " ".join(parts[1:] + parts[:1]) if parts else None


def _another(pair: Pair, rng: random.Random, others: list[Pair]) -> str | None:
    return rng.choice(others).translation if pair.translation.count(" ") > 3 else None


def _no_negation(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    text = re.sub(r"\b[Nn]ão,? |\b[Nn]unca |\b[Ss]em ", "", pair.translation)
    denied = re.compile(r"\b(?:não|nem|nunca|nenhum|ninguém|sem|nada)", re.IGNORECASE)
    return None if denied.search(text) else text


def _negated(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    verb = r"\b(está|estão|é|tem|têm|mostra|há|foi|custa|diz|vai) "
    if re.search(r"\b(?:não|nem|nunca|nenhum|ninguém|sem)\b", pair.translation, re.IGNORECASE):
        return None
    return re.sub(verb, r"não \1 ", pair.translation, count=1)


_SWAPS = (
    *(
        ("esquerda", "direita"),
        ("esquerdo", "direito"),
        ("direita", "esquerda"),
        ("vermelho", "azul"),
        ("azul", "verde"),
    ),
    *(
        ("verde", "amarelo"),
        ("branc", "pret"),
        ("pret", "branc"),
        ("amarel", "vermelh"),
        ("dois", "três"),
        ("duas", "três"),
    ),
    *(("três", "quatro"), ("quatro", "cinco"), ("janeiro", "março"), ("julho", "junho"), ("abert", "fechad")),
    *(
        ("fechad", "abert"),
        ("superior", "inferior"),
        ("gato", "cão"),
        ("cão", "gato"),
        ("homem", "mulher"),
        ("mais baix", "mais alt"),
    ),
    *(("antes", "depois"), ("depois", "antes"), ("último", "primeiro"), ("verdadeira", "falsa"), ("junho", "julho")),
)
_NOUNS = (
    *(("autocarro", "avião"), ("cadeira", "mesa"), ("mesa", "cama"), ("janela", "porta"), ("porta", "parede")),
    *(("fotografia", "música"), ("criança", "máquina"), ("rapariga", "vizinha"), ("água", "areia"), ("bola", "faca")),
    *(("chapéu", "sapato"), ("comboio", "navio"), ("loja", "escola"), ("pão", "queijo"), ("hotel", "hospital")),
    *(("torre", "ponte"), ("ponte", "torre"), ("caneta", "colher"), ("cortinas", "paredes"), ("tabela", "carta")),
    *(
        ("bandeira", "camisola"),
        ("luzes", "portas"),
        ("alunos", "soldados"),
        ("ovelhas", "pedras"),
        ("relógio", "quadro"),
    ),
)


def _swapped(pair: Pair, swaps: tuple[tuple[str, str], ...]) -> str | None:
    for old, new in swaps:
        if re.search(rf"\b{old}", pair.translation) and not re.search(rf"\b{new}", pair.translation):
            return re.sub(rf"\b{old}", new, pair.translation)
    return None


def _opposite(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return _swapped(pair, _SWAPS)


def _wrong_word(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    return _swapped(pair, _NOUNS)


def _swapped_options(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    texts = list(options(pair.translation).values())
    if len(texts) < 2:
        return None
    return pair.translation.replace(texts[0], "\0").replace(texts[1], texts[0]).replace("\0", texts[1])


_BRAZIL = (
    *((r"\bautocarro", "ônibus"), (r"\bcomboio", "trem"), (r"\btelemóve(?:l|is)", "celular"), (r"\becrã", "tela")),
    *((r"\bfrigorífico", "geladeira"), (r"\bcasa de banho", "banheiro"), (r"\bpequeno-almoço", "café da manhã")),
    *((r"\bficheiro", "arquivo"), (r"\bchávena", "xícara"), (r"\bequipa\b", "equipe"), (r"\bcamisola", "camiseta")),
    *((r"\bsumo de", "suco de"), (r"\bguarda-redes", "goleiro"), (r"\bpeão\b", "pedestre"), (r"\bcamião", "caminhão")),
)


def _brazilian(pair: Pair, rng: random.Random, _: list[Pair]) -> str | None:
    text = re.sub(
        r"\b(est(?:á|ão)) a (\w+)([aei])r\b", lambda match: f"{match[1]} {match[2]}{match[3]}ndo", pair.translation
    )
    for european, brazilian in _BRAZIL:
        text = re.sub(european, brazilian, text)
    return text


FAULTS: Mapping[str, Callable[[Pair, random.Random, list[Pair]], str | None]] = {
    "untranslated": lambda pair, *_: pair.source,
    "Spanish": _spanish,
    "half English": _half_english,
    "preamble": _preamble,
    "afterword": _afterword,
    "loop": _loop,
    "sentence again and again": _sentence_loop,
    "another number": _changed_number,
    "number lost": _lost_number,
    "decimal comma lost": _shifted_decimal,
    "token lost": _lost_token,
    "token changed": _changed_token,
    "option's letter lost": _lost_letter,
    "option lost": _lost_option,
    "two options the same": _same_options,
    "line break lost": _lost_line,
    "cut short": _truncated,
    "sentence lost": _dropped,
    "sentence added": _added,
    "sentences in another order": _shuffled,
    "another text": _another,
    "negation lost": _no_negation,
    "negation added": _negated,
    "opposite": _opposite,
    "another noun": _wrong_word,
    "options swapped": _swapped_options,
    "Brazilian": _brazilian,
}
