"""Rows from strangers: nothing is fetched, nothing outside the folder is read, one bad row never costs the others."""

import json
import time

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from amalia_vl_hf.cli import main
from amalia_vl_hf.conversion.publishing.card import CardError, read_facts
from amalia_vl_hf.fields import RecipeError
from amalia_vl_hf.processing.addresses_amalia_vl import DownloadLimits
from amalia_vl_hf.samples.checking import check
from amalia_vl_hf.samples.fetch import fetch
from amalia_vl_hf.samples.files import files_behind
from amalia_vl_hf.samples.loading import load_samples
from amalia_vl_hf.samples.manifest import read_manifest, write_manifest
from amalia_vl_hf.samples.mixture import load_mixture
from amalia_vl_hf.samples.sources import Source
from amalia_vl_hf.training.batches.collation import ConversationCollator, Encoder
from amalia_vl_hf.training.recipe import load_recipe
from amalia_vl_hf.variety import Verdict
from amalia_vl_hf.variety.filter import filter_file
from tests.samples.picture_server import PictureServer
from tests.tiny import tiny_tokenizer

TURNS = [{"role": "user", "content": "Que é?"}, {"role": "assistant", "content": "Um sinal."}]


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(data / "images" / "a.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "private.png")
    return data


@pytest.fixture
def server():
    with PictureServer() as running:
        yield running


def rows(*images, turns=TURNS):
    return [{"images": image, "messages": turns} for image in images]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def faults(path, **options):
    samples = load_samples(path, "sft", every_row=False, **options)
    return [[finding.reason for finding in checked.findings] for checked in check(samples, "sft")]


def collate(processor, sample):
    return ConversationCollator(Encoder(processor, 4, 512))([sample])


@pytest.fixture
def processor():
    from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor

    return AmaliaVLProcessor(AmaliaVLImageProcessor(size=32, patch_size=8, max_tiles=4), tiny_tokenizer())


def test_training_never_fetches(folder, server, processor):
    url = server.url("/7.png")
    part = {"role": "user", "content": [{"type": "image", "image": url, "url": url}, {"type": "text", "text": "?"}]}
    nested = {"role": "user", "content": [{"type": "image", "image": {"bytes": url}}, {"type": "text", "text": "?"}]}
    hostile = [
        *rows(
            [url], [{"bytes": url}], [{"bytes": {"path": url}}], [[url]], [[[url]]], [{"path": url}], [{"path": [url]}]
        ),
        *rows([url.upper()], {"bytes": url}, url, [{"bytes": None, "path": {"bytes": url}}], [{"url": url}]),
        *({"images": [], "messages": [turn, TURNS[1]]} for turn in (part, nested)),
    ]
    path = write(folder / "samples.jsonl", hostile)
    for sample in load_samples(path, "sft", every_row=False):
        with pytest.raises(ValueError, match=r"line \d+"):
            collate(processor, sample)
        direct = {**sample, "fault": None, "messages": TURNS, "images": [url]}
        with pytest.raises(ValueError, match="is not fetched yet"):
            collate(processor, direct)
        with pytest.raises(ValueError, match="an image must be a path, or a cell with its bytes"):
            collate(processor, {**direct, "images": [{"bytes": url}]})
    assert all(faults(path))
    assert not server.asked


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ([], "an image must be a path"),
        (["images/a.png"], "an image must be a path, or a cell with its bytes, not list"),
        ("a" * 5000, "no such image: a path of 5000 characters"),
        ("images/" + "a" * 300, "no such image"),
        ("a\0b", "no such image"),
        ({"bytes": "iVBOR"}, "a cell whose bytes are str"),
        ({"bytes": 3, "path": "images/a.png"}, "a cell whose bytes are int"),
        ({"bytes": None, "path": 3}, "an image must be a path, or a cell with its bytes, not int"),
        (3, "not int"),
        ("../private.png", "../private.png is outside"),
        ("images/../../private.png", "is outside"),
        ("/etc/hostname", "/etc/hostname is outside"),
        ("images", "no such image"),
    ],
)
def test_a_check_reports_whatever_stands_for_an_image(folder, image, reason):
    path = write(folder / "samples.jsonl", rows([image], ["images/a.png"]))
    bad, good = faults(path)
    assert reason in bad[0]
    assert not good


