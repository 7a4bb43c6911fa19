"""Every request has one answer, of this model and this sampling, whatever the server and `kill -9` do meanwhile."""

import asyncio
import hashlib
import io
import json
import multiprocessing
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from PIL import Image

from amalia_vl_hf.asking import endpoint as endpoint_module
from amalia_vl_hf.asking.endpoint import Client, Reply
from amalia_vl_hf.asking.inference import Endpoint, EndpointError, ModelAnswer, ModelRequest, answer_all
from amalia_vl_hf.asking.journal import read_journal
from amalia_vl_hf.asking.roles import ImagePolicy

from .model_server import GREETING, Fault, ModelServer, completion, error, pictures_of, silent_address

TURNED_AWAY = Fault(429, error("later"), {"Retry-After": "0"})
YEAR = "turned away for a year"  # waited for a minute, where a test does not shorten it
FAULTS = {  # of the server, or of the way to it: another try may do
    "turned away": TURNED_AWAY,
    "turned away without a word": Fault(429, b""),
    "turned away until a date": Fault(429, b"", {"Retry-After": formatdate(0, usegmt=True)}),
    "turned away, nobody knows until when": Fault(429, b"", {"Retry-After": "soon"}),
    YEAR: Fault(429, b"", {"Retry-After": "31536000"}),
    "overloaded": Fault(503, b"<html>overloaded</html>"),
    "failed": Fault(500, error("out of memory")),
    "cut": Fault(cut=9),
    "nothing at all": Fault(200, b"", cut=0),
    "half of the JSON": Fault(200, b'{"choices": ['),
    "a bracket too many": Fault(200, b"[" * 100_000),
    "no choices": Fault(200, {"choices": []}),
    "a list": Fault(200, [1]),
    "an answer that is a number": Fault(200, completion(5)),
    "half of a surrogate pair": Fault(
        200, rb'{"choices": [{"message": {"content": "\ud800"}, "finish_reason": "stop"}]}'
    ),
}
BRIEF = [fault for name, fault in FAULTS.items() if name != YEAR]  # for tests that shorten no pause
PROBLEMS = {  # of the request: no other try would do
    "refused with 400: too long for this model": Fault(400, error("too long for this model")),
    "refused with 422: [no message]": Fault(422, b"[no\nmessage\x1b]"),
    "cut short at the token limit": Fault(200, completion("Era uma", "length")),
    "held back by the server's content filter": Fault(200, completion("", "content_filter")),
    "answer without text": Fault(200, completion(None)),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(endpoint_module, "PAUSES", (0.001, 0.01))
    monkeypatch.setattr(endpoint_module, "LONGEST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def _impatient(monkeypatch):
    monkeypatch.setattr(endpoint_module, "PATIENCE", 0.3)


def asking(*texts: str) -> list[ModelRequest]:
    """Ask texts, each under its number."""
    return [ModelRequest(f"r{number}", [{"role": "user", "content": text}]) for number, text in enumerate(texts)]


def questions(count: int) -> list[ModelRequest]:
    return asking(*(f"Pergunta n.º {number}?" for number in range(count)))


def right(requests: list[ModelRequest], endpoint: Endpoint) -> list[ModelAnswer]:
    """Give the answers that this endpoint's model gives under this sampling."""
    said = [{**endpoint.record(), "text": request.messages[-1]["content"]} for request in requests]
    texts = [json.dumps(text, ensure_ascii=False) for text in said]
    return [ModelAnswer(request.id, text, None) for request, text in zip(requests, texts, strict=True)]


@contextmanager
def closed_after(count: int, models: tuple[str, ...] = ("amalia",)) -> Iterator[ModelServer]:
    """Serve so many requests, and refuse everybody from then on."""

    def script(_text: str, _before: int) -> Fault | None:
        return Fault(403, error("closed")) if server.requests > count else None

    with ModelServer(models, script) as server:
        yield server


def stop_halfway(server: ModelServer, requests: list[ModelRequest], endpoint: Endpoint, folder: Path) -> None:
    """Begin a run that a closed server ends."""
    with pytest.raises(EndpointError, match="answers 403: closed"):
        answer_all(requests, endpoint, folder, "a")
    server.script = lambda _text, _before: None


# The six defects of datatrove 0.10.1's own inference, each as it was seen there: why answers do not go through it.


def test_a_request_that_is_repeated_still_names_its_model(tmp_path):
    """Plain: `EndpointServer` pops the model, so the first retry ends the rank with "KeyError: 'model'"."""
    requests = questions(3)
    # Remote to datatrove; its client retries twice by itself.
    with ModelServer(script=lambda _, before: TURNED_AWAY if before < 3 else None, host="127.0.0.2") as server:
        endpoint = Endpoint(server.url, "amalia")
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert set(server.asked.values()) == {4}


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_the_address_is_right_with_and_without_its_version(tmp_path, suffix, host):
    """Plain: with /v1 it waits for /v1/v1/models for ever; without, it asks a remote server at /chat/completions."""
    with ModelServer(host=host) as server:
        endpoint = Endpoint(server.url + suffix, "amalia")
        assert answer_all(questions(1), endpoint, tmp_path, "a") == right(questions(1), endpoint)
        assert set(server.paths) == {"/v1/chat/completions"}


@pytest.mark.parametrize(
    "other", [{"model": "outro"}, {"temperature": 0.2}, {"top_p": 0.5}, {"max_tokens": 9}, {"seed": 1}], ids=str
)
def test_an_answer_of_another_model_or_sampling_is_never_used(tmp_path, other):
    """Plain: a run that model `a` began and model `b` finished has the answers of `a`, and none of `b`."""
    requests = questions(6)
    with closed_after(4, ("amalia", "outro")) as server:
        first = Endpoint(server.url, "amalia", parallel=2)
        second = Endpoint(**{"url": server.url, "model": "amalia", **other})
        stop_halfway(server, requests, first, tmp_path)
        assert answer_all(requests, second, tmp_path, "a") == right(requests, second)
        assert answer_all(requests, first, tmp_path, "a") == right(requests, first), "nor one that is complete"


def test_every_failed_try_is_followed_by_another(tmp_path):
    """Plain: on localhost "Error http status 429" (and 503) ends the rank at once; so does JSON that is none."""
    requests = asking(*FAULTS)
    with ModelServer(script=lambda text, before: FAULTS[text] if before < 2 else None) as server:
        endpoint = Endpoint(server.url, "amalia")
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert set(server.asked.values()) == {3}


def test_being_turned_away_costs_a_request_nothing(tmp_path):
    says = {"a": Fault(503, b""), "b": TURNED_AWAY}
    with ModelServer(
        script=lambda text, before: says.get(text) if before < 2 * endpoint_module.TRIES else None
    ) as server:
        endpoint = Endpoint(server.url, "amalia")
        assert answer_all(asking(*says), endpoint, tmp_path, "a") == right(asking(*says), endpoint)
        assert server.greetings == 0


def test_a_server_that_wants_to_be_left_alone_is(tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint_module, "LONGEST_WAIT", 1)
    says = {"a": FAULTS[YEAR], "b": FAULTS["failed"]}
    order: list[str] = []

    def script(text: str, before: int) -> Fault | None:
        order.append(text)
        return says[text] if before < {"a": 1, "b": 4}[text] else None

    with ModelServer(script=script) as server:
        answer_all(asking("a", "b"), Endpoint(server.url, "amalia"), tmp_path, "a")
    assert order[-1] == "a", "all five tries of the other go before its second"


def test_an_empty_text_is_asked_like_any_other_and_kept(tmp_path):
    """Plain: its readers drop documents without text and say nothing; those of its checkpoints do, too."""
    requests = asking("", "a", "", "b", "", "c")
    requests = [
        request._replace(messages=[{"role": "system", "content": request.id}, *request.messages])
        for request in requests
    ]
    with closed_after(4) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=1)
        stop_halfway(server, requests, endpoint, tmp_path)
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert server.requests == 6 + 1, "but for the one at which the server closed"


def test_a_problem_is_one_requests_own(tmp_path):
    """Plain: the InferenceError of one document ends the rank; none of those after it is asked."""
    requests = asking("a", *PROBLEMS, "b")
    with ModelServer(script=lambda text, _: PROBLEMS.get(text)) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=1)
        answers = answer_all(requests, endpoint, tmp_path, "a")
        assert answers[1:-1] == [ModelAnswer(f"r{number}", None, told) for number, told in enumerate(PROBLEMS, 1)]
        assert [answers[0], answers[-1]] == right([requests[0], requests[-1]], endpoint)
        assert set(server.asked.values()) == {1}
        assert answer_all(requests, endpoint, tmp_path, "a") == answers
        assert server.requests == len(requests), "a problem is an outcome: it is not asked for again"


