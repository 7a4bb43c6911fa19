"""What it costs a client to have models write a dataset: core time a call and an item, and a plan for 5 M images.

Servers are on loopback, in processes of their own, and answer at once, so that the client is what is measured: its CPU
time, of which it is told (`resource`), not the clock's. A picture is a JPEG of 1600x1200 pixels, as PD12M has them.
"""

import io
import json
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server is the tests' own

import numpy as np
from PIL import Image

from amalia_vl_hf.asking.roles import Endpoint, ImagePolicy
from amalia_vl_hf.data import prompts
from amalia_vl_hf.data.building.pipeline import GROUP, STAGES, Pipeline, group_folder
from amalia_vl_hf.data.building.recipe import BuildRecipe
from amalia_vl_hf.data.building.stages import run_stage
from amalia_vl_hf.data.dataset import WRITTEN
from amalia_vl_hf.data.image_manifest import index_images
from amalia_vl_hf.data.rows import FEATURES
from amalia_vl_hf.data.steps import Item, Step, StepAnswer, StepRequest
from tests.asking.model_server import Fault, ModelServer, completion

CALLS, PICTURES, ITEMS = 1500, 200, 100_000
ANSWER = "Uma fotografia de uma rua de Lisboa, com um elétrico amarelo a subir a calçada e duas pessoas à porta. " * 4
WAYS = {  # how a picture is sent
    "text alone": None,
    "picture as it is": ImagePolicy(),
    "picture scaled to 1024": ImagePolicy(longest_side=1024),
    "picture by file://": ImagePolicy(by="file"),
}
# PT-VQA-Gen at 5 M images (paper, section 5.2): two personas an image, 4.8 M questions of 750 k images, 75 % and 53 %.
IMAGES = 5_000_000
QUESTIONS = 6.4  # an image
PLAN = {  # calls an image; whether they show it; tokens of the prompt beside the picture's, and of the answer
    "captioner": (1.0, True, 150, 120),
    "questioner": (2.0, True, 500, 250),
    "answerer": (QUESTIONS, True, 150, 250),
    "verifier": (QUESTIONS * 0.75, False, 250, 10),
    "weak solver": (QUESTIONS * 0.75, True, 120, 120),
}
PICTURE_TOKENS = 1000  # of a picture of 1024 pixels; a model's own count differs
SPEED = {"prompt": 20_000.0, "completion": 2_500.0}  # tokens/s of one GPU with a model of 8 B to 30 B: an assumption


def serve(pipe: Any) -> None:
    """Answer at once, until the pipe says so."""
    with ModelServer(("m",), lambda *_: Fault(body=completion(ANSWER, tokens=(100, 100)))) as server:
        pipe.send(server.url)
        pipe.recv()


def cpu() -> float:
    """Give the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(work: Callable[[], object]) -> float:
    """Give the CPU seconds of doing something."""
    before = cpu()
    work()
    return cpu() - before


def ask(item: Item) -> list[StepRequest]:
    """Ask about an item, with its picture if it has one."""
    images = (item.data["image"],) if item.data.get("image") else ()
    return [StepRequest(f"{'Descreve o que vês. ' * 10}{item.id}", images=images)]


def read(item: Item, answers: list[StepAnswer]) -> list[Item]:
    """Keep the answer."""
    return [item.having(answer=answers[0].text)]


def halve(items: Iterable[Item]) -> Iterator[Item]:
    """Choose every second item."""
    return (item for item in items if item.root % 2)


def register(folder: Path, source: object, steps: tuple[Step, ...]) -> None:
    """Make a dataset known."""
    dataset = SimpleNamespace(
        NAME="bench", TITLE="Bench", VERSION=1, SUMMARY="", Settings=None, FEATURES=FEATURES,
        source=lambda recipe: source, steps=lambda recipe: steps,
    )  # fmt: skip
    WRITTEN["bench"] = "benches"
    sys.modules["amalia_vl_hf.data.benches.bench"] = dataset  # type: ignore[assignment]
    prompts.FOLDER = folder


class Rows:
    """A source of entries without pictures."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, stop: int) -> Iterator[dict[str, int]]:
        """Give entries."""
        return ({"number": number} for number in range(start, stop))

    def fingerprint(self) -> str:
        """Tell it from others."""
        return "rows"


def calls(folder: Path, url: str, policy: ImagePolicy | None, manifest: Any) -> float:
    """Measure a stage that asks: CPU ms a call."""
    count = CALLS if policy is None else PICTURES
    step = Step("tell", role="teller", ask=ask, read=read, prompts=())
    register(folder, Rows(count) if policy is None else manifest, (step,))
    endpoint = Endpoint(url, "m", parallel=16, images=policy or ImagePolicy(), key="")
    images = None if policy is None else str(manifest.path)
    recipe = BuildRecipe("bench", count, 0, shard_size=count, roles={"teller": endpoint}, images=images)
    pipeline = Pipeline(recipe, Path(tempfile.mkdtemp(dir=folder)))
    run_stage(pipeline, "source", 0)
    return 1000 * measured(lambda: run_stage(pipeline, "tell", 0)) / count


