"""What an answer says: a letter, yes or no, a box, a number; None where it says nothing of the kind.

Each reader of the official suite (AMALIA-LLM/amalia-vl-eval at 29aae6b) is here under `published_*`, bug for bug: what
it makes of an answer is what Table 3 of the paper counts. Those without a prefix read as a careful person would.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

Box = tuple[float, float, float, float]  # left, top, right, bottom; of the image's width and height

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FINAL = "ANSWER:"  # CARAVELA's marker before the last word

_YES, _NO = frozenset(("sim", "s", "yes", "y")), frozenset(("não", "nao", "n", "no"))
_SEED_BEGINNINGS = (  # what SEED's parser skips: of several that fit, the first
    ("opção ", 6),
    ("opcao ", 6),
    ("option ", 7),
    ("a resposta é ", 13),
    ("a resposta e ", 13),
    ("the answer is ", 14),
    ("resposta: ", 10),
)
_MMSTAR_BEGINNINGS = (*_SEED_BEGINNINGS, ("(", 1), ("a resposta e a ", 15), ("a resposta é a ", 15))
_AI2D = re.compile(
    r"^\s*([A-Z])\.|(?:resposta|answer|opção|opcao|letra)\s*(?:é|e|correta é|correta e)?\s*(?:a\s+)?:?\s*([A-Z])\b"
    r"|^\s*([A-Z])\s*$",
    re.IGNORECASE,
)
_CHOSEN = ("answer", "correct answer", "best answer", "correct option", "best option", "choice", "correct choice")
_PHRASES = (
    *(f"{article}{noun} is" for noun in _CHOSEN for article in ("the ", "")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def published_yes_no_mme(answer: str) -> str | None:
    """Read `yes` or `no` as MME's scorer does: from the first four characters."""
    text = answer.lower().strip().replace(".", "").strip()
    if text in _YES | _NO or len(text) == 1:
        return "yes" if text in _YES else "no" if text in _NO else None
    start = text[:4]
    if "yes" in start or "sim" in start:
        return "yes"
    return "no" if any(word in start for word in ("no", "não", "nao")) else None


def published_yes_no_pope(answer: str) -> str | None:
    """Read `yes` or `no` as POPE's scorer does: the whole answer, or its first word without stops and commas."""
    text = answer.lower().strip()
    first = text.split()[0].replace(".", "").replace(",", "") if text else ""
    for word in (text, text.replace(".", ""), first):
        if word in _YES | _NO:
            return "yes" if word in _YES else "no"
    return None


def published_letters_mmstar(answer: str) -> set[str]:
    """Give the letters that MMStar's scorer takes an answer for; there may be two of them."""
    text = answer.lower().replace("\n", " ").strip()
    places = [0, *(length for beginning, length in _MMSTAR_BEGINNINGS if text.startswith(beginning))]
    return {text[place].upper() for place in places if place < len(text)}


def published_letter_seed(answer: str) -> str | None:
    """Read SEED-Bench's letter: what follows one of the known beginnings, or the first character."""
    text = answer.strip()
    lower = text.lower().replace("\n", " ").strip()
    place = next((length for beginning, length in _SEED_BEGINNINGS if lower.startswith(beginning)), None)
    letter = text[:1] if place is None else lower[place : place + 1]
    return letter.upper() or None


def published_letter_embspatial(answer: str) -> str | None:
    """Read EmbSpatial's letter: the first one of the answer, in brackets or not, even that of a word."""
    match = re.match(r"[(\s]*([A-Z])", answer.strip(), flags=re.IGNORECASE)
    return match.group(1).upper() if match else None


def published_letter_ai2d(answer: str) -> str:
    """Read AI2D's letter by the official expression, or leave the answer as it is."""
    match = _AI2D.search(answer)
    return next(group for group in match.groups() if group is not None).upper() if match else answer


