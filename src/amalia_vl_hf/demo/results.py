"""What came out of the three stages: read back from disk, tabled, and held against the targets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..evaluation.metrics import preference_accuracy
from ..training.recipe import TRAINING_LOG
from ..training.stages import module_of
from .scene_texts import KINDS

STAGES = ("1_align", "2_instruct", "3_prefer")

# The demo's targets; the last stage may cost this much exact match.
LOSS_FALL, PERCEPTION, ALL_KINDS, PREFERENCE, LOSS_OF_MATCH = 0.20, 0.90, 0.75, 0.90, 0.02


@dataclass(frozen=True)
class Result:
    """One stage's outcome.

    Args:
        stage: Its folder's name.
        loss_start: Mean of the first tenth of the logged training losses.
        loss_end: Mean of the last tenth.
        exact_match: Share of the held-out questions answered exactly.
        exact_match_by_kind: The same by kind of question.
        preference_accuracy: Share of held-out pairs whose chosen answer is likelier than the rejected one.
        reward_accuracy: Share of them whose likelihood rose more, from the stage before, for the chosen answer: DPO's
            implicit reward.
        changed_modules: Modules any parameter of which differs from the stage before.
        seconds: Training time, in seconds.
    """

    stage: str
    loss_start: float
    loss_end: float
    exact_match: float
    exact_match_by_kind: Mapping[str, float]
    preference_accuracy: float
    reward_accuracy: float | None
    changed_modules: tuple[str, ...]
    seconds: float

    def as_row(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "exact_match_by_kind": dict(self.exact_match_by_kind)}


def collect(out: Path) -> list[Result]:
    """Read a finished run's training logs, evaluations and weights."""
    results, before, earlier = [], "0_base", None
    for stage in STAGES:
        scores = json.loads((out / "evaluation" / f"{stage}.json").read_text(encoding="utf-8"))
        losses = logged_losses(out / stage)
        results.append(
            Result(
                stage=stage,
                loss_start=_mean(losses[: _tenth(losses)]),
                loss_end=_mean(losses[-_tenth(losses) :]),
                exact_match=scores["exact_match"],
                exact_match_by_kind=scores["exact_match_by_kind"],
                preference_accuracy=scores["preference_accuracy"],
                reward_accuracy=_reward_accuracy(scores, earlier) if stage == "3_prefer" and earlier else None,
                changed_modules=changed_modules(out / before, out / stage),
                seconds=_training_log(out / stage)["seconds"],
            )
        )
        before, earlier = stage, scores
    return results


def logged_losses(stage: Path) -> list[float]:
    """Read the losses that a stage's training logged, in order."""
    return [float(entry["loss"]) for entry in _training_log(stage)["log_history"] if "loss" in entry]


def changed_modules(before: Path, after: Path) -> tuple[str, ...]:
    """Name the modules whose weights differ in any bit between two model folders.

    Raises:
        ValueError: The two models do not have the same parameters.
    """
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    if old.keys() != new.keys():
        raise ValueError(f"{before} and {after} differ in parameters: {sorted(old.keys() ^ new.keys())}")
    return tuple(sorted({module_of(name) for name in old if not torch.equal(old[name], new[name])}))


def table(results: Sequence[Result]) -> str:
    """Table the results, a stage a row."""
    lines = [_row("stage", ("loss", "all", *KINDS, "preference", "seconds"))]
    for result in results:
        matches = (result.exact_match, *(result.exact_match_by_kind[kind] for kind in KINDS))
        cells = (
            f"{result.loss_start:.3f} > {result.loss_end:.3f}",
            *(f"{match:.3f}" for match in matches),
            f"{result.preference_accuracy:.3f}",
            f"{result.seconds:.0f}",
        )
        lines.append(_row(result.stage, cells))
    return "\n".join(lines)


def targets(results: Sequence[Result]) -> str:
    """Say, a line each, which targets are met."""
    return "\n".join(f"{'met    ' if met else 'NOT MET'}  {text}" for text, met in verdicts(results))


def verdicts(results: Sequence[Result]) -> list[tuple[str, bool]]:
    """Hold the three results against the targets: each with what was measured, and whether it is met."""
    align, instruct, prefer = results
    fall = 1 - align.loss_end / align.loss_start
    worst = min(instruct.exact_match_by_kind[kind] for kind in ("colour", "shape", "count"))
    lost = instruct.exact_match - prefer.exact_match
    reward = prefer.reward_accuracy or 0.0
    return [
        (f"stage 1: loss falls by {LOSS_FALL:.0%} or more: {fall:.1%}", fall >= LOSS_FALL),
        (
            f"stage 1: only the connector changed: {', '.join(align.changed_modules)}",
            align.changed_modules == ("connector",),
        ),
        (f"stage 2: colour, shape, count {PERCEPTION} or more each: worst {worst:.3f}", worst >= PERCEPTION),
        (
            f"stage 2: all five kinds {ALL_KINDS} or more: {instruct.exact_match:.3f}",
            instruct.exact_match >= ALL_KINDS,
        ),
        (
            f"stage 3: preference {PREFERENCE} or more, by likelihood and by DPO's reward: "
            f"{prefer.preference_accuracy:.3f}, {reward:.3f}",
            min(prefer.preference_accuracy, reward) >= PREFERENCE,
        ),
        (f"stage 3: exact match down by {LOSS_OF_MATCH} at most: {lost:+.3f}", lost <= LOSS_OF_MATCH),
    ]


def _reward_accuracy(policy: Mapping[str, list[float]], reference: Mapping[str, list[float]]) -> float:
    gains = (
        [new - old for new, old in zip(policy[key], reference[key], strict=True)] for key in ("chosen", "rejected")
    )
    return preference_accuracy(*gains)


def _training_log(stage: Path) -> dict[str, Any]:
    log: dict[str, Any] = json.loads((stage / TRAINING_LOG).read_text(encoding="utf-8"))
    return log


def _row(name: str, cells: Sequence[str]) -> str:
    first, *rest = cells
    return f"{name:<12}{first:>16}" + "".join(f"{cell:>{max(len(cell), 8) + 2}}" for cell in rest)


def _tenth(values: Sequence[float]) -> int:
    return max(1, len(values) // 10)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