def test_a_folder_that_is_complete_answers_other_requests_too(tmp_path):
    """Plain: with other requests the second run asks nothing, and leaves the first one's file as it is."""
    requests = questions(4)
    others = asking("Outra coisa?", "E mais esta?")
    with ModelServer() as server:
        endpoint = Endpoint(server.url, "amalia")
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert answer_all(others, endpoint, tmp_path, "a") == right(others, endpoint)
        assert answer_all(others[::-1], endpoint, tmp_path, "a") == right(others[::-1], endpoint)
        assert answer_all([], endpoint, tmp_path, "a") == []


# What is kept.


def test_the_file_has_an_answer_for_each_request(tmp_path):
    requests = asking("\u2028 é uma linha", "\x85 também\r\n", *(f"{number}" for number in range(20)))
    slow_first = Fault(pause=0.05)
    with ModelServer(script=lambda text, _: slow_first if text == "0" else None) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=4)
        answers = answer_all(requests, endpoint, tmp_path / "new" / "folder", "a")
        assert 1 < server.most_at_once <= 4
    assert answers == right(requests, endpoint)
    lines = list(read_journal(tmp_path / "new" / "folder" / "a.jsonl"))
    assert Counter(line["text"] for line in lines if "key" in line) == Counter(answer.text for answer in answers)
    assert len([line for line in lines if "sent" in line]) == len(requests)
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"a.jsonl", "a.lock"}
    moved = Endpoint("https://elsewhere.example/api", "amalia", parallel=1)
    assert answer_all(requests, moved, tmp_path / "new" / "folder", "a") == answers, "where a model is does not matter"


