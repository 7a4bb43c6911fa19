"""How one answer is counted, by both protocols; `totals` adds up.

`published` is bug for bug the official suite, so that figures compare with Table 3 of the paper; `corrected` is what a
careful reader would count. Both are counted from the same answers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...variety import Verdict, judge
from .. import math_answers, metrics, parsing
from ..tasks import Benchmark, Protocol, find_task
from . import captions, vqa_words

Row = Mapping[str, Any]  # `references`, and where the task has them `options`, `dataset`, `category`, `question_id`
Item = Mapping[str, Any]  # a row with its `answer` and `score`

HIT = 0.5  # IoU at which a box counts
_ROUNDING = 1e-9  # of floats: boxes that overlap by exactly half do


def score_item(task: str | Benchmark, answer: str, row: Row, protocol: Protocol = "published") -> float:
    """Count one answer.

    Args:
        task: The benchmark, or its name.
        answer: The model's words.
        row: The task's normalised columns: `references`, a list of texts or letters, or one box; `options`, `dataset`.
        protocol: `"published"` or `"corrected"`.

    Returns:
        What the answer adds: 0 or 1, ANLS, a box hit at IoU 0.5; 0 for captions, which only a corpus can score.

    Raises:
        ValueError: The task or the protocol is unknown, or the row has no reference.

    >>> row = {"references": ["B"], "options": ["um gato", "um cão"]}
    >>> [score_item("embspatial_pt", "A resposta é B", row, protocol) for protocol in ("published", "corrected")]
    [0.0, 1.0]
    """
    task = find_task(task) if isinstance(task, str) else task
    if protocol not in ("published", "corrected"):
        raise ValueError(f"unknown protocol {protocol!r}; known: published, corrected")
    if not references_of(row):
        raise ValueError(f"{task.name}: the row {row.get('question_id', '')} has no reference to count by")
    answer = parsing.without_reasoning(answer, task.reasoning)
    return float(_SCORERS[task.scorer](answer, row, protocol == "corrected", task))


def parsed_answer(task: Benchmark, answer: str, row: Row) -> str | None:
    """Say what a careful reader makes of an answer, for those tasks that take a letter, yes or no, or a box.

    Returns:
        The letter, `yes`, `no` or the box; None for an answer that says none of these. Other tasks give the answer.
    """
    answer = parsing.without_reasoning(answer, task.reasoning)
    kind = _KINDS.get(task.scorer, "text")
    if kind == "yes_no":
        return parsing.yes_no(answer)
    if kind == "box":
        box = parsing.box(answer, task.box_form, task.box_scale)
        return None if box is None else " ".join(f"{value:.3f}" for value in box)
    if kind == "letter" and _is_letter(row):
        return parsing.letter(parsing.final_answer(answer), _letters(row), row.get("options") or ())
    return answer.strip() or None


def is_drawn(task: Benchmark, answer: str, row: Row) -> bool:
    """Whether the official suite would draw an option at random for an answer; here it is wrong by both protocols."""
    options = [str(option) for option in row.get("options") or ()]
    return task.draws and bool(options) and parsing.published_letter_mmmu(answer, options) is None


def scores_of(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> list[float]:
    """Give what each item adds, counting those that do not say it."""
    return [
        float(item["score"]) if "score" in item else score_item(task, str(item["answer"]), item, protocol)
        for item in items
    ]


Scorer = Callable[[str, Row, bool, Benchmark], float | bool]


def references_of(row: Row) -> list[Any]:
    """Give what a row's answer is held against."""
    value = row.get("references")
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def texts_of(row: Row) -> list[str]:
    """Give a row's references as texts."""
    return [str(reference) for reference in references_of(row)]


def reference_of(row: Row) -> str:
    """Give a row's first reference, without the spaces around it."""
    return texts_of(row)[0].strip()


def _letters(row: Row) -> str:
    return parsing.LETTERS[: len(row.get("options") or "ABCD")]


