"""Every command that writes, at its tiniest: how it is called, and what must be the same however it was disturbed."""

import copy
import hashlib
import json
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from huggingface_hub import constants
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

from tests.conversion.publishing.hub_server import HubServer
from tests.conversion.publishing.test_hub_faults import REPO, Bench
from tests.evaluation.conftest import write_rows
from tests.samples.picture_server import PictureServer
from tests.tiny import PINPOINTS, tiny_llava_next, tiny_text_config, tiny_tokenizer
from tests.training.tiny_run import tiny_parts, write_base, write_pictures, write_samples

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"
STEPS, SAVE_STEPS = 12, 2  # of a training
PICTURES = 40  # of a fetch


class Command(NamedTuple):
    """A command that writes.

    Args:
        name: Of its kinds of fault, before the fault.
        words: The command line for an output; what leaves no trace in it may be drawn.
        files: What must be the same in the end: names below the place, and what they hold.
        kept: What was whole at some moment and must stay so.
        faults: Which faults it is put to.
        around: What it needs around it in a place.
        again: Whether it may be run again once its output is there; else that is an error of a line.
    """

    name: str
    words: Callable[[Path, random.Random], list[str]]
    files: Callable[[Path], dict[str, Hashable]]
    kept: Callable[[Path], set[Hashable]] = lambda _: set()
    faults: Sequence[str] = ("kill", "full", "twice")
    around: Callable[[Path], AbstractContextManager[object]] = lambda _: nullcontext()
    again: bool = True


def commands(folder: Path, pictures: PictureServer) -> list[Command]:
    """Make all commands, for what lies in a folder."""
    rows = [{"url": pictures.url(f"/{number}.png"), "caption": f"imagem {number}"} for number in range(PICTURES)]
    (folder / "urls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = write_rows(folder / "task", 24)
    build = ["data", "build", "pt-render-text", "--count", "40", "--shard-size", "5"]
    fetch = ["data", "fetch", str(folder / "urls.jsonl"), "--language", "pt", "--hosts", "127.0.0.1", "--threads", "4"]
    ask = ["eval", "run", "--task", str(task), "--model", str(folder / "base"), "--batch", "2"]
    base, parts = str(folder / "base"), ("--vision", str(folder / "tower"), "--text", str(folder / "text"))
    adapters = ("learning_rates={decoder: 1e-3}", "lora={rank: 4, alpha: 8}")
    return [
        train_command("sft", "2_instruct", folder),
        train_command("dpo", "3_prefer", folder),
        train_command("lora", "2_instruct", folder, *adapters),
        train_command("ranks", "2_instruct", folder, "processes=2"),
        Command(
            "data build", lambda out, _: [*build, "--out", str(out)], folder_files, whole_files("out/**/*.parquet")
        ),
        Command("data fetch", lambda out, _: [*fetch, "--out", str(out)], folder_files, whole_files("out/images/*/*")),
        convert_command("import", str(folder / "llava_next")),
        convert_command("export", base, "--resampler", "pil"),
        convert_command("compose", *parts, "--max-tiles", "4"),
        push_command(folder / "push"),
        Command("eval run", lambda out, _: [*ask, "--out", str(out)], folder_files, answer_lines),
    ]


def write_models(folder: Path) -> None:
    """Write the tiny models and samples that commands read."""
    tower, text, tokenizer = tiny_parts()
    write_base(folder / "base", (tower, text, tokenizer))
    write_samples(write_pictures(folder))
    tower.save_pretrained(folder / "tower")
    text.save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    tokenizer = tiny_tokenizer()
    model = tiny_llava_next(text=tiny_text_config(vocab_size=len(tokenizer)))
    model.config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=32, image_grid_pinpoints=[list(p) for p in PINPOINTS]
    )
    model.save_pretrained(folder / "llava_next")
    LlavaNextProcessor(images, tokenizer, patch_size=8, vision_feature_select_strategy="full").save_pretrained(
        folder / "llava_next"
    )


