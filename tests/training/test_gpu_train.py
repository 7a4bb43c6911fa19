"""The GPU benchmark's own code, on a CPU: what it compares is the same work."""

import sys

import pytest
import torch

from benchmarks.gpu_train import STAGES, TINY, figures, layers_that_fit, main, ways
from benchmarks.preference import REAL


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_ours_and_stock_have_the_same_loss(stage):
    ours, *stock = (figures(stage, way, TINY, "cpu", steps=1) for way in ways())
    assert stock
    assert all(one.rate > 0 and one.mfu is None for one in (ours, *stock))
    if stage.name != "1 align":  # there stock has a tile more
        assert [one.loss for one in stock] == pytest.approx([ours.loss] * len(stock), rel=1e-4)


def test_as_many_layers_are_built_as_fit():
    built = [layers_that_fit(gib * 2**30) for gib in (1, 24, 40, 80, 141)]
    assert built[0] == 1
    assert built == sorted(built)
    assert built[-1] == REAL.layers > built[-2] > 15


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_train.py"])
    main()
    assert capsys.readouterr().out == "no GPU here: nothing measured\n{}\n"