def _is_letter(row: Row) -> bool:
    return reference_of(row).upper() in tuple(parsing.LETTERS)


def _yes_no(published: Callable[[str], str | None]) -> Scorer:
    def count(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
        word = parsing.yes_no(answer) if corrected else published(answer)
        return word is not None and word == parsing.yes_no(reference_of(row))

    return count


def _letter(published: Callable[[str, Row], bool]) -> Scorer:
    def count(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
        if not corrected:
            return published(answer, row)
        return parsing.letter(answer, _letters(row), row.get("options") or ()) == reference_of(row).upper()

    return count


def _ai2d(answer: str, row: Row) -> bool:
    drop = str.maketrans("", "", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return parsing.published_letter_ai2d(answer).lower().translate(drop) == reference_of(row).lower().translate(drop)


def _realworldqa(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    reference = reference_of(row)
    if reference.upper() in tuple("ABCD"):
        if corrected:
            return parsing.letter(answer, "ABCD", row.get("options") or ()) == reference.upper()
        return parsing.published_letter(answer, "ABCD") == reference.upper()
    if corrected:
        yes_no = parsing.yes_no(reference)
        same = vqa_words.vqa_words(answer) == vqa_words.vqa_words(reference)
        return same or (yes_no is not None and parsing.yes_no(answer) == yes_no)
    return answer.lower().strip().rstrip(".") == reference.lower()


def _caravela_letter(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    answer, reference = parsing.final_answer(answer), reference_of(row).upper()
    if corrected:
        return parsing.letter(answer, "ABCD", row.get("options") or ()) == reference
    return parsing.published_letter(answer, "ABCD") == reference


def _mmmu(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    options = [str(option) for option in row.get("options") or ()]
    if not options:  # the official scorer compares characters, which are never right
        return corrected and _mmmu_open(answer, row)
    if corrected:
        return parsing.letter(answer, _letters(row), options) == reference_of(row).upper()
    return parsing.published_letter_mmmu(answer, options) in texts_of(row)


def _mmmu_open(answer: str, row: Row) -> bool:
    """Whether an open answer holds a reference, by the original benchmark's rule, decimal commas read as such."""
    references = [text for reference in texts_of(row) for text in _listed(reference)]
    pieces = _key_pieces(answer)
    values = {round(value, 2) for piece in pieces for value in _numbers_within(piece)}
    for reference in references:
        targets = (
            {round(value, 2) for value in parsing.numbers(reference)} if reference.strip()[-1:].isdigit() else set()
        )
        if targets & values:
            return True
        folded = reference.strip().lower()
        alone = re.compile(rf"(?<!\w){re.escape(folded)}(?!\w)") if len(folded) == 1 else re.compile(re.escape(folded))
        if folded and not targets and any(alone.search(piece.lower()) for piece in pieces):
            return True
    return False


def _listed(reference: str) -> list[str]:
    """Read references that the dataset writes as a list's text."""
    if reference.strip()[:1] == "[" and len(reference) < 10_000:
        try:
            return [str(entry) for entry in ast.literal_eval(reference.strip())]
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    return [reference]


_KEYS = (
    *("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result "),
    *("pode ser ", "poderá ser ", "então ", "assim ", "é ", "deste modo ", "desta forma ", "portanto ", "logo "),
    *("resposta ", "resultado "),
)


def _key_pieces(answer: str) -> list[str]:
    """Give the ends of sentences after a word that announces a result; without any, the whole answer."""
    text = answer.strip().strip(".").lower()
    sentences = re.split(r"\.\s(?=[a-zà-ÿ])|\n", text)
    pieces = []
    for place, sentence in enumerate(sentences):
        keys = (*_KEYS, "=") if place == len(sentences) - 1 else _KEYS
        ends = [sentence.split(key)[-1].strip() for key in keys if key in sentence]
        if ends and (shortest := min(ends, key=len)) not in ("", ":", ",", ".", "!", "?", ";", "'"):
            pieces.append(shortest)
    return pieces or [text]


def _numbers_within(text: str) -> list[float]:
    """Read the numbers that stand in a text, with both readings of a doubtful separator."""
    return [value for token in re.findall(r"-?\d+(?:[.,]\d+)*", text) for value in parsing.numbers(token)]


def _ocrbench(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    formula = row.get("dataset") == "HME100k"
    if corrected:
        same = vqa_words.same_formula if formula else vqa_words.transcribes
        return any(same(answer, reference) for reference in texts_of(row))
    normalised = answer.strip().replace("\n", " ")
    normalised = normalised.replace(" ", "") if formula else normalised.lower()
    for reference in texts_of(row):
        text = reference.strip().replace("\n", " ")
        if (text.replace(" ", "") if formula else reference.lower().strip().replace("\n", " ")) in normalised:
            return True
    return False


def _vqa(answer: str, row: Row, corrected: bool, _: Benchmark) -> float:
    words = vqa_words.vqa_words if corrected else vqa_words.published_vqa_words
    normalised, texts = words(answer), [words(text) for text in texts_of(row)]
    if corrected and len(texts) < 4:  # too few people for three to agree
        return float(normalised in texts)
    return vqa_words.vqa_accuracy(normalised, texts)


def _anls(answer: str, row: Row, corrected: bool, task: Benchmark) -> float:
    references = texts_of(row)
    transcription = task.aggregate == "transcription"
    answer = answer.strip() if transcription else metrics.without_stop(answer, references)
    return metrics.anls(answer, references) if corrected else metrics.anls_published(answer, references)


def _relaxed(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    if corrected:
        return any(metrics.relaxed(answer, reference) for reference in texts_of(row))
    return metrics.relaxed_published(metrics.without_stop(answer, texts_of(row)[:1]), texts_of(row)[0])


def _box(answer: str, row: Row, corrected: bool, task: Benchmark) -> bool:
    reference = reference_box(row)
    if corrected:
        box = parsing.box(answer, task.box_form, task.box_scale)
        return box is not None and metrics.iou(reference, box) >= HIT - _ROUNDING
    box = parsing.published_box(answer) or (0.0, 0.0, 0.0, 0.0)
    if task.box_form == "xywh":  # the official parser knows two corners only; Table 4 must have had another
        box = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    return metrics.iou(reference, box) >= HIT


def reference_box(row: Row) -> parsing.Box:
    """Give a row's box, whether `references` is the box or a list with it.

    Raises:
        ValueError: They are no four numbers.
    """
    values = references_of(row)
    values = list(values[0]) if len(values) == 1 and not isinstance(values[0], str) else values
    if len(values) != 4:
        raise ValueError(f"a box needs 4 numbers, but the reference has {len(values)}: {values}")
    left, top, right, bottom = map(float, values)
    return left, top, right, bottom


def _math(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    options = [str(option) for option in row.get("options") or ()]
    same = math_answers.same_answer if corrected else math_answers.published_math
    return same(answer, reference_of(row), options)


def _says(answer: str, row: Row, corrected: bool, _: Benchmark) -> bool:
    answer, reference = parsing.final_answer(answer), texts_of(row)[0]
    if corrected:
        return any(vqa_words.says(answer, text) for text in texts_of(row))
    normalised, target = vqa_words.published_caravela_words(answer), vqa_words.published_caravela_words(reference)
    return normalised == target or (bool(target) and target in normalised)


def _overlap(answer: str, row: Row, corrected: bool, _: Benchmark) -> float:
    answer, reference = parsing.final_answer(answer), texts_of(row)[0]
    words = vqa_words.caravela_words if corrected else vqa_words.published_caravela_words
    normalised, target = words(answer).split(), words(reference).split()
    if corrected and not any(len(word) > 3 for word in target):  # nothing would ever be right
        return metrics.overlap_f1(normalised, target)
    return metrics.overlap_f1(
        [word for word in normalised if len(word) > 3], [word for word in target if len(word) > 3]
    )


def _overlap_words(answer: str, row: Row, _corrected: bool, _: Benchmark) -> float:
    return max(metrics.overlap_f1(answer.casefold().split(), text.casefold().split()) for text in texts_of(row))


def _cc_ocr(answer: str, row: Row, _corrected: bool, _: Benchmark) -> float:
    by_letter = str(row.get("category", "")) in ("Arabic", "Japanese", "Korean")
    return max(metrics.bag_f1(answer, text, by_letter) for text in texts_of(row))


def _exact(answer: str, row: Row, _corrected: bool, _: Benchmark) -> bool:
    return answer.strip() in [reference.strip() for reference in texts_of(row)]


def _cider(answer: str, row: Row, _corrected: bool, _: Benchmark) -> float:
    return captions.corpus_score("cider", [answer], [texts_of(row)])


def is_european(verdict: Verdict) -> bool:
    """Whether a text was judged European on evidence; undecided ones and other languages are not."""
    return bool(verdict.is_pt_pt) and not verdict.refused and not verdict.undecided


def _variety(answer: str, _row: Row, _corrected: bool, _: Benchmark) -> bool:
    return is_european(judge(answer))


def _likelier(answer: str, row: Row, _corrected: bool, task: Benchmark) -> bool:
    """Whether the first completion is the likeliest: whole, or, by perplexity, a token of it on average."""
    if "likelihoods" not in row:
        raise ValueError(f"{task.name}: an answer without its likelihoods cannot be compared by them")
    tokens = task.scorer == "perplexity"
    first, *others = [total / count if tokens else total for total, count in row["likelihoods"]]
    return all(first > other for other in others)


def _letter_or_words(answer: str, row: Row, corrected: bool, task: Benchmark) -> float:
    return float(_SCORERS["letter" if row.get("options") else "overlap_words"](answer, row, corrected, task))


_SCORERS: Mapping[str, Scorer] = {
    "yes_no_mme": _yes_no(parsing.published_yes_no_mme),
    "yes_no_pope": _yes_no(parsing.published_yes_no_pope),
    "yes_no": _yes_no(parsing.yes_no),
    "letter_mmstar": _letter(
        lambda answer, row: reference_of(row).upper() in parsing.published_letters_mmstar(answer)
    ),
    "letter_seed": _letter(lambda answer, row: parsing.published_letter_seed(answer) == reference_of(row).upper()),
    "letter_embspatial": _letter(
        lambda answer, row: parsing.published_letter_embspatial(answer) == reference_of(row).upper()
    ),
    "letter_ai2d": _letter(_ai2d),
    "letter_caravela": _caravela_letter,
    "letter": _letter(
        lambda answer, row: (
            parsing.letter(answer, _letters(row), row.get("options") or ()) == reference_of(row).upper()
        )
    ),
    "letter_or_words": _letter_or_words,
    "mmmu": _mmmu,
    "realworldqa": _realworldqa,
    "ocrbench": _ocrbench,
    "vqa": _vqa,
    "anls": _anls,
    "relaxed": _relaxed,
    "box": _box,
    "math": _math,
    "says": _says,
    "overlap": _overlap,
    "overlap_words": _overlap_words,
    "cc_ocr": _cc_ocr,
    "exact": _exact,
    "cer": lambda answer, row, _corrected, _task: metrics.error_rate(answer, texts_of(row)),
    "wer": lambda answer, row, _corrected, _task: metrics.error_rate(answer, texts_of(row), words=True),
    "cider": _cider,
    "variety": _variety,
    "likelier": _likelier,
    "perplexity": _likelier,
    "bleu1": lambda answer, row, _corrected, _task: captions.corpus_score("bleu1", [answer], [texts_of(row)]),
}
_KINDS = {name: name.partition("_")[0] for name in _SCORERS if name.startswith("letter")} | {
    **{name: "yes_no" for name in _SCORERS if name.startswith("yes_no")},
    **{"mmmu": "letter", "realworldqa": "letter", "box": "box"},
}
