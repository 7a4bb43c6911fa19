"""A run that was interrupted and resumed equals one that was not, to the bit."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.modeling.batches import Batch
from tests.tiny import tiny_llava_next, tiny_model, tiny_text_config

SIZES = [(60, 60), (20, 90), (70, 30), (33, 31), (5, 5), (90, 20)]


class Samples(torch.utils.data.Dataset):
    """Samples of one image each; it writes down the order in which they are asked for."""

    def __init__(self):
        self.batches = [Batch([[size]], [9], seed=seed) for seed, size in enumerate(SIZES)]
        self.asked = []

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        self.asked.append(index)
        return {**self.batches[index].ours, "labels": self.batches[index].input_ids}


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def train(model, directory, resume=False, stop_after=None):
    arguments = TrainingArguments(
        output_dir=str(directory),
        per_device_train_batch_size=1,
        num_train_epochs=2,
        save_steps=4,
        learning_rate=1e-2,
        lr_scheduler_type="cosine",
        seed=7,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    samples = Samples()
    callbacks = [StopAfter(stop_after)] if stop_after else []
    trainer = Trainer(model, arguments, lambda rows: rows[0], train_dataset=samples, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer, samples.asked


def stock_origin(tmp_path):
    """A model read from a llava_next directory: stock loses its weights on resume."""
    tiny_llava_next(-2, text=tiny_text_config(eos_token_id=None)).save_pretrained(tmp_path / "stock")
    return AmaliaVLForConditionalGeneration.from_pretrained(tmp_path / "stock")


@pytest.mark.parametrize("origin", [lambda _: tiny_model(), stock_origin], ids=["fresh", "from llava_next"])
def test_resume_is_exact(tmp_path, origin):
    whole, order = train(origin(tmp_path), tmp_path / "whole")
    _, before = train(origin(tmp_path), tmp_path / "cut", stop_after=4)
    resumed, after = train(origin(tmp_path), tmp_path / "cut", resume=True)
    assert resumed.state.global_step == whole.state.global_step == 12
    assert before[:4] + after[-8:] == order  # the resumed loader skips what was seen
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for expected, actual in zip(*(t.optimizer.state_dict()["state"].values() for t in (whole, resumed)), strict=True):
        assert all(torch.equal(expected[key], actual[key]) for key in ("step", "exp_avg", "exp_avg_sq"))


def test_checkpoints_hold_every_weight_under_its_own_name(tmp_path):
    trainer, _ = train(stock_origin(tmp_path), tmp_path / "run")
    saved = load_file(tmp_path / "run" / "checkpoint-12" / "model.safetensors")
    assert saved.keys() == trainer.model.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in trainer.model.state_dict().items())
