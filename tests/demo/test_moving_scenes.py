"""Scenes that move: what they show is what their rows say, and a tiny model learns to tell."""

import json
import random

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, SiglipVisionConfig, SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose
from amalia_vl_hf.demo.backbones.tokenizer import train_tokenizer
from amalia_vl_hf.demo.moving_scenes import (
    COUNTS,
    DIRECTIONS,
    HOW_MANY,
    WHERE,
    draw_moving,
    render_frames,
    rows_of,
    write_moving_set,
)
from amalia_vl_hf.evaluation.backends import LocalModel
from amalia_vl_hf.evaluation.run import RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from amalia_vl_hf.samples.checking import check
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.training.run import train

TRAIN_CLIPS, EPOCHS, RATE = 600, 20, 2e-3  # 760 steps of 32


def test_figures_go_where_the_rows_say():
    rng = random.Random(0)
    for _ in range(40):
        scene = draw_moving(rng, rng.choice(["train", "test"]))
        frames = [np.asarray(frame, int) for frame in render_frames(scene)]
        shown = [(frame != np.array(scene.background)).any(-1) for frame in frames]
        first, last = (np.argwhere(mask).mean(0) for mask in (shown[0], shown[-1]))
        across, down = DIRECTIONS[scene.direction]
        assert np.sign(np.round(last - first)).tolist() == [down, across]
        area = shown[0].sum() / scene.figures
        assert 190 < area < 300
        where, many = rows_of(scene, "a.gif")
        assert scene.direction in where["messages"][1]["content"][0]["text"]
        assert many["messages"][1]["content"][0]["text"] == COUNTS[scene.figures]


def test_splits_share_no_combination():
    rng = random.Random(1)
    seen = {split: {draw_moving(rng, split)[:5] for _ in range(300)} for split in ("train", "test")}
    assert seen["train"]
    assert not {(one[0], one[1], one[3], one[4]) for one in seen["train"]} & {
        (one[0], one[1], one[3], one[4]) for one in seen["test"]
    }


def test_a_set_can_be_trained_on(tmp_path):
    path = write_moving_set(tmp_path / "set", seed=0, clips=3, split="train")
    again = write_moving_set(tmp_path / "again", seed=0, clips=3, split="train")
    assert path.read_text() == again.read_text()
    assert len(list(path.parent.glob("*.gif"))) == 3
    checked = list(check(load_samples(path, "sft"), "sft"))
    assert [one.findings for one in checked] == [()] * 6


def write_model(folder):
    """A tower and a decoder of random weights, 4 frames of each video, 64 px a frame."""
    torch.manual_seed(0)
    answers = [row["messages"][1]["content"][0]["text"] for row in _every_row()]
    tokenizer = train_tokenizer([WHERE, HOW_MANY, *answers, "user assistant"] * 5, 400)
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = SiglipVisionModel(SiglipVisionConfig(**tower, image_size=64, patch_size=8, vision_use_head=False))
    ids = {"bos_token_id": 1, "pad_token_id": 2, "eos_token_id": 4, "max_position_embeddings": 512}
    text = LlamaForCausalLM(LlamaConfig(**{**tower, "num_attention_heads": 4}, vocab_size=len(tokenizer), **ids))
    model, processor = compose(vision, text, tokenizer, max_tiles=0, seed=0, videos=True)
    processor.num_frames = 4
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _every_row():
    rng = random.Random(0)
    return [row for _ in range(100) for row in rows_of(draw_moving(rng, "train"), "a.gif")]


@pytest.mark.slow
def test_a_tiny_model_learns_direction_and_count(tmp_path):
    """Trained by the same trainer, asked by the same evaluation: at least nine of ten, of each kind of question."""
    data = write_moving_set(tmp_path / "train", seed=0, clips=TRAIN_CLIPS, split="train")
    write_moving_set(tmp_path / "test", seed=0, clips=50, split="test")
    values = {
        **{"model": write_model(tmp_path / "base"), "data": data, "output": tmp_path / "trained"},
        **{"batch_size": 32, "epochs": EPOCHS, "max_tiles": 0, "max_length": 512, "warmup": 0.1, "save_steps": 10_000},
        **{f"learning_rates.{module}": RATE for module in ("tower", "connector", "decoder")},
    }
    train(load_recipe("tiny/2_instruct", [f"{key}={value}" for key, value in values.items()]))
    task = tmp_path / "moving.yaml"
    task.write_text("name: moving\ndata: test\nmetric: exact\ncategory: kind\nmax_new_tokens: 8\n")
    out = tmp_path / "evaluation"
    evaluate(open_tasks([], [str(task)]), LocalModel(str(tmp_path / "trained"), 25, device="cpu"), RunSettings(out))
    items = [json.loads(line) for line in (out / "moving" / "items.jsonl").read_text().splitlines()]
    assert len(items) == 100
    for kind in ("direction", "count"):
        right = [item["answer"].strip() in item["references"] for item in items if item["category"] == kind]
        assert len(right) == 50
        assert sum(right) / len(right) >= 0.9, kind
