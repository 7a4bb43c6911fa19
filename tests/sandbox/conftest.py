"""Fixtures of the sandbox's tests."""

import pytest

from amalia_vl_hf.sandbox import bubblewrap, wasm


@pytest.fixture
def unprobed():
    """What works here is found out anew, by new workers, and once more afterwards."""
    modules = (bubblewrap, wasm)
    while wasm._idle:
        wasm._idle.pop().stop()
    for module in modules:
        module.problem.cache_clear()
    yield
    for module in modules:
        module.problem.cache_clear()