@pytest.mark.parametrize("content", ["", "{}\n", "[]\n", "no JSON\n", '{"key": 5}\n'])
def test_what_is_no_answer_of_a_file_is_passed_over(tmp_path, content):
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    with ModelServer() as server:
        endpoint = Endpoint(server.url, "amalia")
        assert answer_all(questions(1), endpoint, tmp_path, "a") == right(questions(1), endpoint)


def test_a_line_that_a_disk_cut_in_half_costs_its_answer_alone(tmp_path):
    requests = questions(9)
    with closed_after(3) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=1)
        stop_halfway(server, requests, endpoint, tmp_path)
        journal = tmp_path / "a.jsonl"
        kept = journal.read_bytes()
        half = kept[: kept.rindex("º".encode()) + 1]  # in the middle of a letter, too
        journal.write_bytes(half)
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert server.requests == 9 + 2, "the one at which the server closed, and that of the torn line"
    assert half[: half.rindex(b"\n") + 1] == journal.read_bytes()[: half.rindex(b"\n") + 1]


def test_answers_that_cannot_be_kept_end_the_run(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with ModelServer() as server, pytest.raises(OSError, match=r"a\.jsonl"):
        answer_all(questions(4), Endpoint(server.url, "amalia"), tmp_path, "a")
    assert server.requests == 0


# What is asked for several times, thought about, or looked at.


def test_candidates_are_as_many_requests_with_as_many_seeds(tmp_path):
    (question,) = questions(1)
    wanted = [
        question._replace(id=f"{attempt} {candidate}", attempt=attempt, candidate=candidate, candidates=3)
        for attempt in (1, 2)
        for candidate in range(3)
    ]
    with ModelServer(keep_bodies=True) as server:
        answers = answer_all(wanted, Endpoint(server.url, "amalia", seed=7, parallel=1), tmp_path, "a")
        assert [body["seed"] for body in server.bodies] == [7, 8, 9, 10, 11, 12]
        assert [body["temperature"] for body in server.bodies] == [0.7] * 3 + [0.9] * 3
        assert set(server.asked.values()) == {1}
    assert len({answer.text for answer in answers}) == 6


THOUGHT = "cut short at the token limit"


@pytest.mark.parametrize(
    ("body", "thinking", "read"),
    [
        (completion("<think>2 e 2</think>\n\n4"), None, ("4", None, "2 e 2")),
        (completion("2 e 2</think>4"), True, ("4", None, "2 e 2")),  # the template opened it
        (completion("2 e 2</think>4"), False, ("2 e 2</think>4", None, None)),
        (completion("<think>2 e", "length"), True, (None, THOUGHT, "2 e")),
        (completion("<think>2 e 2</think>"), None, (None, "reasoning without an answer", "2 e 2")),
        (completion("[THINK]2 e 2[/THINK]4"), None, ("4", None, "2 e 2")),
        (completion(None, reasoning_content="2 e 2"), None, (None, "reasoning without an answer", "2 e 2")),
        (completion("", reasoning="2 e 2"), True, (None, "reasoning without an answer", "2 e 2")),
        (completion(None, "length", reasoning_content="2 e"), None, (None, THOUGHT, "2 e")),
        (completion(None, reasoning_content="4"), False, ("4", None, None)),  # was told not to think
        (completion("4", reasoning_content="2 e 2"), None, ("4", None, "2 e 2")),
        (completion(" 4 "), None, (" 4 ", None, None)),
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(tmp_path, body, thinking, read):
    with ModelServer(script=lambda _, __: Fault(body=body)) as server:
        endpoint = Endpoint(server.url, "amalia", thinking=thinking)
        (answer,) = answer_all(questions(1), endpoint, tmp_path, "a")
        assert answer[1:] == read
        assert answer_all(questions(1), endpoint, tmp_path, "a") == [answer], "it is kept apart in the file, too"


def picture_of(folder: Path, size: tuple[int, int]) -> str:
    """Draw a picture, and name it by its bytes."""
    Image.effect_noise(size, 90).save(folder / "picture.png")
    return hashlib.sha256((folder / "picture.png").read_bytes()).hexdigest()


def about(image: str) -> list[ModelRequest]:
    parts = [{"type": "image", "image": image}, {"type": "text", "text": "O que é?"}]
    return [ModelRequest("x", [{"role": "user", "content": parts}])]


@pytest.mark.parametrize(
    ("policy", "size"),
    [(ImagePolicy(), (90, 60)), (ImagePolicy(longest_side=90), (90, 60)), (ImagePolicy(longest_side=30), (30, 20))],
)
def test_a_picture_is_sent_as_the_role_gets_it(tmp_path, policy, size):
    image = picture_of(tmp_path, (90, 60))
    with ModelServer(keep_bodies=True) as server:
        endpoint = Endpoint(server.url, "amalia", images=policy)
        found = {image: tmp_path / "picture.png"}.__getitem__
        assert answer_all(about(image), endpoint, tmp_path, "a", locate=found)[0].text
        (shown,) = pictures_of(server.bodies[0])
        assert Image.open(io.BytesIO(shown)).size == size
        assert (shown == (tmp_path / "picture.png").read_bytes()) == (size == (90, 60))
        (tmp_path / "picture.png").unlink()
        assert answer_all(about(image), endpoint, tmp_path, "a", locate=found)[0].text, "no byte is read again"


def test_a_picture_by_file_is_an_address(tmp_path):
    image = picture_of(tmp_path, (9, 6))
    with ModelServer(keep_bodies=True) as server:
        endpoint = Endpoint(server.url, "amalia", images=ImagePolicy(by="file"))
        answer_all(about(image), endpoint, tmp_path, "a", locate=lambda _: tmp_path / "picture.png")
        content = server.bodies[0]["messages"][0]["content"]
        assert content[0] == {"type": "image_url", "image_url": {"url": (tmp_path / "picture.png").as_uri()}}


def test_a_picture_that_is_not_what_it_was_costs_its_own_request(tmp_path):
    image = picture_of(tmp_path, (9, 6))
    (tmp_path / "picture.png").write_bytes(b"another")
    with ModelServer() as server:
        endpoint = Endpoint(server.url, "amalia")
        asked = [*about(image), *questions(1)]
        found = lambda _: tmp_path / "picture.png"  # noqa: E731
        lost, kept = answer_all(asked, endpoint, tmp_path, "a", locate=found)
        assert re.fullmatch(rf"image {image[:16]} cannot be sent: .*is another picture by now, .*", lost.problem)
        assert kept.text
        (tmp_path / "picture.png").unlink()
        (lost, _) = answer_all(asked, endpoint, tmp_path, "b", locate=found)
        assert "is no file" in lost.problem


def test_what_got_no_answer_is_asked_again_when_that_is_wanted(tmp_path):
    requests, broken = questions(3), True
    first = requests[0].messages[0]["content"]
    says = lambda text, _: Fault(400, error("too long")) if broken and text == first else None  # noqa: E731
    with ModelServer(script=says) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=1)
        assert answer_all(requests, endpoint, tmp_path, "a")[0].problem
        broken = False
        assert answer_all(requests, endpoint, tmp_path, "a")[0].problem
        assert answer_all(requests, endpoint, tmp_path, "a", again=True) == right(requests, endpoint)
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert server.requests == 3 + 1


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([*asking("a", "b"), *asking("c")], "1 ids are asked for more than once: r0"),
        ([ModelRequest("x", [{"role": "user", "content": "\ud800"}])], "request 'x': its messages are no JSON"),
        ([ModelRequest("x", [{"role": "user", "content": {1}}])], "request 'x': its messages are no JSON: .* set"),
        ([ModelRequest("x", [{"role": "user", "content": float("nan")}])], "request 'x': its messages are no JSON"),
    ],
)
def test_requests_that_cannot_be_told_apart_or_sent_are_refused(tmp_path, requests, told):
    with pytest.raises(ValueError, match=told):
        answer_all(requests, Endpoint("http://127.0.0.1:9", "amalia"), tmp_path, "a")


