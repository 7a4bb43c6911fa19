"""What becomes of a push under every fault at every endpoint of a loopback hub, with the real pauses between tries."""

import json
import multiprocessing
import os
import socket
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the hub and the faults are the tests' own
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"  # but for the pushes that are to go by Xet
os.environ.pop("HF_HUB_OFFLINE", None)

from huggingface_hub.utils import logging

from tests.conversion.publishing.test_hub_faults import (
    CASES,
    KILLS,
    NO_STORE,
    NO_XET_STORE,
    XET_CASES,
    XET_KILL,
    Bench,
    Case,
    Outcome,
)

AT_ONCE = 8  # pushes; nearly all of their time is pauses
MINUTE = 60.0  # s; what an unreachable store may take
COLUMNS = "{:<14}{:<32}{:>7}{:>9}{:>9}{:>9}  {}"


def closed_port() -> str:
    """Give an address where connections are refused."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def full_port() -> tuple[str, list[socket.socket]]:
    """Give an address where connections are never answered, and the sockets that keep it so: its queue is full."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for client in waiting:
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    return f"http://127.0.0.1:{server.getsockname()[1]}", [server, *waiting]


def main() -> None:
    """Print the table and count what went wrong."""
    logging.set_verbosity_error()
    refusing, (silent, kept) = closed_port(), full_port()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HF_XET_LOG_DEST": str(Path(folder, "log")), "HF_XET_CACHE": str(Path(folder, "cache"))}
        bench = Bench(Path(folder))
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(AT_ONCE, mp_context=context, initializer=_share, initargs=(bench,)) as pool:
            rows = [
                *((case, pool.submit(_run, case)) for case in CASES),
                *((case, pool.submit(_run, case, kill=True)) for case in KILLS),
                *((case, pool.submit(_run, case, xet=True)) for case in XET_CASES),
                (XET_KILL, pool.submit(_run, XET_KILL, kill=True, xet=True)),
                *(
                    (case._replace(what=what), pool.submit(_run, case, store=store, xet=case is NO_XET_STORE))
                    for case in (NO_STORE, NO_XET_STORE)
                    for what, store in (("store refuses connections", refusing), ("store does not answer", silent))
                ),
            ]
            outcomes = [(case, future.result(timeout=600)) for case, future in rows]
    for each in kept:
        each.close()
    report(outcomes)


_benches: list[Bench] = []


def _share(bench: Bench) -> None:
    _benches.append(bench)


def _run(case: Case, *, kill: bool = False, store: str | None = None, xet: bool = False) -> Outcome:
    return _benches[0].run(case, kill=kill, store=store, xet=xet)


def report(outcomes: list[tuple[Case, Outcome]]) -> None:
    """Print one line a fault and, last, the counts."""
    print(COLUMNS.format("endpoint", "fault", "after", "s", "rerun", "commits", "said"))
    for case, outcome in outcomes:
        said = outcome.said.split(": ", 1)[-1][:60]
        seconds = f"{outcome.seconds:.1f}"
        cells = (case.endpoint, case.what, outcome.state, seconds, outcome.rerun, outcome.new_commits, said)
        print(COLUMNS.format(*cells))
    broken = sum(
        outcome.state == "MIXED" or outcome.rerun != "new" or outcome.new_commits != 1 for _, outcome in outcomes
    )
    slowest = max(outcome.seconds for _, outcome in outcomes)
    print(f"{len(outcomes)} faults, {broken} left a broken state or a second commit (wanted: 0)")
    print(f"slowest push under a fault: {slowest:.0f} s (wanted: at most {MINUTE:.0f})")
    counts = {"ours": broken, "stock": None, "ratio": None, "unit": f"broken states of {len(outcomes)} faults"}
    times = {"ours": slowest, "stock": MINUTE, "ratio": slowest / MINUTE, "unit": "s"}
    print(json.dumps({"push_faults": counts, "push_faults_slowest": times}))


if __name__ == "__main__":
    main()
