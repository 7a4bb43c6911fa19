"""A push goes over the real Xet client into a local store, and what is loaded from there is bit-equal."""

import inspect

import pytest
from huggingface_hub import HfApi, constants

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.conversion.publishing.hub import Release, push
from tests.conversion.publishing.hub_server import TOKEN, Fault, HubServer
from tests.conversion.publishing.publishable import write_model
from tests.conversion.publishing.test_hub import local, published, weights_of
from tests.conversion.publishing.xet_store import XetStore
from tests.test_registration import run_python

REPO = "org/model"

PUSH_AND_LOAD = """
import hashlib, json
import torch
torch.set_num_threads(1)
from amalia_vl_hf import AmaliaVLForConditionalGeneration
from amalia_vl_hf.cli import main

{functions}

assert main(["push", {directory!r}, {repo!r}]) == 0
print(json.dumps(weights_of(AmaliaVLForConditionalGeneration.from_pretrained({repo!r}))))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("xet") / "model")


@pytest.fixture
def hub(tmp_path, monkeypatch, xet_client):
    """A hub with a Xet store."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    (tmp_path / "store").mkdir()
    with HubServer(XetStore(tmp_path / "store")) as server:
        yield server


@pytest.fixture
def api(hub):
    return HfApi(hub.url, token=TOKEN)


def test_a_push_over_xet_loads_back_bit_equal(hub, api, model, tmp_path):
    loaded = run_python(
        PUSH_AND_LOAD.format(functions=inspect.getsource(weights_of), directory=str(model), repo=REPO),
        cwd=tmp_path,
        HF_ENDPOINT=hub.url,
        HF_HOME=str(tmp_path / "home"),
        HF_TOKEN=TOKEN,
        HF_HUB_OFFLINE="0",
    )
    assert loaded == weights_of(AmaliaVLForConditionalGeneration.from_pretrained(model))
    assert published(hub) == local(Release(model, REPO))
    assert hub.commits(REPO) == 1
    assert hub.requests["lfs-batch"] == hub.requests["lfs-put"] == 0
    assert hub.requests["xet-token"] == 2  # to write, then to read
    before = hub.requests.copy()
    push(Release(model, REPO), api=api)
    assert hub.requests - before == {"create": 1, "info": 1, "tree": 1}


def test_a_commit_that_was_cut_is_not_made_twice(hub, api, model):
    hub.fail("commit", Fault(cut="after"))
    push(Release(model, REPO), api=api)
    assert published(hub) == local(Release(model, REPO))
    assert hub.commits(REPO) == 1
