"""What the items of a task add up to, by both protocols: one figure, with its parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...variety import Verdict, judge
from .. import parsing
from ..tasks import Benchmark, Protocol, find_task
from . import captions
from .scoring import Item, is_european, reference_of, score_item, scores_of, texts_of


class Total(float):
    """One figure of a task, with its parts by name.

    Args:
        value: What Table 3 shows, before it is multiplied by the task's points.
        parts: What else is counted: F1 beside accuracy, a category's share of the sum.
    """

    parts: Mapping[str, float]

    def __new__(cls, value: float, parts: Mapping[str, float] | None = None) -> Total:
        """Make a figure with its parts."""
        total = super().__new__(cls, value)
        total.parts = dict(parts or {})
        return total

    def __getitem__(self, name: str) -> float:
        return self.parts[name]


def aggregate(task: str | Benchmark, items: Sequence[Item], protocol: Protocol = "published") -> Total:
    """Add items up.

    Args:
        task: The benchmark, or its name.
        items: Rows, each with `score`, or with the `answer` that it is counted from.
        protocol: `"published"` or `"corrected"`.

    Returns:
        The task's figure; its parts hang on it: `aggregate("pope_pt", items)["f1"]`.

    Raises:
        ValueError: There are no items, or one has neither score nor answer.
    """
    task = find_task(task) if isinstance(task, str) else task
    if not items:
        raise ValueError(f"{task.name}: no items to add up")
    return _AGGREGATES[task.aggregate](task, items, protocol)


def each_score(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> list[float]:
    """Count every answer; a caption gets what it adds to the corpus's CIDEr, which has to be there for it."""
    if task.aggregate == "cider":
        return _cider(items, protocol).each
    return [score_item(task, str(item["answer"]), item, protocol) for item in items]


Aggregate = Callable[[Benchmark, Sequence[Item], Protocol], Total]


def _category(item: Item) -> str:
    return str(item.get("category", item.get("l2_category", "")))


def _identity(item: Item) -> Any:
    return item.get("question_id")


