"""Measures of one answer against its references, and counts over many; pure Python, no model, no file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from .parsing import Box, number, numbers

ANLS_THRESHOLD = 0.5  # Biten et al., "Scene Text Visual BenchmarkQuestion Answering", 2019
RELAXED = 0.05  # relative; Masry et al., "ChartQA", 2022, section 5.1
_YEARS = range(1900, 2101)  # a whole number in here is taken for a year, which no other is near to


def distance(one: Sequence[object], other: Sequence[object]) -> int:
    """Levenshtein's distance, of two texts or two lists of words.

    >>> distance("ação", "acção"), distance("um gato".split(), "um cão".split())
    (1, 1)
    """
    short, long = sorted((one, other), key=len)
    if not short:
        return len(long)
    # Hyyrö, "A bit-vector algorithm", 2003: a column of the table is two integers, of steps up and down between rows.
    places: dict[object, int] = {}
    for place, entry in enumerate(short):
        places[entry] = places.get(entry, 0) | 1 << place
    whole, last = (1 << len(short)) - 1, 1 << (len(short) - 1)
    up, down, score = whole, 0, len(short)
    for entry in long:
        equal = places.get(entry, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right, left = down | (~(diagonal | up) & whole), up & diagonal
        score += bool(right & last) - bool(left & last)
        right, left = right << 1 | 1, left << 1
        up, down = (left | ~(equal | down | right)) & whole, right & (equal | down) & whole
    return score


def anls_published(answer: str, references: Sequence[str]) -> float:
    """ANLS as DocVQA, InfographicVQA and PorTEXTO count it: 0.5 is enough, and lengths are the raw texts'."""
    losses = []
    for reference in references:
        length = max(len(reference.upper()), len(answer.upper()))
        losses.append(distance(_spaced(reference), _spaced(answer)) / length if length else 0.0)
    similarity = 1 - min(losses)
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def anls(answer: str, references: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity: the nearest reference's, and 0 where half of it or more is lost.

    Case and spaces do not count.
    """
    similarities = []
    for reference in references:
        one, other = _spaced(reference), _spaced(answer)
        similarities.append(1 - distance(one, other) / max(len(one), len(other), 1))
    best = max(similarities)
    return best if best > ANLS_THRESHOLD else 0.0


def without_stop(answer: str, references: Sequence[str]) -> str:
    """Drop one final full stop, unless a reference ends in one."""
    text = answer.strip()
    keeps = any(reference.strip().endswith(".") for reference in references)
    return text[:-1] if text.endswith(".") and not keeps else text


def relaxed_published(answer: str, reference: str) -> bool:
    """ChartQA's relaxed accuracy as the suite counts it: decimal commas, 0 and years are not known to it."""
    value, target = _float(answer), _float(reference)
    if value is not None and target:
        return abs(value - target) / abs(target) <= RELAXED
    return answer.lower() == reference.lower()


def relaxed(answer: str, reference: str) -> bool:
    """Whether a number is within 5 % of the reference, a year or a zero exact, or a text the same.

    Decimal commas, spaces between thousands, signs of money and Portuguese number words are read as such.

    >>> relaxed("10,4", "10"), relaxed("1990", "2010"), relaxed("0,0", "0"), relaxed("Azul", "azul.")
    (True, False, True, True)
    """
    values, targets = numbers(answer), numbers(reference)
    if not values or not targets:
        return _worded(answer) == _worded(reference)
    if re.fullmatch(r"\d{4}", reference.strip()) and int(targets[0]) in _YEARS:
        return values[0] == targets[0]
    return any(abs(value - target) <= RELAXED * abs(target) for value in values for target in targets)


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 where neither has an area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / union if union else 0.0


def error_rate(answer: str, references: Sequence[str], words: bool = False) -> float:
    """Character or word error rate against the nearest reference: 0 is right, and it may be above 1.

    Spaces count as one; case and punctuation do count.

    >>> error_rate("um cao", ["um cão"]), error_rate("um cao", ["um cão"], words=True)
    (0.16666666666666666, 0.5)
    """
    rates = []
    for reference in references:
        one, other = reference.split(), answer.split()
        target: Sequence[str] = one if words else " ".join(one)
        text: Sequence[str] = other if words else " ".join(other)
        rates.append(distance(target, text) / max(1, len(target)))
    return min(rates)


def overlap_f1(answer: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of two sets of words; 0 where either is empty."""
    one, other = set(answer), set(reference)
    shared = len(one & other)
    if not shared:
        return 0.0
    precision, recall = shared / len(one), shared / len(other)
    return 2 * precision * recall / (precision + recall)


def bag_f1(answer: str, reference: str, by_letter: bool = False) -> float:
    """F1 of words as often as they are there, case folded, as CC-OCR's evaluator counts; of letters, where asked.

    >>> round(bag_f1("Ola ola mundo", "olá ola mundo"), 3), bag_f1("ab", "a b", by_letter=True)
    (0.667, 1.0)
    """
    bags = []
    for text in (answer, reference):
        pieces = text.replace("###", "").replace("***", "").lower().split()
        bags.append(Counter("".join(pieces) if by_letter else pieces))
    shared = sum((bags[0] & bags[1]).values())
    return 2 * shared / sum(map(Counter.total, bags)) if shared else 0.0


def exact_match_by_kind(answers: Sequence[str], expected: Sequence[str], kinds: Sequence[str]) -> dict[str, float]:
    """Count the share of answers equal to the expected ones, spaces around them aside, for each kind of question.

    >>> exact_match_by_kind(["azul", "azul", "SOL "], ["azul", "verde", "SOL"], ["cor", "cor", "ler"])
    {'cor': 0.5, 'ler': 1.0}

    Raises:
        ValueError: Answers, expected answers and kinds are not as many.
    """
    _require_as_many(answers=answers, expected=expected, kinds=kinds)
    right: dict[str, list[bool]] = defaultdict(list)
    for answer, key, kind in zip(answers, expected, kinds, strict=True):
        right[kind].append(answer.strip() == key.strip())
    return {kind: sum(hits) / len(hits) for kind, hits in right.items()}


def exact_match(answers: Sequence[str], expected: Sequence[str]) -> float:
    """Count the share of answers equal to the expected ones, spaces around them aside.

    Raises:
        ValueError: Answers and expected answers are not as many, or there are none.
    """
    return exact_match_by_kind(answers, expected, [""] * len(answers)).get("", 0.0)


def preference_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Count the share of pairs whose chosen answer scores strictly higher.

    Raises:
        ValueError: The two lists are not equally long, or empty.
    """
    _require_as_many(chosen=chosen, rejected=rejected)
    return sum(better > worse for better, worse in zip(chosen, rejected, strict=True)) / len(chosen)


def _require_as_many(**lists: Sequence[object]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"as many of each are needed, and at least one: {lengths}")


def _spaced(text: str) -> str:
    return " ".join(text.strip().lower().split())


def _worded(text: str) -> str:
    """Fold case, spaces and the punctuation around a text, and a number word into its number."""
    words = " ".join(text.casefold().split()).strip(" .,;:!?\"'«»“”*`")
    value = number(words)
    return words if value is None else f"{value:g}"


def _float(text: str) -> float | None:
    """Read a number as ChartQA's scorer does, percentages as shares."""
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