def published_letter(answer: str, letters: Sequence[str]) -> str | None:
    """Read a letter as the suite's shared extractor does: capitals in the most telling place, the last of equals.

    RealWorldQA and CARAVELA use it. An article "A" is a letter to it.
    """
    text = answer.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    bare = text.strip()
    text = f" {text} "
    places: list[tuple[int, int, str]] = []  # how telling, where, which
    for letter in letters:
        forms = ((6, f"({letter})"), (5, f"{letter}."), (4, f"{letter}:"), (3, f"{letter})"), (2, f"{letter} "))
        places += [(weight, text.rfind(form), letter) for weight, form in forms if form in text]
        for phrase in (phrase for phrase in _PHRASES if phrase in text.lower()):
            place = text.find(letter, text.lower().find(phrase) + len(phrase))
            places += [(7, place, letter)] if place >= 0 else []
        if bare.startswith(letter) and not bare[1:2].isalpha():
            places.append((10, 0, letter))
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            places.append((9, len(text) - 1, letter))
    if not places:
        places = [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    return max(places, key=lambda place: place[:2])[2] if places else None


def without_reasoning(answer: str, tags: Sequence[tuple[str, str]]) -> str:
    """Cut reasoning out of an answer, also such that has no end."""
    for opening, closing in tags:
        answer = re.sub(rf"{re.escape(opening)}.*?(?:{re.escape(closing)}|\Z)", "", answer, flags=re.DOTALL)
    return answer.strip() if tags else answer


def published_letter_mmmu(answer: str, options: Sequence[str]) -> str | None:
    """Read MMMU's letter; None where the official code draws an option at random."""
    text = answer
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    letters = LETTERS[: len(options)]
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        if hits := [letter for letter in letters if form.format(letter) in text]:
            return max(hits, key=lambda letter: text.rfind(place.format(letter)))
    if len(text.split()) > 5:
        lower = text.lower()
        named = [place for place, option in enumerate(options[: len(letters)]) if option.lower() in lower]
        if named:
            return letters[max(named, key=lambda place: lower.rfind(options[place].lower()))]
    return None


def published_box(answer: str) -> Box | None:
    """Read a box as the suite's RefCOCO scorer does: any value above 1 divides all four by 1000."""
    if (box := _json_box(answer)) is not None:
        return box
    text = answer.replace("(", "[").replace(")", "]")
    number = r"(-?\d+(?:[.,]\d+)?)"
    if match := re.search(rf"\[\s*{number},\s*{number},\s*{number},\s*{number}\s*\]", text):
        return _thousandths([float(value.replace(",", ".")) for value in match.groups()])
    number = r"(-?\d+(?:\.\d+)?)"
    if match := re.search(rf"\[\s*{number}\s+{number}\s+{number}\s+{number}\s*\]", text):
        values = map(float, match.groups())
        left, top, right, bottom = (value / 1000 if value > 1 else value for value in values)  # each by itself
        return left, top, right, bottom
    return None


def _json_box(answer: str) -> Box | None:
    """Read the `bbox_2d` of an answer that is JSON, in a code fence or not, alone or first of a list."""
    try:
        value = json.loads(re.sub(r"```(?:json)?\s*", "", answer).strip())
        value = value[0] if isinstance(value, list) and value else value
        values = value["bbox_2d"] if isinstance(value, Mapping) else None
        four = values if isinstance(values, list) and len(values) == 4 else None
        return None if four is None else _thousandths([float(entry) for entry in four])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _thousandths(values: Sequence[float]) -> Box:
    left, top, right, bottom = (value / 1000 for value in values) if max(values) > 1 else values
    return left, top, right, bottom


# The careful readers.

_UNKNOWN = re.compile(
    r"\bnão\s+(?:sei|consigo|é possível|dá para|tenho)\b|\bi don't know\b|\bnão há (?:dúvida|informação)\w*"
)
_TRUE, _FALSE = frozenset(("verdadeiro", "é verdade", "correto", "certo")), frozenset(("falso", "incorreto", "errado"))
_NOUN = r"(?:resposta|opção|opcao|alternativa|letra|escolha|solução|answer|option|choice|letter)"
_LINK = (
    r"(?:\s+(?:correta|certa|final|correct|right|é|e|será|seria|is|a|o|the|opção|opcao|alternativa|letra|option"
    r"|letter))*"
)
_MARK = r"[\"'`*_(\[{\s:\-–]*"
_WORDS_OF_ONE_LETTER = "AEO"  # Portuguese: the articles and "and"


def letter(answer: str, letters: Sequence[str], options: Sequence[str] = ()) -> str | None:
    """Read which option an answer chooses, or None where it chooses none, or several.

    Args:
        answer: The model's words.
        letters: Those there are.
        options: The texts they stand for, where they are known: an answer that repeats one of them chooses it.

    >>> letter("A resposta é B", "ABCD"), letter("A estrada", "ABCD"), letter("(A) ou (C)", "ABCD")
    ('B', None, None)
    """
    text = _bare(answer)
    if not text:
        return None
    capital = f"[{''.join(letters)}]"
    if match := re.fullmatch(rf"[\s(\[]*({capital})[\s)\].,:;!]*", text, re.IGNORECASE):
        return match.group(1).upper()
    if by_text := _option(text, letters, options):
        return by_text
    if several := _hedged(text, capital):
        return several if len(several) == 1 else None
    named = _named(text, letters) or _leading(text, capital, letters, options) or _lone(text, capital)
    return named or _mentioned(text, letters, options)


def _bare(answer: str) -> str:
    """Take an answer out of what it may be wrapped in: emphasis, quotes, LaTeX's box."""
    text = re.sub(r"\\(?:boxed|text|mathrm|textbf)\s*\{([^{}]*)\}", r"\1", answer)
    return " ".join(re.sub(r"[*`$«»“”\"]|(?<!\w)_|_(?!\w)", " ", text).split())


def _plain(text: str) -> str:
    """Fold case, accents, punctuation and leading articles, for comparing texts."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+(?:[.,]\d+)?", folded)
    articles = ("o", "a", "os", "as", "um", "uma", "the", "an")
    first = next((place for place, word in enumerate(words) if word not in articles), len(words) - 1)
    return " ".join(words[first:])


def _option(text: str, letters: Sequence[str], options: Sequence[str]) -> str | None:
    """Find the option whose text the answer is, wholly; two equal options choose none."""
    hits = [known for known, option in zip(letters, options, strict=False) if _plain(option) == _plain(text) != ""]
    return hits[0] if len(hits) == 1 else None


def _hedged(text: str, capital: str) -> str | None:
    """Give the letters that are listed as alternatives: "A ou B", "(A), (C)"."""
    one = rf"\(?\b{capital}\b\)?"
    listed = re.search(rf"{one}(?:\s*(?:,|/|\bou\b|\be\b|\bor\b|\band\b)\s*(?:a\s+)?{one})+(?!\s+[a-zà-ÿ])", text)
    return "".join(sorted(set(re.findall(rf"\b{capital}\b", listed.group())))) if listed else None


def _named(text: str, letters: Sequence[str]) -> str | None:
    """Give the letter that is called the answer, in the last sentence that does so."""
    sure = "".join(known for known in letters if known not in _WORDS_OF_ONE_LETTER) or "(?!)"
    risky = "".join(known for known in letters if known in _WORDS_OF_ONE_LETTER)
    forms = [rf"[{sure}]"] if sure != "(?!)" else []
    forms += [rf"[{risky}](?!\s+[a-zà-ÿ])"] if risky else []  # "a opção A mesa" names a thing
    forms.append(rf"[{''.join(letters).lower()}](?=\s*(?:[).,;:!\]]|$))")
    pattern = rf"\b(?i:{_NOUN}{_LINK}){_MARK}({'|'.join(forms)})(?!\w)"
    hits = [match.group(1).upper() for match in re.finditer(pattern, text)]
    return hits[-1] if hits else None


def _leading(text: str, capital: str, letters: Sequence[str], options: Sequence[str]) -> str | None:
    """Read a letter that the answer begins with; an "A" before a word may be an article."""
    if match := re.match(rf"[(\[]?({capital})(?:\s*[).:\]]|\s*[-–—]\s)", text):
        return match.group(1)
    match = re.match(rf"({capital})[\s,]+(.+)", text)
    if not match:
        return None
    first, rest = match.groups()
    if options and first in letters:
        place = list(letters).index(first)
        if place < len(options) and _plain(options[place]) == _plain(rest):
            return first
    return first if first not in _WORDS_OF_ONE_LETTER else None


def _lone(text: str, capital: str) -> str | None:
    """Read the only capital that stands alone, or the one that ends the answer."""
    if match := re.search(rf"(?:^|[\s(:])({capital})[\s).\]!]*$", text):
        return match.group(1)
    hits = {
        match.group(1)
        for match in re.finditer(rf"(?<![\w'])({capital})(?![\w'])", text)
        if match.group(1) not in _WORDS_OF_ONE_LETTER or not re.match(r"\s+[a-zà-ÿ]", text[match.end() :])
    }
    return hits.pop() if len(hits) == 1 else None


def _mentioned(text: str, letters: Sequence[str], options: Sequence[str]) -> str | None:
    """Find the one option that the answer speaks of, in whole words, unless it denies something."""
    words = f" {_plain(text)} "
    plain = {known: _plain(option) for known, option in zip(letters, options, strict=False)}
    hits = [known for known, option in plain.items() if len(option) > 2 and f" {option} " in words]
    longest = [
        known
        for known in hits
        if not any(plain[known] in plain[other] for other in hits if plain[other] != plain[known])
    ]
    denied = " nao " in words or " nem " in words
    return longest[0] if len(longest) == 1 and not denied else None


def yes_no(answer: str) -> str | None:
    """Read `yes` or `no` wherever an answer says it, and None where it says neither, or both.

    >>> yes_no("A resposta é sim."), yes_no("**Não**, não há."), yes_no("Norte"), yes_no("Não sei.")
    ('yes', 'no', None, None)
    """
    text = _bare(answer).lower()
    whole = text.strip(" .,;:!?()[]")
    if whole in _YES | _TRUE or whole in _NO | _FALSE:
        return "yes" if whole in _YES | _TRUE else "no"
    text = _UNKNOWN.sub(" ", text)
    words = [_yes_or_no(word) for word in re.findall(r"[^\W\d_]+", text)]
    first = next(iter(words), None)
    if first is None and re.match(r"\s*no\s*[,.;:!]", text):  # English; "no entanto" is Portuguese
        first = "no"
    answers = {word for word in words if word}
    return first or (answers.pop() if len(answers) == 1 else None)


def _yes_or_no(word: str) -> str | None:
    return "yes" if word in ("sim", "yes") else "no" if word in ("não", "nao") else None


def box(answer: str, form: str = "xyxy", scale: float = 1.0) -> Box | None:
    """Read a box of four numbers, however they are separated; what goes over the edge is cut off.

    Args:
        answer: The model's words.
        form: What the question asked for: `"xyxy"`, two corners, or `"xywh"`, a corner with width and height.
        scale: What the question calls the image's whole width and height: 1 or 1000. Numbers on the other of the two
            scales are read on theirs.

    >>> box("[0,1; 0,2; 0,5; 1,01]")
    (0.1, 0.2, 0.5, 1.0)
    """
    numbers = _four_numbers(answer)
    if numbers is None or min(numbers) < -0.1 * max(1.0, scale):
        return None
    largest = max(numbers)
    if largest <= 1.5 and not (scale > 1 and all(value.is_integer() for value in numbers) and largest > 1):
        whole = 1.0
    else:
        whole = max(1000.0, scale)
    if largest > 1.1 * whole and largest > 1.5:
        return None  # pixels, perhaps; of how large an image, nobody knows
    left, top, third, fourth = (value / whole for value in numbers)
    right, bottom = (left + third, top + fourth) if form == "xywh" else (third, fourth)
    (left, right), (top, bottom) = _ordered(left, right), _ordered(top, bottom)
    return left, top, right, bottom


def _ordered(one: float, other: float) -> tuple[float, float]:
    low, high = sorted((min(max(one, 0.0), 1.0), min(max(other, 0.0), 1.0)))
    return low, high


def _four_numbers(answer: str) -> tuple[float, ...] | None:
    """Find the first four numbers that stand together, whatever is between them."""
    point, comma = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?", r"[-+]?\d+,\d+"
    name = r"[\"']?[a-zA-Z_]{1,20}\d?[\"']?\s*[:=]\s*"  # {"x1": 0.1, ...}
    forms = ((comma, r"\s*[;,]\s*"), (comma, r"\s+"), (point, r"\s*[,;]\s*"), (point, r"\s+"))
    groups = [separator.join([f"({form})"] * 4) for form, separator in forms]
    groups.append(r"\s*,\s*".join([f"{name}({point})"] * 4))
    for group in groups:
        for match in re.finditer(rf"(?<![\d.,]){group}(?!\d|[.,]\d|\s*[,;\s]\s*[-+]?\.?\d)", answer):
            if not re.search(r"\d\s*[,;\s]\s*$", answer[: match.start()]):  # the end of a longer list
                return tuple(float(value.replace(",", ".")) for value in match.groups())
    return None


def number(text: str) -> float | None:
    """Read a text that is one number, with a decimal point or comma, groups of thousands, a sign or unit of money.

    One separator before exactly three digits may be either; it is read as a decimal one, and `numbers` gives both.

    >>> number("10,5"), number("1 234"), number("1.234,5"), number("45 %"), number("dez"), number("10 milhões")
    (10.5, 1234.0, 1234.5, 45.0, 10.0, None)
    """
    readings = numbers(text)
    return readings[0] if readings else None


def numbers(text: str) -> tuple[float, ...]:
    """Give every value that a number may stand for: `"1.234"` is 1.234 or 1234."""
    plain = re.sub(
        r"[€$£%°]|\b(?:euros?|eur|usd)\b", "", text.strip().rstrip(".").replace("\u00a0", " "), flags=re.I
    ).strip()
    plain = plain.replace("−", "-")
    if plain.casefold() in NUMBER_WORDS:
        return (float(NUMBER_WORDS[plain.casefold()]),)
    if re.fullmatch(r"[-+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?", plain):
        plain = plain.replace(" ", "")
    if re.fullmatch(r"[-+]?(?:\d+|\d*[.,]\d+)", plain):
        value = float(plain.replace(",", "."))
        grouped = re.fullmatch(r"[-+]?[1-9]\d{0,2}[.,]\d{3}", plain)
        return (value, float(re.sub("[.,]", "", plain))) if grouped else (value,)
    for thousands, decimal in ((".", ","), (",", ".")):
        group = rf"[-+]?\d{{1,3}}(?:\{thousands}\d{{3}})+(?:\{decimal}\d+)?"
        if re.fullmatch(group, plain):
            return (float(plain.replace(thousands, "").replace(decimal, ".")),)
    return ()


def final_answer(answer: str) -> str:
    """Give what follows the last `ANSWER:`, as CARAVELA's prompts ask for, or the whole answer."""
    return answer.rpartition(FINAL)[2].strip()


NUMBER_WORDS: Mapping[str, int] = {
    **{"zero": 0, "um": 1, "dois": 2, "três": 3, "quatro": 4, "cinco": 5, "seis": 6, "sete": 7, "oito": 8, "nove": 9},
    **{"uma": 1, "duas": 2, "nenhum": 0, "nenhuma": 0, "dez": 10, "onze": 11, "doze": 12, "treze": 13, "catorze": 14},
    **{"quinze": 15, "dezasseis": 16, "dezassete": 17, "dezoito": 18, "dezanove": 19, "vinte": 20, "cem": 100},
}