# Whose fault it is.


def test_one_poisonous_request_does_not_stop_the_others(tmp_path, capfd):
    requests = questions(8)
    poison = requests[-1].messages[0]["content"]  # the last: nobody else is answered after it
    with ModelServer(script=lambda text, _: Fault(500, error("crashed")) if text == poison else None) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=2)
        answers = answer_all(requests, endpoint, tmp_path, "a")
        assert server.greetings == 1
    assert answers[:-1] == right(requests[:-1], endpoint)
    assert answers[-1].problem == "no answer after 6 tries, the last: 500: crashed"
    assert capfd.readouterr() == ("", "")


def test_an_address_where_nobody_listens_is_given_up_within_ten_seconds(tmp_path):
    """A server that has answered before is waited for longer: it may be starting again."""
    with ModelServer() as gone:
        pass
    with pytest.raises(EndpointError, match=r"is not there: ConnectError.*is the server running"):
        answer_all(questions(3), Endpoint(gone.url, "amalia"), tmp_path, "a")
    assert endpoint_module.AT_FIRST + 2 <= 10


def test_an_address_that_says_nothing_at_all_is_given_up_after_one_try(tmp_path, monkeypatch):
    """As a machine that is switched off, or behind a wall: 10 seconds, not the system's two minutes."""
    assert endpoint_module.AT_FIRST < endpoint_module.CONNECT < 10
    monkeypatch.setattr(endpoint_module, "CONNECT", 0.4)
    monkeypatch.setattr(endpoint_module, "AT_FIRST", 0.3)
    begun = time.monotonic()
    with silent_address() as url, pytest.raises(EndpointError, match=r"is not there: ConnectTimeout: within 0.4 s"):
        answer_all(questions(1), Endpoint(url, "amalia"), tmp_path, "a")
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_answers_nobody_any_more_ends_the_run_and_costs_no_document(tmp_path, status, capfd):
    requests = questions(30)
    with ModelServer(script=lambda _, __: Fault(status, error("no more")) if server.requests > 10 else None) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=4)
        told = (
            rf"{server.url}/v1 has answered nobody for 0\.3 s.* last {status}: no more\. The answers so far are kept"
        )
        with pytest.raises(EndpointError, match=told):
            answer_all(requests, endpoint, tmp_path, "a")
        before, server.script = server.requests, lambda _, __: None
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert server.requests == before + 20, "the ten answers were kept"
    assert capfd.readouterr() == ("", ""), "no warning of a task that nobody waited for"


