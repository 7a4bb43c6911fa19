import hashlib
import json
import os
import signal
import time

import pytest
from datasets import Dataset
from PIL import Image

from amalia_vl_hf.processing.addresses_amalia_vl import DownloadLimits
from amalia_vl_hf.samples.fetch import FAILURES, SAMPLES, fetch
from amalia_vl_hf.samples.loading import load_samples
from tests.forked import forked
from tests.samples.picture_server import PictureServer, picture

QUICK = DownloadLimits(seconds=20.0, attempts=1)


def this_server(address):
    return str(address) == "127.0.0.1"


@pytest.fixture
def server():
    with PictureServer() as running:
        yield running


def pixmo(server, path, body=None, **more):
    digest = {"image_sha256": hashlib.sha256(body).hexdigest()} if body is not None else {}
    return {"image_url": server.url(path), **digest, "question": f"O que é {path}?", "answer": "um ponto", **more}


def written(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pd12m_becomes_samples_that_training_reads(server, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    hashes = [hashlib.md5(picture(number), usedforsecurity=False).hexdigest() for number in range(5)]
    urls = [server.url(f"/{number}.png") for number in range(5)]
    rows = {"id": list("abcde"), "url": urls, "caption": list("vwxyz"), "width": [20] * 5, "hash": hashes}
    Dataset.from_dict(rows).to_parquet(tmp_path / "pd12m.parquet")
    done = fetch(tmp_path / "pd12m.parquet", tmp_path / "out", limits=QUICK, threads=2, allowed=this_server)
    assert (done.new, done.present, done.samples, done.failures) == (5, 0, 5, [])
    samples = load_samples(tmp_path / "out", "sft")
    assert [sample["messages"][1]["content"] for sample in samples] == list("vwxyz")
    assert [Image.open(sample["images"][0]).size for sample in samples] == [(20 + number, 16) for number in range(5)]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [".lock", FAILURES, "images", SAMPLES]


def test_what_goes_wrong_is_listed_and_the_rest_is_written(server, tmp_path):
    good = pixmo(server, "/1.png", picture(1), language="fr")
    rows = [
        good,
        {**good, "question": "E mais?"},
        pixmo(server, "/2.png", b"another file"),
        pixmo(server, "/page"),
        pixmo(server, "/torn"),
        pixmo(server, "/eps"),
        pixmo(server, "/status?code=404"),
        {**good, "image_url": "http://10.0.0.1/a.png"},
        {**good, "image_url": "file:///etc/passwd"},
        {"question": "sem imagem", "answer": "nada"},
        {**good, "answer": 3},
    ]
    source = written(tmp_path / "rows.jsonl", rows)
    with source.open("a", encoding="utf-8") as file:
        file.write("{no json\n")
    done = fetch(source, tmp_path / "out", limits=QUICK, allowed=this_server)
    assert [sample["messages"][0]["content"] for sample in lines(tmp_path / "out" / SAMPLES)] == [
        "O que é /1.png?",
        "E mais?",
    ]
    assert lines(tmp_path / "out" / SAMPLES)[0]["language"] == "fr"
    assert server.asked["/1.png"] == 1, "an image that several rows name is fetched once"
    failures = lines(tmp_path / "out" / FAILURES)
    assert [failure["row"].rpartition(" ")[2] for failure in failures] == list(map(str, range(3, 13)))
    expected = [
        "not the sha256 that the dataset gives",
        "no image of JPEG, PNG",
        "no image: is the file truncated",
        "no image of JPEG, PNG",
        "status 404",
        "10.0.0.1 is at 10.0.0.1, which is not a public address",
        "only http and https are fetched, not file",
        "the row names no URL",
        "line 11: not what Multi-PixMo",
        "not JSON",
    ]
    for failure, reason in zip(failures, expected, strict=True):
        assert reason in failure["reason"], failure
    assert failures[4]["url"] == server.url("/status?code=404")
    assert "10 samples left out, listed in failures.jsonl" in done.table()
    assert "1  status 404" in done.table()


def test_captions_are_asked_for_in_their_language(server, tmp_path):
    rows = [
        {"image_url": server.url("/1.png"), "caption": "um ponto", "language": language} for language in (None, "en")
    ]
    source = written(tmp_path / "rows.jsonl", rows)
    fetch(source, tmp_path / "out", limits=QUICK, language="pt", allowed=this_server)
    samples = load_samples(tmp_path / "out", "sft")
    assert [sample["messages"][0]["content"] for sample in samples] == ["Descreve a imagem.", "Describe the image."]
    assert [sample["language"] for sample in samples] == ["pt", "en"]


def test_no_private_address_is_fetched_unless_a_test_says_so(server, tmp_path):
    done = fetch(written(tmp_path / "rows.jsonl", [pixmo(server, "/1.png")]), tmp_path / "out")
    assert server.asked.total() == 0
    assert [reason for *_, reason in done.failures] == ["127.0.0.1 is at 127.0.0.1, which is not a public address"]


def test_calling_again_asks_only_for_what_is_missing(server, tmp_path):
    paths = ["/1.png", "/2.png", "/status?code=404"]
    source = written(tmp_path / "rows.jsonl", [pixmo(server, path) for path in paths])
    first = fetch(source, tmp_path / "out", limits=QUICK, allowed=this_server)
    second = fetch(source, tmp_path / "out", limits=QUICK, allowed=this_server)
    assert (first.new, second.new, second.present, second.samples) == (2, 1, 2, 3)
    assert dict(server.asked) == {"/1.png": 1, "/2.png": 1, "/status?code=404": 2}
    assert lines(tmp_path / "out" / FAILURES) == []


def test_a_draw_is_seeded_and_keeps_the_order(server, tmp_path):
    source = written(tmp_path / "rows.jsonl", [pixmo(server, f"/{number}.png") for number in range(9)])
    asked = []
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        fetch(source, tmp_path / out, limits=QUICK, samples=4, seed=seed, allowed=this_server)
        asked.append([sample["messages"][0]["content"] for sample in lines(tmp_path / out / SAMPLES)])
    assert asked[0] == asked[1] != asked[2]
    assert all(len(questions) == 4 and questions == sorted(questions) for questions in asked)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, r"rows\.jsonl holds no rows"),
        ([{"image": "a.png"}], {}, "line 1: no image URL; needs image_url or url but holds image"),
        ([{"url": "http://h/a", "caption": "a"}], {"samples": 2}, "2 samples wanted, 1 rows there"),
    ],
)
def test_what_cannot_be_fetched_from_is_refused(tmp_path, rows, options, message):
    with pytest.raises(ValueError, match=message):
        fetch(written(tmp_path / "rows.jsonl", rows), tmp_path / "out", **options)


