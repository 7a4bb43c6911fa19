import threading
import time
from contextlib import closing

import pytest

from tests.serving.tiny import served_parts, start_server

pytest.importorskip("fastapi", reason="the serve extra is not installed")


@pytest.fixture(scope="session")
def parts():
    """A tiny model with a processor whose tokens it has."""
    return served_parts()


@pytest.fixture(scope="session")
def server(parts):
    """The address of a server in this process, on loopback."""
    server, listener, address = start_server(*parts)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with closing(listener):
        while not server.started:
            time.sleep(0.01)
        yield address
        server.should_exit = True
        thread.join(30)
