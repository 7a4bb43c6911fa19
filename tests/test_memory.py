"""A model runs on the accelerator that torch has. None is here: what would be taken is shown, no run on it."""

import pytest
import torch

from amalia_vl_hf.memory import best_device


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu", None])
def test_the_best_device_is_torchs_accelerator(kind, monkeypatch):
    found = None if kind is None else torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: found)
    assert best_device().type == (kind or "cpu")