def test_paths_stay_below_the_folder_or_a_root_that_the_user_names(folder, tmp_path):
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    inside = str(folder / "images" / "a.png")
    path = write(folder / "samples.jsonl", rows(["link.png"], [inside], ["images/../images/a.png"]))
    assert ["is outside" in "".join(found) for found in faults(path)] == [True, False, False]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = write(elsewhere / "samples.jsonl", rows(["images/a.png"], [inside], ["../private.png"]))
    assert ["outside" in "".join(found) for found in faults(moved, images=folder)] == [False, False, True]
    assert load_samples(moved, "sft", every_row=False, images=folder)[0]["images"] == [inside]


def test_a_snapshot_of_the_hubs_cache_links_its_files(tmp_path, folder):
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "0f"
    (tmp_path / "datasets--a--b" / "blobs").mkdir(parents=True)
    (snapshot / "images").mkdir(parents=True)
    (folder / "images" / "a.png").rename(tmp_path / "datasets--a--b" / "blobs" / "1234")
    (snapshot / "images" / "a.png").symlink_to("../../../blobs/1234")
    (snapshot / "images" / "b.png").symlink_to(tmp_path / "private.png")
    path = write(snapshot / "samples.jsonl", rows(["images/a.png"], ["images/b.png"]))
    assert ["is outside" in "".join(found) for found in faults(path)] == [False, True]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_filter_records_where_images_are_and_the_user_is_asked_once(folder, tmp_path, suffix):
    source = folder / f"samples{suffix}"
    if suffix == ".jsonl":
        write(source, rows(["images/a.png"]))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows(["images/a.png"])), source)
    (tmp_path / "kept").mkdir()
    for start, out in (
        (source, tmp_path / "kept" / source.name),
        (tmp_path / "kept" / source.name, tmp_path / source.name),
    ):
        filter_file(start, out, lambda text: Verdict(True, 1.0, ()))
        with pytest.raises(ValueError, match=r"as whoever wrote it recorded; if you trust that.*--images") as asked:
            load_samples(out, "sft")
        assert str(folder) in str(asked.value)
        assert load_samples(out, "sft", images=folder)[0]["images"] == [str(folder / "images" / "a.png")]
    beside = folder / f"again{suffix}"
    filter_file(source, beside, lambda text: Verdict(True, 1.0, ()))
    assert load_samples(beside, "sft")[0]["images"] == [str(folder / "images" / "a.png")]


def test_one_bad_row_does_not_cost_a_fetch_the_others(folder, server):
    good = {"url": server.url("/7.png"), "caption": "Um sinal.", "language": "pt"}
    lines = [
        "no JSON",
        json.dumps({**good, "language": "\ud800"}),
        json.dumps({**good, "caption": "a\ud800"}),
        json.dumps({**good, "caption": "a\ufdd0"}),
        json.dumps({**good, "caption": ["a"]}),
        json.dumps({**good, "language": {"a": 1}}),
        json.dumps([1]),
        json.dumps("text"),
        "null",
        json.dumps({"caption": "without"}),
        json.dumps({**good, "url": "http://h\ud800/"}),
        "[" * 5000,
        '{"url": ' + "[" * 5000,
        json.dumps(good),
    ]
    (folder / "urls.jsonl").write_text("\n".join(lines))
    for _ in range(2):
        limits = DownloadLimits(attempts=1, hosts=("127.0.0.1",))
        done = fetch(folder / "urls.jsonl", folder / "out", limits=limits, threads=2)
        assert (done.samples, len(done.failures)) == (1, 13)
    assert len(load_samples(folder / "out", "sft")) == 1


