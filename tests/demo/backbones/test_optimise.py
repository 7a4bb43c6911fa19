"""The warm-ups' optimiser steps as torch's does, but for the rounding of bfloat16."""

import pytest
import torch

from amalia_vl_hf.demo.backbones.optimise import Float32Muon


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_steps_are_those_of_torch(shape):
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(3, *shape)
    ends = []
    for optimizer in (Float32Muon, torch.optim.Muon):
        weight = torch.nn.Parameter(start.clone())
        muon = optimizer([weight], lr=0.02, weight_decay=0.01)
        for gradient in gradients:
            weight.grad = gradient.clone()
            muon.step()
        ends.append(weight.detach() - start)
    ours, theirs = ends
    assert (ours - theirs).norm() < 0.02 * theirs.norm()
    assert theirs.norm() > 0.1
