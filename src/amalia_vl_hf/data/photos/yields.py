"""What of the paper's PT-VQA-Gen stayed after each step, and a warning where a build is far off."""

from __future__ import annotations

from collections.abc import Mapping

# Shares that stay, by the step that drops the others: 3.6 M of 4.8 M, 1.9 M of 3.6 M. Section 5.1; of how many were
# too easy the paper does not say.
PAPER = {"variety": 0.75, "agreement": 0.53}
FAR = 0.2  # of what went in; ours
FEWEST = 50  # of what went in: less says little


def yield_warnings(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say which steps keep far more or far less than the paper's did.

    Args:
        counts: What went into a step and what came out, by its name.
    """
    warnings = []
    for step, (before, after) in counts.items():
        if step in PAPER and before >= FEWEST and abs(after / before - PAPER[step]) > FAR:
            warnings.append(
                f"{step}: {after} of {before} stay, {after / before:.0%}; of the paper's it was {PAPER[step]:.0%}. "
                f"{_cause(step, after / before < PAPER[step])}"
            )
    return warnings


def _cause(step: str, fewer: bool) -> str:
    if step == "variety":
        return "Does the model write Brazilian Portuguese?" if fewer else "Nothing is wrong with that."
    return "Do both see the image?" if fewer else "Does the model that compares answers say yes to everything?"