def manifest(path, **columns):
    kinds = {"source": pyarrow.int32(), "row": pyarrow.int64()}
    arrays = {name: pyarrow.array(values, kinds.get(name, pyarrow.int32())) for name, values in columns.items()}
    facts = {b"amalia_vl_manifest": json.dumps({"sources": [{"name": "a", "path": str(path.parent / "a.jsonl")}]})}
    pyarrow.parquet.write_table(pyarrow.table(arrays).replace_schema_metadata(facts), path)
    return path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source": [0], "row": [-1]}, "column row has -1 to -1, of sources or rows that there are not"),
        ({"source": [0, -1], "row": [0, 0]}, "column source has -1 to 0"),
        ({"source": [1], "row": [0]}, "column source has 1 to 1"),
        ({"source": [0], "row": [None]}, "a number in every row"),
        ({"source": [0]}, "a manifest has the columns"),
        ({"source": [0], "row": [0], "other": [1]}, r"a manifest has the columns .* not .*other"),
    ],
)
def test_manifests_out_of_range_are_refused(folder, columns, message):
    write(folder / "a.jsonl", rows(["images/a.png"]))
    with pytest.raises(ValueError, match=message):
        load_samples(manifest(folder / "m.parquet", **columns), "sft")


def test_a_row_beyond_its_source_is_said(folder):
    write(folder / "a.jsonl", rows(["images/a.png"]))
    samples = load_samples(manifest(folder / "m.parquet", source=[0, 0], row=[0, 7]), "sft")
    with pytest.raises(ValueError, match="row 7 of a, which has 1: has it changed since it was drawn"):
        samples[1]


@pytest.mark.parametrize("facts", ['{"sources": 3}', '{"sources": [{"nome": 1}]}', "[" * 100_000, "{}", "no"])
def test_manifests_whose_sources_cannot_be_read_are_refused(folder, facts):
    write_manifest(folder / "m.parquet", {"source": [0], "row": [0]}, [Source("a")], {})
    table = pyarrow.parquet.read_table(folder / "m.parquet").replace_schema_metadata({b"amalia_vl_manifest": facts})
    pyarrow.parquet.write_table(table, folder / "m.parquet")
    with pytest.raises(ValueError, match="its sources cannot be read"):
        read_manifest(folder / "m.parquet")


BOMBS = {
    "aliases": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "stage: *i\nseed: *i\ndatasets: *i\nmethod: *i",
    "merges": "a: &a {x1: 1, x2: 1, x3: 1, x4: 1, x5: 1, x6: 1, x7: 1}\n"
    + "".join(f"{n}: &{n} {{<<: [{','.join(['*' + p] * 9)}]}}\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "a long value": "stage: " + "a" * 10**6,
    "a long number": "seed: " + "1" * 60_000,
    "a number of base 60": "seed: " + ":".join(["1"] * 32_000),
    "many values": "stage: [" + "1," * 10**6 + "]",
    "depth": "stage: " + "[" * 30_000,
    "flow": "stage: " + "{a: " * 5000,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("read", [load_recipe, load_mixture, read_facts])
def test_yaml_made_to_hurt_is_an_error_of_a_line_at_once(tmp_path, name, read):
    (tmp_path / "a.yaml").write_text(BOMBS[name])
    start = time.process_time()
    with pytest.raises((RecipeError, CardError, ValueError)) as refused:
        read(tmp_path / "a.yaml")
    assert time.process_time() - start < 2
    assert len(str(refused.value)) < 10_000
    assert "\n" not in str(refused.value)


def test_no_control_character_reaches_the_terminal(folder, capsys):
    """Of a row's words, as of a path that a row names."""
    evil = "a\x1b]0;b\x07\x9b31m.png"
    path = write(
        folder / "samples.jsonl",
        [*rows([evil]), {"images": [], evil: 1}, {"messages": [{"role": evil, "content": ""}]}],
    )
    assert main(["data", "check", str(path)]) == 1
    (folder / "mixture.yaml").write_text(
        f"seed: 1\ndatasets: [{{name: a, path: {path}, samples: 3, repeat: true, category: 'x'}}]", encoding="utf-8"
    )
    main(["data", "mix", str(folder / "mixture.yaml"), "--out", str(folder / "m.parquet")])
    main(["data", "check", str(folder / f"{evil}.jsonl")])
    told = capsys.readouterr()
    assert not set(told.out + told.err) & {"\x1b", "\x07", "\x9b"}
    assert "?]0;b?" in told.out + told.err


def test_paths_that_training_refuses_are_not_read_for_their_hash(folder):
    table = pyarrow.Table.from_pylist([{"images": ["../../../../../../dev/zero"], "messages": TURNS}])
    pyarrow.parquet.write_table(table, folder / "rows.parquet")
    assert files_behind(folder / "rows.parquet", "sft").images == []
