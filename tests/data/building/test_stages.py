"""Steps that ask a model: one prompt a sample, strict answers, and a reason for every sample that is not made."""

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pyarrow.parquet as pq
import pytest

from amalia_vl_hf import cli
from amalia_vl_hf.asking.inference import Endpoint
from amalia_vl_hf.data import prompts
from amalia_vl_hf.data.brazilian import BRAZILIAN
from amalia_vl_hf.data.building.pipeline import PROGRESS, STAGES, Pipeline
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.rendered import as_steps
from amalia_vl_hf.data.building.run import build, progress
from amalia_vl_hf.data.dataset import FAMILIES, DrawnSample, Exchange, ModelStep, RejectedError, import_dataset
from amalia_vl_hf.data.prompts import prompt_hash, read_prompt
from amalia_vl_hf.data.rows import exchange, png, truth_of
from amalia_vl_hf.data.steps import NO_ANSWER, Item
from amalia_vl_hf.data.text.text_pictures import Image
from amalia_vl_hf.variety import judge

from ...asking.model_server import Fault, ModelServer, completion

COUNT = 12
ASKING = [dataset for dataset in map(import_dataset, FAMILIES) if dataset.STEPS]


def _word(rng):
    return rng.choice(("comboio", "autocarro", "elétrico", "barco"))


def _ask_colour(rng, index, materials):
    if index % 6 == 5:
        raise RejectedError("nothing to ask", f"sample {index}")
    return {"word": _word(rng), "number": str(index)}


def _ask_check(rng, index, materials):
    colour = materials.answers["colour"]
    if not colour.startswith("cor "):
        raise RejectedError("no colour", colour)
    return {"word": _word(rng), "colour": colour.removeprefix("cor ")}


def _draw(rng, index, materials):
    word = _word(rng)
    answer = materials.answers["check"] if materials.answers else f"o {word}"
    said = Exchange("O que é?", answer)
    return DrawnSample(png(Image.new("RGB", (8, 8))), (said,), "toy", {"answer": answer, "index": index})


TOY = SimpleNamespace(
    NAME="toy",
    TITLE="Toy",
    VERSION=1,
    USES=(),
    SUMMARY="Two steps.",
    STEPS=(ModelStep("colour", _ask_colour), ModelStep("check", _ask_check)),
    draw=_draw,
    faults=lambda row: [] if exchange(row).answer == truth_of(row)["answer"] else ["wrong"],
)


def say(text, count):
    """Colours for the first step, but nothing that can be used for 2, a cut answer for 3, and Brazilian for 4."""
    if text.startswith("Confirma"):
        brazilian = "O ônibus está chegando ao ponto e as pessoas estão entrando no trem."
        return Fault(body=completion(brazilian if "quatro" in text else f"certo: {text}"))
    number = int(text.rsplit(" ", 1)[1])
    said = {2: "não sei", 4: "cor quatro"}.get(number, "cor azul")
    return Fault(body=completion(said, "length" if number == 3 else "stop"))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "toy", "toys")
    monkeypatch.setitem(sys.modules, "amalia_vl_hf.data.toys.toy", TOY)
    folder = tmp_path / "toys" / "prompts" / "toy"
    folder.mkdir(parents=True)
    (folder / "colour.md").write_text("versão: 1\n\nDiz uma cor para o $word número $number\n", encoding="utf-8")
    (folder / "check.md").write_text("versão: 2\nConfirma: $colour e $word\n", encoding="utf-8")
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    return BuildRecipe("toy", count=COUNT, seed=1, shard_size=6)


@pytest.fixture
def server():
    with ModelServer(script=say) as server:
        yield server


def with_model(recipe, server, **changes):
    return replace(recipe, endpoint=Endpoint(server.url, "amalia", **changes))


