import pytest


@pytest.fixture
def xet_client(tmp_path, monkeypatch):
    """Let the Xet client write here instead of into the user's cache, and hardly wait; end what it keeps running."""
    from huggingface_hub.utils._xet import abort_xet_session

    monkeypatch.setenv("HF_XET_LOG_DEST", str(tmp_path / "log"))
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    yield
    abort_xet_session()
