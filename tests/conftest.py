"""Settings of every test: offline, and one thread, so that sums are added in one order and processes do not fight."""

import gc
import os
import ssl

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# From a folder, certificates are read when one is needed, not all of them for each client: no server here has any.
os.environ.setdefault("SSL_CERT_DIR", ssl.get_default_verify_paths().openssl_capath)

import pytest
import torch

torch.set_num_threads(1)
# Nothing here is to outlive a loss of power; a tiny training run waits for the disk ninety times.
os.fsync = lambda descriptor: None


# Begun last, one of these would keep a worker busy while the other has nothing to do.
# The ranks are forks, so they come before anything has started threads.
LONGEST = ("test_ranks.py", "test_attacks.py", "test_pipeline.py", "test_hub_faults.py", "test_hostile_checkpoints.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


def pytest_collection_finish() -> None:
    """Leave what the imports made out of the search for garbage, which trainers begin every run with."""
    gc.collect()
    gc.freeze()
