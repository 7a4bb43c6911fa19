"""Strong rules: words and turns of phrase that one variety of Portuguese has and the other has not.

Of the strings where a rule finds something, the share that is of its variety: in the message catalogues of 16 packages
(600 of each at most; all, for what stands alone), and in news and books (the development parts of the treebanks
Bosque, CINTIL and Porttinari), which no rule was mined from. `benchmarks/variety.py` counts it over packages.

| rule | speaks for | software | news and books |
|---|---|---|---|
| estar + gerund | pt-BR | .982 of 55 | 1.000 of 17 |
| ê, ô before m, n | pt-BR | 1.000 of 123 | 1.000 of 45 |
| em um | pt-BR | 1.000 of 92 | 1.000 of 15 |
| Brazilian words | pt-BR | .978 of 510 | .991 of 112 |
| Brazilian spelling | pt-BR | .986 of 148 | 1.000 of 50 |
| você | pt-BR | .920 of 413 | .846 of 13 |
| pronoun before the verb | pt-BR | 1.000 of 2 | none |
| por que in a question | pt-BR | none | 1.000 of 2 |
| possessive without an article | pt-BR | .962 of 105 | 1.000 of 48 |
| verb + pronoun + verb | pt-BR | .944 of 18 | 1.000 of 8 |
| subject + pronoun + verb | pt-BR | .750 of 16 | .900 of 10 |
| até + article | pt-BR | .682 of 22 | 1.000 of 7 |
| nesta + day | pt-BR | none | 1.000 of 12 |
| going on + gerund | pt-BR | 1.000 of 3 | 1.000 of 4 |
| gerund alone | pt-BR | .960 of 420 | none |
| words more of Brazil | pt-BR | .946 of 1311 | .700 of 150 |
| estar a + infinitive | pt-PT | 1.000 of 43 | 1.000 of 122 |
| é, ó before m, n | pt-PT | 1.000 of 123 | 1.000 of 143 |
| European words | pt-PT | .994 of 1111 | .996 of 253 |
| European spelling | pt-PT | 1.000 of 112 | 1.000 of 107 |
| article + possessive | pt-PT | .602 of 525 | .888 of 376 |
| month with a capital | pt-PT | none | 1.000 of 60 |
| esta + day | pt-PT | none | none |
| ordinal with a point | pt-PT | none | none |
| -ámos | pt-PT | none | 1.000 of 6 |
| pronoun inside the verb | pt-PT | 1.000 of 19 | 1.000 of 1 |
| second person | pt-PT | 1.000 of 44 | none |
| a + infinitive alone | pt-PT | 1.000 of 331 | none |
| é que | pt-PT | 1.000 of 4 | none |
| ter de | pt-PT | .919 of 62 | .765 of 17 |
| going on + a + infinitive | pt-PT | 1.000 of 2 | 1.000 of 20 |
| pronoun after the verb | pt-PT | .544 of 454 | .873 of 251 |
| words more of Portugal | pt-PT | .826 of 596 | .859 of 156 |
| consonants of before 1990 | pt-PT | 1.000 of 522 | 1.000 of 329 |

A rule's weight is about the log-odds that its precision stands for, and 3 at most; 2 for the second person, which
parts of Brazil use, too, and less where a rule was seen seldom. The rules of possessives, pronouns, days, months and
`-ámos` were chosen on these texts, those of what stands alone on the packages trained on, the others before. Software
and news hold few of the listed words: that the others are right is our knowledge of both varieties. From a weight of 2
on, a rule for Brazil is a sign of it, which a text may be refused for. Measured and left out: `vocês`, which Portugal
says as well; `todo` without an article; gerunds inside a sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from .features import fold
from .words import (
    BRAZILIAN_COUNTRIES,
    BRAZILIAN_PHRASES,
    BRAZILIAN_WORDS,
    EUROPEAN_PHRASES,
    EUROPEAN_WORDS,
    OFTEN_BRAZILIAN,
    OFTEN_BRAZILIAN_PHRASES,
    OFTEN_EUROPEAN,
    OFTEN_EUROPEAN_PHRASES,
    OLD_EUROPEAN_SPELLING,
)

LEXICON = Path(__file__).with_name("lexicon.tsv")

Variety = Literal["pt-PT", "pt-BR"]
Find = Callable[["Read"], list[str]]
MOST_COUNTED = 2  # findings of a rule
_STRONG = 1.5  # weight from which on a second finding counts


class Read(NamedTuple):
    """A text as rules read it.

    Args:
        plain: As it is written.
        lower: In lower case; ê and ô of people's names without their accents.
        words: Of the lower-case text, `guarda-chuva` one word.
        listed: Those of them that are in a list of words, by the rule's name.
    """

    plain: str
    lower: str
    words: list[str]
    listed: Mapping[str, list[str]]


class Rule(NamedTuple):
    """One sign of a variety.

    Args:
        variety: The one it speaks for.
        weight: Log-odds that a finding adds, in nats: those measured, and 3 at most.
        find: Gives what it finds in a text.
    """

    variety: Variety
    weight: float
    find: Find


def findings(text: str) -> dict[str, list[str]]:
    """Apply all rules to a text, clean as `text.clean` leaves it.

    Returns:
        What was found, by the name of the rule; only rules that found something.
    """
    lower = _NAME.sub(_unaccented, text).lower()
    words = _WORD.findall(lower)
    listed: dict[str, list[str]] = {}
    for word in words:
        for name in _lists_with(word):
            listed.setdefault(name, []).append(word)
    read = Read(text, lower, words, listed)
    signs = {name: rule.find(read) for name, rule in RULES.items()}
    return {name: matches for name, matches in signs.items() if matches}


def _unaccented(name: re.Match[str]) -> str:
    return name[0] if name[0] in _COUNTRIES else name[0].translate(_UNACCENTED)


def evidence(signs: Mapping[str, list[str]]) -> float:
    """Add up what findings speak for: log-odds in nats, above 0 for pt-PT.

    A rule counts twice at most, so that one subject, a text about trains, does not outweigh all else; a weak one
    counts once, because a long text of either country has what it looks for.
    """
    total = 0.0
    for name, matches in signs.items():
        rule = RULES[name]
        most = MOST_COUNTED if rule.weight >= _STRONG else 1
        total += rule.weight * min(len(matches), most) * (1 if rule.variety == "pt-PT" else -1)
    return total


def _pattern(pattern: str, *needed: str, words: str = "", cased: bool = False) -> Find:
    """Search by a regular expression, if a text and a word that it cannot do without are there: that is cheap."""
    compiled = re.compile(pattern)
    any_of = frozenset(words.split())

    def find(read: Read) -> list[str]:
        text = read.plain if cased else read.lower
        if (any_of and any_of.isdisjoint(read.words)) or (needed and not any(part in text for part in needed)):
            return []
        return [match[0].strip() for match in compiled.finditer(text)]

    return find


def _listed(name: str, phrases: str = "") -> Find:
    """Give the words of a list, and phrases of several words, one a line, each of which begins with plain letters."""
    lines = phrases.strip().splitlines()
    several = re.compile(rf"\b(?:{'|'.join(lines)})\b") if lines else None
    starts = [re.split(r"\w\?|[(\[\\]", line)[0] for line in lines]

    def find(read: Read) -> list[str]:
        found = read.listed.get(name, [])
        if several and any(start in read.lower for start in starts):
            return found + [match[0] for match in several.finditer(read.lower)]
        return found

    return find


@functools.lru_cache(maxsize=1 << 15)
def _lists_with(word: str) -> tuple[str, ...]:
    """Name the rules whose list a word is in: words come again and again."""
    names = [
        name
        for name, (whole, stems) in _LISTS.items()
        if word in whole or word.startswith(stems.get(word[:_START], _NEVER))
    ]
    return (*names, *(name for name, forms in zip(_SPELLINGS, read_lexicon(), strict=True) if word in forms))


def _split(words: str) -> tuple[frozenset[str], Mapping[str, tuple[str, ...]]]:
    """Split a list into whole words and `stem*` for all that starts so, these by their first letters."""
    listed = words.split()
    return frozenset(word for word in listed if not word.endswith("*")), _by_start(
        word[:-1] for word in listed if word.endswith("*")
    )


@functools.cache
def read_lexicon() -> tuple[frozenset[str], frozenset[str]]:
    """Read the Brazilian and the European forms of the shipped lexicon.

    Where they differ only by what the agreement of 1990 changed, the Brazilian form is the old European one, and is
    left out.
    """
    lines = LEXICON.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    brazilian = frozenset(theirs for theirs, ours in pairs if fold(theirs) != fold(ours))
    return brazilian, frozenset(ours for _, ours in pairs if ours)


def _by_start(stems: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for stem in stems:
        grouped[stem[:_START]] = (*grouped.get(stem[:_START], ()), stem)
    return grouped


_WORD = re.compile(r"[a-zà-öø-ÿ]+(?:-[a-zà-öø-ÿ]+)*")
_NAME = re.compile(
    r"(?<=[a-zà-öø-ÿ,;] )(?:[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]*[êô]|[ÊÔ])[mn]\w*"
)  # Antônio is so named in Portugal, too
_UNACCENTED = str.maketrans("êôÊÔ", "eoEO")
_COUNTRIES = frozenset(BRAZILIAN_COUNTRIES.split())
_START = 4  # letters; the shortest stem
_NEVER = ("\0",)
_SPELLINGS = ("Brazilian spelling", "European spelling")  # the sides of the lexicon
_LISTS = {
    name: _split(words)
    for name, words in {
        "Brazilian words": BRAZILIAN_WORDS,
        "words more of Brazil": OFTEN_BRAZILIAN,
        "European words": EUROPEAN_WORDS,
        "words more of Portugal": OFTEN_EUROPEAN,
        "consonants of before 1990": OLD_EUROPEAN_SPELLING,
        "second person": "tens podes queres sabes deves consegues contigo",
    }.items()
}
_ESTAR = (
    r"\best(?:ou|ás|á|amos|ão|av(?:a|as|am)|ávamos|ive|iveste|eve|ivemos|iveram|ar(?:ei|ás|á|emos|ão|ia|íamos|iam)?"
    r"|ej(?:a|as|amos|am)|ivesse(?:s|m)?|iver(?:es|em)?) "
)
_BETWEEN = r"(?:(?:já|ainda|sempre|também|só|apenas|agora|todos|todas|não|\w+mente) )?"
_NO_GERUND = r"(?!(?:quando|segundo|fundo|mundo|lindo|comando|bando|brando|tremendo|horrendo|estupendo)\b)"
_NO_INFINITIVE = r"(?!(?:par|bar|mar|lugar|flor|cor|redor|maior|menor|melhor|pior|favor|valor|vapor|milhar)\b)"
_NO_NUMBER = r"(?! (?:e|ou|só|único|dos|das|quarto|quinto|terço|décimo|milhão|para)\b)"
_OWN = "meu minha teu tua seu sua nosso nossa meus minhas teus tuas seus suas nossos nossas"
_POSSESSIVE = r"(?:meu|minha|teu|tua|seu|sua|nosso|nossa)s?\b"

# `fêmea`, `sêmea` and their like are written so in both countries.
_CLOSED = r"\b(?!fême|sême|blasfême)[a-zà-öø-ÿ]*(?:[êô][mn][aeiouáéíóú])[a-zà-öø-ÿ]*"
_OPEN = r"\b[a-zà-öø-ÿ]*[bcdfgjlmnprstvxzhi](?:[éó][mn][aeiouáéíóú])[a-zà-öø-ÿ]*"

# Where a sentence begins, so that no word before it can draw a pronoun in front of the verb.
_START_OF_SENTENCE = r"(?:^|[.!?:;…]\s+|\n\s*|[-–—]\s+)"
# A whole line that says what is going on, as labels, titles and short answers do: `Carregando...`, `A carregar...`.
# Its first letter is a capital, or the lines of any text that is broken into short ones would be among them.
_LINE = r"(?m)^[-–—•* \t]*"
_ALONE = r"(?: [^\s.,:!?…]+){0,4}(?:\.{1,3}|…)?[ \t]*$"
_NO_GERUND_ALONE = (
    r"(?!(?i:quando|segundo|fundo|mundo|lindo|comando|bando|operando|memorando|formando|graduando|multiplicando|tendo|"
    r"sendo|resumindo|concluindo|considerando|incluindo|excetuando|fernando|ferdinando|hernando|armando|orlando|rolando|"
    r"nando|reverendo|dividendo)\b)"
)
_NO_INFINITIVE_ALONE = (
    r"(?!(?i:partir|seguir|saber|julgar|contar|começar|qualquer|mulher|colher|líder|mártir|chanceler|maior|menor|melhor|"
    r"pior|par|mar|lunar|solar|polar|nuclear|militar|popular|familiar)\b)"
)
_GOING_ON = (
    r"\b(?:continu|fic|and|permanec|segu|v[ei][mn]h?)(?:o|a|e|amos|am|em|ou|aram|eu|eram|ia|iam|ava|avam|iu|iram) "
)
# Possessives without their article: not with kin, whom Portugal names without it, nor in `por sua vez` and its like.
_BARE = (
    r"(?:meu|minha|seu|sua|nosso|nossa)s? (?!(?:pais?|mães?|filh|irm|marido|mulher|espos|companheir|tio|tia|av[óôo]|"
    r"prim[oa]|sogr|cunhad|nom|vez|lado|turno|causa|conta|livre|redor|lugar|próprio|excelência|majestade|senhor|deus|"
    r"respeito|amor|autoria|favor|parte|ref)\w*\b)\w{3,}"
)
_DAYS = r"(?:segunda|terça|quarta|quinta|sexta|sábado|domingo)"
_MONTHS = r"(?:Fevereiro|Março|Abril|Maio|Junho|Julho|Agosto|Setembro|Outubro|Novembro|Dezembro)"
# Words that draw a pronoun before the verb in Portugal, too.
_DRAWING = (
    r"(?:que|não|nem|se|quando|quanto|como|quem|onde|porque|já|também|só|apenas|somente|nunca|jamais|sempre|ainda|tudo|"
    r"todos?|todas?|para|embora|enquanto|caso|conforme|qual|quais|cuj[oa]s?|talvez|nada|ninguém|algo|alguém|algun?s?|"
    r"algumas?|pouc[oa]s?|muit[oa]s?|ambos|ambas|cada|bem|mal|mais|menos|tão|tanto|até|assim|antes|depois|logo|pois|lá|"
    r"aqui|ali|aí|isto|isso|aquilo|mesmo|qualquer|nenhum|nenhuma|sem|por|de|a|ao|em|ou|e|mas|oxalá)"
)
_HELPING = (
    r"\b(?:pod(?:e|em|ia|iam|eria|eriam|erá|erão|eriam)|dev(?:e|em|ia|iam|eria|eriam|erá|erão)|quer(?:em|ia|iam)?|"
    r"vai|vão|vou|vamos|irá|irão|est(?:á|ão|ava|avam|ou|aria)|t(?:em|êm|inha|inham)|consegu(?:e|em|iu|iram|ia|iam)|"
    r"precis(?:a|am|ou|ava|avam)|tent(?:a|am|ou|aram|ava|avam))"
)
_SUBJECT = (
    _START_OF_SENTENCE + r"(?:[oa]s?|el[ea]s?|eu|uma?|est[ea]s?|ess[ea]s?) "
    rf"(?:(?!{_DRAWING}\b)[\w-]+ ){{0,4}}(?<!\b[oa] )(?<!\b[oa]s )(?<![ai]d[oa] )(?<![ai]d[oa]s )"
)
_ENDING = r"(?:r|va|vam|ram|ria|riam|rá|rão|sse|ssem|ndo|a|e|o|am|em|ou|eu|iu|i|mos)"

RULES: Mapping[str, Rule] = {
    "estar + gerund": Rule("pt-BR", 3.0, _pattern(_ESTAR + _BETWEEN + _NO_GERUND + r"\w+[aei]ndo\b", "ndo")),
    "ê, ô before m, n": Rule("pt-BR", 3.0, _pattern(_CLOSED, "êm", "ên", "ôm", "ôn")),
    "em um": Rule("pt-BR", 2.5, _pattern(r"\bem um(?:a|as|ns)?\b" + _NO_NUMBER, "em um")),
    "Brazilian words": Rule("pt-BR", 3.0, _listed("Brazilian words", BRAZILIAN_PHRASES)),
    "Brazilian spelling": Rule("pt-BR", 3.0, _listed("Brazilian spelling")),
    "você": Rule("pt-BR", 1.5, _pattern(r"\bvocê\b", "você")),
    "pronoun before the verb": Rule(
        "pt-BR", 2.5, _pattern(_START_OF_SENTENCE + r"(?:me|te|lhe) \w+" + _ENDING + r"\b", "me ", "te ", "lhe ")
    ),
    "por que in a question": Rule(
        "pt-BR", 1.5, _pattern(_START_OF_SENTENCE + r"por que (?!raz|motivo|é que|causa)[^.!?\n]*\?", "por que ")
    ),
    "possessive without an article": Rule(
        "pt-BR",
        2.0,
        _pattern(r"(?:\b(?:em|de|com|para|por|sobre|entre|contra) |(?:^|[.!?:;,(]\s|\n))" + _BARE, words=_OWN),
    ),
    "verb + pronoun + verb": Rule(
        "pt-BR",
        2.5,
        _pattern(
            _HELPING + r" (?:se|me|te|lhe|lhes|nos) \w+(?:[aei]r|[aei]ndo|[ai]do)\b", words="se me te lhe lhes nos"
        ),
    ),
    "subject + pronoun + verb": Rule(
        "pt-BR", 1.0, _pattern(_SUBJECT + r"(?:se|me|lhe|lhes) \w+" + _ENDING + r"\b", words="se me lhe lhes")
    ),
    "até + article": Rule("pt-BR", 1.0, _pattern(r"\baté (?:os?|as) (?!próp|mesm|mais|que\b)", "até ")),
    "nesta + day": Rule(
        "pt-BR", 3.0, _pattern(r"\bnest[ea] (?:últim[oa] )?" + _DAYS + r"|feira \(\d{1,2}[/)]", "nest", "feira (")
    ),
    "going on + gerund": Rule("pt-BR", 1.0, _pattern(_GOING_ON + _NO_GERUND + r"\w+[aei]ndo\b", "ndo")),
    "gerund alone": Rule(
        "pt-BR",
        1.5,
        _pattern(_LINE + _NO_GERUND_ALONE + r"[A-ZÀ-Ý](?i:\w+[aei]ndo)\b" + _ALONE, "ndo", "NDO", cased=True),
    ),
    "words more of Brazil": Rule("pt-BR", 1.0, _listed("words more of Brazil", OFTEN_BRAZILIAN_PHRASES)),
    "estar a + infinitive": Rule(
        "pt-PT", 3.0, _pattern(_ESTAR + _BETWEEN + "a " + _NO_INFINITIVE + r"\w+[aei]r\b", " a ")
    ),
    "é, ó before m, n": Rule("pt-PT", 3.0, _pattern(_OPEN, "ém", "én", "óm", "ón")),
    "European words": Rule("pt-PT", 3.0, _listed("European words", EUROPEAN_PHRASES)),
    "European spelling": Rule("pt-PT", 3.0, _listed("European spelling")),
    "article + possessive": Rule(
        "pt-PT", 0.9, _pattern(r"\b(?:[nd]?[oa]s?|aos?|às?|pel[oa]s?) " + _POSSESSIVE, words=_OWN)
    ),
    "month with a capital": Rule(
        "pt-PT",
        2.0,
        _pattern(r"\b(?:\d{1,2} de|[Ee]m|[Dd]esde|mês de) " + _MONTHS + r"\b", *_MONTHS[3:-1].split("|"), cased=True),
    ),
    "esta + day": Rule(
        "pt-PT", 2.0, _pattern(r"\best[ea] " + _DAYS + r"-feira|\b(?:no passado dia|na passada) ", "feira", "passad")
    ),
    "ordinal with a point": Rule("pt-PT", 2.0, _pattern(r"(?:\d|\bn|\b[ds]r|\bprof)\.[ºª]", ".º", ".ª")),
    "-ámos": Rule("pt-PT", 3.0, _pattern(r"\b\w{2,}ámos\b", "ámos")),
    "pronoun inside the verb": Rule(
        "pt-PT",
        2.0,
        _pattern(
            r"\b\w+-(?:se|lhes?|me|te|nos|[oa]s?|l[oa]s?)-(?:á|ão|ia|iam|ei|emos|íamos)\b",
            "-á",
            "-ão",
            "-ia",
            "-ei",
            "-emos",
            "-íamos",
        ),
    ),
    "second person": Rule("pt-PT", 2.0, _listed("second person")),
    "a + infinitive alone": Rule(
        "pt-PT",
        3.0,
        _pattern(_LINE + "A " + _NO_INFINITIVE_ALONE + r"(?i:\w+[aei]r(?:-\w+)?)\b" + _ALONE, "A ", cased=True),
    ),
    "é que": Rule("pt-PT", 0.5, _pattern(r"\b(?:quem|como|quando|onde|porque|que|o que) é que\b", " é que")),
    "ter de": Rule(
        "pt-PT", 0.8, _pattern(r"\bt(?:em|êm|inha|inham|emos|ive|eve|iveram|erá|er) de \w+[aei]r\b", " de ")
    ),
    "going on + a + infinitive": Rule(
        "pt-PT", 1.0, _pattern(_GOING_ON + "a " + _NO_INFINITIVE + r"\w+[aei]r\b", " a ")
    ),
    "pronoun after the verb": Rule(
        "pt-PT", 0.6, _pattern(r"\b\w{2,}-(?:se|lhes?|me|nos|n?[oa]s?|l[oa]s?)\b(?!-)", "-")
    ),
    "words more of Portugal": Rule("pt-PT", 1.0, _listed("words more of Portugal", OFTEN_EUROPEAN_PHRASES)),
    "consonants of before 1990": Rule("pt-PT", 3.0, _listed("consonants of before 1990")),
}