def _mean(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    scores = scores_of(task, items, protocol)
    return Total(sum(scores) / len(scores), _by_category(items, scores))


def _by_category(items: Sequence[Item], scores: Sequence[float]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for item, score in zip(items, scores, strict=True):
        groups[_category(item)].append(score)
    return {name: sum(group) / len(group) for name, group in sorted(groups.items()) if name}


def _rounded(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    mean = _mean(task, items, protocol)
    return Total(round(mean, 5), mean.parts) if protocol == "published" else mean


def _percent(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    mean = _mean(task, items, protocol)
    return Total(100 * mean, {name: 100 * value for name, value in mean.parts.items()})


def _category_means(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    parts = _by_category([{"category": _category(item) or "-"} for item in items], scores_of(task, items, protocol))
    return Total(sum(parts.values()) / len(parts), parts)


def _thousand(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    mean = _mean(task, items, protocol)
    return Total(sum(scores_of(task, items, protocol)) / 1000, mean.parts) if protocol == "published" else mean


def _mme(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    """Add the categories up: the share of right answers and of images with both answers right, times 100 each."""
    pairs: dict[str, dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item, score in zip(items, scores_of(task, items, protocol), strict=True):
        pairs[_category(item)][_identity(item)].append(score)
    parts = {}
    for category, images in sorted(pairs.items()):
        whole = [scores for scores in images.values() if protocol == "corrected" or len(scores) == 2]
        both = [100 * sum(scores) / len(scores) + 100 * (sum(scores) == len(scores)) for scores in whole]
        parts[category] = sum(both) / len(both) if both else 0.0
    return Total(sum(parts.values()), parts)


def _pope(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    """Accuracy, with precision, recall and F1 of "yes"; published, what was not understood is in accuracy alone."""
    scores = scores_of(task, items, protocol)
    mean = _mean(task, items, protocol)
    if not all("answer" in item and "references" in item for item in items):
        return mean
    read = parsing.published_yes_no_pope if protocol == "published" else parsing.yes_no
    words = [read(str(item["answer"])) for item in items]
    truth = [parsing.yes_no(reference_of(item)) for item in items]
    counts = Counter(zip(words, truth, strict=True))
    hits, alarms, misses = counts["yes", "yes"], counts["yes", "no"], counts["no", "yes"]
    if protocol == "corrected":  # an answer that says neither is wrong on the side where it should have been
        alarms, misses = alarms + counts[None, "no"], misses + counts[None, "yes"]
    precision = hits / (hits + alarms) if hits + alarms else 0.0
    recall = hits / (hits + misses) if hits + misses else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    yes = (truth if protocol == "published" else words).count("yes") / len(items)
    accuracy = sum(scores) / len(scores)
    parts = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1, "yes_ratio": yes}
    return Total(accuracy, {**mean.parts, **parts})


def _corpus_cider(_: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    return Total(_cider(items, protocol).total)


def _cider(items: Sequence[Item], protocol: Protocol) -> captions.CiderScore:
    answers, references = [str(item["answer"]) for item in items], [texts_of(item) for item in items]
    return captions.cider(answers, references, abbreviations=protocol == "published")


def _corpus_bleu(_: Benchmark, items: Sequence[Item], __: Protocol) -> Total:
    counts = [captions.bleu_counts(str(item["answer"]).strip(), texts_of(item)) for item in items]
    return Total(captions.bleu1(counts))


def _transcription(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    mean = _mean(task, items, protocol)
    if not all("answer" in item and "references" in item for item in items):
        return mean
    return Total(mean, {**mean.parts, "anls": float(mean), "bleu1": float(_corpus_bleu(task, items, protocol))})


def conversation_scores(items: Sequence[Item]) -> np.ndarray:
    """Say of each conversation, in the order of their first turns, whether its answers together are European."""
    return np.array([float(is_european(judge(text))) for text in _conversations(items)])


def _variety(task: Benchmark, items: Sequence[Item], protocol: Protocol) -> Total:
    """Give the share of conversations that are European on evidence; turns, one by one, are among the parts."""
    whole = _verdicts("conversations", [judge(text) for text in _conversations(items)])
    turns = _verdicts("turns", [judge(str(item["answer"])) for item in items])
    by_turn = _by_category(items, scores_of(task, items, protocol))
    return Total(whole["conversations, European"], {**whole, **turns, **by_turn})


def _conversations(items: Sequence[Item]) -> list[str]:
    texts: dict[str, list[str]] = defaultdict(list)
    for item in items:
        texts[str(_identity(item))].append(str(item["answer"]))
    return ["\n".join(turns) for turns in texts.values()]


def _verdicts(name: str, verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Count verdicts, as shares that add up to 1, with the mean score of those where there was something to judge."""
    nothing = sum(verdict.is_pt_pt is None for verdict in verdicts)
    counts = {
        "European": sum(map(is_european, verdicts)),
        "Brazilian": sum(verdict.refused for verdict in verdicts),
        "undecided": sum(verdict.undecided for verdict in verdicts),
        "nothing to judge": nothing,
    }
    shares = {f"{name}, {kind}": count / len(verdicts) for kind, count in counts.items()}
    judged = [verdict.score for verdict in verdicts if verdict.is_pt_pt is not None]
    return {**shares, f"{name}, mean score": sum(judged) / len(judged) if judged else 0.5}


_AGGREGATES: Mapping[str, Aggregate] = {
    "mean": _mean,
    "rounded": _rounded,
    "percent": _percent,
    "category_means": _category_means,
    "thousand": _thousand,
    "mme": _mme,
    "pope": _pope,
    "cider": _corpus_cider,
    "bleu1": _corpus_bleu,
    "transcription": _transcription,
    "variety": _variety,
}