def train_command(name: str, recipe: str, folder: Path, *values: str) -> Command:
    """Train a tiny model; how many processes prepare batches changes from run to run."""
    method = "dpo" if recipe == "3_prefer" else "sft"
    here = [str(RECIPES / f"{recipe}.yaml"), f"model={folder / 'base'}", f"data={folder / f'{method}.jsonl'}"]
    here += ["batch_size=2", "accumulation=1", "epochs=null", f"steps={STEPS}", f"save_steps={SAVE_STEPS}"]

    def files(place: Path) -> dict[str, Hashable]:
        found = digests(place, "out/**/*", without=("training.json", "report.html", "README.md"))
        log = json.loads((place / "out" / "training.json").read_text(encoding="utf-8"))["log_history"]
        losses = tuple((entry["step"], entry["loss"]) for entry in log if "loss" in entry)
        return {**found, "losses": losses}

    def kept(place: Path) -> set[Hashable]:
        if (place / "out").exists():
            return set(range(1 + STEPS))
        steps = [int(path.parent.name.split("-")[1]) for path in place.glob("out.partial/checkpoint-*/complete")]
        return set(range(1 + max(steps, default=0)))

    def words(out: Path, rng: random.Random) -> list[str]:
        return ["train", *here, "log_steps=1", *values, f"workers={rng.choice((0, 2))}", f"output={out}"]

    return Command(f"train {name}", words, files, kept, ("kill", "full", "damage", "twice"))


def whole_files(pattern: str) -> Callable[[Path], set[Hashable]]:
    """Make a function that tells which files are there; one that was written again is another one."""
    return lambda place: {(str(path), path.stat().st_ino) for path in place.glob(pattern)}


def folder_files(place: Path) -> dict[str, Hashable]:
    """Hash all that a command left in its place, locks and logs apart."""
    return digests(place, "out/**/*", without=(".lock", "logs/**/*", "logs/*", "completions/*"))


def answer_lines(place: Path) -> set[Hashable]:
    """Read the answers of an evaluation that are whole."""
    return {line for path in place.glob("out/*/answers.jsonl") for line in path.read_bytes().split(b"\n")[:-1]}


def convert_command(step: str, *words: str) -> Command:
    """Convert a checkpoint into several files of weights."""
    here = ["convert", step, *words, "--max-shard-size", "100KB"]
    return Command(f"convert {step}", lambda out, _: [*here, "--out", str(out)], folder_files, again=False)


def push_command(folder: Path) -> Command:
    """Push to a hub that holds an older state of the repository; each place has a hub of its own."""
    bench, hubs = Bench(folder), dict[Path, HubServer]()

    @contextmanager
    def around(place: Path) -> Iterator[None]:
        with HubServer() as hub, mock.patch.object(constants, "ENDPOINT", hub.url):
            hub.repositories[REPO], hub.objects = copy.deepcopy(bench.repository), dict(bench.objects)
            hubs[place] = hub
            yield

    def files(place: Path) -> dict[str, Hashable]:
        return {"state": bench.state(hubs[place]), "commits": hubs[place].commits(REPO)}

    def kept(place: Path) -> set[Hashable]:
        return {commit for commit, _ in hubs[place].repositories[REPO].branches["main"]}

    def words(out: Path, _: random.Random) -> list[str]:
        return ["push", str(bench.model), REPO]

    return Command("push", words, files, kept, ("kill", "twice"), around)


def digests(folder: Path, *patterns: str, without: Sequence[str] = ()) -> dict[str, Hashable]:
    """Hash files of a folder, and name those that are not to be there: half-written ones."""
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    chosen = [path for path in sorted(files) if not any(path.match(pattern) for pattern in without)]
    hashed = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in chosen}
    return hashed | {str(path.relative_to(folder)): "left behind" for path in folder.rglob("*.partial")}
