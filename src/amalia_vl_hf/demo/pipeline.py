"""Run the demo step by step; every finished step is kept, so that a run that was killed goes on where it was."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import AutoTokenizer, LlamaForCausalLM, SiglipVisionModel
from transformers.utils import logging

from ..conversion.compose import compose
from ..disk import new_directory, write_json
from ..fields import RECIPES
from ..training.launch import PARENT
from .backbones.decoder import demo_texts, warmed_up_decoder
from .backbones.sizes import BackboneSizes
from .backbones.tokenizer import train_tokenizer
from .backbones.tower import warmed_up_tower
from .moving_scenes import write_moving_set
from .report import write_report
from .results import (
    STAGES,
    Result,
    collect,
    table,
    targets,
)
from .scene_sets import SetSizes, write_sets

MOVING = {"train": 24, "test": 8}  # clips, to look at and to try a stage of videos on; the demo trains on pictures


@dataclass(frozen=True)
class DemoSizes:
    """How much is drawn, how large the model is, and values that replace the recipes' own, `key=value` by stage."""

    sets: SetSizes
    backbones: BackboneSizes
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


FULL = DemoSizes(
    SetSizes(captions=3000, instructions=7200, preferences=1300, questions=100, test_preferences=100), BackboneSizes()
)


def run(out: Path, seed: int, sizes: DemoSizes = FULL) -> list[Result]:
    """Draw data, compose a tiny model, train its three stages, evaluate each, and write results and a report.

    Args:
        out: Folder for everything; what is already finished there is kept.
        seed: Of data, first weights and training order.
        sizes: The demo's own when left out; tests take far smaller ones.

    Returns:
        One result a stage.

    Raises:
        ValueError: `out` holds a run with another seed or other sizes.
    """
    _claim(out, {"seed": seed, **asdict(sizes)})
    logging.disable_progress_bar()  # of loading and saving; ours stay
    began = time.monotonic()
    write_sets(out / "data", seed, sizes.sets)
    for split, clips in MOVING.items():
        write_moving_set(out / "data" / f"moving_{split}", seed, clips, split)
    _compose(out, seed, sizes.backbones)
    before = "0_base"
    for stage in STAGES:
        _announce(f"training {stage}", began)
        _train(out, seed, stage, before, sizes.overrides.get(stage, ()))
        _announce(f"evaluating {stage}", began)
        scores = out / "evaluation" / f"{stage}.json"
        if not scores.exists():
            _python("amalia_vl_hf.demo.exam", str(out / stage), str(out / "data"), str(scores))
        before = stage
    results = collect(out)
    write_json(out / "results.json", [result.as_row() for result in results])
    report = write_report(out, results)
    _announce("done", began)
    print(f"\n{table(results)}\n\n{targets(results)}\n\nreport: {report}")
    return results


def _claim(out: Path, settings: Mapping[str, object]) -> None:
    """Record what `out` is made with, or refuse to mix two runs."""
    record = out / "settings.json"
    plain = json.loads(json.dumps(settings))
    if record.exists():
        before = json.loads(record.read_text(encoding="utf-8"))
        different = [key for key in plain if before.get(key) != plain[key]]
        if different:
            listed = "; ".join(f"{key} was {before.get(key)}, now {plain[key]}" for key in different)
            raise ValueError(f"{out} holds another run ({listed}); delete it or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(record, plain)


def _compose(out: Path, seed: int, sizes: BackboneSizes) -> None:
    """Warm up the two backbones, each apart and kept, and join them into `0_base`."""
    folder = out / "backbones"
    texts = demo_texts(random.Random(f"{seed} tokenizer"), sizes.decoder.scenes // 4)  # noqa: S311
    _once(folder / "tokenizer", lambda path: train_tokenizer(texts, sizes.vocab_size).save_pretrained(path))
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", trust_remote_code=False)
    _once(folder / "tower", lambda path: warmed_up_tower(sizes, seed).save_pretrained(path))
    _once(folder / "decoder", lambda path: warmed_up_decoder(tokenizer, sizes, seed).save_pretrained(path))

    def join(path: Path) -> None:
        tower = SiglipVisionModel.from_pretrained(folder / "tower", trust_remote_code=False)
        decoder = LlamaForCausalLM.from_pretrained(folder / "decoder", trust_remote_code=False)
        model, processor = compose(tower, decoder, tokenizer, max_tiles=sizes.max_tiles, seed=seed)
        model.save_pretrained(path)
        processor.save_pretrained(path)

    _once(out / "0_base", join)


def _train(out: Path, seed: int, stage: str, before: str, overrides: tuple[str, ...]) -> None:
    """Run one stage's recipe as a user would; it goes on from its own checkpoints."""
    values = (
        f"model={out / before}",
        f"data={out / 'data' / stage.partition('_')[2] / 'samples.jsonl'}",
        f"output={out / stage}",
        f"seed={seed}",
    )
    _python("amalia_vl_hf.cli", "train", str(RECIPES / "tiny" / f"{stage}.yaml"), *values, *overrides)


def _python(module: str, *arguments: str) -> None:
    """Run a module in a process of its own, which shares this one's terminal and does not train on without it."""
    subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, env={**os.environ, PARENT: str(os.getpid())}
    )


def _once(path: Path, make: Callable[[Path], object]) -> None:
    """Make a folder unless it is there; it appears under its name only when complete."""
    if not path.exists():
        with new_directory(path) as staging:
            make(staging)


def _announce(what: str, began: float) -> None:
    print(f"== {what} ({time.monotonic() - began:.0f} s)", flush=True)
