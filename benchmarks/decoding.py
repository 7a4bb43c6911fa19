"""A step of decoding against stock LLaVA-NeXT, same weights: dynamic, static, compiled; one sequence and eight.

    python -m benchmarks decoding

Models are tiny, so that what is measured is Python's share of a step. The contestants take turns of `STEPS` steps of
`generate`; a figure is the CPU time of a step that a tenth of all steps stay below, for other work makes steps slower
and none faster. `bare` is the decoder alone, so that ours less bare is what images cost a step
that has none; Python calls a step are counted, and are the same whatever else the machine does. The compiled step
needs a C++ compiler.
"""

import contextlib
import cProfile
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the models are the tests' own

import torch
from transformers import LlamaForCausalLM, StoppingCriteria, StoppingCriteriaList
from transformers.generation import CompileConfig

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.tiny import tiny_llava_next

PROMPT, STEPS, TURNS = 32, 24, 30
WARM_UP = 3  # steps of a turn that do not count


class Clock(StoppingCriteria):
    """Reads the thread's CPU time at each step, and stops nothing."""

    def __init__(self) -> None:
        self.readings: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Note the time."""
        self.readings.append(time.thread_time())
        return torch.zeros(len(input_ids), dtype=torch.bool)


def contestants() -> dict[str, torch.nn.Module]:
    """Ours, stock and the bare decoder, with the same weights."""
    stock = tiny_llava_next()
    with tempfile.TemporaryDirectory() as folder:
        stock.save_pretrained(folder)
        ours = AmaliaVLForConditionalGeneration.from_pretrained(folder)
    bare = LlamaForCausalLM(stock.config.text_config)
    bare.model, bare.lm_head = stock.model.language_model, stock.lm_head
    return {"ours": ours.eval(), "stock": stock.eval(), "bare": bare.eval()}


def generate(model: Any, sequences: int, way: str, steps: int) -> list[float]:
    """Give the CPU seconds of each step but the first `WARM_UP`."""
    clock, ids = Clock(), torch.arange(5, 5 + PROMPT).repeat(sequences, 1)
    options: dict[str, Any] = {"cache_implementation": None if way == "dynamic" else "static"}
    if way == "compiled":
        options["compile_config"] = CompileConfig(fullgraph=True, mode="default")
        options["compile_config"]._compile_all_devices = True
    tokens = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=steps,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=2,
        stopping_criteria=StoppingCriteriaList([clock]),
        **options,
    )
    assert tokens.shape == (sequences, PROMPT + steps)
    return [late - early for early, late in zip(clock.readings[WARM_UP:], clock.readings[WARM_UP + 1 :], strict=False)]


def calls_a_step(model: Any, sequences: int, way: str) -> float:
    """Count Python's calls of functions a step, those of C among them."""
    counts = []
    for steps in (STEPS, 2 * STEPS):
        profile = cProfile.Profile()
        with profile:
            generate(model, sequences, way, steps)
        counts.append(sum(entry.callcount for entry in profile.getstats()))
    return (counts[1] - counts[0]) / STEPS


def race(models: dict[str, torch.nn.Module], sequences: int, way: str) -> dict[str, float]:
    """Give the milliseconds a step of each."""
    steps: dict[str, list[float]] = {name: [] for name in models}
    for name in models:  # compiles, where that is to be
        generate(models[name], sequences, way, STEPS)
    for turn in range(TURNS):
        for name in sorted(models, key=lambda name: (turn + list(models).index(name)) % len(models)):
            steps[name] += generate(models[name], sequences, way, STEPS)
    return {name: 1e3 * statistics.quantiles(times, n=10)[0] for name, times in steps.items()}


def main() -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    ways = ["dynamic", "static", "compiled"]
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        ways.remove("compiled")
        print("no C++ compiler here: the compiled step is not measured")
    with contextlib.redirect_stdout(sys.stderr):
        models = contestants()
    results = {}
    print(f"{'cache':<10}{'sequences':>10}{'ours':>8}{'stock':>8}{'bare':>8}  ms{'ours/stock':>12}  calls a step")
    for way in ways:
        for sequences in (1, 8):
            torch.compiler.reset()
            times = race(models, sequences, way)
            calls = [calls_a_step(model, sequences, way) for model in models.values()] if way != "compiled" else []
            ratio = times["ours"] / times["stock"]
            columns = "".join(f"{times[name]:>8.3f}" for name in models)
            print(f"{way:<10}{sequences:>10}{columns}{ratio:>16.3f}  {', '.join(f'{count:.0f}' for count in calls)}")
            results[f"decode_{way}_{sequences}"] = {
                "ours": round(times["ours"], 3),
                "stock": round(times["stock"], 3),
                "ratio": round(ratio, 3),
                "unit": "CPU ms a step",
            }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
