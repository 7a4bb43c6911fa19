import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from amalia_vl_hf import cli
from amalia_vl_hf.samples import checking
from amalia_vl_hf.samples.loading import load_samples


@pytest.fixture
def data(tmp_path):
    """Four samples: the second has no picture, the third is the first again."""
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    rows = [{"images": [f"{name}.png"], "messages": dialogue(text)} for name, text in ("ax", "gx", "ax", "ay")]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path / "data.jsonl"


def dialogue(question):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "sim"}]


def test_check_says_what_it_would_drop_and_why_and_writes_the_rest(data, tmp_path, capsys):
    kept = tmp_path / "kept.parquet"
    before = data.read_bytes()
    assert cli.main(["data", "check", str(data), "--write", str(kept)]) == 1
    said = capsys.readouterr().out
    assert f"image: {data}, line 2: no such image" in said
    assert f"duplicate: {data}, line 3: the same as {data}, line 1" in said
    assert "4 samples checked, 2 to drop" in said
    assert data.read_bytes() == before
    samples = load_samples(kept, "sft")
    assert [sample["sample"] for sample in samples] == [f"{data}, line 1", f"{data}, line 4"]
    assert cli.main(["data", "check", str(kept)]) == 0


def test_check_says_the_same_with_workers(data, tmp_path, capsys):
    said, written = [], []
    for workers in "02":
        kept = tmp_path / f"{workers}.parquet"
        assert cli.main(["data", "check", str(data), "--workers", workers, "--write", str(kept)]) == 1
        said.append(capsys.readouterr().out.replace(str(kept), "kept"))
        written.append(kept.read_bytes())
    assert said[0] == said[1]
    assert written[0] == written[1]


def test_a_killed_worker_is_one_line(data, capsys, monkeypatch):
    monkeypatch.setattr(checking, "load_image", lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
    assert cli.main(["data", "check", str(data), "--workers", "1"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        r"amalia-vl: DataLoader worker \(pid(\(s\))? \d+\) .*; was the memory full\? Fewer workers need less$", line
    )


@pytest.mark.slow
def test_ctrl_c_among_workers_is_one_line(tmp_path):
    rows = (json.dumps({"messages": dialogue(f"Olá {number}")}) for number in range(50_000))
    (tmp_path / "data.jsonl").write_text("\n".join(rows), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "amalia_vl_hf.cli",
        "data",
        "check",
        str(tmp_path / "data.jsonl"),
        "--workers",
        "2",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        said = b""
        while b"/50000 [" not in said:  # they are at work
            said += process.stderr.read1()
        os.killpg(process.pid, signal.SIGINT)  # a terminal's goes to all of them
        said = process.stderr.read().decode().replace("\r", "\n").splitlines()
    assert process.returncode == 130
    assert [line for line in said if line and not line.startswith("checking:")] == [
        "amalia-vl: stopped; the same command begins again"
    ]


@pytest.mark.parametrize("step", ["check", "mix"])
@pytest.mark.parametrize("count", ["-1", "zwei"])
def test_a_number_of_workers_that_is_none_is_refused(step, count, tmp_path, capsys):
    more = [] if step == "check" else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        cli.main(["data", step, "x", *more, f"--workers={count}"])
    assert f"argument --workers: '{count}' is not a whole number from 0 on" in capsys.readouterr().err


def test_check_refuses_a_length_without_a_ruler(data, capsys):
    assert cli.main(["data", "check", str(data), "--max-length", "9"]) == 2
    assert capsys.readouterr().err == "amalia-vl: --max-length needs --model, whose processor measures lengths\n"


def test_check_writes_no_manifest_of_nothing(data, tmp_path, capsys):
    for picture in tmp_path.glob("*.png"):
        picture.unlink()
    assert cli.main(["data", "check", str(data), "--write", str(tmp_path / "kept.parquet")]) == 2
    assert capsys.readouterr().err.endswith(f"no sample stays, so {tmp_path / 'kept.parquet'} is not written\n")
    assert not (tmp_path / "kept.parquet").exists()


def test_mix_draws_and_says_the_shares(data, tmp_path, capsys):
    first = {"name": "um", "path": str(data), "samples": 3, "category": "A"}
    second = {"name": "dois", "path": str(data), "samples": 1, "category": "B"}
    text = yaml.safe_dump({"seed": 0, "datasets": [first, second]})
    (tmp_path / "mixture.yaml").write_text(text, encoding="utf-8")
    out = str(tmp_path / "out" / "m.parquet")
    assert cli.main(["data", "mix", str(tmp_path / "mixture.yaml"), "--out", out]) == 0
    assert capsys.readouterr().out.splitlines() == ["    75.0 %  A", "    25.0 %  B", f"written: {out}"]
    assert len(load_samples(out, "sft")) == 4


def test_fetch_of_nothing_public_says_so_and_fails(tmp_path, capsys):
    row = {"image_url": "http://127.0.0.1:1/a.png", "question": "O que é?", "answer": "um ponto"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert cli.main(["data", "fetch", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "0 images fetched, 0 were there, 0 samples written"
    assert said[2].strip() == "1  127.0.0.1 is at 127.0.0.1, which is not a public address"


@pytest.mark.parametrize("step", ["fetch", "check", "mix"])
def test_a_missing_file_is_one_line(step, tmp_path, capsys):
    gone = str(tmp_path / "gone.jsonl")
    more = [] if step == "check" else ["--out", str(tmp_path / "out")]
    assert cli.main(["data", step, gone, *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("amalia-vl: ")
    assert "gone.jsonl" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("step", [[], ["build"], ["fetch"], ["check"], ["mix"], ["filter"], ["index"], ["cost"]])
def test_help_says_what_each_step_does(step, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["data", *step, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "amalia-vl data" in said
    assert f"examples:\n  amalia-vl data {' '.join(step)}" in said
    assert "private" not in said, "no option lets private addresses in"
