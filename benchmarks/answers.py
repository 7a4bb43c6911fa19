"""Kills runs that ask a language model with -9 at random moments, and counts what the server was asked again.

The server is strict and slow, and one request in ten meets a fault at first. The runs follow each other in one folder,
so that each could take the answers of the one before. Plain datatrove has its own folder, and a server without faults
as well, because it does not outlive the first one.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server and the faults are the tests' own
os.environ.pop("OPENAI_API_KEY", None)

from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter
from huggingface_hub.utils import httpx

from amalia_vl_hf.asking.inference import Endpoint, ModelRequest, answer_all
from tests.asking.model_server import Fault, ModelServer
from tests.asking.test_inference import (
    BRIEF,
    fresh,
    kill,
    questions,
    right,
)

COUNT, KILLS, PARALLEL = 400, 5, 4  # a run; what a kill can cost is what is in flight
MODELS = (("amalia", 0.7), ("amalia", 0.0), ("amalia", 1.0), ("outro", 0.7), ("outro", 0.2))  # name, temperature
LATENCY = (0.005, 0.03)  # s
FAULTY = COUNT // 10
LIMIT = 5  # % of the requests that may be repeated
LONGEST = 600.0  # s, of the last, undisturbed part of a run
COLUMNS = "{:<29}{:<13}{:>6}{:>10}{:>6}{:>8}{:>10}{:>10}{:>19}{:>8}"

Work = Callable[[list[ModelRequest], Endpoint, Path, str], object]


class Outcome(NamedTuple):
    """What became of a run."""

    kills: int
    documents: int
    once: int  # documents with one answer, of the right model and temperature
    others: int  # with an answer of another model or temperature
    requests: int
    repeated: int
    seconds: float
    ended: bool  # by itself, and without an error

    @property
    def share(self) -> float:
        """Give the repeated requests in percent of those needed."""
        return 100 * self.repeated / COUNT


def plain(requests: list[ModelRequest], endpoint: Endpoint, folder: Path, name: str) -> None:
    """Ask as one would with datatrove alone."""
    sys.modules.setdefault("httpx", httpx)  # the same library under the name by which datatrove wants it

    async def rollout(document, generate):
        return (await generate({"messages": requests[int(document.id)].messages})).text

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path=endpoint.model,
        endpoint_url=endpoint.url,
        max_concurrent_generations=endpoint.parallel,
        default_generation_params={key: value for key, value in endpoint.record().items() if key != "model"},
    )
    writer = JsonlWriter(str(folder / name), "${rank}-${chunk_index}.jsonl", compression=None)
    runner = InferenceRunner(rollout, config, writer, checkpoints_local_dir=str(folder / f"{name}.checkpoints"))
    runner.run(Document(text=str(number), id=str(number)) for number in range(len(requests)))


def written(folder: Path) -> list[tuple[str, str]]:
    """Read what either wrote: identifiers and texts."""
    if (folder / "a.jsonl").exists():
        lines = [json.loads(line) for line in (folder / "a.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
        return [(line["id"], line["text"]) for line in lines]
    found = []
    for path in (folder / "a").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        found += [(f"r{line['id']}", line["metadata"]["rollout_results"][0]) for line in lines]
    return found


def run(server: ModelServer, work: Work, endpoint: Endpoint, folder: Path, faulty: int, rng: random.Random) -> Outcome:
    """Kill a run again and again, and let it end."""
    requests, before, start, kills = questions(COUNT), server.requests, time.monotonic(), 0
    while kills < KILLS and kill(server, fresh(work, requests, endpoint, folder, "a"), COUNT // (KILLS + 1), rng):
        kills += 1
    process = fresh(work, requests, endpoint, folder, "a")
    process.join(LONGEST)
    seconds, asked = time.monotonic() - start, server.requests - before
    found = written(folder)
    expected = {answer.id: answer.text for answer in right(requests, endpoint)}
    texts: dict[str, list[str]] = {}
    for name, text in found:
        texts.setdefault(name, []).append(text)
    once = sum(texts.get(name) == [text] for name, text in expected.items())
    others = sum(text != expected[name] for name, text in found)
    repeated = max(0, asked - COUNT - faulty)
    return Outcome(kills, len(found), once, others, asked, repeated, seconds, process.exitcode == 0)


def script(faults: dict[str, Fault], rng: random.Random) -> Callable[[str, int], Fault]:
    """Answer late, and at first with a request's fault."""

    def say(text: str, before: int) -> Fault:
        return faults.get(text if before == 0 else "", Fault())._replace(pause=rng.uniform(*LATENCY))

    return say


def main() -> None:
    """Run all and print what came out."""
    rng = random.Random(0)  # noqa: S311
    texts = [request.messages[0]["content"] for request in questions(COUNT)]
    faults = {text: rng.choice(BRIEF) for text in rng.sample(texts, FAULTY)}
    cases = [("ours, faults", answer_all, faults, MODELS), ("plain datatrove", plain, {}, MODELS[:2])]
    cases.append(("plain datatrove, faults", plain, faults, MODELS[:1]))
    print(
        COLUMNS.format("run", "model", "kills", "documents", "once", "others'", "requests", "repeated", "share", "s")
    )
    outcomes: dict[str, list[Outcome]] = {}
    for name, work, met, models in cases:
        with ModelServer(("amalia", "outro"), script(met, rng)) as server, tempfile.TemporaryDirectory() as folder:
            for model, temperature in models:
                endpoint = Endpoint(server.url, model, temperature, parallel=PARALLEL)
                outcome = run(server, work, endpoint, Path(folder), len(met), rng)
                outcomes.setdefault(name, []).append(outcome)
                print(line(name, f"{model} {temperature}", outcome), flush=True)
    report(outcomes)


def line(name: str, model: str, outcome: Outcome) -> str:
    """Put a run into the table."""
    *counts, seconds, ended = outcome
    share = f"{outcome.share:.1f} %" if ended else "ended by an error"
    return COLUMNS.format(name, model, *counts, share, f"{seconds:.1f}")


def report(outcomes: dict[str, list[Outcome]]) -> None:
    """Sum up, and print the line that others read."""
    ours, stock = outcomes["ours, faults"], outcomes["plain datatrove"]
    kills, worst = sum(each.kills for each in ours), max(each.share for each in ours)
    wrong = sum(each.others + COUNT - each.once for each in ours)
    print(
        f"ours: {kills} kills with up to {PARALLEL} requests in flight, {wrong} documents wrong, missing or twice, "
        f"at most {worst:.2f} % repeated in a run"
    )
    result = {"ours": round(worst, 2), "stock": LIMIT, "ratio": round(worst / LIMIT, 2)}
    others = sum(each.others for each in stock)
    unit = f"% of requests repeated, worst of {len(ours)} runs with {kills} kills; stock: the limit; "
    print(json.dumps({"answers": result | {"unit": f"{unit}answers of another model: 0, plain datatrove {others}"}}))


if __name__ == "__main__":
    main()
