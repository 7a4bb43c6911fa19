"""Scenes that move: what they show is what their rows say."""

import random

import numpy as np

from amalia_vl_hf.demo.moving_scenes import (
    COUNTS,
    DIRECTIONS,
    draw_moving,
    render_frames,
    rows_of,
    write_moving_set,
)
from amalia_vl_hf.samples.checking import check
from amalia_vl_hf.samples.loading import load_samples


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
