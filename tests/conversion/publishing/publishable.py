"""A tiny model's directory with all that a push wants beside it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from amalia_vl_hf.conversion.checkpoints import file_hashes
from amalia_vl_hf.training.recipe import recipe_from
from tests.test_registration import tiny_processor
from tests.tiny import tiny_config, tiny_model, tiny_text_config

FACTS = """\
license: apache-2.0
base_model: [google/siglip2-so400m-patch16-384, amalia-llm/AMALIA-9B]
datasets: [amalia-llm/AMALIA-VL-DPO-Dataset]
widget_image: https://example.pt/fotografia.jpg
"""
SCORES = [
    {"dataset": "amalia-llm/POPE-PT", "task": "pope_pt", "metric": "f1", "value": 89.4},
    {"dataset": "amalia-llm/AI2D-PT", "task": "ai2d_pt", "metric": "exact_match", "value": 69},
]

# What `amalia-vl convert quantise` says of a model of full size.
FIGURES = {
    "method": "int8",
    "source": "amalia-llm/AMALIA-VL-DPO",
    "parameters": 9_595_000_000,
    "positions": 141,
    "divergence": 6.6e-5,
    "argmax_equal": 0.993,
    "answers_equal": 0.95,
    "reload_difference": 0.0,
    "bytes_before": 19_200_000_000,
    "bytes_after": 10_800_000_000,
    "layers": {"Int8Tensor": 294},
}


def write_model(directory: Path, seed: int = 0) -> Path:
    """Write model and processor, facts, a training log, and a report that the model equals its source."""
    processor = tiny_processor()
    text = tiny_text_config(vocab_size=512, eos_token_id=None)
    tiny_model(tiny_config(text=text, image_token_id=processor.image_token_id), seed).save_pretrained(directory)
    processor.save_pretrained(directory)
    (directory / "card.yaml").write_text(FACTS)
    write_log(directory, "align", epochs=1)
    write_report(directory)
    return directory


def write_log(directory: Path, stage: str, before: Path | None = None, **values) -> None:
    """Write a stage's training log as `amalia-vl train` does."""
    recipe = {
        "stage": stage,
        "model": str(before or "runs/0_base"),
        "data": "samples.jsonl",
        "output": str(directory),
        "batch_size": 2,
        "accumulation": 4,
        "warmup": 0,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "max_length": 2048,
        "seed": 0,
        "log_steps": 1,
        "save_steps": 1,
        "workers": 0,
        **values,
    }
    log = before and hashlib.sha256((before / "training.json").read_bytes()).hexdigest()
    origin = {**asdict(recipe_from(recipe)), "data_sha256": "0" * 64, "model_log_sha256": log}
    directory.mkdir(exist_ok=True)
    (directory / "training.json").write_text(json.dumps({"origin": origin, "seconds": 1.0, "log_history": []}))


def write_report(directory: Path, *, passed: bool = True) -> None:
    """Write what `amalia-vl convert verify` says of a model and its source."""
    report = {"passed": passed, "first": "amalia-llm/AMALIA-VL-DPO", "second": str(directory)}
    report |= {"first_files": {}, "second_files": file_hashes(directory)}
    (directory / "verify.json").write_text(json.dumps(report))
