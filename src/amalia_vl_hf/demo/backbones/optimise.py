"""The warm-ups' training loop."""

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import get_cosine_schedule_with_warmup

from .sizes import WarmUp

_NOT_HIDDEN = re.compile(r"embed|lm_head|^head\.")


def minimise(
    loss: Callable[[torch.Tensor], torch.Tensor], model: nn.Module, rows: int, plan: WarmUp, title: str
) -> None:
    """Minimise a loss over shuffled rows: Muon for the hidden matrices, AdamW for all else, rates falling to 0.

    Muon needs about a third of AdamW's steps here; the three stages themselves use AdamW, as the paper does.

    Args:
        loss: Maps the row numbers of a batch to its loss.
        model: Whose parameters are trained.
        rows: How many rows there are.
        plan: Steps, batch and rates.
        title: What the progress bar says.
    """
    hidden = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and not _NOT_HIDDEN.search(name)]
    others = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or _NOT_HIDDEN.search(name)]
    optimizers = [
        Float32Muon(hidden, lr=plan.matrix_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedules = [get_cosine_schedule_with_warmup(optimizer, plan.steps // 20, plan.steps) for optimizer in optimizers]
    order = torch.cat([torch.randperm(rows) for _ in range(math.ceil(plan.steps * plan.batch / rows))])
    progress = tqdm(torch.split(order[: plan.steps * plan.batch], plan.batch), desc=title, unit="step")
    for batch in progress:
        value = loss(batch)
        model.zero_grad()
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for step in (*optimizers, *schedules):
            step.step()
        progress.set_postfix(loss=f"{value.item():.3f}", refresh=False)


class Float32Muon(torch.optim.Muon):
    """Muon that makes its steps orthogonal in float32.

    torch does it in bfloat16, for which a CPU without AVX-512 takes some thirty times as long.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step; a closure is not asked."""
        for group in self.param_groups:
            momentum = group["momentum"]
            for weight in group["params"]:
                mean = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - momentum)
                update = orthogonal(weight.grad.lerp(mean, momentum), group["ns_coefficients"], group["ns_steps"])
                rate = group["lr"] * math.sqrt(max(1, weight.shape[0] / weight.shape[1]))
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonal(matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int) -> torch.Tensor:
    """Bring the singular values of a matrix near 1, by Newton and Schulz's iteration."""
    first, second, third = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=second, alpha=third), wide, beta=first)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
