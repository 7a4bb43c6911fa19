"""Scores of a whole corpus of texts, without Java: CIDEr, with a tokenizer like Stanford's, and BLEU-1.

With the same tokens, CIDEr equals pycocoevalcap's and BLEU-1 sacrebleu's. The tokenizer follows what Stanford's PTB
tokenizer (3.4.1, lower case, punctuation dropped as COCO's captions have it) does to Portuguese, with its
abbreviations.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Measure = Literal["cider", "bleu1"]
Ngram = tuple[str, ...]

ORDERS = 4  # CIDEr's longest n-gram
SIGMA = 6.0  # of CIDEr-D's penalty for another length, in bigrams

# Words that keep a final full stop, as abbreviations do; "mar." and "tel." are English months and telephones.
ABBREVIATIONS = frozenset((
    "adj", "al", "ala", "alex", "apr", "aug", "cf", "cie", "co", "col", "dec", "dr", "est", "etc", "ext", "fri",
    "ft", "ga", "gen", "inc", "intl", "jan", "jul", "jun", "lt", "mar", "md", "mo", "mon", "mr", "ms", "mt", "nov",
    "pfc", "ph", "prof", "pty", "rd", "rep", "rev", "rt", "sep", "sfc", "sq", "sr", "st", "sys", "tel", "va", "vs",
    "vt",
))  # fmt: skip
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_MONEY = "€£¥"  # all of them become the dollar's sign
_DROPPED = frozenset(("'", "''", "`", "``", ".", "..", "...", "…", "?", "!", ",", ":", "-", "--", "–", "—", ";"))
_QUOTES = frozenset('"“”„«»‹›‘’')
_TOKEN = re.compile(
    r"""https?://\S+ | [\w.+-]+@\w+(?:[.-]\w+)+      # addresses
    | [a-z]{1,2}\$ | c\+\+ | [cf]\#                    # R$, C++, C#
    | (?:[^\W\d_]\.){2,} (?!\w)                        # U.S.A.
    | \d+(?:[.,:/]\d+)+                                # 3,5 10:30
    | \w+(?:[.'’&-]\w+)*                               # words, with what joins their parts
    | \.{2,} | -{2,} | [?!]+ | '' | `` | \S""",
    re.VERBOSE,
)
_ENDING = re.compile(r"(.+?)(n't|'(?:s|ll|re|ve|d|m))")  # that English hangs on a word
_13A = (  # mteval-v13a, in this order
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


class CiderScore(NamedTuple):
    """CIDEr of a corpus.

    Args:
        total: Mean over the images; Table 3 of the paper shows it times 100.
        each: What each image adds, with the corpus's document frequencies.
    """

    total: float
    each: list[float]


class BleuCounts(NamedTuple):
    """What BLEU-1 adds up over a corpus: unigrams that match, unigrams of the answer and of the nearest reference."""

    matches: int
    length: int
    reference: int


def corpus_score(measure: Measure, answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Score a corpus.

    Args:
        measure: `"cider"`, 0 to 10 (one image alone gives 0), or `"bleu1"`, 0 to 100.
        answers: One a sample.
        references: One list a sample, at least one text in each.

    Raises:
        ValueError: Another measure, or not as many lists as answers, or an empty one.

    >>> round(corpus_score("bleu1", ["o o o o"], [["o gato viu o cão"]]), 3)
    38.94
    """
    listed = [[entry] if isinstance(entry, str) else list(entry) for entry in references]
    if len(answers) != len(listed) or not answers or not all(listed):
        raise ValueError(f"{len(answers)} answers, {len(listed)} lists of references: as many are needed, none empty")
    if measure == "cider":
        return cider(answers, listed).total
    if measure == "bleu1":
        return bleu1([bleu_counts(answer, texts) for answer, texts in zip(answers, listed, strict=True)])
    raise ValueError(f"unknown measure {measure!r}; known: cider, bleu1")


def cider(answers: Sequence[str], references: Sequence[Sequence[str]], abbreviations: bool = True) -> CiderScore:
    """CIDEr-D of captions, tokenised here.

    Args:
        answers: One an image.
        references: Those of each image.
        abbreviations: Whether "mar." at a sentence's end is a word of its own, as for the official tokenizer.
    """
    return cider_of_tokens(
        [caption_tokens(answer, abbreviations) for answer in answers],
        [[caption_tokens(text, abbreviations) for text in texts] for texts in references],
    )


def cider_of_tokens(answers: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> CiderScore:
    """CIDEr-D (Vedantam et al., 2015) of tokens: n = 1 to 4, sigma = 6, document frequencies of the references."""
    counts = [[_ngrams(tokens) for tokens in texts] for texts in references]
    documents: Counter[Ngram] = Counter()
    for texts in counts:
        documents.update({ngram for ngrams in texts for ngram in ngrams})
    size = math.log(len(answers))
    rarity = {ngram: size - math.log(count) for ngram, count in documents.items()}
    each = [
        _cider_of_image(_Vector(_ngrams(tokens), rarity, size), [_Vector(ngrams, rarity, size) for ngrams in texts])
        for tokens, texts in zip(answers, counts, strict=True)
    ]
    return CiderScore(sum(each) / len(each), each)


class _Vector:
    """A text's n-grams weighted by how rare they are, by order.

    Args:
        counts: Of its n-grams.
        rarity: Inverse document frequency of those that references have.
        most: That of all others.
    """

    def __init__(self, counts: Mapping[Ngram, int], rarity: Mapping[Ngram, float], most: float) -> None:
        self.weights: list[dict[Ngram, float]] = [{} for _ in range(ORDERS)]
        self.bigrams = 0
        for ngram, count in counts.items():
            self.weights[len(ngram) - 1][ngram] = count * rarity.get(ngram, most)
            self.bigrams += count if len(ngram) == 2 else 0
        self.norms = [math.sqrt(sum(weight**2 for weight in order.values())) for order in self.weights]


def _cider_of_image(answer: _Vector, references: Sequence[_Vector]) -> float:
    total = 0.0
    for reference in references:
        penalty = math.exp(-((answer.bigrams - reference.bigrams) ** 2) / (2 * SIGMA**2))
        for order in range(ORDERS):
            known = reference.weights[order]
            shared = sum(
                min(weight, known[ngram]) * known[ngram]
                for ngram, weight in answer.weights[order].items()
                if ngram in known
            )
            norm = answer.norms[order] * reference.norms[order]
            total += penalty * (shared / norm if norm else shared)
    return 10 * total / ORDERS / len(references)


def _ngrams(tokens: Sequence[str]) -> Counter[Ngram]:
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, ORDERS + 1)
        for start in range(len(tokens) - order + 1)
    )


def caption_tokens(text: str, abbreviations: bool = True) -> list[str]:
    """Cut a caption into words as COCO's evaluation does.

    >>> " ".join(caption_tokens("Às 10h30 um cão (preto) junto ao mar."))
    'às 10h30 um cão -lrb- preto -rrb- junto ao mar.'
    """
    text = text.lower()
    tokens: list[str] = []
    place = 0
    while match := _TOKEN.search(text, place):
        token, place = match.group(), match.end()
        if (abbreviations and token in ABBREVIATIONS) or re.fullmatch(r"\w(?:\.\w)+", token):
            stop = text[place : place + 1] == "." and text[place + 1 : place + 2] != "."
            token, place = (f"{token}.", place + 1) if stop else (token, place)
        if ending := _ENDING.fullmatch(token):
            tokens += ending.groups()
        elif token not in _DROPPED and token not in _QUOTES:
            tokens.append("$" if token in _MONEY else _BRACKETS.get(token, token))
    return tokens


def bleu_counts(answer: str, references: Sequence[str]) -> BleuCounts:
    """Count what BLEU-1 needs of one answer; case is kept."""
    tokens = _tokens_13a(answer)
    texts = [_tokens_13a(reference) for reference in references]
    most: Counter[str] = Counter()
    for words in texts:
        most |= Counter(words)
    nearest = min((len(words) for words in texts), key=lambda length: (abs(length - len(tokens)), length))
    return BleuCounts((Counter(tokens) & most).total(), len(tokens), nearest)


def bleu1(counts: Sequence[BleuCounts]) -> float:
    """BLEU of unigrams over a corpus, 0 to 100, with sacrebleu's brevity penalty."""
    matches, length, reference = (sum(column) for column in zip(*counts, strict=True))
    if not matches:
        return 0.0
    brevity = math.exp(1 - reference / length) if length < reference else 1.0
    return brevity * math.exp(math.log(100 * matches / length))


def _tokens_13a(text: str) -> list[str]:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for name, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(name, character)
    text = f" {text} "
    for pattern, spaced in _13A:
        text = pattern.sub(spaced, text)
    return text.split()
