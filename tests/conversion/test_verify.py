import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from amalia_vl_hf import AmaliaVLProcessor
from amalia_vl_hf.conversion.llava_next import import_checkpoint
from amalia_vl_hf.conversion.verify import STAGES, verify
from tests.conversion.checkpoints import (
    edit_json,
    edit_weights,
    keep_in_hub_cache,
    write_amalia,
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    write_amalia(folder / "theirs", -2)
    import_checkpoint(folder / "theirs", folder / "ours")
    return folder


@pytest.fixture
def ours(checkpoints, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(checkpoints / "ours", tmp_path / "ours")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((70, 40), 90).convert("RGBA").save(folder / "a.png")
    upright = Image.effect_noise((30, 90), 90)
    exif = upright.getexif()
    exif[0x0112] = 6  # turned by a quarter
    upright.save(folder / "b.jpg", exif=exif)
    (folder / "notes.txt").write_text("no picture")
    return folder


def differences(report):
    return {drift.stage: drift.difference for drift in report.stages}


def test_equal_checkpoints_have_no_drift_anywhere(checkpoints):
    report = verify(checkpoints / "theirs", checkpoints / "ours")
    assert report.passed
    assert differences(report) == dict.fromkeys(STAGES, 0.0)
    assert len(report.samples) == 5
    assert "NOT" not in report.table()
    assert json.loads(report.json())["passed"] is True
    files = json.loads(report.json())["second_files"]
    assert {"model.safetensors", "config.json", "processor_config.json", "tokenizer.json"} <= files.keys()
    assert (
        files["model.safetensors"]
        == hashlib.sha256(Path(checkpoints, "ours", "model.safetensors").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize("sides", [("ours", "theirs"), ("ours", "ours"), ("theirs", "theirs")])
def test_pictures_of_a_directory_are_read_as_ours_are(checkpoints, pictures, sides):
    report = verify(checkpoints / sides[0], checkpoints / sides[1], images=pictures)
    assert report.passed
    assert report.samples == ["text only", "a.png", "b.jpg"]


def test_the_report_names_sides_alike_however_they_are_pointed_at(checkpoints, pictures, monkeypatch):
    monkeypatch.chdir(checkpoints)
    pointed = (("theirs", "ours"), (checkpoints / "theirs", "../" + checkpoints.name + "/ours"))
    reports = [verify(*sides, images=pictures) for sides in pointed]
    assert {(report.first, report.second) for report in reports} == {
        (str(checkpoints / "theirs"), str(checkpoints / "ours"))
    }


def test_a_side_on_the_hub_is_named_by_its_id_and_may_be_of_another_branch(
    checkpoints, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    keep_in_hub_cache(tmp_path, "org/model", checkpoints / "theirs", branch="v1")
    report = verify("org/model", checkpoints / "ours", images=pictures, revision="v1")
    assert report.passed
    assert (report.first, report.second) == ("org/model", str(checkpoints / "ours"))
    with pytest.raises(FileNotFoundError, match="org/model is no directory, and the Hub did not give it"):
        verify("org/model", checkpoints / "ours")


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_other_dtypes_are_equal_too(checkpoints, pictures, dtype):
    assert verify(checkpoints / "ours", checkpoints / "theirs", images=pictures, dtype=dtype).passed


@pytest.mark.parametrize(
    ("weight", "first"),
    [
        ("model.vision_tower.encoder.layers.0.layer_norm1.bias", "tower"),
        ("model.multi_modal_projector.linear_2.bias", "connector"),
        ("model.image_newline.weight", "packed features"),
        ("lm_head.weight", "logits"),
    ],
)
def test_drift_shows_from_the_stage_where_it_arises(checkpoints, ours, pictures, weight, first):
    edit_weights(ours, lambda weights: weights | {weight: weights[weight] + 1e-3})
    report = verify(checkpoints / "theirs", ours, images=pictures)
    assert not report.passed
    assert "NOT the same" in report.table()
    found = differences(report)
    before = STAGES[: STAGES.index(first)]
    assert all(found[stage] == 0 for stage in before)
    assert found[first] > 0
    assert found["logits"] > 0


def test_small_differences_pass_when_tolerated_but_never_those_of_ids(checkpoints, ours, pictures):
    edit_weights(
        ours, lambda weights: weights | {"model.image_newline.weight": weights["model.image_newline.weight"] + 1e-6}
    )
    strict = verify(checkpoints / "theirs", ours, images=pictures)
    lenient = verify(checkpoints / "theirs", ours, images=pictures, tolerance=1e-3)
    assert (strict.passed, lenient.passed) == (False, True)
    edit_weights(ours, lambda weights: weights | {"lm_head.weight": weights["lm_head.weight"].flip(0)})
    assert not verify(checkpoints / "theirs", ours, images=pictures, tolerance=math.inf).passed


def test_other_tiling_shows_in_ids_and_shapes(checkpoints, ours, pictures):
    AmaliaVLProcessor.from_pretrained(ours, max_tiles=1).save_pretrained(ours)
    report = verify(checkpoints / "theirs", ours, images=pictures)
    assert not report.passed
    assert differences(report)["input ids"] is None
    assert "other shapes or NaN" in report.table()
    assert json.loads(report.json())["stages"][0] == {"stage": "input ids", "difference": None, "sample": "a.png"}


def test_nan_is_drift(checkpoints, ours, pictures):
    edit_weights(
        ours,
        lambda weights: weights | {"model.image_newline.weight": weights["model.image_newline.weight"] * torch.nan},
    )
    report = verify(ours, ours, images=pictures, tolerance=math.inf)
    assert not report.passed
    assert differences(report)["packed features"] is None


def test_missing_weights_are_refused(checkpoints, ours):
    edit_weights(ours, lambda weights: {name: weight for name, weight in weights.items() if "newline" not in name})
    with pytest.raises(ValueError, match=r"lacks weights of its own model: model\.image_newline\.weight"):
        verify(ours, checkpoints / "theirs")


def test_another_kind_of_checkpoint_is_refused(checkpoints, ours):
    edit_json(ours / "config.json", model_type="llava")
    with pytest.raises(ValueError, match="is a 'llava' checkpoint; amalia_vl and llava_next and llava_onevision ones"):
        verify(checkpoints / "theirs", ours)


def test_a_directory_without_pictures_is_refused(checkpoints, tmp_path):
    with pytest.raises(ValueError, match=r"holds no images: \.avif, \.bmp"):
        verify(checkpoints / "theirs", checkpoints / "ours", images=tmp_path)


def test_a_broken_picture_is_named(checkpoints, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"broken\.png.* cannot be used"):
        verify(checkpoints / "theirs", checkpoints / "ours", images=tmp_path)