def test_only_the_first_of_those_that_see_the_server_fail_ends_the_run():
    """Each of the others would be an error that nobody waits for, which asyncio prints."""

    async def ask_at_once(endpoint: Endpoint) -> list[asyncio.Task[Reply]]:
        client = Client(endpoint)
        payload = {"messages": endpoint_module.GREETING, **endpoint.record()}
        tasks = [asyncio.create_task(client.ask(payload)) for _ in range(3)]
        while server.paths.total() < 2 * len(tasks):  # each asks, and for the list of models
            await asyncio.sleep(0.001)
        ended, waiting = await asyncio.wait(tasks, timeout=0.1)
        for task in waiting:
            task.cancel()
        await client.close()
        return list(ended)

    with ModelServer() as server:
        (ended,) = asyncio.run(ask_at_once(Endpoint(server.url, "outro")))
        assert isinstance(ended.exception(), EndpointError)


@pytest.mark.usefixtures("_impatient")
def test_a_server_that_was_never_there_is_named(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        EndpointError, match=rf"http://127\.0\.0\.1:{port}/v1 has answered nobody for 0\.3 s; last ConnectErr"
    ):
        answer_all(questions(3), Endpoint(f"http://127.0.0.1:{port}", "amalia"), tmp_path, "a")


def test_a_server_that_comes_back_is_waited_for(tmp_path):
    requests = questions(4)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    server = ModelServer(port=port)
    endpoint = Endpoint(server.url, "amalia")
    server.http.server_close()
    late: list[ModelServer] = []

    def come_back() -> None:
        late.append(ModelServer(port=port).__enter__())

    timer = threading.Timer(0.2, come_back)
    timer.start()
    try:
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
    finally:
        timer.join()
        late[0].__exit__()


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (Fault(pause=1), "no answer after 2 tries, the last: no whole answer within 0.2 s"),
        (Fault(200, b"x" * 5000), "no answer after 2 tries, the last: an answer of more than 1000 bytes"),
    ],
    ids=["silent", "endless"],
)
def test_an_answer_may_not_take_or_be_too_much(tmp_path, monkeypatch, says, problem):
    monkeypatch.setattr(endpoint_module, "TRIES", 2)
    monkeypatch.setattr(endpoint_module, "LARGEST", 1000)
    if says.pause:
        monkeypatch.setattr(endpoint_module, "TIMEOUT", 0.2)
    with ModelServer(script=lambda text, _: says if text == "a" else None) as server:
        answers = answer_all(asking("a"), Endpoint(server.url, "amalia"), tmp_path, "a")
    assert answers == [ModelAnswer("r0", None, problem)]


