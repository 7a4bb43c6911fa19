"""What a checkpoint was made from is recorded beside it, in names that do not depend on how it was pointed at."""

import json
import os
from pathlib import Path

import pytest
from transformers import SiglipVisionModel

from amalia_vl_hf.conversion.compose import compose_checkpoint
from amalia_vl_hf.conversion.llava_next import export_checkpoint, import_checkpoint
from amalia_vl_hf.conversion.provenance import (
    RECORD,
    CheckpointSource,
    read_provenance,
    source_at,
)
from tests.conversion.checkpoints import write_amalia
from tests.conversion.test_compose import text_model, text_tokenizer
from tests.tiny import tiny_vision_config

COMMIT = "0123456789abcdef" * 2 + "01234567"
SOUND = {
    "kind": "import",
    "sources": {"model": {"name": "org/model", "revision": COMMIT}},
    "dtypes": ["BF16"],
    "tool": "amalia-vl-hf 0.1.0",
}


@pytest.fixture(scope="module")
def amalia(tmp_path_factory):
    return write_amalia(tmp_path_factory.mktemp("amalia"))


def write_record(folder, **changes):
    (folder / RECORD).write_text(json.dumps(SOUND | changes))
    return folder


def test_a_directory_has_one_name_however_it_is_pointed_at(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    pointed = (tmp_path / "model", Path("model"), Path("link"), Path("model/../model"))
    assert {source_at(path) for path in pointed} == {CheckpointSource(str((tmp_path / "model").resolve()), None)}


def test_a_snapshot_in_the_hubs_cache_is_named_by_id_and_commit(tmp_path):
    snapshot = tmp_path / "models--amalia-llm--AMALIA-VL.SFT" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    assert source_at(snapshot) == CheckpointSource("amalia-llm/AMALIA-VL.SFT", COMMIT)
    assert source_at(snapshot).is_on_hub
    assert not source_at(snapshot.parent).is_on_hub


def test_import_and_export_record_their_source_and_what_they_stored(amalia, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = import_checkpoint(Path(os.path.relpath(amalia)), "ours", dtype="bf16")
    made = read_provenance(tmp_path / "ours")
    assert made == done.record
    assert (made.kind, made.sources, made.dtypes) == (
        "import",
        {"model": CheckpointSource(str(amalia), None)},
        ["BF16"],
    )
    assert made.tool.startswith("amalia-vl-hf ")
    export_checkpoint("ours", "theirs")
    assert read_provenance(tmp_path / "theirs").sources == {"model": CheckpointSource(str(tmp_path / "ours"), None)}


def test_composing_records_both_parts(tmp_path):
    SiglipVisionModel(tiny_vision_config()).save_pretrained(tmp_path / "tower")
    text_model(text_tokenizer()).save_pretrained(tmp_path / "decoder")
    text_tokenizer().save_pretrained(tmp_path / "decoder")
    compose_checkpoint(tmp_path / "tower", tmp_path / "decoder", tmp_path / "out", max_tiles=4, seed=0)
    made = read_provenance(tmp_path / "out")
    assert {part: Path(source.name).name for part, source in made.sources.items()} == {
        "vision": "tower",
        "text": "decoder",
    }


def test_what_is_published_names_no_path_of_this_machine(tmp_path):
    sources = {"model": {"name": "/home/ana/as minhas `coisas`", "revision": None}}
    published = read_provenance(write_record(tmp_path, sources=sources)).published()
    assert published.sources == {"model": CheckpointSource("as_minhas_coisas_", None)}
    (tmp_path / RECORD).write_text(published.json())
    assert read_provenance(tmp_path) == published
    assert read_provenance(write_record(tmp_path)).published() == read_provenance(tmp_path)


def test_without_a_record_nothing_is_said(tmp_path):
    assert read_provenance(tmp_path) is None


@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"[]",
        b"{}",
        b"[" * 100_000,
        {"kind": "guess"},
        {"kind": ["import"]},
        {"kind": "compose"},
        {"sources": {"model": "org/model"}},
        {"sources": {"model": {"name": "a | b", "revision": None}}},
        {"sources": {"model": {"name": 7, "revision": None}}},
        {"sources": {"model": {"name": "org/model", "revision": "main"}}},
        {"dtypes": "BF16"},
        {"dtypes": [["BF16"]]},
        {"tool": "`x`"},
        {"extra": 1},
    ],
    ids=lambda record: str(record)[:40],
)
def test_a_record_of_another_form_is_refused(tmp_path, record):
    (tmp_path / RECORD).write_bytes(record if isinstance(record, bytes) else json.dumps(SOUND | record).encode())
    with pytest.raises(ValueError, match=r"conversion\.json is not a record of `amalia-vl convert`: "):
        read_provenance(tmp_path)
