"""Kills training runs with -9 at random moments, and holds what they end with to a run that was never interrupted.

Half of the kills hit while a checkpoint is being written. Weights and logged losses must be equal bit for bit.
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from amalia_vl_hf.training.recipe import Recipe, load_recipe
from amalia_vl_hf.training.run import train
from tests.training.tiny_run import (
    tiny_parts,
    write_base,
    write_pictures,
    write_samples,
)

RECIPES = Path(__file__).parents[1] / "recipes" / "tiny"
CASES = (("2_instruct", 0), ("2_instruct", 2), ("3_prefer", 0), ("3_prefer", 2))  # recipe, workers
KILLS = 6  # of each case
STEPS, SAVE_STEPS = 60, 2


@dataclass
class Case:
    """One run that is killed again and again: how often, and after how many finished steps."""

    training: int = 0
    saving: int = 0
    steps: list[int] = field(default_factory=list)


def start(work: Callable[[], object]) -> int:
    """Do something in a process of its own, forked from this one, which has everything imported and no threads."""
    assert threading.active_count() == 1, "a fork of a process with threads may wait for ever for one of them"
    process = os.fork()
    if process:
        return process
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def finish(process: int) -> None:
    """Wait for a process."""
    while not ended(process):
        time.sleep(0.01)


def prepare(folder: Path) -> None:
    """Write model and data."""
    write_base(folder / "base", tiny_parts())
    write_samples(write_pictures(folder))


def checkpoints(recipe: Recipe) -> dict[int, bool]:
    """Steps that have a folder, and whether it is whole."""
    folders = Path(f"{recipe.output}.partial").glob("checkpoint-*")
    return {int(folder.name.split("-")[1]): (folder / "complete").exists() for folder in folders}


def ended(process: int) -> bool:
    """Whether the process is over; one that failed ends the benchmark."""
    done, status = os.waitpid(process, os.WNOHANG)
    if done and os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"training ended with exit code {os.waitstatus_to_exitcode(status)}")
    return bool(done)


def kill(recipe: Recipe, case: Case, rng: random.Random) -> bool:
    """Start the run and kill it, while it saves or at any moment; False if it was over before."""
    while_saving = case.saving < KILLS // 2
    step = max(checkpoints(recipe), default=0) + rng.randrange(STEPS // KILLS)  # before which it lives
    delay = rng.uniform(0, 0.02 if while_saving else 0.5)  # s
    process = start(lambda: train(recipe))
    while not ended(process):
        found = checkpoints(recipe)
        if any(saved >= step and whole != while_saving for saved, whole in found.items()) or not (
            step or while_saving
        ):
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            break
        time.sleep(0.0005)
    else:
        return False
    found = checkpoints(recipe)
    torn = [saved for saved, whole in found.items() if not whole]
    case.saving, case.training = case.saving + bool(torn), case.training + (not torn)
    case.steps.append(max((saved for saved, whole in found.items() if whole), default=0))
    return True


def outcome(output: Path) -> tuple[str, list[tuple[int, float]]]:
    """What a run ends with: the digest of its weights, and its losses."""
    log = json.loads((output / "training.json").read_text(encoding="utf-8"))["log_history"]
    losses = [(entry["step"], entry["loss"]) for entry in log if "loss" in entry]
    return sha256((output / "model.safetensors").read_bytes()).hexdigest(), losses


def run_case(name: str, workers: int, folder: Path, seed: int) -> tuple[Case, bool]:
    """Run one case, killed and whole; whether both end alike."""
    method = "dpo" if name == "3_prefer" else "sft"
    here = [f"model={folder / 'base'}", f"data={folder / f'{method}.jsonl'}", f"workers={workers}", "batch_size=2"]
    values = [*here, f"steps={STEPS}", "epochs=null", f"save_steps={SAVE_STEPS}", "log_steps=1", "accumulation=1"]
    whole, killed = (
        load_recipe(RECIPES / f"{name}.yaml", [*values, f"output={folder / f'{name}_{workers}_{kind}'}"])
        for kind in ("whole", "killed")
    )
    finish(start(lambda: train(whole)))
    case, rng = Case(), random.Random(seed)  # noqa: S311
    while case.training + case.saving < KILLS and kill(killed, case, rng):
        pass
    finish(start(lambda: train(killed)))  # nothing to do if it was over before the last kill
    return case, outcome(Path(whole.output)) == outcome(Path(killed.output))


def main() -> None:
    """Run every case and print what came out."""
    equal = kills = 0
    print(f"{'recipe':<12}{'workers':>8}{'killed training':>17}{'saving':>8}  last whole checkpoint at each kill; end")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        finish(start(lambda: prepare(folder)))
        for number, (recipe, workers) in enumerate(CASES):
            case, same = run_case(recipe, workers, folder, seed=number)
            equal, kills = equal + same, kills + case.training + case.saving
            steps = " ".join(map(str, case.steps))
            end = "equal bit for bit" if same else "DIFFERENT"
            print(
                f"{recipe:<12}{workers:>8}{case.training:>17}{case.saving:>8}  {steps} of {STEPS}; {end}", flush=True
            )
    print(f"{kills} kills, {equal} of {len(CASES)} runs equal to one that was never interrupted")
    result = {"ours": equal, "stock": len(CASES), "ratio": equal / len(CASES), "unit": f"runs, {kills} kills"}
    print(json.dumps({"kills": result}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