def gathering(folder: Path) -> float:
    """Measure a stage that sees all items of 20 shards: CPU us an item."""
    register(folder, Rows(ITEMS), (Step("halve", work=halve, scope="all"),))
    recipe = BuildRecipe("bench", ITEMS, 0, shard_size=ITEMS // 20)
    pipeline = Pipeline(recipe, folder / "all")
    for shard in range(recipe.shards):
        run_stage(pipeline, "source", shard)
    return 1e6 * measured(lambda: run_stage(pipeline, "halve", 0)) / ITEMS


def listing(folder: Path) -> tuple[float, float]:
    """Measure a look at one of 10,000 shards of a stage, as each of its tasks takes it, and at all of them: ms."""
    register(folder, Rows(10_000), ())
    recipe = BuildRecipe("bench", 10_000, 0, shard_size=1)
    pipeline = Pipeline(recipe, folder / "many")
    for shard in range(10_000):
        path = group_folder(folder / "many" / STAGES / "source", shard // GROUP)
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{shard:05}.{'0' * 16}.{'1' * 16}.jsonl").touch()
    one = 10 * measured(lambda: [pipeline.files("source", [shard]) for shard in range(0, 10_000, 100)])
    return one, 1000 * measured(lambda: pipeline.files("source"))


def photographs(folder: Path) -> Any:
    """Write photographs: smooth noise, which JPEG makes as large as they are."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        small = Image.fromarray(rng.integers(0, 255, (150, 200, 3), dtype=np.uint8))
        small.resize((1600, 1200), Image.Resampling.BICUBIC).save(folder / "images" / f"{number:04}.jpg", quality=90)
    return index_images(folder / "images", folder / "images.parquet", "CC0-1.0", "noise")


def plan(costs: dict[str, float], size: float) -> None:
    """Print what 5 M images take, by how pictures are sent."""
    print(f"\n5 M images, {QUESTIONS} questions each; a scaled picture is {size / 1e3:.0f} KB of a request")
    heads = ("M calls", "core-h file", "core-h once", "core-h each", "TB sent", "G prompt", "G answer", "GPU-hours")
    widths = "{:>9}{:>13}{:>13}{:>13}{:>9}{:>10}{:>10}{:>11}"
    numbers = "{:>9.1f}{:>13.1f}{:>13.1f}{:>13.1f}{:>9.2f}{:>10.1f}{:>10.1f}{:>11.0f}"
    print(f"{'role':<14}" + widths.format(*heads))
    scaling = (costs["picture scaled to 1024"] - costs["text alone"]) * IMAGES / 3.6e6
    total = [0.0, 0.0, scaling, 0.0, 0.0, 0.0, 0.0, 0.0]
    print(f"{'scaling once':<14}" + numbers.format(*total))
    sent = costs["text alone"] + (costs["picture as it is"] - costs["text alone"]) * size / costs["bytes"]
    for role, (each, shown, prompt, answer) in PLAN.items():
        count = each * IMAGES
        ways = (
            (costs["picture by file://"], sent, costs["picture scaled to 1024"])
            if shown
            else (costs["text alone"],) * 3
        )
        hours = [count * way / 3.6e6 for way in ways]
        tokens = (count * (prompt + PICTURE_TOKENS * shown), count * answer)
        gpu = (tokens[0] / SPEED["prompt"] + tokens[1] / SPEED["completion"]) / 3600
        line = (count / 1e6, *hours, count * size * shown / 1e12, tokens[0] / 1e9, tokens[1] / 1e9, gpu)
        total = [sum(pair) for pair in zip(total, line, strict=True)]
        print(f"{role:<14}" + numbers.format(*line))
    print(f"{'all':<14}" + numbers.format(*total))


def main() -> None:
    """Measure, and print the plan."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = here.recv()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = photographs(folder)
        costs = {way: calls(folder, url, policy, manifest) for way, policy in WAYS.items()}
        for way, cost in costs.items():
            print(f"{way:<26}{cost:>8.2f} CPU ms a call")
        first = (folder / "images" / "0000.jpg").read_bytes()
        scaled = Image.open(io.BytesIO(first))
        scaled.thumbnail((1024, 1024))
        buffer = io.BytesIO()
        scaled.save(buffer, "JPEG", quality=92)
        print(f"a picture has {len(first) / 1e3:.0f} KB, scaled {len(buffer.getvalue()) / 1e3:.0f}")
        item, look = gathering(folder), listing(folder)
        print(f"{'a stage that sees all':<26}{item:>8.1f} CPU us an item: 5 M take {item * 5 / 60:.1f} minutes")
        print(f"{'a look at 1 of 10,000 shards':<29}{look[0]:>5.1f} CPU ms, at all {look[1]:.0f}")
        plan({**costs, "bytes": len(first) * 4 / 3}, len(buffer.getvalue()) * 4 / 3)
    here.send("end")
    server.join(10)
    figures = {f"writing, {way}": {"ours": round(cost, 3), "unit": "CPU ms a call"} for way, cost in costs.items()}
    figures["writing, all items"] = {"ours": round(item, 2), "unit": "CPU us an item"}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
