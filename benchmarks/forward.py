"""Forward and prefill against stock LLaVA-NeXT, same weights: CPU time on one thread, peak memory.

The tower has its real depth (27 layers) and geometry (384 px, patch 16, 12 tiles) at a reduced width. Stock reads
feature layer -2, so it computes a layer, a norm and a pooling head that it drops; it pads a batch to the
most tiles of an image.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration, SiglipVisionConfig

from amalia_vl_hf import AmaliaVLConfig, AmaliaVLForConditionalGeneration
from amalia_vl_hf.modeling.configuration_amalia_vl import from_llava_next
from amalia_vl_hf.processing.tiling_amalia_vl import (
    generate_pinpoints,
    layout_for,
    num_visual_tokens,
    select_grid,
)

TILE, SIDE, MAX_TILES, IMAGE = 384, 24, 12, 1000
CASES = {"one image, 12 tiles": [(1152, 1536)], "300x200 beside 12 tiles": [(200, 300), (1152, 1536)]}
PAIRS = 3


def stock_config() -> LlavaNextConfig:
    """The real shape of the tower but its width; a small decoder, so that the tower's share is seen."""
    vision = SiglipVisionConfig(
        hidden_size=96,
        intermediate_size=360,
        num_hidden_layers=27,
        num_attention_heads=4,
        image_size=TILE,
        patch_size=TILE // SIDE,
    )
    text = LlamaConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=16384,
    )
    return LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[list(size) for size in generate_pinpoints(MAX_TILES, TILE)],
    )


def models() -> tuple[AmaliaVLForConditionalGeneration, LlavaNextForConditionalGeneration]:
    """Ours and stock, with the same weights."""
    config = stock_config()
    torch.manual_seed(0)
    stock = LlavaNextForConditionalGeneration(config).eval()
    ours = AmaliaVLForConditionalGeneration(AmaliaVLConfig(**from_llava_next(config.to_dict()))).eval()
    weights = stock.state_dict()
    ours.load_state_dict({key: weights[key.replace("newline.weight", "newline")] for key in ours.state_dict()})
    return ours, stock


def batches(sizes: list[tuple[int, int]]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """One image a sample, as each processor would give it, of the same random tiles."""
    grids = [select_grid(*size, generate_pinpoints(MAX_TILES, TILE), TILE) for size in sizes]
    layouts = [layout_for(*size, grid, SIDE) for size, grid in zip(sizes, grids, strict=True)]
    counts = [num_visual_tokens(layout, SIDE) for layout in layouts]
    longest = max(counts)
    ids = torch.tensor([[5] * (longest - count) + [IMAGE] * count + [5] * 32 for count in counts])
    mask = torch.tensor([[0] * (longest - count) + [1] * (count + 32) for count in counts])
    tiles = [torch.randn(layout.num_tiles, 3, TILE, TILE) for layout in layouts]
    most = max(map(len, tiles))
    padded = torch.stack([torch.cat((own, own.new_zeros(most - len(own), 3, TILE, TILE))) for own in tiles])
    text = {"input_ids": ids, "attention_mask": mask}
    rows = torch.tensor([layout for layout in layouts for _ in range(layout.num_tiles)])
    ours = {**text, "pixel_values": torch.cat(tiles), "tile_layouts": rows}
    return ours, {**text, "pixel_values": padded, "image_sizes": torch.tensor(sizes)}


def forward(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """All logits, no cache."""
    with torch.no_grad():
        return model(**batch, use_cache=False).logits


def prefill(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The last logits and a cache, as `generate` asks for them."""
    with torch.no_grad():
        return model(**batch, use_cache=True, logits_to_keep=1).logits


ACTIONS = {"forward": forward, "prefill": prefill}
Side = tuple[torch.nn.Module, dict[str, torch.Tensor]]


def cpu_seconds(action: Callable[..., torch.Tensor], side: Side) -> float:
    """CPU time of one call, in seconds."""
    start = time.process_time()
    action(*side)
    return time.process_time() - start


def check_equal(ours: Side, stock: Side) -> None:
    """Refuse to time two things that differ."""
    real = ours[1]["attention_mask"].bool()
    torch.testing.assert_close(forward(*ours)[real], forward(*stock)[real], atol=1e-4, rtol=0)


def peak_mebibytes(action: Callable[..., torch.Tensor], side: Side) -> float:
    """Most memory that one call held at a time, by torch's own accounting, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action(*side)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes)) / 2**20


def main() -> None:
    """Print the table and its JSON line."""
    pair, results = models(), {}
    print(f"{'case':<42}{'ours':>10}{'stock':>10}{'ratio':>8}  unit")
    for case, sizes in CASES.items():
        ours, stock = zip(pair, batches(sizes), strict=True)
        check_equal(ours, stock)
        for name, action in ACTIONS.items():
            times = [(cpu_seconds(action, ours), cpu_seconds(action, stock)) for _ in range(PAIRS)]
            own, other = (statistics.median(side) for side in zip(*times, strict=True))
            memory = [peak_mebibytes(action, side) for side in (ours, stock)]
            for quantity, values, unit in (("time", (own, other), "CPU s"), ("memory", memory, "MiB")):
                ratio = values[0] / values[1]
                label = f"{name}, {case}"
                results[f"{label}, {quantity}"] = {
                    "ours": values[0],
                    "stock": values[1],
                    "ratio": ratio,
                    "unit": unit,
                }
                print(f"{label:<42}{values[0]:>10.2f}{values[1]:>10.2f}{ratio:>8.2f}  {unit}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
