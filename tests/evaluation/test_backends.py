"""The same answers from batches of any size and through a server; a server's failures are never answers."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from amalia_vl_hf.asking import endpoint as endpoint_module
from amalia_vl_hf.asking.endpoint import Endpoint, EndpointError
from amalia_vl_hf.evaluation.backends import LocalModel, ServedModel, weights_digest
from amalia_vl_hf.evaluation.run import MissingAnswersError, RunSettings, evaluate
from amalia_vl_hf.evaluation.sources import open_tasks
from tests.asking.model_server import Fault, ModelServer, completion, error
from tests.evaluation.conftest import write_rows


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(endpoint_module, "PAUSES", (0.001, 0.01))
    monkeypatch.setattr(endpoint_module, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(endpoint_module, "PATIENCE", 0.3)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def task(tmp_path):
    return str(write_rows(tmp_path / "data"))


def answers(out: Path) -> list[tuple[str, bool]]:
    """Read a run's answers in order."""
    lines = (out / "cores" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [(json.loads(line)["answer"], json.loads(line)["cut"]) for line in lines]


def picture(part):
    """Read an `image_url` part back."""
    return Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2])))


def test_batches_of_one_and_eight_and_a_server_give_the_same_answers(tmp_path, task, tiny_directory):
    model = LocalModel(str(tiny_directory), batch=1)
    evaluate(open_tasks([], [task]), model, RunSettings(tmp_path / "one"))
    evaluate(open_tasks([], [task]), LocalModel(str(tiny_directory), batch=8), RunSettings(tmp_path / "eight"))
    one = answers(tmp_path / "one")
    assert len({text for text, _ in one}) > 1, "a model that says one thing shows nothing"
    assert any(cut for _, cut in one)
    assert answers(tmp_path / "eight") == one

    def say(content, _count):
        if isinstance(content, str):
            return None
        chat = [{"role": "user", "content": content}]
        chat[0]["content"] = [
            part if part["type"] == "text" else {"type": "image", "image": picture(part)} for part in content
        ]
        assert [part["type"] for part in content] == ["image_url", "text"], "images come before the text"
        inputs = model.processor.apply_chat_template(
            [chat], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )
        tokens = model.model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        ended = model.model.generation_config.eos_token_id in tokens.tolist()
        text = model.processor.decode(tokens, skip_special_tokens=True)
        return Fault(200, completion(text, "stop" if ended else "length"))

    with ModelServer(script=say) as server:
        served = ServedModel(Endpoint(server.url, "amalia", parallel=1))
        evaluate(open_tasks([], [task]), served, RunSettings(tmp_path / "served"))
    assert answers(tmp_path / "served") == one


def test_the_server_is_asked_at_temperature_0_with_the_tasks_limit(tmp_path, task):
    with ModelServer(script=lambda _text, _count: Fault(200, completion("azul"))) as server:
        evaluate(open_tasks([], [task]), ServedModel(Endpoint(server.url, "amalia")), RunSettings(tmp_path / "out"))
        bodies = [json.loads(body) for body in server.asked]
    assert len(bodies) == 12
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.0, 8)}


FAILURES = {
    "500": Fault(500, error("out of memory")),
    "null": Fault(200, completion(None)),
    "reasoning without an answer": Fault(
        200, {"choices": [{"message": {"content": "", "reasoning_content": "Vejo..."}, "finish_reason": "stop"}]}
    ),
    "reasoning cut short": Fault(
        200, {"choices": [{"message": {"content": None, "reasoning": "Vejo..."}, "finish_reason": "length"}]}
    ),
    "refused": Fault(400, error("the prompt is too long")),
    "filtered": Fault(200, completion("", "content_filter")),
    "half a reply": Fault(cut=9),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_a_server_fails_at_is_not_scored_and_asked_again(tmp_path, task, failure):
    def say(content, _count):
        long = not isinstance(content, str) and content[-1]["text"].count("palavra") == 2
        return failure if long and broken else Fault(200, completion("azul"))

    broken = True
    with ModelServer(script=say) as server:
        backend = ServedModel(Endpoint(server.url, "amalia", parallel=4))
        with pytest.raises(MissingAnswersError, match="4 of 12 questions have no answer"):
            evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
        assert not list((tmp_path / "out").rglob("scores.json"))
        broken, before = False, server.requests
        evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
        assert server.requests - before == 4
    assert len(answers(tmp_path / "out")) == 12


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (completion("verde e", "length"), ("verde e", True)),
        (completion("", "stop"), ("", False)),
        (completion("  ", "stop"), ("  ", False)),
    ],
)
def test_cut_and_empty_answers_are_answers(tmp_path, task, reply, answer):
    with ModelServer(script=lambda _text, _count: Fault(200, reply)) as server:
        backend = ServedModel(Endpoint(server.url, "amalia"))
        results = evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
    assert answers(tmp_path / "out") == [answer] * 12
    counts = results["tasks"][0]["counts"]
    assert (counts["cut"], counts["empty"]) == ((12, 0) if answer[1] else (0, 12))


def test_a_server_that_dies_ends_the_run_and_keeps_what_it_said(tmp_path, task):
    def say(_content, _count):
        return Fault(200, completion("azul")) if len(server.asked) <= 5 else Fault(401, error("who are you"))

    with ModelServer(script=say) as server:
        backend = ServedModel(Endpoint(server.url, "amalia", parallel=1))
        with pytest.raises(EndpointError, match="answers 401"):
            evaluate(open_tasks([], [task]), backend, RunSettings(tmp_path / "out"))
    assert len(answers(tmp_path / "out")) == 5
    assert not list((tmp_path / "out").rglob("scores.json"))


def test_weights_have_one_digest_that_moves_with_them(tiny_directory, tmp_path):
    for path in tiny_directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert weights_digest(tmp_path) == weights_digest(tiny_directory)
    (tmp_path / "training.json").write_text("{}")
    assert weights_digest(tmp_path) == weights_digest(tiny_directory)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert weights_digest(tmp_path) != weights_digest(tiny_directory)
