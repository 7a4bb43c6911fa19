"""Plain TRL, without a line of ours but model and processor, trains on images."""

import pytest
import torch
from datasets import Dataset
from PIL import Image
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.processing.processing_amalia_vl import AmaliaVLProcessor
from amalia_vl_hf.samples.loading import FIELDS, load_samples

OPTIONS = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "max_length": None,  # TRL's 1024 would cut an image of the real model
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "bf16": False,
    "use_cpu": True,
}


@pytest.mark.parametrize(
    ("method", "trainer_class", "config", "extra"),
    [
        ("sft", SFTTrainer, SFTConfig, {"assistant_only_loss": True}),
        ("dpo", DPOTrainer, DPOConfig, {}),
    ],
)
def test_stock_trainers_take_two_steps_on_images(base, samples, tmp_path, method, trainer_class, config, extra):
    opened = [
        {name: row[name] for name in FIELDS[method]} | {"images": [Image.open(path) for path in row["images"]]}
        for row in load_samples(samples[method], method)
    ]
    model = AmaliaVLForConditionalGeneration.from_pretrained(base)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainer = trainer_class(
        model,
        args=config(output_dir=str(tmp_path), **OPTIONS, **extra),
        train_dataset=Dataset.from_list(opened),
        processing_class=AmaliaVLProcessor.from_pretrained(base),
    )
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [1, 2]
    moved = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    assert {"model.image_newline.weight", "model.multi_modal_projector.linear_1.weight", "lm_head.weight"} <= moved
