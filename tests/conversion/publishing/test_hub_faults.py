"""Whatever goes wrong at whatever endpoint, the hub holds the old state or the whole new one, and a rerun finishes."""

import copy
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from huggingface_hub import HfApi, constants

from amalia_vl_hf.conversion.publishing import hub as hub_module
from amalia_vl_hf.conversion.publishing.hub import (
    PushError,
    Release,
    contents_of,
    push,
)
from tests.conversion.publishing.hub_server import TOKEN, Fault, HubServer
from tests.conversion.publishing.publishable import write_model
from tests.conversion.publishing.xet_store import XetStore

REPO = "org/model"
FOREVER = 10**6
PATIENCE = 30.0  # s; the longest a test waits for anything


class Case(NamedTuple):
    """A fault, and whether one push gets through it."""

    endpoint: str
    what: str
    fault: dict[str, object]
    gets_through: bool

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.what}"


ONCE = (("503 once", {"status": 503}), ("cut before", {"cut": "before"}), ("cut after", {"cut": "after"}))
ENDPOINTS = ("create", "info", "tree", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "commit")
CASES = [
    *(Case(endpoint, what, fault, True) for endpoint in ENDPOINTS for what, fault in ONCE),
    *(Case(endpoint, "503 for good", {"status": 503, "times": FOREVER}, False) for endpoint in ENDPOINTS),
    # Whoever may not make the repository may still write to the one that is there.
    *(Case(endpoint, "403", {"status": 403, "times": FOREVER}, endpoint == "create") for endpoint in ENDPOINTS),
    Case("commit", "cut after, then cut before", {"cut": "after", "then": {"cut": "before", "times": FOREVER}}, True),
]
KILLS = [Case(endpoint, "kill -9", {}, False) for endpoint in ENDPOINTS]
XET_CASES = [
    *(Case("xet-token", what, fault, True) for what, fault in ONCE),
    Case("xet-token", "503 for good", {"status": 503, "times": FOREVER}, False),
    Case("xet-token", "403", {"status": 403, "times": FOREVER}, False),
]
XET_KILL = Case("xet-token", "kill -9", {}, False)
NO_STORE = Case("lfs-put", "the store cannot be reached", {"times": FOREVER}, False)
NO_XET_STORE = NO_STORE._replace(endpoint="xet-token")


class Outcome(NamedTuple):
    """What a push under a fault came to."""

    state: str  # of the repository after the push: "old", "new", or "MIXED"
    said: str  # "done", "killed", or the error
    new_commits: int  # after the rerun
    rerun: str  # state after the rerun
    seconds: float  # the push took


class Bench:
    """An old state, a model that differs from it in weights and card, and what the new state must be."""

    def __init__(self, folder: Path) -> None:
        old = write_model(folder / "old", seed=1)
        self.model = write_model(folder / "model", seed=2)
        (self.model / "card.yaml").write_text((old / "card.yaml").read_text().replace("fotografia", "outra"))
        self.release = Release(self.model, REPO)
        self.stores = folder / "stores"
        self.stores.mkdir()
        with HubServer() as hub:
            push(Release(old, REPO), api=HfApi(hub.url, token=TOKEN))
            self.repository, self.objects = hub.repositories[REPO], hub.objects
        self.old = self.repository.at("main")[1]
        self.new = dict(self.old)
        for path, content in contents_of(self.release).items():
            self.new[path] = content if isinstance(content, bytes) else content.read_bytes()

    def state(self, hub: HubServer) -> str:
        files = hub.files(REPO)
        return "old" if files == self.old else "new" if files == self.new else "MIXED"

    def run(self, case: Case, *, kill: bool = False, store: str | None = None, xet: bool = False) -> Outcome:
        """Push under a fault, or to a store that is not there, look at the hub, and push again without either.

        Large files go by LFS, or at first by Xet.
        """
        with HubServer() as hub, pytest.MonkeyPatch.context() as patch:
            patch.setattr(constants, "ENDPOINT", hub.url)  # as HF_ENDPOINT does
            hub.repositories[REPO], hub.objects = copy.deepcopy(self.repository), dict(self.objects)
            hub.store = store
            hub.xet = XetStore(Path(tempfile.mkdtemp(dir=self.stores)), store) if xet else None
            patch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
            began = time.monotonic()
            said = self._killed(hub, case) if kill else self._faulty(hub, case)
            seconds = time.monotonic() - began
            state = self.state(hub)
            hub.faults.clear()
            hub.store = hub.xet = None
            patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
            push(self.release, api=HfApi(hub.url, token=TOKEN))
            return Outcome(state, said, hub.commits(REPO) - 1, self.state(hub), seconds)

    def _faulty(self, hub: HubServer, case: Case) -> str:
        hub.fail(case.endpoint, Fault(**case.fault))
        try:
            push(self.release, api=HfApi(hub.url, token=TOKEN))
        except PushError as error:
            return str(error)
        return "done"

    def _killed(self, hub: HubServer, case: Case) -> str:
        """Push in a process of its own and end it while the hub holds one of its requests."""
        fault = hub.fail(case.endpoint, Fault(hold=threading.Event(), **case.fault))
        child = os.fork()
        if child == 0:
            try:
                push(self.release, api=HfApi(hub.url, token=TOKEN))
            finally:
                os._exit(1)
        try:
            assert fault.reached.wait(PATIENCE), f"the push never came to {case.endpoint}"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            fault.hold.set()
        assert fault.finished.wait(PATIENCE)
        return "killed"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        go_online(patch)
        yield Bench(tmp_path_factory.mktemp("faults"))


