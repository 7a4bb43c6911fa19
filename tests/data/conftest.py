"""Fixtures of the sandbox's tests."""

import pytest

from amalia_vl_hf.data import sandbox_bubblewrap, sandbox_wasm


@pytest.fixture
def unprobed():
    """What works here is found out anew, by new workers, and once more afterwards."""
    modules = (sandbox_bubblewrap, sandbox_wasm)
    while sandbox_wasm._idle:
        sandbox_wasm._idle.pop().stop()
    for module in modules:
        module.problem.cache_clear()
    yield
    for module in modules:
        module.problem.cache_clear()