def test_a_killed_run_goes_on_without_fetching_again(server, tmp_path):
    count, threads = 30, 2
    source = written(tmp_path / "rows.jsonl", [pixmo(server, f"/{number}.png") for number in range(count)])
    server.hold_from = 12  # requests; those after it wait, so that the kill meets them under way
    patient = DownloadLimits(seconds=30, attempts=1)
    running = forked(
        lambda: fetch(source, tmp_path / "out", limits=patient, threads=threads, allowed=this_server) and 1
    )
    while server.asked.total() < server.hold_from + threads:
        assert os.waitpid(running, os.WNOHANG) == (0, 0), "it ended before it was killed"
        time.sleep(0.02)
    with pytest.raises(BlockingIOError, match=f"is fetching into {tmp_path / 'out'}"):
        fetch(source, tmp_path / "out", limits=QUICK, allowed=this_server)
    os.kill(running, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(running, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "out" / SAMPLES).exists()
    server.hold_from = None
    server.hold.set()
    done = fetch(source, tmp_path / "out", limits=QUICK, allowed=this_server)
    assert (done.present, done.new, done.samples) == (12, count - 12, count)
    assert sum(times - 1 for times in server.asked.values()) == threads, "only those under way are asked for twice"
    assert max(server.asked.values()) == 2
    assert len(load_samples(tmp_path / "out", "sft")) == count


def test_control_characters_of_a_hostile_name_do_not_reach_the_terminal(tmp_path):
    row = {"url": "http://\u001b[31mh/", "caption": "a"}
    done = fetch(written(tmp_path / "rows.jsonl", [row]), tmp_path / "out", limits=QUICK)
    assert len(done.failures) == 1
    assert "\u001b" not in done.table()


def test_ctrl_c_waits_for_no_image_that_is_not_begun(tmp_path, monkeypatch):
    begun = []

    def slow(image, *rest):
        begun.append(image)
        time.sleep(0.3)

    def stopped(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr("amalia_vl_hf.samples.fetch._fetch_one", slow)
    monkeypatch.setattr("amalia_vl_hf.samples.fetch._collect", stopped)
    urls = [{"image_url": f"http://a.pt/{name}.png", "question": "a", "answer": "b"} for name in range(8)]
    with pytest.raises(KeyboardInterrupt):
        fetch(written(tmp_path / "rows.jsonl", urls), tmp_path / "out", threads=1, limits=QUICK)
    assert len(begun) <= 1
