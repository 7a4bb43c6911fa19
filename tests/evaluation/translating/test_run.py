"""A benchmark is translated by a real client against servers on loopback: repaired once, rejected, never changed."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amalia_vl_hf import cli
from amalia_vl_hf.evaluation.own_tasks import read_task
from amalia_vl_hf.evaluation.sources import open_tasks
from tests.asking.model_server import Fault, ModelServer, completion

WORDS = {
    "Is there a dog in the picture? Please answer yes or no.": "Há um cão na imagem? Responde sim ou não.",
    "Is there a cat in the picture? Please answer yes or no.": "Há um gato na imagem? Responde sim ou não.",
    "Is the sign [1]? Please answer yes or no.": "O sinal diz [1]? Responde sim ou não.",
    "Is the bus red? Please answer yes or no.": "O ônibus está ficando vermelho? Responde sim ou não.",
    "Is the bus blue? Please answer yes or no.": "O autocarro é azul? Responde sim ou não.",
    "a red ball": "uma bola vermelha",
    "a blue box": "uma caixa azul",
    "What is on the table?": "O que está em cima da mesa?",
}
MME = [
    {"question_id": "a", "question": "Is there a dog in the picture? Please answer yes or no.", "answer": "Yes"},
    {"question_id": "a", "question": "Is there a cat in the picture? Please answer yes or no.", "answer": "No"},
    {"question_id": "b", "question": 'Is the sign "STOP"? Please answer yes or no.', "answer": "Yes"},
    {"question_id": "b", "question": "Is there a cat in the picture? Please answer yes or no.", "answer": "No"},
    {"question_id": "c", "question": "Is the bus red? Please answer yes or no.", "answer": "Yes"},
    {"question_id": "c", "question": "Is the bus blue? Please answer yes or no.", "answer": "No"},
]


def asked(text):
    """Find the JSON that is to be translated: what ends the prompt."""
    return json.loads(text[text.rindex("\n{") :])


def translate(value):
    if isinstance(value, list):
        return [translate(entry) for entry in value]
    return WORDS.get(value, value)


def translator(text, _count):
    said = {name: translate(value) for name, value in asked(text).items()}
    if "sign" in said.get("question", "") or "sinal" in said["question"]:
        said["question"] = said["question"].replace("[1]", "STOP")  # a place is lost
    return Fault(body=completion(json.dumps(said, ensure_ascii=False)))


def repairer(text, _count):
    said = {name: translate(value) for name, value in asked(text).items()}  # the bus stays Brazilian
    return Fault(body=completion("```json\n" + json.dumps(said, ensure_ascii=False) + "\n```"))


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def words(source, out, first, second, *more):
    servers = (
        "--endpoint",
        first.url,
        "--model",
        "amalia",
        "--repair-endpoint",
        second.url,
        "--repair-model",
        "amalia",
    )
    return ["eval", "translate", str(source), str(out), *servers, *more]


def test_what_fails_is_repaired_once_or_rejected_with_its_pair(tmp_path, capsys):
    source = write_lines(tmp_path / "mme.jsonl", MME)
    out = tmp_path / "mme_pt.jsonl"
    with ModelServer(script=translator) as first, ModelServer(script=repairer) as second:
        assert cli.main(words(source, out, first, second, "--task", "mme_pt")) == 0
        assert (first.requests, second.requests) == (5, 2)  # two rows are one text; one place lost, one Brazilian
    rows = read_lines(out)
    assert [(row["question_id"], row["answer"]) for row in rows] == [
        ("a", "Sim"),
        ("a", "Não"),
        ("b", "Sim"),
        ("b", "Não"),
    ]
    assert rows[2]["question"] == 'O sinal diz "STOP"? Responde sim ou não.'
    rejected = read_lines(tmp_path / "mme_pt.jsonl.rejected.jsonl")
    assert [(entry["row"], entry["reason"], entry["repaired"]) for entry in rejected] == [
        (4, "Brazilian", True),
        (5, "pair", False),
    ]
    assert "ônibus" in rejected[0]["detail"]
    said = capsys.readouterr().out
    assert all(line in said for line in ("translated", "of these, repaired", "rejected, Brazilian", "rejected, pair"))


def test_the_same_command_asks_nothing_again_and_another_is_refused(tmp_path, capsys):
    source = write_lines(tmp_path / "mme.jsonl", MME)
    out = tmp_path / "mme_pt.jsonl"
    with ModelServer(script=translator) as first, ModelServer(script=repairer) as second:
        run = words(source, out, first, second)
        assert cli.main(run) == 0
        before = out.read_bytes(), first.requests, second.requests
        assert cli.main(run) == 0
        assert (out.read_bytes(), first.requests, second.requests) == before
        assert cli.main([*run, "--task", "mme_pt"]) == 2
        assert "task: None there, mme_pt now" in capsys.readouterr().err
        (tmp_path / "there.jsonl").write_text("x")
        assert cli.main(words(source, tmp_path / "there.jsonl", first, second)) == 2
        assert "is there already" in capsys.readouterr().err


def test_splits_pictures_and_options_of_parquet_files_stay(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 10)).save(picture, "PNG")
    row = {"index": 3, "image": {"bytes": picture.getvalue(), "path": "x.png"}, "question": "What is on the table?"}
    row |= {"options": ["a red ball", "a blue box", "No"], "answer": "B", "language": "en"}
    for split in ("test", "validation"):
        (tmp_path / "in" / split).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row] * 3), tmp_path / "in" / split / "rows.parquet")
    with ModelServer(script=translator) as server:
        assert cli.main(words(tmp_path / "in", tmp_path / "out", server, server)) == 0
        assert server.requests == 1
    for split in ("test", "validation"):
        table = pq.read_table(tmp_path / "out" / split / "rows.parquet")
        assert table.schema == pq.read_schema(tmp_path / "in" / split / "rows.parquet")
        done = {"question": "O que está em cima da mesa?", "language": "pt"}
        done["options"] = ["uma bola vermelha", "uma caixa azul", "Não"]
        assert table.to_pylist() == [row | done] * 3


def test_what_is_translated_is_a_benchmark(tmp_path):
    Image.new("RGB", (8, 6)).save(tmp_path / "x.png")
    source = write_lines(tmp_path / "mme.jsonl", [row | {"image": "x.png"} for row in MME[:2]])
    with ModelServer(script=translator) as server:
        assert cli.main(words(source, tmp_path / "mme_pt.jsonl", server, server, "--task", "mme_pt")) == 0
    (questions,) = open_tasks(["mme_pt"], [], tmp_path)
    assert [question.item["references"] for question in questions.questions] == [["Sim"], ["Não"]]
    task = "name: mine\nmetric: yes_no\ndata: mme_pt.jsonl\n"
    (tmp_path / "task.yaml").write_text(task)
    assert read_task(tmp_path / "task.yaml").task.name == "mine"


def test_a_row_without_texts_or_an_answer_costs_the_others_nothing(tmp_path):
    rows = [MME[0], {"question": None, "answer": "x", "question_id": "z"}, MME[1] | {"question": "Silence?"}]
    source = write_lines(tmp_path / "in.jsonl", rows)
    (tmp_path / "in.jsonl").open("a").write("{broken\n")

    def silent(text, count):
        return Fault(body=completion(None)) if "Silence" in text else translator(text, count)

    with ModelServer(script=silent) as server:
        assert cli.main(words(source, tmp_path / "out.jsonl", server, server)) == 0
    assert len(read_lines(tmp_path / "out.jsonl")) == 1
    rejected = read_lines(tmp_path / "out.jsonl.rejected.jsonl")
    assert [(entry["row"], entry["reason"]) for entry in rejected] == [
        (1, "unreadable"),
        (2, "no answer"),
        (3, "unreadable"),
    ]


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_translation_ends_with_the_same_bytes(tmp_path, kills):
    animals = [
        f"{colour} {animal}" for colour in ("black", "white", "small") for animal in ("dog", "cat", "cow", "hen")
    ]
    texts = [f"Is there a {animal} in the picture?" for animal in animals]
    source = write_lines(tmp_path / "in.jsonl", [{"question_id": text, "question": text} for text in texts])
    known = {"dog": "cão", "cat": "gato", "cow": "vaca", "hen": "galinha"}

    def slow(text, _count):
        *_, animal, _, _, _ = asked(text)["question"].split()
        said = {"question": f"Há algum exemplar de {known[animal]} na imagem?"}
        if "revisor" not in text and animal in ("cat", "hen"):  # these are repaired
            said = {}
        return Fault(body=completion(json.dumps(said, ensure_ascii=False)), pause=0.05)

    rng = random.Random(kills)
    with ModelServer(script=slow) as server:
        assert cli.main(words(source, tmp_path / "whole.jsonl", server, server)) == 0
        needed = server.requests
        command = words(source, tmp_path / "out.jsonl", server, server, "--parallel", "2")
        for _ in range(kills):
            process = subprocess.Popen(
                [sys.executable, "-m", "amalia_vl_hf.cli", *command], env=os.environ, stderr=subprocess.DEVNULL
            )
            begun, before = time.monotonic(), server.requests
            while process.poll() is None and server.requests < before + 2 and time.monotonic() - begun < 60:
                time.sleep(0.01)
            time.sleep(rng.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert cli.main(command) == 0
        assert server.requests - needed <= needed + 2 * kills
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
