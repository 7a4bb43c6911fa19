"""Images by their bytes: found near and far, each once, and nowhere but below the manifest."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf import cli
from amalia_vl_hf.data import image_manifest
from amalia_vl_hf.data.image_manifest import SCHEMA, ImageManifest, index_images


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setattr(image_manifest, "ROW_GROUP", 3)
    (tmp_path / "images" / "b").mkdir(parents=True)
    for number in range(8):
        Image.new("L", (4, 4), number).save(tmp_path / "images" / ("b" if number > 4 else "") / f"{number}.png")
    (tmp_path / "images" / "same.png").write_bytes((tmp_path / "images" / "0.png").read_bytes())
    (tmp_path / "images" / "letter.txt").write_text("...", encoding="utf-8")
    (tmp_path / "images" / "empty.png").touch()
    return tmp_path / "images"


def test_each_image_is_listed_once_and_found_by_its_bytes(images, tmp_path, capsys):
    out = tmp_path / "images.parquet"
    words = ["data", "index", str(images), "--out", str(out), "--licence", "CC0-1.0", "--source", "us"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"written: {out}, 8 images\n"
    manifest = ImageManifest(out)
    rows = list(manifest.read(2, 5))
    assert len(rows) == 3
    assert rows == list(manifest.read(0, 99))[2:5]
    assert {(row["licence"], row["source"]) for row in rows} == {("CC0-1.0", "us")}
    ids = [row["image"] for row in manifest.read(0, 8)]
    for near in (range(0), range(2, 4), range(5, 99)):
        paths = manifest.paths(ids, near)
        assert [hashlib.sha256(paths[image].read_bytes()).hexdigest() for image in ids] == ids
    with pytest.raises(ValueError, match="has no image 0123"):
        manifest.paths(["0123"])
    assert list(manifest.read(8, 9)) == []


def test_a_manifest_is_another_when_it_has_other_images(images, tmp_path):
    first = index_images(images, tmp_path / "a.parquet", "CC0-1.0", "us").fingerprint()
    Image.new("L", (4, 4), 99).save(images / "new.png")
    assert index_images(images, tmp_path / "a.parquet", "CC0-1.0", "us").fingerprint() != first


def test_paths_stay_below_the_manifest(images, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="is elsewhere"):
        index_images(images, tmp_path / "other" / "a.parquet", "CC0-1.0", "us")
    for where in ("../images/0.png", "/etc/passwd"):
        row = {"image_id": "x", "where": where, "size": 1, "licence": "", "source": ""}
        pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), tmp_path / "other" / "b.parquet")
        with pytest.raises(ValueError, match="is outside"):
            ImageManifest(tmp_path / "other" / "b.parquet").paths(["x"])


def test_what_is_no_manifest_is_told(images, tmp_path):
    with pytest.raises(ValueError, match=r"letter\.txt is no manifest of images"):
        ImageManifest(images / "letter.txt")
    pq.write_table(pa.table({"image_id": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="has no column where, size, licence, source"):
        ImageManifest(tmp_path / "a.parquet")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="has no image of"):
        index_images(tmp_path / "none", tmp_path / "b.parquet", "CC0-1.0", "us")
