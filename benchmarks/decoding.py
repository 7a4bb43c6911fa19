"""A step of decoding against stock LLaVA-NeXT on the same weights: dynamic and static cache, one sequence and eight.

    python -m benchmarks decoding

Models are tiny, so that what is measured is Python's share of a step; CPU seconds of `generate`, the two interleaved.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the models are the tests' own

import torch

from amalia_vl_hf import AmaliaVLForConditionalGeneration
from tests.tiny import tiny_llava_next

STEPS, ROUNDS = 96, 7


def seconds_a_step(model, ids, cache):
    """Give the CPU seconds of a step, the prompt's own forward left out."""
    options = {"do_sample": False, "cache_implementation": cache, "eos_token_id": None, "pad_token_id": 2}
    took = []
    for steps in (1, 1 + STEPS):
        began = time.process_time()
        tokens = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, **options)
        took.append(time.process_time() - began)
        assert tokens.shape[1] == ids.shape[1] + steps
    return (took[1] - took[0]) / STEPS


def main():
    """Measure, and print the table."""
    torch.set_num_threads(1)
    stock, figures = tiny_llava_next(), {}
    with tempfile.TemporaryDirectory() as folder:
        stock.save_pretrained(folder)
        ours = AmaliaVLForConditionalGeneration.from_pretrained(folder).eval()
    print("| cache | sequences | ours, ms a step | stock | ratio |\n|---|---|---|---|---|")
    for cache in (None, "static"):
        for sequences in (1, 8):
            ids = torch.arange(5, 37).repeat(sequences, 1)
            for model in (ours, stock):
                seconds_a_step(model, ids, cache)
            pairs = [
                [seconds_a_step(model, ids, cache) for model in order]
                for order in ((ours, stock), (stock, ours)) * ROUNDS
            ]
            pairs = [pair if number % 2 == 0 else pair[::-1] for number, pair in enumerate(pairs)]
            mine, theirs = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
            ratio = statistics.median(first / second for first, second in pairs)
            print(f"| {cache or 'dynamic'} | {sequences} | {mine:.2f} | {theirs:.2f} | {ratio:.3f} |")
            figures[f"decode_{cache or 'dynamic'}_{sequences}"] = {
                "ours": round(mine, 3),
                "stock": round(theirs, 3),
                "ratio": round(ratio, 3),
                "unit": "CPU ms a step",
            }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