def test_a_model_that_is_not_there_ends_the_run_and_those_that_are_get_named(tmp_path):
    told = (
        "/v1 answers 404: The model `outro` does not exist; check the address, the model outro, and OPENAI_API_KEY, "
        "which is not set; the server lists amalia, grande."
    )
    with ModelServer(("amalia", "grande")) as server, pytest.raises(EndpointError, match=re.escape(server.url + told)):
        answer_all(questions(3), Endpoint(server.url, "outro"), tmp_path, "a")
    assert server.requests == 0


def test_a_wrong_address_ends_the_run(tmp_path):
    told = r"/v2 answers 404: no /v2/chat/completions here; .*; /models gives 404\."
    with ModelServer() as server, pytest.raises(EndpointError, match=told):
        answer_all(questions(3), Endpoint(f"{server.url}/v2", "amalia"), tmp_path, "a")


def test_a_key_is_sent_and_never_shown(tmp_path, monkeypatch):
    with ModelServer(key="sk-certa") as server:
        endpoint = Endpoint(server.url, "amalia")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-errada")
        with pytest.raises(EndpointError, match=r"401: .* Bearer \*\*\*; .* OPENAI_API_KEY, which is set") as raised:
            answer_all(questions(2), endpoint, tmp_path, "a")
        assert "errada" not in str(raised.value)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-certa\n")
        assert answer_all(questions(2), endpoint, tmp_path, "a") == right(questions(2), endpoint)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(b"sk-" in content for content in kept)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a\nX-Other: b")
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds characters that no key has"):
        answer_all(questions(3), endpoint, tmp_path, "a")


