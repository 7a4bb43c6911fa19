"""Soft rules over a build's samples: scores of each, and thresholds by the quantile of good ones.

Embeddings tell a sentence that is lost, added or moved; a plug-in scores what a model of translation quality does
(CometKiwi, MetricX), and a translation back is held against the source. None has a constant threshold: it follows from
pairs that are known to be good, or from the run's own.

A plug-in is a function of the user's; CometKiwi, whose weights are for non-commercial use, is one of a few lines:

    def cometkiwi(sources, translations):
        model = comet.load_from_checkpoint(comet.download_model("Unbabel/wmt22-cometkiwi-da"))
        return model.predict([{"src": s, "mt": t} for s, t in zip(sources, translations)]).scores
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...fields import RecipeError
from ...translation.quality import Embed, Score, agreement, chrf, measurable, threshold
from ..steps import Item, Outcome

Pairs = Sequence[tuple[str, str]]
_ROWS_AT_ONCE = 64  # texts that an encoder gets at once


@dataclass(frozen=True)
class QualitySettings:
    """What translations are measured by; with nothing named, hard rules alone decide.

    Args:
        embeddings: Directory or Hub id of a multilingual text encoder (E5, BGE-M3, LaBSE).
        scorer: Function that scores translations, the higher the better, as `module:function`: it gets sources and
            translations, and gives as many numbers.
        pairs: File of JSON lines with `source` and `translation` that are good: thresholds are quantiles of their
            scores. Without it they are quantiles of the run's own.
        lost: Share of good translations that each measure may cost.
    """

    embeddings: str | None = None
    scorer: str | None = None
    pairs: str | None = None
    lost: float = 0.015

    def __post_init__(self) -> None:
        if not 0 <= self.lost < 0.5:
            raise RecipeError(f"quality.lost is {self.lost}, but must be a share from 0 to below 0.5")
        if self.scorer is not None and self.scorer.count(":") != 1:
            raise RecipeError(f"quality.scorer is {self.scorer!r}, but must be written module:function")

    @property
    def idle(self) -> bool:
        """Whether nothing is measured."""
        return self.embeddings is None and self.scorer is None


def measured(items: Iterable[Item], settings: QualitySettings) -> Iterator[Item]:
    """Give items with the scores of their segments, the least of each kind."""
    for item in items:
        pairs = [(source, text) for source, text in item.data["translations"].items() if measurable(source)]
        yield item.having(scores={**item.data.get("scores", {}), **scores_of(pairs, settings)})


def scores_of(pairs: Pairs, settings: QualitySettings) -> dict[str, float]:
    """Score pairs, and give the least of each measure; nothing where no pair says enough."""
    if not pairs:
        return {}
    return {name: min(values) for name, values in _each(pairs, settings).items()}


def selected(items: Iterable[Item], settings: QualitySettings) -> Iterator[Outcome]:
    """Reject the items whose scores are under the thresholds; an item without a score passes.

    Thresholds that follow from the run's own scores need all of them first: items wait on the disk meanwhile.
    """
    if settings.pairs is not None:
        limits = good_limits(settings)
        yield from (_held(item, limits) for item in items)
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        scores = _spooled(items, spool)
        limits = {name: threshold(values, settings.lost) for name, values in scores.items()}
        yield from (_held(Item(**json.loads(line)), limits) for line in spool)


def good_limits(settings: QualitySettings) -> dict[str, float]:
    """Give the thresholds that pairs known to be good set.

    Raises:
        RecipeError: There are none in the file.
    """
    pairs = read_pairs(Path(settings.pairs or ""))
    limits = {name: threshold(values, settings.lost) for name, values in _each(pairs, settings).items()}
    return limits


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read good pairs: JSON lines with `source` and `translation`; those too short to measure are left out.

    Raises:
        RecipeError: A line is none, or there are none.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        pairs = [(str(row["source"]), str(row["translation"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"quality.pairs: {path} has no lines of source and translation: {error!r}") from error
    pairs = [pair for pair in pairs if measurable(pair[0])]
    if not pairs:
        raise RecipeError(f"quality.pairs: {path} has no pair of a few words")
    return pairs


def nearness(sources: Sequence[str], backs: Sequence[str]) -> float:
    """Give the least chrF of translations back to their sources."""
    return min(chrf(back, source) for source, back in zip(sources, backs, strict=True))


def _each(pairs: Pairs, settings: QualitySettings) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    if settings.embeddings is not None:
        near = agreement(pairs, encoder(settings.embeddings))
        scores["whole"], scores["least"] = [pair.whole for pair in near], [pair.least for pair in near]
    if settings.scorer is not None:
        sources, texts = zip(*pairs, strict=True)
        scores["scorer"] = list(map(float, scorer(settings.scorer)(list(sources), list(texts))))
        if len(scores["scorer"]) != len(pairs):
            raise ValueError(f"{settings.scorer} gave {len(scores['scorer'])} scores of {len(pairs)} translations")
    return scores


def _held(item: Item, limits: Mapping[str, float]) -> Outcome:
    for name, score in item.data["scores"].items():
        if name in limits and score < limits[name]:
            return item.rejected(f"quality: {name}", f"{score:.3f}, under {limits[name]:.3f}")
    return item


def _spooled(items: Iterable[Item], spool: IO[str]) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for item in items:
        for name, score in item.data["scores"].items():
            scores.setdefault(name, []).append(score)
        spool.write(json.dumps(item._asdict(), ensure_ascii=False) + "\n")
    spool.seek(0)
    return scores


@lru_cache(maxsize=1)
def scorer(name: str) -> Score:
    """Import a scorer.

    Raises:
        RecipeError: There is no such function.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"quality.scorer: no function {name}: {error}") from error
    return found


@lru_cache(maxsize=1)
def encoder(name: str) -> Embed:
    """Load a text encoder: the mean of its last hidden states, as unit vectors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    model = AutoModel.from_pretrained(name, trust_remote_code=False, use_safetensors=True).eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        parts = []
        for start in range(0, len(texts), _ROWS_AT_ONCE):
            window = list(texts[start : start + _ROWS_AT_ONCE])
            tokens = tokenizer(window, padding=True, truncation=True, max_length=512, return_tensors="pt")
            hidden = model(**tokens).last_hidden_state  # (texts, tokens, width)
            mask = tokens["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            parts.append(torch.nn.functional.normalize(mean.float(), dim=-1).numpy())
        return np.concatenate(parts)

    return embed
