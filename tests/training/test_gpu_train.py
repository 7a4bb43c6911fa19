"""The GPU benchmark's own code, on a CPU: that it runs to its end, and counts what torch counts."""

import json
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu_train
from benchmarks.gpu_train import STAGES, TINY, Scene, flops, keep_layers, layers_that_fit, main, our_trainer, shown
from benchmarks.preference import REAL, own_config

LAYERS = 3
ALIGN, INSTRUCT, PREFER = STAGES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    gpu_train.write_scene(scene_in(folder, LAYERS))
    return folder


def scene_in(folder, kept):
    return Scene(folder, TINY._replace(layers=LAYERS), steps=1, kept=kept, workers=0, lora=False)


@pytest.mark.parametrize(
    ("stage", "kept"), [(ALIGN, 0), (INSTRUCT, 1), (PREFER, LAYERS)], ids=lambda value: getattr(value, "recipe", value)
)
def test_flops_are_those_that_torch_counts(folder, stage, kept):
    scene, seen = scene_in(folder, kept), []
    trainer = our_trainer(scene, stage)
    config = own_config(scene.sizes)
    trainer.model.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(shown(inputs, module.config)), with_kwargs=True
    )
    if kept < LAYERS:
        trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
    keep_layers(trainer.model, kept)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # which `train` sets
    # Of TRL's head; the counter knows only the one that makes a new matrix. Sizes come in the arguments' places.
    into = {torch.ops.aten.addmm_: lambda _, left, right, **options: 2 * left[0] * left[1] * right[1]}
    with (
        FlopCounterMode(display=False, custom_mapping=into) as counter,
        sdpa_kernel(SDPBackend.MATH),
    ):  # which it sees into
        trainer.training_step(trainer.model, batch)
    counted = flops(config, seen[0], trainer, kept, executed=True, causal=False)
    assert counted == counter.get_total_flops()
    useful = flops(config, seen[0], trainer, kept, executed=False)
    assert 0.3 * counted < useful < counted


def test_as_many_layers_are_built_as_fit():
    built = [layers_that_fit(gib * 2**30) for gib in (1, 24, 80, 141, 300)]
    assert built[0] == 1
    assert built == sorted(built)
    assert built[-1] == REAL.layers > built[-2] > 10


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_train.py"])
    main()
    assert capsys.readouterr().out == "no GPU here: nothing measured\n{}\n"


@pytest.mark.slow
@pytest.mark.parametrize("changes", [[], ["--kept", "1"], ["--lora", "--kept", "0"]])
def test_it_runs_to_its_end_and_says_where(monkeypatch, capsys, changes):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_train.py", "--tiny", "--steps", "1", *changes])
    main()
    first, *table, results = capsys.readouterr().out.splitlines()
    assert first.startswith("on the CPU, tiny sizes, which mean nothing;")
    ways = [line.split()[1] for line in table[1:]]
    assert ways == (["ours", "stock,", "ours", "ours"] if "--lora" in changes else ["ours", "stock,"] * 3)
    assert "%" not in "".join(table)  # no utilisation of a GPU that there was not
    assert all("on the CPU" in name and row["ours"] > 0 for name, row in json.loads(results).items())