def test_a_server_that_refuses_whatever_it_is_asked_ends_the_run(tmp_path):
    with ModelServer(script=lambda _, __: Fault(400, error("unknown: seed"))) as server:
        with pytest.raises(EndpointError, match=r"refuses any request with 400: unknown: seed; check the address"):
            answer_all(questions(9), Endpoint(server.url, "amalia", parallel=2), tmp_path, "a")
        assert server.requests <= 2


# The endpoint.


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("https://api.example.org/openai/v1/", "https://api.example.org/openai/v1"),
        ("https://api.example.org/v1beta/openai", "https://api.example.org/v1beta/openai"),
        ("https://v1.example.org/api", "https://v1.example.org/api/v1"),
    ],
)
def test_an_address_without_a_version_gets_one(url, base):
    assert Endpoint(url, "amalia").base == base


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "ftp://localhost"}, "ftp://localhost is no address of a server; it begins with http"),
        ({"url": "localhost:8000"}, "localhost:8000 is no address of a server"),
        ({"url": "http://"}, "http:// is no address of a server"),
        ({"url": "http://[::1"}, r"http://\[::1 is no address: "),
        ({"url": "http://me:secret@host"}, r"http://host\.\.\.: a key belongs into OPENAI_API_KEY"),
        ({"url": "http://host?key=secret"}, r"http://host\.\.\.: a key belongs into OPENAI_API_KEY"),
        ({"model": ""}, "http://host: no model is named"),
        ({"temperature": -0.1}, "temperature -0.1, top_p 1.0, 2048 tokens: needed are"),
        ({"temperature": float("nan")}, "temperature nan, "),
        ({"top_p": 0.0}, "top_p 0.0, "),
        ({"max_tokens": 0}, "0 tokens: needed are"),
        ({"parallel": 0}, "0 requests at once: needed is 1 or more"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_refused(given, told):
    with pytest.raises(ValueError, match=told):
        Endpoint(**{"url": "http://host", "model": "amalia", **given})


def test_the_record_is_what_decides_on_answers():
    record = Endpoint("http://host", "amalia", temperature=1).record()
    assert record == {"model": "amalia", "temperature": 1.0, "top_p": 1.0, "max_tokens": 2048, "seed": 0}
    assert isinstance(record["temperature"], float), "1 and 1.0 are one temperature"
    assert Endpoint("http://other", "amalia", temperature=1, parallel=3).record() == record


# Processes.


def fresh(work: Callable[..., object], *arguments: object) -> multiprocessing.process.BaseProcess:
    """Do something in a process of its own, as a build's workers do."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["amalia_vl_hf.asking.inference"])  # imported once, not once a process
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def kill(server: ModelServer, process: multiprocessing.process.BaseProcess, within: int, rng: random.Random) -> bool:
    """Kill a process a random moment after one of so many further requests; False if it was over before."""
    moment = server.requests + rng.randrange(within)
    while server.requests < moment and process.is_alive():
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    alive = process.is_alive()
    process.kill()
    process.join(60)
    return alive


def kill_and_resume(
    server: ModelServer, requests: list[ModelRequest], endpoint: Endpoint, folder: Path, kills: int, rng: random.Random
) -> list[ModelAnswer]:
    """Kill a run so often, and let it end."""
    for _ in range(kills):
        process = fresh(answer_all, requests, endpoint, folder, "a")
        assert kill(server, process, len(requests) // (kills + 1), rng)
    process = fresh(answer_all, requests, endpoint, folder, "a")
    process.join(300)
    assert process.exitcode == 0
    before = server.requests
    answers = answer_all(requests, endpoint, folder, "a")
    assert server.requests == before, "the file was complete"
    return answers


def test_killed_and_resumed_every_request_has_its_answer_and_few_are_repeated(tmp_path):
    requests = questions(120)
    with ModelServer(script=lambda _, __: Fault(pause=0.005)) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=3)
        answers = kill_and_resume(server, requests, endpoint, tmp_path, 2, random.Random(1))
        assert answers == right(requests, endpoint)
        assert server.requests - 120 <= 2 * 3, "repeated: what was in flight, 5 % at most"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_often_under_faults_and_by_two_models(tmp_path, seed):
    requests = questions(400)
    rng = random.Random(seed)
    faulty = {request.messages[0]["content"]: rng.choice(BRIEF) for request in rng.sample(requests, 40)}

    def script(text: str, before: int) -> Fault:
        fault = faulty.get(text) if before == 0 else None
        return (fault or Fault())._replace(pause=0.01)

    with ModelServer(("amalia", "outro"), script) as server:
        first, *others = (
            Endpoint(server.url, *named, parallel=4) for named in (("amalia",), ("amalia", 0.2), ("outro",))
        )
        assert kill(server, fresh(answer_all, requests, first, tmp_path, "a"), 100, rng)
        for endpoint in others:
            before = server.requests
            assert kill_and_resume(server, requests, endpoint, tmp_path, 5, rng) == right(requests, endpoint)
            assert server.requests - before - 400 - 40 <= 5 * 4, "repeated: what was in flight, 5 % at most"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_when_all_is_answered_and_little_is_left_to_write(tmp_path, seed):
    requests = questions(60)
    with ModelServer() as server:
        endpoint = Endpoint(server.url, "amalia", parallel=4)
        process = fresh(answer_all, requests, endpoint, tmp_path, "a")
        while server.requests < 60:
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.05))
        process.kill()
        process.join(60)
        assert answer_all(requests, endpoint, tmp_path, "a") == right(requests, endpoint)
        assert server.requests - 60 <= 4


def test_processes_ask_at_once_and_what_both_want_is_asked_once(tmp_path):
    requests = questions(20)
    with ModelServer(script=lambda _, __: Fault(pause=0.01)) as server:
        endpoint = Endpoint(server.url, "amalia", parallel=2)
        processes = [fresh(answer_all, requests, endpoint, tmp_path, name) for name in ("a", "a", "b")]
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert server.requests == 2 * 20
        for name in ("a", "b"):
            assert answer_all(requests, endpoint, tmp_path, name) == right(requests, endpoint)
        assert server.requests == 2 * 20


def test_the_greeting_is_the_clients():
    assert endpoint_module.GREETING[0]["content"] == GREETING