def go_online(patch):
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def short_waits(monkeypatch):
    """Try only twice again, after a thousandth of the pauses, ours and huggingface_hub's; all else is as it is."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 1000))
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 1.9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fault(bench, short_waits, case):
    outcome = bench.run(case)
    assert outcome.state == ("new" if case.gets_through else "old")
    assert (outcome.said == "done") == case.gets_through
    assert outcome.rerun == "new"
    assert outcome.new_commits == 1
    if not case.gets_through:
        expected = "no JSON" if case.endpoint == "validate-yaml" else str(case.fault["status"])
        assert expected in outcome.said
        assert "\n" not in outcome.said
        assert "the same command goes on from here" in outcome.said


@pytest.mark.parametrize("case", XET_CASES, ids=str)
def test_fault_of_xet(bench, short_waits, xet_client, case):
    outcome = bench.run(case, xet=True)
    assert outcome.state == ("new" if case.gets_through else "old")
    assert (outcome.said == "done") == case.gets_through
    assert (outcome.rerun, outcome.new_commits) == ("new", 1)
    if not case.gets_through:
        assert f"did not take {REPO}: " in outcome.said
        assert str(case.fault["status"]) in outcome.said
        assert "\n" not in outcome.said


def test_a_xet_store_that_is_gone_is_said(bench, short_waits, xet_client):
    with HubServer() as gone:
        pass
    outcome = bench.run(NO_XET_STORE, store=gone.url, xet=True)
    assert "error sending request" in outcome.said
    assert (outcome.state, outcome.rerun, outcome.new_commits) == ("old", "new", 1)


def test_kill_while_xet_asks_for_its_store(bench, xet_client):
    outcome = bench.run(XET_KILL, kill=True, xet=True)
    assert (outcome.state, outcome.rerun, outcome.new_commits) == ("old", "new", 1)


@pytest.mark.parametrize("case", KILLS, ids=str)
def test_kill(bench, case):
    outcome = bench.run(case, kill=True)
    assert outcome.state == ("new" if case.endpoint == "commit" else "old")  # the hub had the whole request by then
    assert outcome.rerun == "new"
    assert outcome.new_commits == 1


def test_what_arrived_before_a_kill_is_not_sent_again(bench, tmp_path):
    with HubServer() as hub:
        bench._killed(hub, Case("commit", "kill -9 before the commit", {"cut": "before"}, False))
        assert hub.commits(REPO) == 0
        sent = hub.requests["lfs-put"]
        assert sent
        push(bench.release, api=HfApi(hub.url, token=TOKEN))
        assert hub.requests["lfs-put"] == sent
        assert hub.commits(REPO) == 1


def test_another_commit_in_between_is_built_upon(bench, short_waits):
    """Someone commits while the model is on its way: the push compares anew and adds its own commit."""
    with HubServer() as hub:
        api = HfApi(hub.url, token=TOKEN)
        api.create_repo(REPO)
        fault = hub.fail("lfs-batch", Fault(hold=threading.Event()))
        pushing = threading.Thread(target=push, args=(bench.release,), kwargs={"api": api}, daemon=True)
        pushing.start()
        assert fault.reached.wait(PATIENCE)
        repository = hub.repositories[REPO]
        _, files = repository.at("main")
        repository.branches["main"].append(("f" * 40, {**files, "notes.md": b"mine"}))
        fault.hold.set()
        pushing.join(PATIENCE)
        assert not pushing.is_alive()
        assert hub.files(REPO) == {**bench.new, "notes.md": b"mine"}
        assert hub.commits(REPO) == 2


def test_a_hub_that_is_gone_is_said(bench, short_waits):
    with HubServer() as gone:
        pass
    with pytest.raises(PushError, match=f"{gone.url} did not take {REPO}: .*Connection refused"):
        push(bench.release, api=HfApi(gone.url, token=TOKEN))


def test_a_store_that_is_gone_is_said(bench, short_waits):
    with HubServer() as gone:
        pass
    outcome = bench.run(NO_STORE, store=gone.url)
    assert "Error while uploading" in outcome.said
    assert "Connection refused" in outcome.said
    assert (outcome.state, outcome.rerun, outcome.new_commits) == ("old", "new", 1)


def test_a_wrong_token_is_said_at_once(bench):
    with HubServer() as hub, pytest.raises(PushError, match=r"did not take org/model: .*401"):
        push(bench.release, api=HfApi(hub.url, token="hf_wrong"))
    assert hub.requests == {"create": 1, "info": 1}


def test_offline_mode_is_said(bench, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="offline mode"):
        push(bench.release, api=HfApi("http://127.0.0.1:9", token=TOKEN))