def rows_of(out):
    return [row for path in sorted((out / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_every_sample_is_made_or_has_its_reason(toy, server, tmp_path):
    recipe = with_model(toy, server)
    made = build(recipe, tmp_path / "out")
    assert made.rejected == {
        "nothing to ask": 2,
        "no colour": 1,
        NO_ANSWER: 1,
        BRAZILIAN: 1,
    }
    rows = rows_of(tmp_path / "out")
    assert [row["index"] for row in rows] == [0, 1, 6, 7, 8, 9, 10]
    assert made.made == len(rows)
    assert made.made + made.rejected.total() == COUNT
    assert server.requests == 10 + 8, "ten colours; no second step for what has no colour"
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected" / "00000.jsonl").open(encoding="utf-8")]
    assert {line["index"]: line["detail"] for line in lines}[3] == "cut short at the token limit"
    table = made.table().split("\n")
    assert table[0].split() == ["7", "made"]
    assert table[1].split() == ["5", "rejected"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert made.table() in card
    assert "A model, `amalia`, wrote parts of them." in card


def test_rows_say_which_model_and_which_prompts(toy, server, tmp_path):
    recipe = with_model(toy, server)
    build(recipe, tmp_path / "out")
    row = rows_of(tmp_path / "out")[0]
    assert row["model"] == "amalia"
    assert row["prompt_hash"] == prompt_hash("toy", TOY.STEPS)
    assert len(row["prompt_hash"]) == 64
    assert "Confirma: azul e " in exchange(row).answer, "the second prompt has the first answer, and the same word"
    build(toy, tmp_path / "without")
    assert {(row["model"], row["prompt_hash"]) for row in rows_of(tmp_path / "without")} == {("", "")}


def test_another_prompt_has_another_hash(toy):
    before = prompt_hash("toy", TOY.STEPS)
    path = prompts.FOLDER / "toys" / "prompts" / "toy" / "check.md"
    path.write_text(path.read_text(encoding="utf-8").replace("versão: 2", "versão: 3"), encoding="utf-8")
    assert prompt_hash("toy", TOY.STEPS) != before


def test_answers_are_kept_when_a_shard_is_lost(toy, server, tmp_path):
    recipe = with_model(toy, server)
    build(recipe, tmp_path / "out")
    rows, asked = rows_of(tmp_path / "out"), server.requests
    recipe.shard_path(tmp_path / "out", 1).unlink()
    build(recipe, tmp_path / "out")
    assert rows_of(tmp_path / "out") == rows
    assert server.requests == asked


@pytest.mark.parametrize("cut", [3, "line"])
def test_a_stage_that_is_not_what_was_written_is_told_before_anything_is_made_of_it(toy, server, tmp_path, cut):
    recipe = with_model(toy, server)
    build(recipe, tmp_path / "out")
    rows, asked = rows_of(tmp_path / "out"), server.requests
    pipeline = Pipeline(recipe, tmp_path / "out")
    recipe.shard_path(tmp_path / "out", 1).unlink()
    stage = pipeline.files(pipeline.before("rows"))[1].path
    whole = stage.read_bytes()
    stage.write_bytes(whole[:-3] if cut == 3 else b"".join(whole.splitlines(True)[:-1]))
    with pytest.raises(ValueError, match=rf"{stage.name} is not what was written there; remove it"):
        build(recipe, tmp_path / "out")
    stage.unlink()
    build(recipe, tmp_path / "out")
    assert rows_of(tmp_path / "out") == rows
    assert server.requests == asked


@pytest.mark.parametrize("changes", [{"temperature": 0.1}, {"model": "other"}, {"max_tokens": 7}])
def test_another_model_or_sampling_is_asked_anew_and_the_first_is_not_forgotten(toy, tmp_path, changes):
    with ModelServer(("amalia", "other"), script=say) as server:
        first = with_model(toy, server)
        build(first, tmp_path / "out")
        asked, rows = server.requests, rows_of(tmp_path / "out")
        other = replace(toy, endpoint=replace(Endpoint(server.url, "amalia"), **changes))
        build(other, tmp_path / "out")
        assert server.requests == 2 * asked
        assert {row["model"] for row in rows_of(tmp_path / "out")} == {other.endpoint.model}
        build(first, tmp_path / "out")
        assert server.requests == 2 * asked
        assert rows_of(tmp_path / "out") == rows


def test_a_server_that_is_not_there_ends_the_build_and_says_so(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("amalia_vl_hf.asking.endpoint.PATIENCE", 1.0)
    with ModelServer() as gone:
        url = gone.url
    words = ["data", "build", "toy", "--out", str(tmp_path / "out"), "--count", "3", "--endpoint", url, "--model", "m"]
    assert cli.main(words) == 2
    assert url in capsys.readouterr().err
    assert not (tmp_path / "out" / "data").exists()


def test_the_command_says_what_was_made_and_why_not(toy, server, tmp_path, capsys):
    words = ["data", "build", "toy", "--out", str(tmp_path / "out"), "--count", str(COUNT), "--endpoint", server.url]
    assert cli.main([*words, "--model", "amalia"]) == 0
    said = capsys.readouterr().out
    assert "7 of 12 samples are in" in said
    assert f"1    {NO_ANSWER}" in said


def test_a_dry_run_shows_the_prompt_and_asks_nothing(toy, server, tmp_path, capsys):
    words = ["data", "build", "toy", "--out", str(tmp_path / "out"), "--count", "3", "--dry-run"]
    assert cli.main([*words, "--endpoint", server.url, "--model", "amalia"]) == 0
    said = capsys.readouterr().out
    assert "step 1, colour: up to 3 requests to amalia" in said
    assert "Diz uma cor para o " in said
    assert "versão" not in said
    assert cli.main(words) == 0
    assert "toy asks no model here; 3 samples would be drawn" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert server.requests == 0


def test_the_bar_counts_answers_before_their_shard_is_complete(toy, tmp_path):
    goes_on = threading.Event()

    def slow(text, count):
        if not text.endswith(("0", "1")):
            goes_on.wait(60)
        return say(text, count)

    with ModelServer(script=slow) as server:
        recipe = with_model(toy, server)
        building = threading.Thread(target=build, args=(recipe, tmp_path / "out"))
        building.start()
        started = time.monotonic()
        path = tmp_path / "out" / STAGES / "colour" / PROGRESS
        while progress(path) < 3 and time.monotonic() - started < 30:
            time.sleep(0.01)
        assert progress(path) == 2 + 1, "answered, and nothing to ask"
        assert Pipeline(recipe, tmp_path / "out").stale("colour") == {0, 1}
        goes_on.set()
        building.join(60)
    assert progress(path) == COUNT


def test_half_an_endpoint_is_refused(toy, tmp_path, capsys):
    words = ["data", "build", "toy", "--out", str(tmp_path / "out"), "--count", "3", "--model", "m"]
    assert cli.main(words) == 2
    assert "--endpoint and --model go together" in capsys.readouterr().err


def test_a_prompt_without_its_version_is_an_error(toy):
    (prompts.FOLDER / "toys" / "prompts" / "toy" / "colour.md").write_text("Diz uma cor\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"colour\.md must begin with a line 'versão: ' and a number, not 'Diz uma"):
        read_prompt("toy", "colour")


@pytest.mark.parametrize("dataset", ASKING, ids=lambda dataset: dataset.NAME)
def test_the_prompts_of_the_package_are_filled_and_european(dataset):
    recipe = BuildRecipe(dataset.NAME, 8, 0, endpoint=Endpoint("http://127.0.0.1:1", "m"))
    texts = []
    for number in range(8):
        with suppress(RejectedError):
            (request,) = as_steps(recipe)[0].ask(Item(f"{number:08}"))
            texts.append(request.text)
    assert len(set(texts)) > 1
    for step in dataset.STEPS:
        assert judge(read_prompt(dataset.NAME, step.name).template).is_pt_pt


def program(text, count):
    """Write another program for every prompt, after a while."""
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 1000
    lines = f"idade = {number}\nprint('idade', idade)\nprint(idade % 7, idade // 7)\nprint(idade - 1)"
    return Fault(body=completion(f"```python\n{lines}\n```"), pause=0.02)


@pytest.mark.slow
def test_a_build_with_a_model_killed_at_random_moments_ends_as_one_that_was_not(tmp_path):
    words = ["data", "build", "pt-simple-code-outputs", "--count", "60", "--shard-size", "10", "--model", "amalia"]
    moments = sorted(random.Random(5).sample(range(5, 60), 4))  # requests after which it is killed
    with ModelServer(script=program) as server:
        words += ["--endpoint", server.url, "--workers", "2", "--parallel", "2"]
        assert cli.main([*words, "--out", str(tmp_path / "whole")]) == 0
        needed = server.requests
        command = [sys.executable, "-m", "amalia_vl_hf.cli", *words, "--out", str(tmp_path / "killed")]
        for moment in moments:
            process = psutil.Popen(command, stderr=subprocess.DEVNULL)
            while server.requests < needed + moment and process.poll() is None:
                time.sleep(0.005)
            children = process.children(recursive=True)
            process.kill()
            process.wait()
            psutil.wait_procs(children, timeout=60)
        assert cli.main([*words, "--out", str(tmp_path / "killed")]) == 0
        in_flight = 2 * 2  # workers, and requests of each
        assert server.requests <= 2 * needed + len(moments) * in_flight
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    assert len(rows_of(tmp_path / "killed")) > 50
