"""What models were asked, and what that took: of the journals, so rejected and repeated tries are among it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...asking.roles import TokenPrice
from .pipeline import ASKED

_ANSWER = b'{"key"'  # begins a line that says nothing of costs, and may be long


@dataclass
class CallCost:
    """What one role was asked for one step, or all of them.

    Args:
        step: Of the build.
        role: Who was asked.
        model: Its name at the server.
        calls: Requests that went out, every try of them.
        unheard: Those that got no answer: refused, lost on the way, or in flight when the build was killed. What they
            took, the server alone knows.
        prompt: Tokens of the others, as the server counted them.
        completion: Tokens of their answers, reasoning included.
        seconds: Of waiting for them, one after the other.
        money: At the price that the recipe had when they were asked.
    """

    step: str
    role: str
    model: str
    calls: int = 0
    unheard: int = 0
    prompt: int = 0
    completion: int = 0
    seconds: float = 0.0
    money: float = 0.0

    def add(self, other: CallCost) -> None:
        """Add what another took."""
        for name in ("calls", "unheard", "prompt", "completion", "seconds", "money"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def read_costs(out: Path) -> list[CallCost]:
    """Sum what a build's folder says, by step, role and model, in the order of their names."""
    costs: dict[tuple[str, str, str], CallCost] = {}
    for path in sorted((out / ASKED).glob("*/*.jsonl")):
        for cost in _costs_of(path):
            costs.setdefault((cost.step, cost.role, cost.model), CallCost(cost.step, cost.role, cost.model)).add(cost)
    return [costs[key] for key in sorted(costs)]


def total(costs: Sequence[CallCost]) -> CallCost:
    """Sum costs."""
    whole = CallCost("all", "", "")
    for cost in costs:
        whole.add(cost)
    return whole


def cost_table(costs: Sequence[CallCost]) -> str:
    """Write costs for people."""
    columns = "{:<20}{:<16}{:<28}{:>10}{:>9}{:>14}{:>14}{:>11}{:>11}"
    lines = [columns.format("step", "role", "model", "calls", "unheard", "prompt", "completion", "seconds", "money")]
    for cost in (*costs, total(costs)):
        numbers = (cost.calls, cost.unheard, cost.prompt, cost.completion, f"{cost.seconds:.1f}", f"{cost.money:.4f}")
        lines.append(columns.format(cost.step, cost.role, cost.model, *numbers))
    return "\n".join(lines)


def _costs_of(path: Path) -> Iterator[CallCost]:
    """Sum a journal: one cost for each time that it was gone on with."""
    cost, price = None, TokenPrice()
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_ANSWER):
                continue
            try:
                said = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            if "asking" in said:
                if cost:
                    yield cost
                asking = said["asking"]
                price = TokenPrice(*asking["price"])
                cost = CallCost(asking.get("step", ""), asking.get("role", ""), asking["model"])
            elif cost and "sent" in said:
                cost.calls, cost.unheard = cost.calls + 1, cost.unheard + 1
            elif cost and "heard" in said:
                prompt, completion = said["tokens"]
                cost.add(
                    CallCost("", "", "", 0, -1, prompt, completion, said["seconds"], price.of(prompt, completion))
                )
    if cost:
        yield cost
